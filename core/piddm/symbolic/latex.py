r"""Equations as LaTeX: :math:`\partial_{t} u + \partial_{x} (u^2/2) - \nu \partial_{xx} u = 0`.

The signs used are those that both MathJax (GitHub, Jupyter) and matplotlib's mathtext know, and no
command is a backslash before punctuation, which Markdown would swallow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy
from sympy.printing.latex import LatexPrinter, translate
from sympy.printing.precedence import PRECEDENCE

from piddm.symbolic.operators import Coordinate, D, Field, Param, Slice, strict
from piddm.symbolic.text import expression_text

if TYPE_CHECKING:
    from piddm.grids.grid import Grid
    from piddm.symbolic.conditions import Condition, Integral
    from piddm.symbolic.specification import Specification

_VARIANTS = {"epsilon": r"\varepsilon", "phi": r"\varphi"}
"""Greek letters in the shape that texts on physics have."""

_WRITTEN_OUT = 3
"""Highest order of a derivative that repeats its coordinate."""

_LINE, _WORTH = 130, 20
"""Letters of text on a line; the fewest that a part has which gets a sign of its own."""


def equation_latex(expression: sympy.Expr) -> str:
    """Return ``expression = 0``."""
    return f"{expression_latex(expression)} = 0"


def expression_latex(expression: Any) -> str:
    r"""Return an expression, derivatives as they were written: ``\nu \partial_{xx} u``.

    What follows a derivative's sign is all that it acts on; more than one symbol has parentheses.
    """
    return _Printer().doprint(sympy.sympify(expression, strict=True))


def name_latex(name: str) -> str:
    r"""Return a name as a sign: ``nu`` is ``\nu``, ``gL`` is ``g_{L}``, ``Re`` is upright."""
    known = _VARIANTS.get(name) or translate(name)
    if len(name) == 1 or known.startswith("\\"):
        return known
    base, _, index = name.partition("_")
    if not index and (found := re.fullmatch(r"([a-z])([A-Z0-9]+)|([A-Z])([0-9]+)", name)):
        base, index = (part for part in found.groups() if part)
    if index and base:
        return f"{name_latex(base)}_{{{name_latex(index)}}}"
    return name if name.isdigit() else rf"\mathrm{{{name.replace('_', ' ')}}}"


def condition_latex(condition: Condition, grid: Grid) -> str:
    r"""Return what holds at a wall, and at which: ``\partial_{n} u = 0 \quad \text{at } x = 0``."""
    axes = list(dict.fromkeys(axis for axis, _ in condition.ends(grid)))
    along = axes[0] if grid.axes[axes[0]].time else "n"
    slope = D(condition.field, Coordinate(along))
    left = condition.alpha * condition.field + condition.beta * slope
    place = r"\text{at both ends of } " + ", ".join(map(name_latex, axes))
    if isinstance(condition.where, Slice):
        place = rf"\text{{at }} {name_latex(condition.where.axis)} = {condition.where.value:g}"
    return rf"{expression_latex(left)} = {expression_latex(condition.value)} \quad {place}"


def integral_latex(integral: Integral, grid: Grid) -> str:
    r"""Return an integral over space: ``\int u \ dx \ dy = 0``."""
    over = [rf"\ d{name_latex(name)}" for name, axis in grid.axes.items() if not axis.time]
    if grid.spherical:
        over = [*over[:-2], r"\ dA"]
    integrand = sympy.sympify(integral.integrand, strict=True)
    body = expression_latex(integrand)
    body = rf"\left({body}\right)" if integrand.is_Add else body
    left = rf"\int {body} {' '.join(over)}"
    if integral.conserved:
        return rf"{left} \quad \text{{is conserved}}"
    return f"{left} = {expression_latex(integral.value)}"


def formulas(pde: Specification) -> dict[str, dict[str, str]]:
    """Return a specification's equations, conditions and integrals, each by its name.

    Parts that long equations have in common are under ``where``, each with a sign of its own.
    """
    equations, parts = abbreviated({k: strict(e) for k, e in pde.equations.items()})
    return {
        "equations": {k: equation_latex(e) for k, e in equations.items()},
        "where": {
            k: f"{name_latex(k)} = {expression_latex(part)}" for k, part in sorted(parts.items())
        },
        "conditions": {k: condition_latex(c, pde.grid) for k, c in pde.conditions.items()},
        "integrals": {k: integral_latex(i, pde.grid) for k, i in pde.integrals.items()},
    }


def abbreviated(
    expressions: Mapping[str, sympy.Expr],
) -> tuple[dict[str, sympy.Expr], dict[str, sympy.Expr]]:
    """Return expressions with signs for what is long and in them twice, and what the signs mean.

    They stay as they are where all of them fit on a line.
    """
    found, parts = dict(expressions), {}
    if all(len(expression_text(e)) <= _LINE for e in found.values()):
        return found, parts
    while True:
        counts = Counter(
            node
            for e in (*found.values(), *parts.values())
            for node in sympy.preorder_traversal(e)
            if node.args and len(expression_text(node)) >= _WORTH
        )
        twice = [node for node, count in counts.items() if count > 1]
        if not twice:
            return found, parts
        longest = max(twice, key=lambda node: (len(expression_text(node)), expression_text(node)))
        sign = sympy.Symbol(f"q_{len(parts) + 1}")
        for group in (found, parts):
            group |= {k: e.xreplace({longest: sign}) for k, e in group.items()}
        parts[sign.name] = longest


def place_latex(place: Slice | Field | Param) -> str:
    """Return a field, a param, or a field at one end: ``u(t=0)``."""
    if isinstance(place, Slice):
        return f"{name_latex(place.field.name)}({name_latex(place.axis)}={place.value:g})"
    return name_latex(place.name)


def _derived(expression: Any) -> bool:
    """Whether there is an operator in an expression: what sympy itself does not have."""
    return any(
        isinstance(node, sympy.Function) and not type(node).__module__.startswith("sympy.")
        for node in sympy.preorder_traversal(expression)
    )


class _Printer(LatexPrinter):
    """sympy finds the methods by the names of its classes."""

    def _print_Symbol(self, expr: Any, style: str = "plain") -> str:
        return name_latex(expr.name)

    _print_Coordinate = _print_Field = _print_Param = _print_Symbol

    def _print_Float(self, expr: Any) -> str:
        mantissa, _, exponent = f"{float(expr):.6g}".partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    def _print_D(self, expression: D, exp: str | None = None) -> str:
        inner, axis, order = expression.parts
        name = name_latex(axis.name)
        sign = rf"\partial_{{{name * order}}}"
        if order > _WRITTEN_OUT or (order > 1 and len(axis.name) > 1):
            sign = rf"\partial_{{{name}}}^{{{order}}}"
        body = self._print(inner)
        body = body if inner.is_Symbol or isinstance(inner, D) else rf"\left({body}\right)"
        return f"{sign} {body}" if exp is None else rf"\left({sign} {body}\right)^{{{exp}}}"

    def _print_Add(self, expr: Any, order: Any = None) -> str:
        # sympy forgets the order of writing: derivatives come first, what is short, what is added.
        def key(term: Any) -> tuple[bool, bool, int, str]:
            text = expression_text(term)
            return not _derived(term), term.could_extract_minus_sign(), len(text), text

        texts = [self._print(term) for term in sorted(expr.args, key=key)]
        tail = (f" - {t[1:].lstrip()}" if t.startswith("-") else f" + {t}" for t in texts[1:])
        return texts[0] + "".join(tail)

    def _print_Mul(self, expr: Any) -> str:
        if expr.could_extract_minus_sign():
            return f"- {self.parenthesize(-expr, PRECEDENCE['Add'])}"
        above, below = sympy.fraction(expr, exact=True)
        if below == 1:
            return self._product(above)
        factors = sympy.Mul.make_args(above)
        # A derivative stands beside the fraction, where its factors are in print.
        beside = [f for f in factors if _derived(f) and not f.is_Add]
        plain = sympy.Mul(*(f for f in factors if f not in beside))
        fraction = rf"\frac{{{self._product(plain)}}}{{{self._print(below)}}}"
        return f"{fraction} {self._product(sympy.Mul(*beside))}" if beside else fraction

    def _product(self, expr: Any) -> str:
        """Numbers, params, fields, functions, derivatives, in this order."""

        def key(factor: Any) -> tuple[int, str]:
            base = factor.as_base_exp()[0]
            kinds = [factor.is_number, isinstance(base, Param), base.is_Symbol, not _derived(base)]
            return kinds.index(True) if any(kinds) else len(kinds), expression_text(factor)

        factors = sorted(sympy.Mul.make_args(expr), key=key)
        alone = len(factors) == 1
        text = ""
        for k, factor in enumerate(factors):
            piece = self._print(factor)
            if not alone and (factor.is_Add or (piece.startswith("-") and k)):
                piece = rf"\left({piece}\right)"
            if piece[0].isdigit() and text:
                text += r" \cdot "
            elif text:
                text += r" \ " if _derived(factors[k - 1]) and _derived(factor) else " "
            text += piece
        return text

    def _print_Heaviside(self, expr: Any, exp: str | None = None) -> str:
        power = f"^{{{exp}}}" if exp is not None else ""
        return rf"H{power}\left({self._print(expr.args[0])}\right)"
