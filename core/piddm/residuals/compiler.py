"""From an expression to torch operations at a place on a grid.

All symbolic work ends here, at build time. What runs is an
:class:`~piddm.residuals.programs.execution.Executable`, each common subexpression once.

An expression is evaluated *at a place*: a range of nodes along each axis, or of the midpoints
between them, with an order of accuracy along each. Everything follows from three rules.

* ``D(E, x)`` at midpoints is the compact difference of E at the nodes; what has no x-derivative in
  it is evaluated at the nodes and averaged. At nodes, ``D(E, x)`` is the difference of E at the
  midpoints where E has an x-derivative itself (a flux, hence conservation), else a central one.
* An equation with a first time derivative lives at the midpoints in time. There the first rule
  reads (u1 - u0)/dt + (G(u1) + G(u0))/2: Crank-Nicolson.
* Near an end of an axis rows have one-sided stencils (:mod:`piddm.residuals.differences`). Where
  no node is at the end, a condition there is one-sided too: values are those of the polynomial
  through the nodes next to the wall, at the wall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from piddm.grids.grid import Grid
from piddm.residuals.differences import Differences, at
from piddm.residuals.programs import Executable, Load, Place, Power, Scalar, Span, optimised
from piddm.symbolic.analysis import depends, differenced
from piddm.symbolic.operators import Coordinate, D, Field, Harmonic, Param

if TYPE_CHECKING:
    from piddm.symbolic.specification import TimeScheme

TIME_WEIGHTS: dict[TimeScheme, tuple[float, float]] = {
    "crank-nicolson": (0.5, 0.5),
    "backward-euler": (0.0, 1.0),
    "bdf2": (0.0, 1.0),
}
"""Of one-step schemes: the weights of both times where nothing is differenced."""

NEWMARK = ((-1, 0.25), (0, 0.5), (1, 0.25))
"""Weights of three times where nothing is differenced: Newmark's mean acceleration, its velocity
eliminated."""


class Builder(Differences):
    """Translates expressions at places into steps, each distinct pair once.

    Args:
        grid: The grid to discretise on.
        time_scheme: Which of the two times an undifferenced term is taken at.
        per_sample: Names of params whose values come with each sample; others are numbers.
    """

    def __init__(
        self,
        grid: Grid,
        time_scheme: TimeScheme = "centred",
        per_sample: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(grid, time_scheme, per_sample)
        self.time_weights = TIME_WEIGHTS.get(time_scheme, (0.5, 0.5))
        self._known: dict[tuple[Any, Place], int] = {}

    def value(self, expression: Any, place: Place) -> int:
        """Return the position of the result that holds an expression at a place.

        Raises:
            UsageError: If the grid is too small, or torch lacks a function.
        """
        if isinstance(expression, (Field, Coordinate)):
            # A value at a node has no order of accuracy.
            place = tuple(
                s if s.half or s.wall else Span(s.start, s.stop, averaged=s.averaged) for s in place
            )
        key = (expression, place)
        if key not in self._known:
            self._known[key] = self._build(expression, place)
        return self._known[key]

    def program(self, outputs: dict[str, int]) -> Executable:
        """Return the steps so far with the results that are wanted of them."""
        return optimised(self.steps, self.lengths, outputs, self.grid.shape)

    def _build(self, expression: Any, place: Place) -> int:
        if isinstance(expression, Param):
            if expression.name in self.per_sample:
                return self.emit(Scalar(expression.name), (1,) * len(place))
            return self._constant(np.full((1,) * len(place), expression.value))
        if expression.is_number or expression in (sympy.true, sympy.false):
            return self._constant(np.full((1,) * len(place), float(expression)))
        for dim, span in enumerate(place):
            name = self.grid.names[dim]
            if not span.half and not span.averaged:
                continue
            if not differenced(expression, name):
                return self._average(expression, place, dim)
            if isinstance(expression, (sympy.Add, sympy.Mul)):
                return self._split(expression, place, name)
        match expression:
            case D():
                return self._derivative(expression, place)
            case Field() if walls := [d for d, span in enumerate(place) if span.wall]:
                return self._at_wall(expression, place, walls[0], 0)
            case Field():
                return self.emit(Load(expression.name, place), tuple(s.length for s in place))
            case Harmonic():
                return self.value(expression.args[0], place)
            case Coordinate():
                return self._coordinate(expression, place)
        return self._apply(expression, place)

    def _average(self, expression: Any, place: Place, dim: int) -> int:
        """Evaluate at nodes and average to midpoints: nothing is differenced along this axis."""
        name, span = self.grid.names[dim], place[dim]
        if not depends(expression, name):
            return self.value(expression, at(place, dim, span.start, span.stop, False))
        if not self.grid.axes[name].time:
            if isinstance(expression, Harmonic):
                mean = self._combine(expression.args[0] ** -1, place, dim, 0, False, 0)  # pyright: ignore
                return self.emit(Power(mean, -1.0), self.lengths[mean])
            if expression.has(Harmonic):
                return self._apply(expression, place)
            return self._combine(expression, place, dim, 0, False, 0)
        weights = NEWMARK if span.averaged else enumerate(self.time_weights)
        taps = [(o, w) for o, w in weights if w]
        source = self.value(
            expression, at(place, dim, span.start + taps[0][0], span.stop + taps[-1][0], False)
        )
        taps = [(o - taps[0][0], w) for o, w in taps]
        return self._shifted(source, dim, span.length, taps)

    def _split(self, expression: Any, place: Place, axis: str) -> int:
        """Split off what is not differenced along an axis, so that it is averaged only once."""
        plain = [a for a in expression.args if not differenced(a, axis)]
        if not plain:
            return self._apply(expression, place)
        rest = [a for a in expression.args if differenced(a, axis)]
        parts = [expression.func(*plain), *rest]
        together = self._add if isinstance(expression, sympy.Add) else self._multiply
        return together([self.value(part, place) for part in parts])

    def _coordinate(self, expression: Coordinate, place: Place) -> int:
        dim, axis = self.grid.index(expression.name), self.grid.axes[expression.name]
        node = np.arange(place[dim].start, place[dim].stop)
        if axis.periodic:  # beyond the seam the axis begins again
            node %= axis.size
        values = axis.coordinates()[node]
        if place[dim].wall:
            values = np.array([axis.lower if place[dim].wall < 0 else axis.upper])
        return self._constant(values.reshape([-1 if d == dim else 1 for d in range(len(place))]))
