"""Formulas as text: read by a parser of their own, which builds symbols and runs nothing.

::

    sum     = product {("+" | "-") product}
    product = sign {("*" | "/") sign}
    sign    = ("+" | "-") sign | power
    power   = atom [("**" | "^") sign]
    atom    = number | name | name "(" sum {"," sum} ")" | "(" sum ")"

Names are the fields, params and axes of one equation, ``pi``, and the functions of
:data:`FUNCTIONS`; ``D(u, x)`` is a derivative and ``D(u, x, 2)`` a second one. An exponent is a
number. A text is at most :data:`LONGEST` letters long and :data:`DEEPEST` brackets deep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sympy
from sympy.printing.str import StrPrinter

from piddm.symbolic.operators import Coordinate, D, Field, Param, harmonic
from piddm.symbolic.spherical import GradEast, GradNorth, Laplace
from piddm.tools.errors import UsageError, nearest

LONGEST, DEEPEST, STEEPEST = 500, 30, 12
"""Letters of a formula, brackets in one another, and the size of an exponent, at most."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": sympy.Abs, "sqrt": sympy.sqrt, "exp": sympy.exp, "log": sympy.log, "sin": sympy.sin,
    "cos": sympy.cos, "tan": sympy.tan, "tanh": sympy.tanh, "harmonic": harmonic,
    "grad_north": GradNorth, "grad_east": GradEast, "laplace": Laplace,
}  # fmt: skip
"""Functions of one argument, by name; the last three are of a sphere."""

_NUMERIC: Mapping[str, Callable[[float], float]] = {
    "abs": abs, "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "sin": math.sin,
    "cos": math.cos, "tan": math.tan, "tanh": math.tanh,
}  # fmt: skip

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)"
    r"|(?P<sign>\*\*|[-+*/^(),]))"
)


def parse(
    text: str, fields: Iterable[Field], params: Iterable[Param], axes: Iterable[str]
) -> sympy.Expr:
    """Return the expression that a text says.

    Args:
        text: The formula.
        fields: The fields that it may name.
        params: The params that it may name.
        axes: The axes that it may name.

    Raises:
        UsageError: If it is no formula, too long, or names what there is not.
    """
    symbols: dict[str, Any] = {k: Coordinate(k) for k in axes} | {"pi": sympy.pi}
    symbols |= {s.name: s for s in (*params, *fields)}
    return _Reader(text, symbols).whole()


def formula_text(expression: Any) -> str:
    """Return an expression as text that :func:`parse` reads as the same expression."""
    return _Plain().doprint(expression).replace("Abs(", "abs(")


class _Plain(StrPrinter):
    """Writes numbers with every digit; sympy finds the methods by the names of its classes."""

    def _print_Float(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_Rational(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_D(self, expr: D) -> str:
        return f"D({', '.join(map(self.doprint, expr.args))})"

    def _print_Harmonic(self, expr: Any) -> str:
        return f"harmonic({self.doprint(expr.args[0])})"

    def _print_GradNorth(self, expr: Any) -> str:
        return f"grad_north({self.doprint(expr.args[0])})"

    def _print_GradEast(self, expr: Any) -> str:
        return f"grad_east({self.doprint(expr.args[0])})"

    def _print_Laplace(self, expr: Any) -> str:
        return f"laplace({self.doprint(expr.args[0])})"


class _Reader:
    """Reads a formula from left to right."""

    def __init__(self, text: str, symbols: Mapping[str, Any]) -> None:
        self._text, self._symbols, self._deep = text, symbols, 0
        if len(text) > LONGEST:
            raise UsageError(f"the formula {text[:40]!r}... is longer than {LONGEST} letters")
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._refusal(f"{text[at:].strip()[0]!r} has no place in it")
            self._tokens.append((found.lastgroup or "", found.group(found.lastgroup or "")))
            at = found.end()
        self._at = 0

    def _refuse(self, why: str) -> Any:
        raise self._refusal(why)

    def _refusal(self, why: str) -> UsageError:
        return UsageError(
            f"the formula {self._text[:80]!r}: {why}; write it as a*D(u, x) or sqrt(u**2 + 1)"
        )

    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, *signs: str) -> str:
        """Return the next token and go on, if it is one of these signs."""
        if self._at < len(self._tokens) and self._tokens[self._at] in [("sign", s) for s in signs]:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return ""

    def whole(self) -> sympy.Expr:
        found = self._sum()
        if self._at < len(self._tokens):
            self._refuse(f"nothing can follow before {self._next()!r}")
        return found

    def _sum(self) -> Any:
        self._deep += 1
        if self._deep > DEEPEST:
            self._refuse(f"more than {DEEPEST} brackets in one another")
        found = self._product()
        while sign := self._take("+", "-"):
            other = self._product()
            found = found + other if sign == "+" else found - other
        self._deep -= 1
        return self._finite(found)

    def _product(self) -> Any:
        found = self._sign()
        while sign := self._take("*", "/"):
            other = self._sign()
            if sign == "/" and other == 0:
                self._refuse("it divides by zero")
            found = found * other if sign == "*" else found / other
        return self._finite(found)

    def _sign(self) -> Any:
        minus = False
        while sign := self._take("+", "-"):
            minus ^= sign == "-"
        found = self._power()
        return -found if minus else found

    def _power(self) -> Any:
        base = self._atom()
        if not self._take("**", "^"):
            return base
        exponent = self._sign()
        if not exponent.is_number or abs(float(exponent)) > STEEPEST:
            self._refuse(f"an exponent is a number of at most {STEEPEST}")
        if base.is_number:
            try:
                return sympy.Float(float(base) ** float(exponent))
            except (ArithmeticError, TypeError):
                self._refuse("a power has no value")
        return base**exponent

    def _atom(self) -> Any:
        if self._at >= len(self._tokens):
            self._refuse("it ends too early")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            whole = text.isascii() and text.isdigit() and len(text) < 16
            return sympy.Integer(int(text)) if whole else self._finite(sympy.Float(float(text)))
        if kind == "name":
            return self._call(text) if self._take("(") else self._symbol(text)
        if text != "(":
            self._refuse(f"{text!r} has no place there")
        found = self._sum()
        if not self._take(")"):
            self._refuse("a bracket is not closed")
        return found

    def _symbol(self, name: str) -> Any:
        if name not in self._symbols:
            self._refuse(f"there is no {name!r}{nearest(name, self._symbols)}")
        return self._symbols[name]

    def _call(self, name: str) -> Any:
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        if not self._take(")"):
            self._refuse("a bracket is not closed")
        if name == "D":
            if len(arguments) not in (2, 3):
                self._refuse("a derivative is D(u, x) or D(u, x, 2)")
            if len(arguments) == 3 and arguments[2] not in range(1, STEEPEST + 1):
                self._refuse("the order of a derivative is a small whole number")
            return D(*arguments)
        if name not in FUNCTIONS:
            self._refuse(f"there is no function {name!r}{nearest(name, ('D', *FUNCTIONS))}")
        if len(arguments) != 1:
            self._refuse(f"{name} takes one argument")
        (argument,) = arguments
        if argument.is_number and name in _NUMERIC:
            try:
                return sympy.Float(_NUMERIC[name](float(argument)))
            except (ArithmeticError, ValueError):
                self._refuse(f"{name} has no value there")
        return FUNCTIONS[name](argument)

    def _finite(self, found: Any) -> Any:
        try:
            bad = found.is_number and not math.isfinite(float(found))
        except (ArithmeticError, TypeError):
            bad = True
        return self._refuse("a number in it is not finite") if bad else found
