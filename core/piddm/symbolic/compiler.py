"""From a specification to a residual on a grid: sympy expressions become lists of torch operations.

All symbolic work ends here, at build time. What runs is a :class:`~piddm.symbolic.program.Program`,
each common subexpression once, which ``torch.compile`` takes whole.

An expression is evaluated *at a place*: a range of nodes along each axis, or of the midpoints
between them. Everything follows from two rules.

* ``D(E, x)`` at midpoints is the compact difference of E at the nodes; what has no x-derivative in
  it is evaluated at the nodes and averaged. At nodes, ``D(E, x)`` is the difference of E at the
  midpoints where E has an x-derivative itself (a flux, hence conservation), else a central one.
* An equation with a first time derivative lives at the midpoints in time. There the first rule
  reads (u1 - u0)/dt + (G(u1) + G(u0))/2: Crank-Nicolson.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
from torch import Tensor

from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.symbolic.operators import Coordinate, D, Field, Param
from piddm.symbolic.program import (
    FUNCTIONS,
    Apply,
    Constant,
    Load,
    Place,
    Program,
    Scalar,
    Span,
    Step,
)
from piddm.symbolic.stencils import central, staggered

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
        order: Order of accuracy in space.
        time_scheme: Which of the two times an undifferenced term is taken at.
    """

    def __init__(self, grid: Grid, order: int = 2, time_scheme: TimeScheme = "centred") -> None:
        self.grid, self.order = grid, order
        self.time_weights = TIME_WEIGHTS.get(time_scheme, (0.5, 0.5))
        self.steps: list[Step] = []
        self._known: dict[tuple[Any, Place], int] = {}

    def value(self, expression: Any, place: Place) -> int:
        """Return the position of the result that holds an expression at a place."""
        key = (expression, place)
        if key not in self._known:
            self._known[key] = self._build(expression, place)
        return self._known[key]

    def program(self, outputs: dict[str, int]) -> Program:
        """Return the steps so far with the results that are wanted of them."""
        return Program(tuple(self.steps), outputs, self.grid.shape)

    def _emit(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def _build(self, expression: Any, place: Place) -> int:
        if isinstance(expression, Param):
            return self._emit(Scalar(expression.name, expression.value))
        if expression.is_number:
            return self._emit(Constant(float(expression)))
        for dim, span in enumerate(place):
            name = self.grid.names[dim]
            if span.half and not _differenced(expression, name):
                return self._average(expression, place, dim)
            if span.half and isinstance(expression, (sympy.Add, sympy.Mul)):
                return self._split(expression, place, name)
        match expression:
            case D():
                return self._derivative(expression, place)
            case Field():
                return self._emit(Load(expression.name, place))
            case Coordinate():
                return self._coordinate(expression, place)
        return self._apply(expression, place)

    def _average(self, expression: Any, place: Place, dim: int) -> int:
        """Evaluate at nodes and average to midpoints: nothing is differenced along this axis."""
        name, span = self.grid.names[dim], place[dim]
        nodes = _replace(place, dim, Span(span.start, span.stop))
        if not _depends(expression, name):
            return self.value(expression, nodes)
        if self.grid.axes[name].time:
            return self._combine(expression, nodes, dim, (0, 1), self.time_weights)
        return self._combine(expression, nodes, dim, *staggered(0, self.order))

    def _split(self, expression: Any, place: Place, axis: str) -> int:
        """Split off what is not differenced along an axis, so that it is averaged only once."""
        plain = [a for a in expression.args if not _differenced(a, axis)]
        if not plain:
            return self._apply(expression, place)
        rest = [a for a in expression.args if _differenced(a, axis)]
        function = _add if isinstance(expression, sympy.Add) else _multiply
        position = self.value(expression.func(*plain), place)
        for argument in rest:
            position = self._emit(Apply(function, (position, self.value(argument, place))))
        return position

    def _derivative(self, expression: D, place: Place) -> int:
        argument, axis, m = expression.parts
        dim, name = self.grid.index(axis.name), axis.name
        scale, span = self.grid.axes[name].spacing, place[dim]
        nested = _differenced(argument, name)
        if not _depends(argument, name):
            return self._emit(Constant(0.0))
        if span.half:
            if nested or m > 1:
                raise UsageError(f"{expression}: a flux along {name} takes first derivatives only")
            order = 2 if self.grid.axes[name].time else self.order
            nodes = _replace(place, dim, Span(span.start, span.stop))
            return self._combine(argument, nodes, dim, *staggered(1, order), 1 / scale)
        if nested:
            flux = argument if m == 1 else D(argument, axis, m - 1)
            faces = _replace(place, dim, Span(span.start - 1, span.stop - 1, half=True))
            return self._combine(flux, faces, dim, *staggered(1, self.order), 1 / scale)
        return self._combine(argument, place, dim, *central(m, self.order), scale**-m)

    def _combine(
        self,
        expression: Any,
        place: Place,
        dim: int,
        offsets: Sequence[int],
        weights: Sequence[float],
        scale: float = 1.0,
    ) -> int:
        """Return the weighted sum of an expression at places shifted along one axis."""
        span = place[dim]
        used = [(o, w * scale) for o, w in zip(offsets, weights, strict=True) if w]
        base, length, axis = used[0][0], span.length, dim + 1
        wide = dataclasses.replace(span, start=span.start + base, stop=span.stop + used[-1][0])
        source = self.value(expression, _replace(place, dim, wide))
        taps = [(o - base, w) for o, w in used]
        return self._emit(Apply(_taps(taps, axis, length), (source,)))

    def _coordinate(self, expression: Coordinate, place: Place) -> int:
        dim, axis = self.grid.index(expression.name), self.grid.axes[expression.name]
        values = axis.lower + axis.spacing * np.arange(place[dim].start, place[dim].stop)
        shape = [1] * (len(place) + 1)
        shape[dim + 1] = -1
        return self._emit(Constant(values.reshape(shape)))

    def _apply(self, expression: Any, place: Place) -> int:
        """Apply a sum, product, power or function to its evaluated arguments."""
        if isinstance(expression, (sympy.Add, sympy.Mul)):
            function = _add if isinstance(expression, sympy.Add) else _multiply
            position = self.value(expression.args[0], place)
            for argument in expression.args[1:]:
                position = self._emit(Apply(function, (position, self.value(argument, place))))
            return position
        if isinstance(expression, sympy.Pow) and expression.exp.is_number:
            base = self.value(expression.base, place)
            return self._emit(Apply(_power(float(expression.exp)), (base,)))
        function = FUNCTIONS.get(expression.func)
        if function is None:
            raise UsageError(f"{expression.func.__name__} in {expression} has no torch counterpart")
        return self._emit(Apply(function, tuple(self.value(a, place) for a in expression.args)))


def _taps(taps: list[tuple[int, float]], axis: int, length: int) -> Callable[[Tensor], Tensor]:
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


def _power(exponent: float) -> Callable[[Any], Any]:
    if exponent == 2:
        return lambda v: v * v
    return lambda v: v ** (int(exponent) if exponent.is_integer() else exponent)


def _add(a: Any, b: Any) -> Any:
    return a + b


def _multiply(a: Any, b: Any) -> Any:
    return a * b


def _replace(place: Place, dim: int, span: Span) -> Place:
    return (*place[:dim], span, *place[dim + 1 :])


def _depends(expression: Any, axis: str) -> bool:
    return any(
        isinstance(s, Field) or (isinstance(s, Coordinate) and s.name == axis)
        for s in expression.free_symbols
    )


def _differenced(expression: Any, axis: str) -> bool:
    return any(d.parts[1].name == axis for d in expression.atoms(D))
