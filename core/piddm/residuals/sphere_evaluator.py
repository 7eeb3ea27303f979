"""From an expression to torch operations on all nodes of a spherical grid.

The rules are those of the stencils' compiler (:mod:`piddm.residuals.compiler`): an equation with a
time derivative lives between two times, where ``D(E, t)`` is a difference and what is not
differenced in time is evaluated at both times and averaged. Space is simpler: operators take whole
fields, so that an expression has values at every node or none. All symbolic work is done when the
steps are made; what runs is a list of functions of tensors, which every transform of torch takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add, mul
from typing import Any

import sympy
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.grids.harmonics import harmonics_of
from piddm.residuals.functions import FUNCTIONS
from piddm.symbolic.analysis import depends, differenced
from piddm.symbolic.operators import Coordinate, D, Field, Param
from piddm.symbolic.spherical import (
    Curl,
    Div,
    GradEast,
    GradNorth,
    InverseLaplace,
    Laplace,
    SphereOperator,
)
from piddm.tools.devices import placed
from piddm.tools.errors import UsageError

Value = Tensor | float
"""A result: a tensor ``(batch or 1, *axes, each whole or 1)``, or a number."""

Step = Callable[[Mapping[str, Tensor], Sequence[Value]], Value]
"""Makes a result from the fields and params and all results before it."""


class Evaluator:
    """Translates expressions into steps, each distinct one once.

    Args:
        grid: The spherical grid.
        weights: Of the earlier and the later time, where terms between two times are averaged.
    """

    def __init__(self, grid: Grid, weights: tuple[float, float] = (0.5, 0.5)) -> None:
        self.grid, self.weights = grid, weights
        self.time = next((name for name, axis in grid.axes.items() if axis.time), None)
        self._harmonics = harmonics_of(grid)
        self._steps: list[Step] = []
        self._known: dict[tuple[Any, bool], int] = {}

    def value(self, expression: Any, half: bool = False) -> int:
        """Return the position of an expression's result, at nodes or ``half`` way between times.

        Raises:
            UsageError: If torch lacks a function, or the sphere a derivative.
        """
        key = (expression, half)
        if key not in self._known:
            step = self._build(expression, half)
            self._steps.append(step)
            self._known[key] = len(self._steps) - 1
        return self._known[key]

    def run(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, int]) -> dict[str, Value]:
        """Return the results at some positions, given fields and params by name."""
        results: list[Value] = []
        for step in self._steps:
            results.append(step(inputs, results))
        return {name: results[position] for name, position in outputs.items()}

    def _build(self, expression: Any, half: bool) -> Step:
        if expression.is_number:
            number = float(expression)
            return lambda inputs, results: number
        if half and not self._steps_through(expression):
            return self._averaged(self.value(expression))
        if half and isinstance(expression, (sympy.Add, sympy.Mul)):
            # What is neither differenced nor linear is averaged once, together.
            plain = [a for a in expression.args if not self._steps_through(a)]
            if len(plain) > 1:
                rest = [a for a in expression.args if a not in plain]
                parts = [expression.func(*plain), *rest]
                together = add if isinstance(expression, sympy.Add) else mul
                return _folded(together, [self.value(part, half) for part in parts])
        match expression:
            case Field():
                return lambda inputs, results: inputs[expression.name]
            case Param():
                return self._param(expression)
            case Coordinate():
                return self._coordinate(expression)
            case D():
                return self._derivative(expression)
            case SphereOperator():
                return self._operator(expression, half)
        return self._function(expression, half)

    def _steps_through(self, expression: Any) -> bool:
        """Return whether arguments half way between times are what an expression needs there.

        What is linear in all that varies in time is the same of averages: operators then take one
        field instead of two.
        """
        time = self.time or ""
        if differenced(expression, time) or isinstance(expression, SphereOperator):
            return True
        if isinstance(expression, sympy.Add):
            return any(map(self._steps_through, expression.args))
        varying = [a for a in expression.args if depends(a, time)]
        return isinstance(expression, sympy.Mul) and [*map(self._steps_through, varying)] == [True]

    def _averaged(self, source: int) -> Step:
        before, after = self.weights

        def average(inputs: Mapping[str, Tensor], results: Sequence[Value]) -> Value:
            of = results[source]
            if not isinstance(of, Tensor) or of.shape[1] == 1:
                return of
            later = of[:, 1:] if after == 1 else after * of[:, 1:]
            return later + before * of[:, :-1] if before else later

        return average

    def _param(self, param: Param) -> Step:
        name, default, ones = param.name, param.value, [1] * len(self.grid.axes)

        def load(inputs: Mapping[str, Tensor], results: Sequence[Value]) -> Value:
            return inputs[name].view(-1, *ones) if name in inputs else default

        return load

    def _coordinate(self, axis: Coordinate) -> Step:
        dim, along = self.grid.index(axis.name), self.grid.axes[axis.name].coordinates()
        shape = [-1 if d == dim else 1 for d in range(len(self.grid.axes))]
        values = torch.from_numpy(along).reshape(1, *shape)
        return lambda inputs, results: placed(values, next(iter(inputs.values())))

    def _derivative(self, expression: D) -> Step:
        argument, axis, order = expression.parts
        if axis.name != self.time or order != 1:
            raise UsageError(f"D(..., {axis}, {order}) cannot be had on a sphere; D(u, t) can")
        source, rate = self.value(argument), 1 / self.grid.axes[axis.name].spacing

        def difference(inputs: Mapping[str, Tensor], results: Sequence[Value]) -> Value:
            of = results[source]
            if not isinstance(of, Tensor) or of.shape[1] == 1:
                return 0.0
            return (of[:, 1:] - of[:, :-1]) * rate

        return difference

    def _operator(self, expression: SphereOperator, half: bool) -> Step:
        space = (self.grid.axes["lat"].size, self.grid.axes["lon"].size)
        found = self._harmonics
        function: Callable[..., Tensor]
        arguments, (first, *_) = expression.args, expression.args
        if isinstance(expression, Laplace):
            function, arguments = found.laplace(expression.power), (expression.innermost,)
        elif isinstance(expression, (GradNorth, GradEast)):
            inverse = isinstance(first, InverseLaplace)  # both at once
            function = found.grad(-int(inverse))[int(isinstance(expression, GradEast))]
            arguments = first.args if inverse else arguments
        else:
            _ = found.adjoints  # made now: under a transform of torch they would be caught in it
            function = {InverseLaplace: found.laplace(-1), Div: found.div, Curl: found.curl}[
                type(expression)
            ]
        sources = [self.value(a, half) for a in arguments]

        def apply(inputs: Mapping[str, Tensor], results: Sequence[Value]) -> Value:
            parts = [_tensor(results[s], inputs) for s in sources]
            return function(*(p.expand(*p.shape[:-2], *space) for p in parts))

        return apply

    def _function(self, expression: Any, half: bool) -> Step:
        """Apply a sum, product, power or function to its evaluated arguments."""
        if isinstance(expression, (sympy.Add, sympy.Mul)):
            together = add if isinstance(expression, sympy.Add) else mul
            return _folded(together, [self.value(a, half) for a in expression.args])
        if isinstance(expression, sympy.Pow):
            base, exponent = expression.args
            if not exponent.is_number:
                power = sympy.exp(exponent * sympy.log(base), evaluate=False)
                return self._function(power, half)
            source, number = self.value(base, half), float(exponent)  # pyright: ignore
            return lambda inputs, results: results[source] ** number
        if isinstance(expression, (sympy.Max, sympy.Min)):
            sources = [self.value(a, half) for a in expression.args]
            two = torch.maximum if isinstance(expression, sympy.Max) else torch.minimum
            return lambda inputs, results: reduce(
                two, [_tensor(results[s], inputs) for s in sources]
            )
        only_half = expression.func is sympy.Heaviside and expression.args[1:] == (sympy.S.Half,)
        if expression.func not in FUNCTIONS or (len(expression.args) > 1 and not only_half):
            raise UsageError(f"{expression.func.__name__} in {expression} has no torch counterpart")
        function, source = FUNCTIONS[expression.func][0], self.value(expression.args[0], half)
        return lambda inputs, results: function(_tensor(results[source], inputs))


def _tensor(value: Value, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return a result in the precision and on the device of the fields."""
    return in_kind(value, next(iter(inputs.values())))


def in_kind(value: Value, like: Tensor) -> Tensor:
    """Return a result in the precision and on the device of a tensor."""
    return value.to(like) if isinstance(value, Tensor) else like.new_full((), value)


def _folded(together: Callable[[Any, Any], Any], sources: Sequence[int]) -> Step:
    return lambda inputs, results: reduce(together, [results[s] for s in sources])
