r"""Fields without a time derivative at the first time, where only a constraint's rate tells them.

A pressure, or a multiplier that keeps a mass, is in no constraint of its own: it is what makes the
constraint's rate vanish. With :math:`u` the fields that are given at the first time,
:math:`v = \partial_t u` their rates there and :math:`\lambda` the others, the equations
:math:`v = F(u, \lambda)` and the constraints :math:`g(u, t) = 0` become

.. math:: v - F(u, \lambda) = 0, \qquad g_u(u, t)\, v + g_t(u, t) = 0,

a static problem for :math:`v` and :math:`\lambda`. Source: E. Hairer, G. Wanner, Solving Ordinary
Differential Equations II (1996), ch. VII.1: the index of a differential-algebraic equation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.numerics.newton import NewtonSolver
from piddm.residuals.binding import bind
from piddm.symbolic.conditions import Condition, Integral, Robin
from piddm.symbolic.operators import Coordinate, D, Field, Slice, strict
from piddm.symbolic.specification import Order, Specification
from piddm.tools.errors import UsageError


class FirstTime:
    """Solves for what the first time lacks, by the rates of the constraints.

    Args:
        pde: The specification.
        grid: The grid; its first axis is that of time.
        known: Names of the fields that are given at every time.
        started: Names of the fields that are given at the first time.
        order: Accuracy in space.

    Raises:
        UsageError: If this does not determine them either.
    """

    def __init__(
        self,
        pde: Specification,
        grid: Grid,
        known: set[str],
        started: set[str],
        order: Order | Mapping[str, Order] | None,
    ) -> None:
        if len(grid.axes) < 2:
            raise UsageError("there is no axis of space to solve it on")
        self.pde, self.known, self.started = pde, known, started
        self.time, self.axis = next(iter(grid.axes.items()))
        self.rates = {
            f: Field(f"rate of {f.name}") for f in pde.fields if f.name in known | started
        }
        self.sought = [f for f in pde.fields if f not in self.rates]
        space = Grid(**{n: a for n, a in grid.axes.items() if n != self.time})
        residual = bind(self._static(space), space, order)
        every = np.ones(space.shape, dtype=bool)
        held = {f.name: every for f in self.rates}
        held |= {v.name: every for f, v in self.rates.items() if f.name in known}
        self._solver = NewtonSolver(residual, held)
        if idle := self._solver.idle:
            name, count = next(iter(idle.items()))
            raise UsageError(f"no equation says anything of {name} at {count} nodes")

    def solve(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the first time lacks, ``(batch, *space)``.

        Args:
            fields: All fields at all times, and params.
        """
        state = {k: v[:, 0] if v.ndim > 1 else v for k, v in fields.items()}
        for f, rate in self.rates.items():
            start = torch.zeros_like(state[f.name])
            state[rate.name] = self._rate(fields[f.name]) if f.name in self.known else start
        solved = self._solver.solve(state)
        return {f.name: solved[f.name] for f in self.sought}

    def _rate(self, values: Tensor) -> Tensor:
        """Return a given field's rate at the first time, to the second order."""
        if values.shape[1] < 3:
            return (values[:, 1] - values[:, 0]) / self.axis.spacing
        return (-3 * values[:, 0] + 4 * values[:, 1] - values[:, 2]) / (2 * self.axis.spacing)

    def _static(self, space: Grid) -> Specification:
        pde = self.pde
        return dataclasses.replace(
            pde,
            grid=space,
            fields=(*pde.fields, *self.rates.values()),
            equations={k: self._row(strict(e)) for k, e in pde.equations.items()},
            conditions={k: self._condition(c) for k, c in pde.conditions.items()},
            integrals={k: found for k, i in pde.integrals.items() if (found := self._integral(i))},
            inputs=dict.fromkeys(self.rates),  # pyright: ignore
            simulate=None,
        )

    def _row(self, equation: Any) -> Any:
        """Return an equation at the first time; of a constraint its rate."""
        timed = any(d.parts[1].name == self.time for d in equation.atoms(D))
        if timed or equation.free_symbols & set(self.sought):
            return self._now(equation)
        return self._now(self._change(equation))

    def _condition(self, condition: Condition) -> Condition:
        if condition.field in self.sought:
            return self._timeless(condition, condition.where, strict(condition.value))
        rate = self.rates[condition.field]
        where = condition.where
        where = Slice(rate, where.axis, where.value) if isinstance(where, Slice) else rate
        value = self._change(strict(condition.value))
        if isinstance(condition, Robin):
            value -= self._change(strict(condition.alpha)) * condition.field
            if self._change(strict(condition.beta)) != 0:
                raise UsageError("a Robin condition's beta changes in time")
        return self._timeless(condition, where, value)

    def _timeless(self, condition: Condition, where: Field | Slice, value: Any) -> Condition:
        changed: dict[str, Any] = {"where": where, "value": self._now(value)}
        if isinstance(condition, Robin):
            changed |= {k: self._now(strict(getattr(condition, k))) for k in ("alpha", "beta")}
        return dataclasses.replace(condition, **changed)

    def _integral(self, integral: Integral) -> Integral | None:
        integrand, value = strict(integral.integrand), strict(integral.value)
        if integrand.free_symbols & set(self.sought):
            if integral.conserved:  # at whatever value it has at the first time
                return None
            return Integral(self._now(integrand), self._now(value))
        return Integral(self._now(self._change(integrand)), self._now(self._change(value)))

    def _change(self, e: Any) -> Any:
        """Return an expression's rate, by the chain rule; derivatives in space stay as written."""
        if isinstance(e, Field):
            if e in self.rates:
                return self.rates[e]
            raise UsageError(f"{e} is differentiated in time and has no initial state")
        if isinstance(e, Coordinate):
            return sympy.Integer(int(e.name == self.time))
        if isinstance(e, D):
            return e.like(self._change(e.parts[0]))
        if not e.args:
            return sympy.S.Zero
        places = [sympy.Dummy(real=True) for _ in e.args]
        total: Any = sympy.S.Zero
        for place, argument in zip(places, e.args, strict=True):
            change = self._change(argument) if argument.free_symbols else sympy.S.Zero
            if change != 0:
                slope = e.func(*places).diff(place).replace(sympy.DiracDelta, lambda *_: 0)
                total += slope.xreplace(dict(zip(places, e.args, strict=True))) * change
        return total

    def _now(self, e: Any) -> Any:
        """Return an expression at the first time, rates in the place of time derivatives."""
        if e == Coordinate(self.time):
            return sympy.Float(self.axis.lower, 17)
        if isinstance(e, D):
            argument, axis, _ = e.parts
            if axis.name == self.time:
                return self._now(self._change(argument))
            return e.like(self._now(argument), self._now(e.wind[0]) if e.wind else None)
        if not getattr(e, "args", ()):
            return e
        return e.func(*map(self._now, e.args))
