"""Times one after another: each from those before it, and what the first one lacks."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.numerics.first_time import FirstTime
from piddm.numerics.newton import NewtonSolver, Undetermined
from piddm.residuals.binding import bind
from piddm.residuals.residual import Residual
from piddm.symbolic.operators import Coordinate, D, Field, Param, Slice
from piddm.tools.errors import SCHEMES, PiddmError, SchemeWarning, UsageError, labelled

if TYPE_CHECKING:
    from piddm.symbolic.specification import Order, Specification

Given = Field | Slice | Param

CONTRADICTION = 1e-6
"""Root mean square of rows that nothing is solved for, over their largest term: above it, what is
given contradicts them."""


class Marching:
    """Solves slice after slice: the residual on two neighbouring times, the earlier one held.

    Fields without a time derivative, such as a pressure, are solved for at the first time too.
    """

    def __init__(
        self,
        pde: Specification,
        grid: Grid,
        given: tuple[Given, ...],
        order: Order | Mapping[str, Order] | None,
        relaxed: bool = False,
    ) -> None:
        self.pde, self.grid, self._relaxed = pde, grid, relaxed
        self.name, self.axis = next(iter(grid.axes.items()))
        self.known = {f.name for f in given if isinstance(f, Field)}
        started = {s.field.name for s in given if isinstance(s, Slice)}
        self._steps = [self._step(order, 2)]
        if pde.time_scheme == "bdf2" and self.axis.size > 2:
            self._steps.append(self._step(order, 3))
        self._order: Order | Mapping[str, Order] | None = order
        self._started = started
        self._first: NewtonSolver | FirstTime | None = None
        if any(k not in self.known | started for k in pde.field_names):
            self._first = self._at_first(started)

    def _times(self, order: Order | Mapping[str, Order] | None, count: int) -> Residual:
        """Return the residual on so many neighbouring times: one serves every step, by a param."""
        upper = self.axis.lower + (count - 1) * self.axis.spacing
        few = dataclasses.replace(self.axis, upper=upper, size=count)
        grid = Grid(**{n: few if n == self.name else a for n, a in self.grid.axes.items()})
        return bind(shifted(self.pde, self.name), grid, order)

    def _step(self, order: Order | Mapping[str, Order] | None, count: int) -> NewtonSolver:
        """Return what solves the last of so many times, those before held."""
        residual = self._times(order, count)
        before = np.ones(residual.grid.shape, dtype=bool)
        before[-1] = False
        every = np.ones_like(before)
        held = {k: every if k in self.known else before for k in self.pde.field_names}
        late = {k: r.nodes[:, 0] == count - 1 for k, r in residual.rows.items()}
        return NewtonSolver(residual, held, rows=late, relaxed=self._relaxed)

    def _at_first(self, started: set[str]) -> NewtonSolver | FirstTime:
        """Return what solves the first time for what is not given there."""
        residual = self._times(self._order, 2)
        later = np.ones(residual.grid.shape, dtype=bool)
        later[0] = False
        known = self.known | started
        held = {k: np.ones_like(later) if k in known else later for k in self.pde.field_names}
        rows = {k: r.nodes[:, 0] == 0 for k, r in residual.rows.items()}
        try:
            solver = NewtonSolver(residual, held, rows=rows, relaxed=self._relaxed)
        except UsageError as error:
            return self._by_rates(error)
        return self._by_rates(None) if solver.idle else solver

    def _lacking(self) -> list[str]:
        """Return the fields that the first time lacks."""
        return [k for k in self.pde.field_names if k not in self.known | self._started]

    def _by_rates(self, problem: PiddmError | None) -> FirstTime:
        """Return what finds them by the rates of the constraints, where those at a time do not."""
        where = f"{', '.join(self._lacking())} at the first time, {self.name} = {self.axis.lower:g}"
        try:
            return FirstTime(self.pde, self.grid, self.known, self._started, self._order)
        except UsageError as error:
            first = f"{problem}; " if problem else ""
            raise UsageError(
                f"{where}: {first}nor do the constraints differentiated in time determine it: "
                f"{error} (see {SCHEMES})"
            ) from error

    def _fill_first(self, fields: dict[str, Tensor], few: dict[str, Tensor]) -> None:
        """Find what the first time lacks."""
        if isinstance(self._first, NewtonSolver):
            try:
                found = self._first.solve(few)
                for n in self.pde.field_names:
                    fields[n][:, 0] = few[n][:, 0] = found[n][:, 0]
                return
            except Undetermined as error:
                self._first = self._by_rates(error)
        assert self._first is not None
        where = f"at the first time, {self.name} = {self.axis.lower:g}"
        with labelled(where):
            solved = self._first.solve(fields)
        for n, value in solved.items():
            fields[n][:, 0] = few[n][:, 0] = value
        self._warn_of_start(few)

    def _warn_of_start(self, few: dict[str, Tensor]) -> None:
        """Warn where what is given at the first time violates a constraint."""
        residual = self._times(self._order, 2)
        rows, terms = residual(few), residual.terms(few)
        for name, of in residual.rows.items():
            first = torch.from_numpy(of.nodes[:, 0] == 0)
            if not bool(first.any()):
                continue
            if of.fields & set(self._lacking()):
                continue  # solved a moment ago
            size = max(float(v.square().mean().sqrt()) for v in terms[name].values())
            error = float(rows[name].flatten(1)[:, first].square().mean().sqrt())
            if error > CONTRADICTION * max(size, 1e-30):
                warnings.warn(
                    f"{self.pde.name}: what is given at the first time violates {name} by "
                    f"{error / size:.1e} of its largest term; {', '.join(self._lacking())} "
                    f"jumps or swings from there on: give a start that satisfies it ({SCHEMES})",
                    SchemeWarning,
                    stacklevel=2,
                )

    def run(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fill in every time after the first, and what the first one lacks."""
        batch = next(iter(fields.values())).shape[0]
        names, extra = self.pde.field_names, fields.keys() - set(self.pde.field_names)
        for k in range(1, self.axis.size):
            before = min(k, len(self._steps))
            since = (k - before) * self.axis.spacing
            shift = torch.full((batch,), since, dtype=torch.float64)
            few = {n: fields[n][:, k - before : k + 1].clone() for n in names}
            few |= {n: fields[n] for n in extra} | {SHIFT.name: shift}
            if k == 1 and self._first is not None:
                self._fill_first(fields, few)
            for n in set(names) - self.known:
                few[n][:, -1] = few[n][:, -2]
            solved = self._steps[before - 1].solve(few)
            for n in set(names) - self.known:
                fields[n][:, k] = solved[n][:, -1]
        return fields


SHIFT = Param("time of a step", 0.0)
"""Time of the step that is solved, added to the coordinate of time."""


def shifted(pde: Specification, time: str) -> Specification:
    """Return the specification with its coordinate of time moved by a param."""

    def move(e: Any) -> Any:
        return _replace(e, Coordinate(time), Coordinate(time) + SHIFT)

    def moved(c: Any, names: tuple[str, ...]) -> Any:
        return dataclasses.replace(c, **{n: move(getattr(c, n)) for n in names if hasattr(c, n)})

    from piddm.symbolic.conditions import Robin

    return dataclasses.replace(
        pde,
        params=(*pde.params, SHIFT),
        equations={k: move(e) for k, e in pde.equations.items()},
        conditions={
            k: moved(c, ("value", "alpha", "beta") if isinstance(c, Robin) else ("value",))
            for k, c in pde.conditions.items()
        },
        integrals={k: moved(i, ("integrand", "value")) for k, i in pde.integrals.items()},
    )


def _replace(expression: Any, symbol: Coordinate, by: Any) -> Any:
    """Replace a coordinate where it is a value, not where something is differentiated by it."""
    if expression == symbol:
        return by
    if isinstance(expression, D):
        velocity = _replace(expression.wind[0], symbol, by) if expression.wind else None
        return expression.like(_replace(expression.parts[0], symbol, by), velocity)
    if not getattr(expression, "args", ()):
        return expression
    return expression.func(*(_replace(a, symbol, by) for a in expression.args))
