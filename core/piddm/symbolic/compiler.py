"""From an expression to torch operations at a place on a grid.

All symbolic work ends here, at build time. What runs is a :class:`~piddm.symbolic.program.Program`,
each common subexpression once, which ``torch.compile`` takes whole.

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

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.symbolic.operators import Coordinate, D, Field, Param
from piddm.symbolic.program import (
    FUNCTIONS,
    SPECTRAL,
    Apply,
    Constant,
    Load,
    Place,
    Program,
    Scalar,
    Span,
    Step,
)
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
    """

    def __init__(self, grid: Grid, time_scheme: TimeScheme = "centred") -> None:
        self.grid = grid
        self.time_weights = TIME_WEIGHTS.get(time_scheme, (0.5, 0.5))
        self.steps: list[Step] = []
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

    def emit(self, step: Step) -> int:
        """Append a step and return the position of its result."""
        self.steps.append(step)
        return len(self.steps) - 1

    def program(self, outputs: dict[str, int]) -> Program:
        """Return the steps so far with the results that are wanted of them."""
        return Program(tuple(self.steps), outputs, self.grid.shape)

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
            return self.emit(Scalar(expression.name, expression.value))
        if expression.is_number:
            return self.emit(Constant(float(expression)))
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
                return self.emit(Load(expression.name, place))
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
        return self.emit(Apply(weighted(taps, dim + 1, span.length), (source,)))

    def _split(self, expression: Any, place: Place, axis: str) -> int:
        """Split off what is not differenced along an axis, so that it is averaged only once."""
        plain = [a for a in expression.args if not differenced(a, axis)]
        if not plain:
            return self._apply(expression, place)
        rest = [a for a in expression.args if differenced(a, axis)]
        function = add if isinstance(expression, sympy.Add) else multiply
        position = self.value(expression.func(*plain), place)
        for argument in rest:
            position = self.emit(Apply(function, (position, self.value(argument, place))))
        return position

    def _derivative(self, expression: D, place: Place) -> int:
        argument, axis, m = expression.parts
        dim, name = self.grid.index(axis.name), axis.name
        span = place[dim]
        if not depends(argument, name):
            return self.emit(Constant(0.0))
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
        taps = [(o - offsets[0], w * axis.spacing**-power) for o, w in zip(offsets, raw, strict=True)]
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
        return self.emit(Apply(lambda *v: torch.cat(v, dim=dim + 1), tuple(parts)))

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
        return self.emit(
            Apply(weighted(taps, dim + 1, span.length), (self.value(source, wide),))
        )

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
        return self.emit(Apply(product(matrix * axis.spacing**-power, dim + 1), (position,)))

    def _transform(self, argument: Any, place: Place, dim: int, m: int) -> int:
        """Return a spectral derivative: a product with a matrix along one axis."""
        span, axis = place[dim], self.grid.axes[self.grid.names[dim]]
        matrix = spectral(axis.size, axis.upper - axis.lower, m)
        rows = np.arange(span.start, span.stop) % axis.size
        whole = (*place[:dim], Span(0, axis.size, order=SPECTRAL), *place[dim + 1 :])
        return self.emit(Apply(product(matrix[rows], dim + 1), (self.value(argument, whole),)))

    def _coordinate(self, expression: Coordinate, place: Place) -> int:
        dim, axis = self.grid.index(expression.name), self.grid.axes[expression.name]
        values = axis.lower + axis.spacing * np.arange(place[dim].start, place[dim].stop)
        shape = [1] * (len(place) + 1)
        shape[dim + 1] = -1
        return self.emit(Constant(values.reshape(shape)))

    def _apply(self, expression: Any, place: Place) -> int:
        """Apply a sum, product, power or function to its evaluated arguments."""
        if isinstance(expression, (sympy.Add, sympy.Mul)):
            function = add if isinstance(expression, sympy.Add) else multiply
            position = self.value(expression.args[0], place)
            for argument in expression.args[1:]:
                position = self.emit(Apply(function, (position, self.value(argument, place))))
            return position
        if isinstance(expression, sympy.Pow) and expression.exp.is_number:
            base = self.value(expression.base, place)
            return self.emit(Apply(_power(float(expression.exp)), (base,)))
        function = FUNCTIONS.get(expression.func)
        if function is None:
            raise UsageError(f"{expression.func.__name__} in {expression} has no torch counterpart")
        return self.emit(Apply(function, tuple(self.value(a, place) for a in expression.args)))


def weighted(taps: list[tuple[int, float]], axis: int, length: int) -> Callable[[Tensor], Tensor]:
    """Return the sum of shifted slices along a dimension, each by its weight."""
    if len(taps) == 1:
        ((offset, weight),) = taps
        return lambda v: v.narrow(axis, offset, length) * weight
    if len(taps) == 2 and taps[0][1] == -taps[1][1]:
        (low, _), (high, weight) = taps
        return lambda v: (v.narrow(axis, high, length) - v.narrow(axis, low, length)) * weight
    if len(taps) == 2 and taps[0][1] == taps[1][1]:
        (low, weight), (high, _) = taps
        return lambda v: (v.narrow(axis, low, length) + v.narrow(axis, high, length)) * weight

    def combine(v: Tensor) -> Tensor:
        total = v.narrow(axis, taps[0][0], length) * taps[0][1]
        for offset, weight in taps[1:]:
            total = total.add(v.narrow(axis, offset, length), alpha=weight)
        return total

    return combine


def product(matrix: np.ndarray, axis: int) -> Callable[[Tensor], Tensor]:
    """Return the product with a matrix along a dimension."""
    constant = torch.from_numpy(np.ascontiguousarray(matrix))

    def apply(v: Tensor) -> Tensor:
        along = constant.to(v).mT
        return (v.movedim(axis, -1) @ along).movedim(-1, axis)

    return apply


def _power(exponent: float) -> Callable[[Any], Any]:
    if exponent == 2:
        return lambda v: v * v
    return lambda v: v ** (int(exponent) if exponent.is_integer() else exponent)


def add(a: Any, b: Any) -> Any:
    """Return a + b."""
    return a + b


def multiply(a: Any, b: Any) -> Any:
    """Return a b."""
    return a * b


def _at(place: Place, dim: int, start: int, stop: int, half: bool) -> Place:
    span = Span(start, stop, half, place[dim].order)
    return (*place[:dim], span, *place[dim + 1 :])


@lru_cache(maxsize=4096)
def depends(expression: Any, axis: str) -> bool:
    """Return whether an expression varies along an axis."""
    return any(
        isinstance(s, Field) or (isinstance(s, Coordinate) and s.name == axis)
        for s in expression.free_symbols
    )


@lru_cache(maxsize=4096)
def differenced(expression: Any, axis: str) -> bool:
    """Return whether an expression has a derivative along an axis in it."""
    return any(d.parts[1].name == axis for d in expression.atoms(D))


@lru_cache(maxsize=4096)
def derivative_order(expression: Any, axis: str) -> int:
    """Return the highest number of derivatives of a field along an axis: 2 in a flux form."""
    if isinstance(expression, D):
        argument, of, m = expression.parts
        return (m if of.name == axis else 0) + derivative_order(argument, axis)
    return max((derivative_order(a, axis) for a in expression.args), default=0)
