"""Derivatives along one axis: which stencil, at which rows, of what.

Near an end of an axis, where the central stencil does not fit, rows have one-sided stencils of the
same order. What these difference is itself computed there two orders higher: errors of neighbouring
stencils differ, and a difference of them would cost an order.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from piddm.grids.grid import Grid
from piddm.residuals.applications import Applications
from piddm.residuals.programs import SPECTRAL, Place, Span
from piddm.residuals.stencils import (
    Stencil,
    central,
    leaning,
    one_sided,
    spectral,
    staggered,
)
from piddm.residuals.uneven import (
    flux_difference,
    nearest_windows,
    places,
    polynomial,
    wall,
    windows,
)
from piddm.symbolic.analysis import depends, differenced
from piddm.symbolic.operators import D
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.symbolic.specification import TimeScheme

BDF2 = ((0, 0.5), (1, -2.0), (2, 1.5))
"""Weights of the second backward differentiation formula, unit step."""


class Differences(Applications, ABC):
    """Differences expressions along the axes of a grid.

    Args:
        grid: The grid to discretise on.
        time_scheme: Which of the two times an undifferenced term is taken at.
        per_sample: Names of params whose values come with each sample; others are numbers.
    """

    def __init__(self, grid: Grid, time_scheme: TimeScheme, per_sample: frozenset[str]) -> None:
        super().__init__(per_sample)
        self.grid = grid
        self.time_scheme = time_scheme

    def margin(self, expression: Any, dim: int, half: bool, order: int) -> int:
        """Return how many rows at each end of an axis the central stencil does not fit."""
        name = self.grid.names[dim]
        if self.grid.periodic[dim]:
            return 0
        if order == SPECTRAL:  # each row has weights of its own
            return self.grid.shape[dim] if differenced(expression, name) else 0
        if not differenced(expression, name):
            averaged = half and depends(expression, name) and not self.grid.axes[name].time
            return order // 2 - 1 if averaged else 0
        if not isinstance(expression, D):
            return max((self.margin(a, dim, half, order) for a in expression.args), default=0)
        argument, axis, m = expression.parts
        if expression.wind:
            velocity, accuracy = expression.wind
            own = (accuracy + 1) // 2
            if axis.name != name:
                own = self.margin(argument, dim, half, order)
            return max(own, self.margin(velocity, dim, half, order))
        if axis.name != name:
            return self.margin(argument, dim, half, order)
        source, of_half, m = self._source(expression, dim, half)
        if self._two_steps(dim, half, m):
            return 1
        offsets, _ = self._stencil(m, order, half, of_half)
        return max(0, self.margin(source, dim, of_half, order) - offsets[0])

    def _derivative(self, expression: D, place: Place) -> int:
        argument, axis, m = expression.parts
        dim, name = self.grid.index(axis.name), axis.name
        span = place[dim]
        if not depends(argument, name):
            return self._constant(np.zeros((1,) * len(place)))
        if span.wall:
            return self._at_wall(argument, place, dim, m)
        if expression.wind:
            return self._against(expression, place, dim)
        if span.order == SPECTRAL:
            return self._transform(argument, place, dim, m)
        source, of_half, m = self._source(expression, dim, span.half)
        if self._two_steps(dim, span.half, m):
            return self._backward(source, place, dim)
        return self._combine(source, place, dim, m, of_half, m)

    def _two_steps(self, dim: int, half: bool, m: int) -> bool:
        time = self.grid.axes[self.grid.names[dim]].time
        return self.time_scheme == "bdf2" and time and half and m == 1

    def _backward(self, source: Any, place: Place, dim: int) -> int:
        """Return a rate by the second backward differentiation formula; by one step at first."""
        span, step = place[dim], self.grid.axes[self.grid.names[dim]].spacing
        parts = []
        for low, high, taps in (
            (span.start, min(1, span.stop), ((1, -1.0), (2, 1.0))),
            (max(1, span.start), span.stop, BDF2),
        ):
            if low < high:
                first = taps[0][0]
                wide = at(place, dim, low + first - 1, high + 1, False)
                near = [(o - first, w / step) for o, w in taps]
                parts.append(self._shifted(self.value(source, wide), dim, high - low, near))
        return parts[0] if len(parts) == 1 else self._join(parts, dim)

    def _source(self, expression: D, dim: int, half: bool) -> tuple[Any, bool, int]:
        """Return what a derivative differences, whether at midpoints, and how often."""
        argument, axis, m = expression.parts
        if half or not differenced(argument, self.grid.names[dim]):
            return argument, False, m
        return (argument if m == 1 else D(argument, axis, m - 1)), True, 1

    @staticmethod
    def _stencil(m: int, order: int, half: bool, of_half: bool) -> Stencil:
        """Return the central stencil from nodes or midpoints to nodes or midpoints."""
        if half == of_half:
            return central(m, order)
        offsets, weight = staggered(m, order)
        return offsets if half else tuple(o - 1 for o in offsets), weight

    def _combine(
        self, source: Any, place: Place, dim: int, m: int, of_half: bool, power: int
    ) -> int:
        """Return the m-th difference of a source along one axis, over spacing to a power."""
        span = place[dim]
        stencil = self._stencil(m, span.order, span.half, of_half)
        rim = max(0, self.margin(source, dim, of_half, span.order) - stencil[0][0])
        return self._differenced(source, place, dim, stencil, (rim, rim), m, of_half, power)

    def _against(self, expression: D, place: Place, dim: int) -> int:
        """Return an upwind derivative: that from below where the velocity goes up, and so on."""
        argument, axis, _ = expression.parts
        assert expression.wind
        velocity, accuracy = expression.wind
        if place[dim].half or differenced(argument, axis.name):
            raise UsageError(
                f"an upwind derivative along {axis} is of fields at nodes: it neither stands "
                f"within another derivative along {axis} nor has one in it"
            )
        if velocity.is_number:
            return self._leaning(argument, place, dim, velocity > 0, accuracy)
        below, above = (self._leaning(argument, place, dim, up, accuracy) for up in (True, False))
        half, minus, sign = (
            self.value(e, place) for e in (sympy.S.Half, -sympy.S.One, sympy.sign(velocity))
        )
        apart = self._add([below, self._multiply([minus, above])])
        both = self._add([below, above]), self._multiply([sign, apart])
        return self._multiply([half, self._add(both)])

    def _leaning(self, source: Any, place: Place, dim: int, below: bool, order: int) -> int:
        """Return a first derivative that leans to nodes below, or above; at an end as it fits."""
        span = place[dim]
        fits = Span(span.start, span.stop, order=order)
        offsets, raw = leaning(order, below)
        rims = (-offsets[0], offsets[-1])
        near = (*place[:dim], fits, *place[dim + 1 :])
        return self._differenced(source, near, dim, (offsets, raw), rims, 1, False, 1)

    def _differenced(
        self,
        source: Any,
        place: Place,
        dim: int,
        stencil: Stencil,
        rims: tuple[int, int],
        m: int,
        of_half: bool,
        power: int,
    ) -> int:
        """Return a stencil's differences, one-sided ones on so many rows at the ends of an axis."""
        span, axis = place[dim], self.grid.axes[self.grid.names[dim]]
        offsets, raw = stencil
        taps = [
            (o - offsets[0], w * axis.spacing**-power) for o, w in zip(offsets, raw, strict=True)
        ]
        if axis.periodic:
            return self._central(source, place, dim, m, of_half, offsets, taps)
        last = axis.size - span.half - rims[1]  # where the rows of the upper end begin
        low, high = min(rims[0], span.stop), max(last, span.start)
        if low >= high:  # too few nodes for a central row
            low = high = span.stop
        parts = []
        if span.start < low:
            parts.append(self._edge(source, place, dim, (span.start, low), m, of_half, power))
        if max(low, span.start) < min(high, span.stop):
            inner = at(place, dim, max(low, span.start), min(high, span.stop), span.half)
            parts.append(self._central(source, inner, dim, m, of_half, offsets, taps))
        if high < span.stop:
            parts.append(self._edge(source, place, dim, (high, span.stop), m, of_half, power))
        if len(parts) == 1:
            return parts[0]
        return self._join(parts, dim)

    def _central(
        self,
        source: Any,
        place: Place,
        dim: int,
        m: int,
        of_half: bool,
        offsets: Sequence[int],
        taps: list[tuple[int, float]],
    ) -> int:
        span = place[dim]
        wide = at(place, dim, span.start + offsets[0], span.stop + offsets[-1], of_half)
        position, own = self.value(source, wide), self.grid.axes[self.grid.names[dim]]
        if own.uniform:
            return self._shifted(position, dim, span.length, taps)
        rows = np.arange(span.start, span.stop)
        targets, sources = places(own, span.half)[rows], places(own, of_half)
        if tuple(offsets) == (-1, 1) and not (span.half or of_half):
            matrix = flux_difference(sources, rows)
        else:
            width = offsets[-1] - offsets[0] + 1
            _, matrix = windows(targets, sources, rows + offsets[0], width, m)
        return self._matrix(position, dim, matrix)

    def _edge(
        self,
        source: Any,
        place: Place,
        dim: int,
        rows: tuple[int, int],
        m: int,
        of_half: bool,
        power: int,
    ) -> int:
        """Return a difference on rows near an end of an axis, from the sources nearest to them."""
        span, name = place[dim], self.grid.names[dim]
        axis = self.grid.axes[name]
        try:
            if axis.uniform:
                first, matrix = one_sided(
                    range(*rows), (of_half - span.half) / 2, m, span.order, axis.size - of_half
                )
                matrix = matrix * axis.spacing**-power
            else:
                targets = places(axis, span.half)[slice(*rows)]
                first, matrix = nearest_windows(targets, places(axis, of_half), m + span.order, m)
        except ValueError as error:
            raise UsageError(
                f"the stencil needs {error.args[0] + of_half} nodes along {name}, "
                f"the grid has {axis.size}"
            ) from error
        raised = span.order + 2 if of_half or differenced(source, name) else span.order
        near = Span(first, first + matrix.shape[1], of_half, raised)
        position = self.value(source, (*place[:dim], near, *place[dim + 1 :]))
        return self._matrix(position, dim, matrix)

    def _at_wall(self, source: Any, place: Place, dim: int, m: int) -> int:
        """Return a value or a derivative at an end of an axis that no node is at."""
        span, name = place[dim], self.grid.names[dim]
        axis = self.grid.axes[name]
        try:
            first, matrix = wall(axis, span.wall, m, span.order)
        except ValueError as error:
            raise UsageError(
                f"the wall needs {error.args[0]} nodes along {name}, the grid has {axis.size}"
            ) from error
        raised = span.order + 2 if span.order and differenced(source, name) else span.order
        near = Span(first, first + matrix.shape[1], order=raised)
        position = self.value(source, (*place[:dim], near, *place[dim + 1 :]))
        return self._matrix(position, dim, matrix)

    def _transform(self, argument: Any, place: Place, dim: int, m: int) -> int:
        """Return a spectral derivative: a product with a matrix along one axis."""
        span, axis = place[dim], self.grid.axes[self.grid.names[dim]]
        if axis.periodic:
            matrix = spectral(axis.size, axis.upper - axis.lower, m)
        else:
            matrix = polynomial(axis, m)
        rows = np.arange(span.start, span.stop) % axis.size
        whole = (*place[:dim], Span(0, axis.size, order=SPECTRAL), *place[dim + 1 :])
        return self._matrix(self.value(argument, whole), dim, matrix[rows])


def at(place: Place, dim: int, start: int, stop: int, half: bool) -> Place:
    """Return a place with another range along one axis, of the same order."""
    span = Span(start, stop, half, place[dim].order)
    return (*place[:dim], span, *place[dim + 1 :])
