r"""Manufactured solutions: a field is chosen, and the equations get the source that it needs.

With :math:`L_i(u) = 0` the equations and :math:`u^*` the chosen fields, the manufactured problem is

.. math:: L_i(u) - s_i = 0, \qquad s_i = L_i(u^*),

with :math:`s_i` derived symbolically, and the same for conditions and integrals; its solution is
:math:`u^*`. Source: P. J. Roache, Code verification by the method of manufactured solutions,
Journal of Fluids Engineering 124 (2002).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Axis, Grid
from piddm.symbolic.conditions import Condition, Integral
from piddm.symbolic.operators import Bounds, Coordinate, D, Field, Harmonic, Param, Slice, strict
from piddm.symbolic.spherical import SphereOperator
from piddm.verification.calculus import PLACES, carried_out, polynomial
from piddm.verification.evaluate import on_grid, over_space

InTime = Literal["linear", "quadratic", "smooth"]

AMPLITUDE = sympy.Rational(1, 4)
"""Amplitude of each wave of an exact field, whose mean is 1."""

VARIANTS = 7
"""Phases are spread evenly: over all fields, errors of different orders do not cancel."""

DEGREE = 10
"""Degree of the polynomial in time that stands for an integral over space."""


@dataclass(frozen=True, eq=False)
class Manufactured:
    """Chosen fields and the problem that they solve.

    Args:
        original: The equation as given.
        exact: Field to its expression in coordinates.
    """

    original: PDE
    exact: Mapping[Field, sympy.Expr]

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", cache(self.value))

    @cached_property
    def pde(self) -> PDE:
        """The problem: the given one with sources, conditions one for each end."""
        given, exact = self.original, self.exact
        conditions = {}
        for name, condition in given.conditions.items():
            ends = condition.ends(given.grid)
            for axis, end in ends:
                label = name if len(ends) == 1 else f"{name} at {axis}{'-+'[end > 0]}"
                conditions[label] = _at_end(condition, axis, end, given.grid, exact)
        return dataclasses.replace(
            given,
            equations={k: e - substituted(e, exact) for k, e in given.equations.items()},
            conditions=conditions,
            integrals={k: _integral(i, given.grid, exact) for k, i in given.integrals.items()},
            simulate=None,
            residual=None,
        )

    def fields(self, grid: Grid) -> dict[str, Tensor]:
        """Return the chosen fields on a grid, and the params: ``(1, *grid.shape)``, ``(1,)``."""
        found = {f.name: on_grid(e, grid)[None] for f, e in self.exact.items()}
        values = {p.name: p.value for p in self.original.params}
        return found | {k: torch.tensor([v], dtype=torch.float64) for k, v in values.items()}

    def value(self, expression: Any) -> sympy.Expr:
        """Return what an expression is for the chosen fields, derivatives carried out."""
        places = PLACES if self.original.grid.spherical else {}
        return substituted(expression, {**self.exact, **places})


def manufacture(
    pde: PDE, in_time: InTime = "smooth", gentle: bool = False, variant: int = 0
) -> Manufactured:
    """Choose generic, positive fields, for which the equation gets the sources that they need.

    Args:
        pde: The equation.
        in_time: How the fields vary in time. Most time schemes are exact on ``linear`` or
            ``quadratic``, which leaves only the errors of space.
        gentle: Low polynomials along bounded axes, on which differences in space are exact or
            nearly so, which leaves only the errors of time.
        variant: Which phases, of ``VARIANTS``.
    """
    fields = enumerate(pde.fields)
    chosen = {f: _chosen(k, pde.grid, in_time, gentle, variant) for k, f in fields}
    return Manufactured(pde, {f: _within(e, f.bounds) for f, e in chosen.items()})


def _within(chosen: Any, bounds: Bounds) -> Any:
    """Return a chosen field, whose values are between 0 and 4, moved into a range."""
    low, high = bounds
    if low is None and high is None:
        return chosen
    if low is not None and high is not None:
        return number(low) + number(high - low) * chosen / 4
    return number(low) + chosen if low is not None else number(high or 0.0) - chosen


def substituted(expression: Any, exact: Mapping[Any, sympy.Expr]) -> sympy.Expr:
    """Return an expression with fields and params replaced and derivatives carried out."""
    expression = strict(expression)
    if isinstance(expression, D):
        argument, axis, order = expression.parts
        return substituted(argument, exact).diff(axis, order)
    if isinstance(expression, SphereOperator):
        return carried_out(type(expression), *(substituted(a, exact) for a in expression.args))
    if isinstance(expression, Harmonic):
        return substituted(expression.args[0], exact)
    if expression in exact:
        return exact[expression]
    if isinstance(expression, Param):
        return sympy.Float(expression.value, 17)
    if not expression.args:
        return expression
    return expression.func(*(substituted(a, exact) for a in expression.args))


def _chosen(k: int, grid: Grid, in_time: InTime, gentle: bool, variant: int) -> sympy.Expr:
    """Return the k-th field: a product over the axes, or with a sphere; no two factors alike."""
    product: Any = sympy.Rational(10 + k % 3, 10)
    if grid.spherical:
        product *= 1 + AMPLITUDE * polynomial(k, 2 * np.pi * variant / VARIANTS)
    for j, (name, axis) in enumerate(grid.axes.items()):
        if grid.spherical and name in ("lat", "lon"):
            continue
        xi = (Coordinate(name) - number(axis.lower)) / number(axis.upper - axis.lower)
        turn = sympy.Rational(variant * (1 + (2 * k + j) % (VARIANTS - 1)), VARIANTS)
        phase = sympy.Rational(4 + 9 * k + 17 * j, 10) + 2 * sympy.pi * turn
        if axis.time:
            product *= _in_time(k, xi, in_time)
        elif axis.periodic:
            # Half the amplitude: its slope is twice as steep.
            product *= 1 + AMPLITUDE / 2 * sympy.sin(2 * sympy.pi * xi + phase)
        elif gentle:
            product *= 1 + xi * sympy.Rational(2 + (k + j) % 3, 10) - xi**2 / (9 + k + 2 * j)
        else:
            wave = sympy.Rational(32 + 4 * ((k + 2 * j) % 4), 10)
            product *= 1 + AMPLITUDE * sympy.sin(wave * xi + phase)
    return product


def _in_time(k: int, tau: Any, how: InTime) -> Any:
    if how == "smooth":
        return 1 + AMPLITUDE * sympy.sin((2 + sympy.Rational(k % 3, 3)) * tau + k + 1)
    slope = sympy.Rational(2 + k % 3, 10)
    return 1 + slope * tau + (tau**2 / (8 + k) if how == "quadratic" else 0)


def number(value: float) -> sympy.Expr:
    """Return a coordinate as an exact number where it is a short one: 1 rather than 1.0."""
    short = value == round(value, 6)
    return sympy.nsimplify(value, rational=True) if short else sympy.Float(value, 17)


def _at_end(
    condition: Condition, axis: str, end: int, grid: Grid, exact: Mapping[Field, sympy.Expr]
) -> Condition:
    """Return a condition at one end of one axis, with the value that the chosen field has there."""
    place = grid.axes[axis].lower if end < 0 else grid.axes[axis].upper
    left = sympy.Add(*condition.parts(axis, end, grid)) - strict(condition.value)
    source = substituted(left, exact).subs(Coordinate(axis), number(place))
    return dataclasses.replace(
        condition,
        where=Slice(condition.field, axis, place),
        value=strict(condition.value) + source,
        on=(),
    )


def _integral(integral: Integral, grid: Grid, exact: Mapping[Field, sympy.Expr]) -> Integral:
    """Return an integral constraint that the chosen fields meet."""
    integrand = substituted(integral.integrand, exact)
    time = next(((n, a) for n, a in grid.axes.items() if a.time), None)
    if time is None:
        return dataclasses.replace(integral, value=float(over_space(integrand, grid, None)))
    total = _polynomial(integrand, grid, *time)
    if not integral.conserved:
        return dataclasses.replace(integral, value=total)
    # What the integral gains in time is taken from the integrand, evenly over the domain.
    volume = np.prod([a.upper - a.lower for a in grid.axes.values() if not a.time])
    if grid.spherical:
        volume = 4 * np.pi
    gained = total - total.subs(Coordinate(time[0]), number(time[1].lower))
    return dataclasses.replace(integral, integrand=integral.integrand - gained / float(volume))


def _polynomial(integrand: sympy.Expr, grid: Grid, name: str, axis: Axis) -> sympy.Expr:
    """Return the integral over space as a function of time: a polynomial through Gauss' values."""
    series = np.polynomial.Chebyshev.interpolate(
        lambda times: over_space(integrand, grid, np.asarray(times)).numpy(),
        DEGREE,
        domain=[axis.lower, axis.upper],
    )
    s = (2 * Coordinate(name) - axis.lower - axis.upper) / (axis.upper - axis.lower)
    return sympy.Add(*(float(c) * sympy.chebyshevt(k, s) for k, c in enumerate(series.coef)))
