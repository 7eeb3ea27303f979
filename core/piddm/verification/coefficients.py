"""Coefficients that are expressions in coordinates, against the same values given as fields.

A coefficient in coordinates is known beyond the seam of a periodic axis, where its formula is not
what stands there; it may jump, where the formula has no derivative. As a field it is neither. So
the two are compared, and orders are observed of an equation whose jumping coefficients are fields.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import sympy
import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.symbolic.operators import Coordinate, D, Field, Param, strict
from piddm.symbolic.switches import SWITCHES
from piddm.tools.errors import UsageError
from piddm.verification.evaluate import numbers, on_grid
from piddm.verification.manufactured import manufacture
from piddm.verification.result import Check

NAME = "coefficients"
"""Name of the check."""

CLOSE = 1e-11
"""Relative difference that rounding may make."""

SIZE, SMALL = 16, 10
"""Nodes along each axis, and the same of grids with three axes."""


def coefficients(pde: PDE) -> Check:
    """Check that a coefficient written in coordinates counts as its values at the nodes do."""
    if pde.residual is not None or pde.grid.spherical:
        return Check(NAME, True, "the residual is not compiled from stencils", applies=False)
    fielded, known = as_fields(pde, jumping=False)
    if not known:
        return Check(NAME, True, "no coefficient depends on a coordinate", applies=False)
    grid = pde.grid.resized(SIZE if len(pde.grid.axes) < 3 else SMALL)
    made = manufacture(pde).fields(grid)
    given = made | {f.name: on_grid(e, grid)[None] for f, e in known.items()}
    gaps: dict[str, float] = {}
    for order in _orders(pde):
        try:
            one, two = pde.bind(grid, order), fielded.bind(grid, order)
        except UsageError:  # the grid is too small for the stencil, or an axis is not periodic
            continue
        written, fields = one(made), two(given)
        for name in pde.equations:
            gap = float((written[name] - fields[name]).abs().max())
            size = float(fields[name].abs().max()) or 1.0
            label = f"{name}, {'spectral' if order == 'spectral' else f'order {order}'}"
            gaps[label] = gap / size
    worst = max(gaps, key=gaps.__getitem__)
    passed = gaps[worst] <= CLOSE
    which = ", ".join(str(e) for e in known.values())
    detail = f"{which} as an expression and as a field differ by {gaps[worst]:.1e} ({worst})"
    return Check(NAME, passed, detail, {"differences": gaps})


def _orders(pde: PDE) -> list[Any]:
    return [2, 4, 6, "spectral", *([pde.order] if not isinstance(pde.order, (int, str)) else [])]


@lru_cache(maxsize=16)
def smooth(pde: PDE) -> PDE:
    """Return the equation with fields in the place of coefficients that jump, kinks included.

    A formula that is not periodic along a periodic axis jumps at its seam.
    """
    if pde.residual is not None or pde.grid.spherical:
        return pde
    return as_fields(pde, jumping=True)[0]


def as_fields(pde: PDE, jumping: bool) -> tuple[PDE, dict[Field, Any]]:
    """Return the equation with fields for its coefficients in coordinates, and what those are.

    Args:
        pde: The equation.
        jumping: Only for those that jump somewhere and are differenced.
    """
    found: dict[Any, Field] = {}

    def of(coefficient: Any, inside: bool) -> Any:
        # Outside derivatives a jump costs no order: exact values are taken there as well.
        if jumping and not (inside and _jumps(coefficient, pde)):
            return coefficient
        if coefficient not in found:
            found[coefficient] = Field(f"coefficient {len(found) + 1}")
        return found[coefficient]

    equations = {k: _replaced(strict(e), of) for k, e in pde.equations.items()}
    if not found:
        return pde, {}
    fields = tuple(found.values())
    fielded = dataclasses.replace(
        pde,
        fields=(*pde.fields, *fields),
        equations=equations,
        inputs={**pde.inputs, **dict.fromkeys(fields)},  # pyright: ignore
        simulate=None,
    )
    values = {s: sympy.Float(s.value, 17) for s in pde.params}
    return fielded, {f: e.xreplace(values) for e, f in found.items()}


def _known(expression: Any) -> bool:
    symbols = expression.free_symbols
    return bool(symbols) and all(
        isinstance(s, Coordinate) or (isinstance(s, Param) and not s.free) for s in symbols
    )


def _replaced(expression: Any, of: Any, inside: bool = False) -> Any:
    """Replace the largest parts of an expression that are known once the grid is."""
    if _known(expression) and not expression.has(D):
        return of(expression, inside) if expression.atoms(Coordinate) else expression
    if isinstance(expression, D):
        velocity = _replaced(expression.wind[0], of, True) if expression.wind else None
        return expression.like(_replaced(expression.parts[0], of, True), velocity)
    if not expression.args or expression.is_Boolean:
        return expression
    if isinstance(expression, (sympy.Add, sympy.Mul)):
        known = [a for a in expression.args if _known(a) and a.atoms(Coordinate) and not a.has(D)]
        rest = [a for a in expression.args if a not in known]
        parts = [of(expression.func(*known), inside)] if known else []
        return expression.func(*parts, *(_replaced(a, of, inside) for a in rest))
    return expression.func(*(_replaced(a, of, inside) for a in expression.args))


def _jumps(coefficient: Any, pde: PDE) -> bool:
    if coefficient.atoms(*SWITCHES):
        return True
    generator = torch.Generator().manual_seed(0)
    params = {p: sympy.Float(p.value, 17) for p in pde.params}
    formula = coefficient.xreplace(params)
    here: dict[str, Tensor] = {}
    for name, axis in pde.grid.axes.items():
        share = torch.rand(16, generator=generator, dtype=torch.float64)
        here[name] = axis.lower + (axis.upper - axis.lower) * share
    value = numbers(formula, here)
    for name, axis in pde.grid.axes.items():
        if axis.periodic and Coordinate(name) in formula.free_symbols:
            there = here | {name: here[name] + (axis.upper - axis.lower)}
            gap = (numbers(formula, there) - value).abs().max()
            if not float(gap) <= 1e-9 * max(float(value.abs().max()), 1e-300):
                return True
    return False
