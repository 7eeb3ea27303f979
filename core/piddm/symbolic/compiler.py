"""From an expression to torch operations at a place on a grid.

All symbolic work ends here, at build time. What runs is a :class:`~piddm.programs.program.Program`,
each common subexpression once.

An expression is evaluated *at a place*: a range of nodes along each axis, or of the midpoints
between them, with an order of accuracy along each. Everything follows from three rules.

* ``D(E, x)`` at midpoints is the compact difference of E at the nodes; what has no x-derivative in
  it is evaluated at the nodes and averaged. At nodes, ``D(E, x)`` is the difference of E at the
  midpoints where E has an x-derivative itself (a flux, hence conservation), else a central one.
* An equation with a first time derivative lives at the midpoints in time. There the first rule
  reads (u1 - u0)/dt + (G(u1) + G(u0))/2: Crank-Nicolson.
* Near an end of an axis, where the central stencil does not fit, rows have one-sided stencils of
  the same order. What these difference is itself computed there two orders higher: errors of
  neighbouring stencils differ, and a difference of them would cost an order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
import torch

from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.programs.optimise import optimised
from piddm.programs.program import Program
from piddm.programs.steps import (
    SPECTRAL,
    Apply,
    Constant,
    Join,
    Load,
    Matrix,
    Place,
    Power,
    Product,
    Scalar,
    Span,
    Step,
    Sum,
    Tap,
)
from piddm.symbolic.analysis import depends, differenced
from piddm.symbolic.functions import FUNCTIONS
from piddm.symbolic.operators import Coordinate, D, Field, Param
from piddm.symbolic.stencils import Stencil, central, one_sided, spectral, staggered

if TYPE_CHECKING:
    from piddm.pde import TimeScheme

TIME_WEIGHTS: dict[TimeScheme, tuple[float, float]] = {
    "crank-nicolson": (0.5, 0.5),
    "backward-euler": (0.0, 1.0),
}


class Builder:
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
        self.grid, self.per_sample = grid, per_sample
        self.time_weights = TIME_WEIGHTS.get(time_scheme, (0.5, 0.5))
        self.steps: list[Step] = []
        self.lengths: list[tuple[int, ...]] = []
        self._known: dict[tuple[Any, Place], int] = {}

    def value(self, expression: Any, place: Place) -> int:
        """Return the position of the result that holds an expression at a place.

        Raises:
            UsageError: If the grid is too small, or torch lacks a function.
        """
        if isinstance(expression, (Field, Coordinate)):
            # A value at a node has no order of accuracy.
            place = tuple(Span(s.start, s.stop, s.half) if not s.half else s for s in place)
        key = (expression, place)
        if key not in self._known:
            self._known[key] = self._build(expression, place)
        return self._known[key]

    def emit(self, step: Step, lengths: tuple[int, ...]) -> int:
        """Append a step, whose result has the shape given, and return its position."""
        self.steps.append(step)
        self.lengths.append(lengths)
        return len(self.steps) - 1

    def program(self, outputs: dict[str, int]) -> Program:
        """Return the steps so far with the results that are wanted of them."""
        return optimised(self.steps, self.lengths, outputs, self.grid.shape)

    def margin(self, expression: Any, dim: int, half: bool, order: int) -> int:
        """Return how many rows at each end of an axis the central stencil does not fit."""
        name = self.grid.names[dim]
        if self.grid.periodic[dim] or order == SPECTRAL:
            return 0
        if not differenced(expression, name):
            averaged = half and depends(expression, name) and not self.grid.axes[name].time
            return order // 2 - 1 if averaged else 0
        if not isinstance(expression, D):
            return max((self.margin(a, dim, half, order) for a in expression.args), default=0)
        argument, axis, m = expression.parts
        if axis.name != name:
            return self.margin(argument, dim, half, order)
        source, of_half, m = self._source(expression, dim, half)
        offsets, _ = self._stencil(m, order, half, of_half)
        return max(0, self.margin(source, dim, of_half, order) - offsets[0])

    def _build(self, expression: Any, place: Place) -> int:
        if isinstance(expression, Param):
            if expression.name in self.per_sample:
                return self.emit(Scalar(expression.name), (1,) * len(place))
            return self._constant(np.full((1,) * len(place), expression.value))
        if expression.is_number:
            return self._constant(np.full((1,) * len(place), float(expression)))
        for dim, span in enumerate(place):
            name = self.grid.names[dim]
            if span.half and not differenced(expression, name):
                return self._average(expression, place, dim)
            if span.half and isinstance(expression, (sympy.Add, sympy.Mul)):
                return self._split(expression, place, name)
        match expression:
            case D():
                return self._derivative(expression, place)
            case Field():
                return self.emit(Load(expression.name, place), tuple(s.length for s in place))
            case Coordinate():
                return self._coordinate(expression, place)
        return self._apply(expression, place)

    def _average(self, expression: Any, place: Place, dim: int) -> int:
        """Evaluate at nodes and average to midpoints: nothing is differenced along this axis."""
        name, span = self.grid.names[dim], place[dim]
        if not depends(expression, name):
            return self.value(expression, _at(place, dim, span.start, span.stop, False))
        if not self.grid.axes[name].time:
            return self._combine(expression, place, dim, 0, False, 0)
        taps = [(o, w) for o, w in enumerate(self.time_weights) if w]
        source = self.value(
            expression, _at(place, dim, span.start + taps[0][0], span.stop + taps[-1][0], False)
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

    def _derivative(self, expression: D, place: Place) -> int:
        argument, axis, m = expression.parts
        dim, name = self.grid.index(axis.name), axis.name
        span = place[dim]
        if not depends(argument, name):
            return self._constant(np.zeros((1,) * len(place)))
        if span.order == SPECTRAL:
            return self._transform(argument, place, dim, m)
        source, of_half, m = self._source(expression, dim, span.half)
        return self._combine(source, place, dim, m, of_half, m)

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
        span, axis = place[dim], self.grid.axes[self.grid.names[dim]]
        offsets, raw = self._stencil(m, span.order, span.half, of_half)
        taps = [
            (o - offsets[0], w * axis.spacing**-power) for o, w in zip(offsets, raw, strict=True)
        ]
        if axis.periodic:
            return self._central(source, place, dim, of_half, offsets, taps)
        rim = max(0, self.margin(source, dim, of_half, span.order) - offsets[0])
        last = axis.size - span.half - rim  # where the rows of the upper end begin
        low, high = min(rim, span.stop), max(last, span.start)
        if low >= high:  # too few nodes for a central row
            low = high = span.stop
        parts = []
        if span.start < low:
            parts.append(self._edge(source, place, dim, (span.start, low), m, of_half, power))
        if max(low, span.start) < min(high, span.stop):
            inner = _at(place, dim, max(low, span.start), min(high, span.stop), span.half)
            parts.append(self._central(source, inner, dim, of_half, offsets, taps))
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
        of_half: bool,
        offsets: Sequence[int],
        taps: list[tuple[int, float]],
    ) -> int:
        span = place[dim]
        wide = _at(place, dim, span.start + offsets[0], span.stop + offsets[-1], of_half)
        return self._shifted(self.value(source, wide), dim, span.length, taps)

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
            first, matrix = one_sided(
                range(*rows), (of_half - span.half) / 2, m, span.order, axis.size - of_half
            )
        except ValueError as error:
            raise UsageError(
                f"the stencil needs {error.args[0] + of_half} nodes along {name}, "
                f"the grid has {axis.size}"
            ) from error
        raised = span.order + 2 if of_half or differenced(source, name) else span.order
        near = Span(first, first + matrix.shape[1], of_half, raised)
        position = self.value(source, (*place[:dim], near, *place[dim + 1 :]))
        return self._matrix(position, dim, matrix * axis.spacing**-power)

    def _transform(self, argument: Any, place: Place, dim: int, m: int) -> int:
        """Return a spectral derivative: a product with a matrix along one axis."""
        span, axis = place[dim], self.grid.axes[self.grid.names[dim]]
        matrix = spectral(axis.size, axis.upper - axis.lower, m)
        rows = np.arange(span.start, span.stop) % axis.size
        whole = (*place[:dim], Span(0, axis.size, order=SPECTRAL), *place[dim + 1 :])
        return self._matrix(self.value(argument, whole), dim, matrix[rows])

    def _coordinate(self, expression: Coordinate, place: Place) -> int:
        dim, axis = self.grid.index(expression.name), self.grid.axes[expression.name]
        values = axis.lower + axis.spacing * np.arange(place[dim].start, place[dim].stop)
        return self._constant(values.reshape([-1 if d == dim else 1 for d in range(len(place))]))

    def _apply(self, expression: Any, place: Place) -> int:
        """Apply a sum, product, power or function to its evaluated arguments."""
        if isinstance(expression, sympy.Add):
            return self._add([self.value(a, place) for a in expression.args])
        if isinstance(expression, sympy.Mul):
            return self._multiply([self.value(a, place) for a in expression.args])
        if isinstance(expression, sympy.Pow):
            base, exponent = expression.args
            if not exponent.is_number:
                return self.value(sympy.exp(exponent * sympy.log(base), evaluate=False), place)
            source = self.value(base, place)
            if exponent == 2:
                return self.emit(Product(source, source), self.lengths[source])
            return self.emit(Power(source, float(exponent)), self.lengths[source])  # pyright: ignore
        if isinstance(expression, (sympy.Max, sympy.Min)):
            return self.value(_pairwise(expression), place)
        half = expression.func is sympy.Heaviside and expression.args[1:] == (sympy.S.Half,)
        if len(expression.args) > 1 and expression.func in FUNCTIONS and not half:
            raise UsageError(f"{expression} has more arguments than torch's counterpart takes")
        if expression.func not in FUNCTIONS:
            raise UsageError(f"{expression.func.__name__} in {expression} has no torch counterpart")
        source = self.value(expression.args[0], place)
        return self.emit(Apply(*FUNCTIONS[expression.func], source), self.lengths[source])

    def _constant(self, value: np.ndarray) -> int:
        return self.emit(Constant(torch.from_numpy(value[None])), value.shape)

    def _add(self, parts: Sequence[int]) -> int:
        lengths = self._together(parts)
        nowhere = (None,) * len(lengths)
        return self.emit(Sum(tuple(Tap(p, nowhere, 1.0) for p in parts), lengths), lengths)

    def _multiply(self, parts: Sequence[int]) -> int:
        # Numbers go into the weight of a sum, which costs nothing.
        numbers = [p for p in parts if self._number(p) is not None]
        rest = [p for p in parts if p not in numbers]
        if not rest:
            position, *rest = numbers
            numbers = []
        else:
            position, *rest = rest
        for part in rest:
            lengths = self._together((position, part))
            position = self.emit(Product(position, part), lengths)
        if not numbers:
            return position
        weight = math.prod(self._number(p) or 0.0 for p in numbers)
        lengths = self.lengths[position]
        return self.emit(Sum((Tap(position, (None,) * len(lengths), weight),), lengths), lengths)

    def _number(self, position: int) -> float | None:
        step = self.steps[position]
        if isinstance(step, Constant) and step.value.numel() == 1:
            return float(step.value)
        return None

    def _together(self, parts: Sequence[int]) -> tuple[int, ...]:
        return tuple(map(max, zip(*(self.lengths[p] for p in parts), strict=True)))

    def _shifted(self, source: int, dim: int, length: int, taps: list[tuple[int, float]]) -> int:
        """Return the sum of ranges of one result, shifted along one axis."""
        of = self.lengths[source]
        lengths = (*of[:dim], length, *of[dim + 1 :])
        found = tuple(
            Tap(source, tuple(o if d == dim and of[dim] != length else None
                              for d in range(len(of))), w)
            for o, w in taps
        )  # fmt: skip
        return self.emit(Sum(found, lengths), lengths)

    def _matrix(self, source: int, dim: int, matrix: np.ndarray) -> int:
        of = self.lengths[source]
        return self.emit(
            Matrix(source, dim, torch.from_numpy(np.ascontiguousarray(matrix))),
            (*of[:dim], len(matrix), *of[dim + 1 :]),
        )

    def _join(self, parts: list[int], dim: int) -> int:
        of = self.lengths[parts[0]]
        length = sum(self.lengths[p][dim] for p in parts)
        return self.emit(Join(tuple(parts), dim), (*of[:dim], length, *of[dim + 1 :]))


def _pairwise(expression: Any) -> Any:
    """Write the larger or smaller of several values by absolute values, two at a time."""
    sign = 1 if isinstance(expression, sympy.Max) else -1
    first: Any
    first, *rest = expression.args
    for other in rest:
        first = (first + other + sign * sympy.Abs(first - other, evaluate=False)) / 2
    return first


def _at(place: Place, dim: int, start: int, stop: int, half: bool) -> Place:
    span = Span(start, stop, half, place[dim].order)
    return (*place[:dim], span, *place[dim + 1 :])
