"""A specification's residual on a spherical grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.residuals.compiler import TIME_WEIGHTS
from piddm.residuals.fitting import Fit
from piddm.residuals.residual import Fields, Reach, Residual, Rows
from piddm.residuals.row_places import steps_in_time
from piddm.residuals.sphere_evaluator import Evaluator, Value, in_kind
from piddm.symbolic.analysis import derivative_order
from piddm.symbolic.conditions import Integral
from piddm.symbolic.operators import Coordinate, Field, Param, strict
from piddm.tools.devices import placed
from piddm.tools.errors import UsageError, labelled, nearest

if TYPE_CHECKING:
    from piddm.symbolic.specification import Specification


class SphereResidual(Residual):
    """Residual through spherical harmonics, compiled from a specification.

    An equation has a row at every node, or between every two times where it has a time derivative.
    An integral has one at each time, by Gauss' quadrature over the area of the unit sphere. Rows
    touch every node at their times (``Rows.dense``): there is no sparse Jacobian.

    Args:
        pde: The specification.
        grid: A spherical grid.

    Raises:
        UsageError: If an expression cannot be had on a sphere.
    """

    def __init__(self, pde: Specification, grid: Grid) -> None:
        self.grid, self.field_names, self.free_params = grid, pde.field_names, pde.free_params
        self._pde = pde
        self._evaluator = Evaluator(grid, TIME_WEIGHTS.get(pde.time_scheme, (0.5, 0.5)))
        self._terms = Evaluator(grid, self._evaluator.weights)
        self._outputs: dict[str, int] = {}
        self._term_outputs: dict[tuple[str, str], int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        rows: dict[str, Rows] = {}
        for name, expression in pde.equations.items():
            with labelled(name):
                rows[name] = self._equation(name, strict(expression))
        for name, integral in pde.integrals.items():
            with labelled(name):
                rows[name] = self._integral(name, integral)
        self.rows = rows
        area = 4 * math.pi / (grid.axes["lat"].size * grid.axes["lon"].size)
        weights = torch.from_numpy(area * grid.axes["lat"].weights())
        self._area = weights[:, None].expand(-1, grid.axes["lon"].size)
        self._fit = Fit(pde, rows)

    def _equation(self, name: str, expression: sympy.Expr) -> Rows:
        grid, time = self.grid, self._evaluator.time
        half = steps_in_time(expression, self._pde, grid) is not None
        if not half and time and derivative_order(expression, time):
            raise UsageError("a sphere takes time_scheme='crank-nicolson' or 'backward-euler'")
        self._outputs[name] = self._evaluator.value(expression, half)
        for part in sympy.Add.make_args(expression):
            self._term_outputs[name, str(part)] = self._terms.value(part, half)
        at = np.indices(grid.shape).reshape(len(grid.shape), -1).T
        self._shapes[name] = grid.shape
        if half:
            self._shapes[name] = (grid.shape[0] - 1, *grid.shape[1:])
            at = at[at[:, 0] > 0]
        return Rows(at, [_reach(expression, len(at), grid)], dense=True, lag=half,
                    params=_params(expression))  # fmt: skip

    def _integral(self, name: str, integral: Integral) -> Rows:
        grid, timed = self.grid, self._evaluator.time is not None
        integrand, value = strict(integral.integrand), strict(integral.value)
        strange = [
            s for s in value.free_symbols - set(self._pde.params)
            if not isinstance(s, Coordinate) or not grid.axes[s.name].time
        ]  # fmt: skip
        if strange:
            raise UsageError("the value of an integral may depend on time and params only")
        if integral.conserved and (not timed or value != 0):
            raise UsageError("a conserved integral needs an axis of time and takes no value")
        # A value spread evenly over the sphere has that integral.
        spread = integrand - value / (4 * math.pi)
        self._outputs[name] = self._evaluator.value(spread)
        size = sympy.Abs(integrand, evaluate=False)
        self._term_outputs[name, str(integrand)] = self._terms.value(size)
        times = np.arange(grid.shape[0] if timed else 1)[int(integral.conserved) :]
        at = np.zeros((len(times), len(grid.shape)), dtype=int)
        at[:, 0] = times
        return Rows(at, [_reach(integrand, len(times), grid)], boundary=True, integral=True,
                    lag=integral.conserved, params=_params(spread))  # fmt: skip

    def _total(self, value: Value, like: Tensor) -> Tensor:
        """Return the integral over the sphere, ``(batch, times)``."""
        whole = in_kind(value, like).expand(len(like), *self.grid.shape)
        return (whole * placed(self._area, like)).sum((-2, -1)).reshape(len(like), -1)

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return ``{name: (batch, ...)}``.

        Fields are ``(batch, *grid.shape)``, params, where they are given per sample, ``(batch,)``;
        any float dtype. Free params that are missing are fitted.
        """
        return self._rows(self.fit(fields))

    def _rows(self, fields: Fields) -> dict[str, Tensor]:
        like, out = fields[self.field_names[0]], {}
        for name, value in self._evaluator.run(fields, self._outputs).items():
            if name in self._pde.equations:
                found = in_kind(value, like)
                out[name] = found.expand(len(like), *self._shapes[name])
                continue
            total = self._total(value, like)
            conserved = self._pde.integrals[name].conserved
            out[name] = total[:, 1:] - total[:, :-1] if conserved else total
        return out

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms of each equation; of an integral, that of its absolute integrand."""
        fields = self.fit(fields)
        like = fields[self.field_names[0]]
        out: dict[str, dict[str, Tensor]] = {name: {} for name in self.rows}
        named = {f"{k}\n{term}": p for (k, term), p in self._term_outputs.items()}
        for label, value in self._terms.run(fields, named).items():
            name, term = label.split("\n")
            if name in self._pde.equations:
                found = in_kind(value, like)
                out[name][term] = found.expand(len(like), *self._shapes[name])
            else:
                out[name][term] = self._total(value, like)
        return out

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted by least squares."""
        known = (*self.field_names, *(p.name for p in self._pde.params))
        for name in fields:
            if name not in known:
                raise UsageError(f"{self._pde.name} has no {name}{nearest(name, known)}")
        for name in self.field_names:
            if name not in fields:
                raise UsageError(f"{self._pde.name}: the field {name} is missing")
        missing = [name for name in self.free_params if name not in fields]
        return self._fit(self._rows, dict(fields), missing) if missing else dict(fields)


def _reach(expression: Any, count: int, grid: Grid) -> Reach:
    fields = [s.name for s in expression.free_symbols if isinstance(s, Field)]
    return Reach(np.arange(count), {k: [(0,) * len(grid.shape)] for k in sorted(fields)})


def _params(expression: Any) -> frozenset[str]:
    return frozenset(s.name for s in expression.free_symbols if isinstance(s, Param))
