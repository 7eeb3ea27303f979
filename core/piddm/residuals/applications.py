"""Sums, products, powers, functions and choices, applied to evaluated arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import sympy
import torch

from piddm.residuals.emission import Emitter
from piddm.residuals.functions import BESSEL, COMBINED, FUNCTIONS, KNOWN_AHEAD
from piddm.residuals.programs import Apply, Combine, Place, Power, Product, known_value
from piddm.symbolic.operators import Param
from piddm.tools.errors import UsageError


class Applications(Emitter, ABC):
    """Applies what works value by value.

    Args:
        per_sample: Names of params whose values come with each sample; others are numbers.
    """

    def __init__(self, per_sample: frozenset[str]) -> None:
        super().__init__()
        self.per_sample = per_sample

    @abstractmethod
    def value(self, expression: Any, place: Place) -> int:
        """Return the position of the result that holds an expression at a place."""

    def _apply(self, expression: Any, place: Place) -> int:
        """Apply a sum, product, power or function to its evaluated arguments."""
        if isinstance(expression, sympy.Add):
            return self._add([self.value(a, place) for a in expression.args])
        if isinstance(expression, sympy.Mul):
            return self._multiply([self.value(a, place) for a in expression.args])
        if isinstance(expression, sympy.Pow):
            source = self.value(expression.base, place)
            exponent = self._known_number(expression.exp)
            if exponent is None:
                return self._combined(sympy.Pow, source, self.value(expression.exp, place))
            if exponent == 2:
                return self.emit(Product(source, source), self.lengths[source])
            return self.emit(Power(source, exponent), self.lengths[source])
        if isinstance(expression, sympy.Piecewise):
            return self._piecewise(expression, place)
        if isinstance(expression, sympy.Not):
            one, minus = (self.value(sympy.Integer(n), place) for n in (1, -1))
            return self._add([one, self._multiply([minus, self.value(expression.args[0], place)])])
        if isinstance(expression, sympy.ITE):  # what sympy makes of a choice between relations
            return self.value(expression.to_nnf(), place)
        if expression.func in COMBINED:
            first, *rest = (self.value(a, place) for a in expression.args)
            for other in rest:
                first = self._combined(expression.func, first, other)
            return first
        function = _unary(expression)
        if function is None:
            return self._known_ahead(expression, place)
        source = self.value(expression.args[-1 if expression.func in BESSEL else 0], place)
        return self.emit(Apply(*function, source), self.lengths[source])

    def _known_number(self, expression: Any) -> float | None:
        """Return the value of what has only numbers and params of fixed values in it."""
        values = {}
        for symbol in expression.free_symbols:
            if not isinstance(symbol, Param) or symbol.name in self.per_sample:
                return None
            values[symbol] = sympy.Float(symbol.value, 17)
        return float(expression.xreplace(values))

    def _combined(self, function: Any, *operands: int) -> int:
        step = Combine(*COMBINED[function], operands, (1.0,) * len(operands))
        return self.emit(step, self._together(operands))

    def _piecewise(self, expression: Any, place: Place) -> int:
        """Choose between branches: the first whose condition is true."""
        *branches, (last, otherwise) = expression.args
        if otherwise != sympy.true:
            raise UsageError(f"{expression} needs a last branch for all other places: (..., True)")
        position = self.value(last, place)
        for branch, where in reversed(branches):
            of = self.value(where, place), self.value(branch, place), position
            position = self._combined(sympy.Piecewise, *of)
        return position

    def _known_ahead(self, expression: Any, place: Place) -> int:
        """Compute a function that torch lacks now, where its arguments are known."""
        name = expression.func.__name__
        if expression.func not in KNOWN_AHEAD:
            raise UsageError(f"{name} in {expression} has no torch counterpart")
        values = []
        for argument in expression.args:
            known = known_value(self.steps, self.value(argument, place), len(place))
            if known is None:
                raise UsageError(
                    f"{name} in {expression} has no torch counterpart; it may depend on "
                    "coordinates and fixed params, not on fields"
                )
            values.append(known[0].numpy())
        return self._constant(np.asarray(KNOWN_AHEAD[expression.func](*values), dtype=float))


def _unary(expression: Any) -> tuple[Any, Any] | None:
    """Return torch's counterpart of a function of one argument, and its derivative."""
    kind, (first, *more) = expression.func, expression.args
    if kind in BESSEL:
        return BESSEL[kind][int(first)] if first in (0, 1) else None
    if kind is sympy.Heaviside and more[0] != sympy.S.Half:
        if not more[0].is_number:
            raise UsageError(f"{expression}: the value at the step is a number")
        at = float(more[0])
        return lambda v: torch.where(v == 0, at, (v > 0).to(v)), torch.zeros_like
    if more and kind is not sympy.Heaviside and kind in FUNCTIONS:
        raise UsageError(f"{expression} has more arguments than torch's counterpart takes")
    return FUNCTIONS.get(kind)
