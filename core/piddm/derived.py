"""The derived solver: whatever is not given is solved for, from the specification alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from piddm.errors import PiddmError, UsageError, nearest
from piddm.grid import Grid
from piddm.newton import NewtonSolver
from piddm.symbolic.operators import Coordinate, D, Field, Param, Slice

if TYPE_CHECKING:
    from piddm.pde import PDE, Order

Given = Field | Slice | Param

CONTRADICTION = 1e-6
"""Root mean square of rows that nothing is solved for, over their largest term: above it, what is
given contradicts them."""


class DerivedSolver:
    """Solves an equation for all that is not given: forward problems, and well-posed inverse ones.

    Where the equations relate two neighbouring times and the state at the first is given, it
    marches slice by slice; else it solves the whole grid at once.

    Args:
        pde: The specification.
        grid: The grid.
        given: Fields, slices of fields at an end of an axis, and free params.
        order: Accuracy in space: see :meth:`~piddm.pde.PDE.bind`.

    Raises:
        UsageError: If what is given leaves more or fewer unknowns than there are rows.
    """

    def __init__(
        self,
        pde: PDE,
        grid: Grid,
        given: Iterable[Given],
        order: Order | Mapping[str, Order] | None = None,
    ) -> None:
        self.pde, self.grid, self.given = pde, grid, tuple(given)
        if grid.spherical and pde.residual is None:
            raise UsageError(
                "nothing is solved for on a sphere, whose rows touch every node: data come from "
                "the equation's own simulate, and samples can be projected"
            )
        for item in self.given:
            if not isinstance(item, (Field, Slice, Param)):
                raise UsageError(f"give by field, slice or param, such as {{u: ...}}, not {item!r}")
            name = _field(item).name
            names = [*pde.field_names, *pde.free_params, *(p.name for p in pde.params)]
            if name not in names:
                raise UsageError(f"there is no field or param {name}{nearest(name, names)}")
        # Conditions leave out what is given, which need not be what data are drawn from.
        drawn = [g for g in self.given if not (isinstance(g, Param) and not g.free)]
        self.pde = pde = dataclasses.replace(pde, inputs=dict.fromkeys(drawn, None))  # pyright: ignore
        self.params = tuple(p for p in pde.free_params if p not in {str(g) for g in self.given})
        self.marches = not self.params and _marches(pde, grid, self.given)
        self._march = _Marching(pde, grid, self.given, order) if self.marches else None
        self._whole = None if self._march else self._at_once(order)

    def _at_once(self, order: Order | Mapping[str, Order] | None) -> NewtonSolver:
        residual = self.pde.bind(self.grid, order)
        return NewtonSolver(residual, held(self.pde, self.grid, self.given), self.params)

    @torch.no_grad()
    def solve(
        self, given: Mapping[Given, Tensor], start: Mapping[Field | Param, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return every field ``(batch, *grid.shape)`` and free param ``(batch,)``, float64.

        Args:
            given: Values of what the solver was told is given: of a field ``(batch, *grid.shape)``,
                of a slice the same without its axis, of a param ``(batch,)``.
            start: Where to start; zero, or the given initial state at every time, where left out.

        Raises:
            UsageError: If a shape is wrong, or something is left that no row determines.
            PiddmError: If the solver does not converge, or what is given contradicts the equation.
        """
        x = self._fields(given, start or {})
        if self._march is not None:
            return self._march.run(x)
        solver = self._whole
        assert solver is not None
        if idle := {k: n for k, n in solver.idle.items() if k not in map(str, start or {})}:
            name, count = next(iter(idle.items()))
            raise UsageError(
                f"no equation says anything of {name} at {count} nodes; give them "
                f"as slices, or a start={{{name}: ...}} whose values they keep"
            )
        solved = solver.solve(x)
        self._check_rest(solver, solved)
        return solved

    def _check_rest(self, solver: NewtonSolver, x: dict[str, Tensor]) -> None:
        rows, terms = solver.residual(x), solver.residual.terms(x)
        for name, idle in solver.idle_rows.items():
            if len(idle):
                size = max(float(v.square().mean().sqrt()) for v in terms[name].values())
                error = float(rows[name].flatten(1)[:, idle].square().mean().sqrt())
                if error > CONTRADICTION * max(size, 1e-30):
                    raise PiddmError(
                        f"what is given contradicts {name}, of which nothing is "
                        f"unknown: its residual is {error:.1e}, its largest term {size:.1e}"
                    )

    def _fields(
        self, given: Mapping[Given, Tensor], start: Mapping[Field | Param, Tensor]
    ) -> dict[str, Tensor]:
        if {str(k) for k in given} != {str(k) for k in self.given}:
            raise UsageError(
                f"this solver takes {', '.join(map(str, self.given))}, "
                f"not {', '.join(map(str, given))}"
            )
        given = {item: _tensor(item, value) for item, value in given.items()}
        start = {item: _tensor(item, value) for item, value in start.items()}
        for item in start:
            if str(item) not in (*self.pde.field_names, *(p.name for p in self.pde.params)):
                names = [*self.pde.field_names, *self.pde.free_params]
                raise UsageError(f"start: there is no {item}{nearest(str(item), names)}")
        batch = len(next(iter(given.values()))) if given else 1
        shape = (batch, *self.grid.shape)
        x = {k: torch.zeros(shape, dtype=torch.float64) for k in self.pde.field_names}
        for item, value in start.items():
            if tuple(value.shape) != self._shape(item, batch):
                raise UsageError(
                    f"start: {item} has the shape {tuple(value.shape)}, not "
                    f"{self._shape(item, batch)}"
                )
        named = {str(k): v for k, v in start.items()}
        x |= {k: v.double().clone() for k, v in named.items()}
        # A slice starts its field's whole axis, where nothing better is known.
        for item, value in sorted(given.items(), key=lambda g: not isinstance(g[0], Slice)):
            expected = self._shape(item, batch)
            if tuple(value.shape) != expected:
                raise UsageError(f"{item} has the shape {tuple(value.shape)}, not {expected}")
            value = value.double()
            if not isinstance(item, Slice):
                x[item.name] = value.clone()
                continue
            dim, node = self.pde.slice_index(item, self.grid)
            name = item.field.name
            if name not in named and not any(str(item.field) == str(g) for g in given):
                x[name] = value.unsqueeze(dim + 1).expand(shape).clone()
                named[name] = x[name]
            x[name].select(dim + 1, node).copy_(value)
        return x

    def _shape(self, item: Given, batch: int) -> tuple[int, ...]:
        if isinstance(item, Param):
            return (batch,)
        if isinstance(item, Slice):
            return (batch, *self.grid.without(item.axis).shape)
        return (batch, *self.grid.shape)


def _tensor(item: Any, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise UsageError(f"{item} is given as {type(value).__name__}; pass a tensor with a batch")
    return value


def held(pde: PDE, grid: Grid, given: Iterable[Given]) -> dict[str, np.ndarray]:
    """Return, for each field, where its values are given: boolean ``(*grid.shape)``."""
    found = {name: np.zeros(grid.shape, dtype=bool) for name in pde.field_names}
    for item in given:
        if isinstance(item, Slice):
            dim, node = pde.slice_index(item, grid)
            np.moveaxis(found[item.field.name], dim, 0)[node] = True
        elif isinstance(item, Field):
            found[item.name][:] = True
    return found


def _field(item: Given) -> Field | Param:
    return item.field if isinstance(item, Slice) else item


def _marches(pde: PDE, grid: Grid, given: tuple[Given, ...]) -> bool:
    """Return whether times follow from one another, the first one given."""
    name, axis = next(iter(grid.axes.items()))
    if not axis.time or pde.residual is not None or pde.time_scheme == "centred":
        return False
    stepped = _stepped(pde, name)
    starts = {s.field for s in given if isinstance(s, Slice)}
    at_start = all(s.axis == name and s.value == axis.lower for s in given if isinstance(s, Slice))
    known = {f for f in given if isinstance(f, Field)}
    derivatives = [d.parts for e in pde.equations.values() for d in e.atoms(D)]
    high = any(along.name == name and m > 1 for _, along, m in derivatives)
    one_end = all(along != name for c in pde.conditions.values() for along, _ in c.ends(grid))
    return at_start and not high and one_end and stepped - known == starts


def _stepped(pde: PDE, time: str) -> set[Field]:
    """Return the fields with a time derivative: those that an initial state is needed of."""
    return {
        f
        for e in pde.equations.values()
        for d in e.atoms(D)
        if d.parts[1].name == time
        for f in d.parts[0].free_symbols
        if isinstance(f, Field)
    }


class _Marching:
    """Solves slice after slice: the residual on two neighbouring times, the earlier one held.

    Fields without a time derivative, such as a pressure, are solved for at the first time too.
    """

    def __init__(
        self,
        pde: PDE,
        grid: Grid,
        given: tuple[Given, ...],
        order: Order | Mapping[str, Order] | None,
    ) -> None:
        self.pde, self.grid = pde, grid
        self.name, self.axis = next(iter(grid.axes.items()))
        self.known = {f.name for f in given if isinstance(f, Field)}
        started = {s.field.name for s in given if isinstance(s, Slice)}
        pair = dataclasses.replace(self.axis, upper=self.axis.lower + self.axis.spacing, size=2)
        two = Grid(**{n: pair if n == self.name else a for n, a in grid.axes.items()})
        # One residual serves every step: time comes in as a param.
        residual = _shifted(pde, self.name).bind(two, order)
        late = {k: r.nodes[:, 0] == 1 for k, r in residual.rows.items()}
        now = np.zeros(two.shape, dtype=bool)
        now[0] = True
        every = np.ones(two.shape, dtype=bool)
        names = pde.field_names
        self._step = NewtonSolver(
            residual, {k: every if k in self.known else now for k in names}, rows=late
        )
        self._first = None
        if any(k not in self.known | started for k in names):
            self._first = NewtonSolver(
                residual,
                {k: every if k in self.known | started else ~now for k in names},
                rows={k: ~v for k, v in late.items()},
            )

    def run(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fill in every time after the first, and what the first one lacks."""
        batch = next(iter(fields.values())).shape[0]
        names, extra = self.pde.field_names, fields.keys() - set(self.pde.field_names)
        for k in range(self.axis.size - 1):
            shift = torch.full((batch,), k * self.axis.spacing, dtype=torch.float64)
            pair = {n: fields[n][:, k : k + 2].clone() for n in names}
            pair |= {n: fields[n] for n in extra} | {SHIFT.name: shift}
            if k == 0 and self._first is not None:
                first = self._first.solve(pair)
                for n in names:
                    fields[n][:, 0] = pair[n][:, 0] = first[n][:, 0]
            for n in set(names) - self.known:
                pair[n][:, 1] = pair[n][:, 0]
            solved = self._step.solve(pair)
            for n in set(names) - self.known:
                fields[n][:, k + 1] = solved[n][:, 1]
        return fields


SHIFT = Param("time of a step", 0.0)


def _shifted(pde: PDE, time: str) -> PDE:
    """Return the specification with its coordinate of time moved by a param."""

    def move(e: Any) -> Any:
        return _replace(e, Coordinate(time), Coordinate(time) + SHIFT)

    def moved(c: Any, names: tuple[str, ...]) -> Any:
        return dataclasses.replace(c, **{n: move(getattr(c, n)) for n in names if hasattr(c, n)})

    from piddm.conditions import Robin

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
        argument, along, order = expression.parts
        return D(_replace(argument, symbol, by), along, order)
    if not getattr(expression, "args", ()):
        return expression
    return expression.func(*(_replace(a, symbol, by) for a in expression.args))
