"""The derived solver: free values from given ones, by the specification only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.numerics.beyond import Beyond
from piddm.numerics.marching import CONTRADICTION, Given, Marching
from piddm.numerics.newton import NewtonSolver
from piddm.numerics.recursion import refuse_unstable
from piddm.residuals.binding import bind
from piddm.residuals.ranges import check, inner
from piddm.residuals.values import on_nodes
from piddm.symbolic.operators import D, Field, Param, Slice
from piddm.tools import arrays
from piddm.tools.errors import (
    PiddmError,
    UsageError,
    nearest,
)

if TYPE_CHECKING:
    from piddm.symbolic.specification import Order, Specification


class DerivedSolver:
    """Solves an equation for all that is not given: forward problems, and well-posed inverse ones.

    Where the equations relate two neighbouring times and the state at the first is given, it
    marches slice by slice; else it solves the whole grid at once.

    Args:
        pde: The specification.
        grid: The grid.
        given: Fields, slices of fields at an end of an axis, and free params.
        order: Accuracy in space: see :func:`~piddm.residuals.binding.bind`.
        relaxed: Whether given values that an integral contradicts, such as a vorticity on a torus
            whose mean is not zero, are solved for up to a constant
            (:class:`~piddm.numerics.newton.NewtonSolver`), and not refused.

    Raises:
        UsageError: If the given values leave more or fewer unknowns than there are rows.
    """

    def __init__(
        self,
        pde: Specification,
        grid: Grid,
        given: Iterable[Given],
        order: Order | Mapping[str, Order] | None = None,
        relaxed: bool = False,
    ) -> None:
        self.pde, self.grid, self.given = pde, grid, tuple(given)
        self._relaxed = relaxed
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
        # Conditions leave out the given values, which need not be the inputs of the data.
        drawn = [g for g in self.given if not (isinstance(g, Param) and not g.free)]
        self.pde = pde = dataclasses.replace(pde, inputs=dict.fromkeys(drawn, None))  # pyright: ignore
        self.params = tuple(p for p in pde.free_params if p not in {str(g) for g in self.given})
        self.marches = not self.params and _marches(pde, grid, self.given)
        self._march = Marching(pde, grid, self.given, order, relaxed) if self.marches else None
        self._whole = None if self._march else self._at_once(order)
        self._order: Order | Mapping[str, Order] | None = order
        self._examined = False
        self._beyond = Beyond(pde, grid, self.given, order)
        self._follows = not self.params and _follows(pde, grid, self.given)

    def _at_once(self, order: Order | Mapping[str, Order] | None) -> NewtonSolver:
        residual = bind(self.pde, self.grid, order)
        return NewtonSolver(
            residual, held(self.pde, self.grid, self.given), self.params, relaxed=self._relaxed
        )

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
            PiddmError: If the solver does not converge, or given values contradict the equation.
        """
        x = self.begin(given, start)
        if self._march is not None:
            solved = self._march.run(x)
            self._beyond.look(solved)
            return solved
        solver = self._whole
        assert solver is not None
        if idle := {k: n for k, n in solver.idle.items() if k not in map(str, start or {})}:
            name, count = next(iter(idle.items()))
            raise UsageError(
                f"no equation says anything of {name} at {count} nodes; give them "
                f"as slices, or a start={{{name}: ...}} whose values they keep"
            )
        if self._follows and not self._examined:
            refuse_unstable(self.pde, self.grid, x, self.given, self._order)
            self._examined = True
        solved = solver.solve(x)
        self._check_rest(solver, solved)
        self._beyond.look(solved)
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

    def begin(
        self, given: Mapping[Given, Tensor], start: Mapping[Field | Param, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return where the solver starts: what is given where it is, and a start elsewhere."""
        start = start or {}
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
        x = self._default(batch)
        for item, value in start.items():
            if tuple(value.shape) != self._shape(item, batch):
                raise UsageError(
                    f"start: {item} has the shape {tuple(value.shape)}, not "
                    f"{self._shape(item, batch)}"
                )
        named = {str(k): v for k, v in start.items()}
        for item, value in given.items():
            of = _field(item)
            check({of.name: value}, {of.name: of.bounds} if isinstance(of, Field) else {}, "given ")
        x |= {k: v.double().clone() for k, v in named.items()}
        # A slice starts its field's whole axis, where nothing better is known.
        for item, value in sorted(given.items(), key=lambda g: not isinstance(g[0], Slice)):
            expected = self._shape(item, batch)
            if tuple(value.shape) != expected:
                raise UsageError(f"{item} has the shape {tuple(value.shape)}, not {expected}")
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

    def _default(self, batch: int) -> dict[str, Tensor]:
        """Return the specification's own start; zero, or inside its range, where it says none."""
        x: dict[str, Tensor] = {}
        for field in self.pde.fields:
            value = on_nodes(self.pde.start.get(field, inner(field.bounds)), self.grid)
            x[field.name] = value.expand(batch, *self.grid.shape).clone()
        for param in self.pde.params:
            if param in self.pde.start:
                x[param.name] = torch.full((batch,), float(self.pde.start[param])).double()
        return x

    def _shape(self, item: Given, batch: int) -> tuple[int, ...]:
        if isinstance(item, Param):
            return (batch,)
        if isinstance(item, Slice):
            return (batch, *self.grid.without(item.axis).shape)
        return (batch, *self.grid.shape)


def _tensor(item: Any, value: Any) -> Tensor:
    if not isinstance(value, (Tensor, np.ndarray)):
        raise UsageError(f"{item} is given as {type(value).__name__}; pass a tensor with a batch")
    return arrays.whole(value, str(item))


def held(pde: Specification, grid: Grid, given: Iterable[Given]) -> dict[str, np.ndarray]:
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


def _marches(pde: Specification, grid: Grid, given: tuple[Given, ...]) -> bool:
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


def _follows(pde: Specification, grid: Grid, given: tuple[Given, ...]) -> bool:
    """Return whether times solved all at once follow from the first ones all the same."""
    name, axis = next(iter(grid.axes.items()))
    if not axis.time or pde.residual is not None:
        return False
    places = [(g.axis, g.value) for g in given if isinstance(g, Slice)]
    places += [(along, axis.lower if end < 0 else axis.upper)
               for c in pde.conditions.values() for along, end in c.ends(grid)]  # fmt: skip
    return all(value == axis.lower for along, value in places if along == name)


def _stepped(pde: Specification, time: str) -> set[Field]:
    """Return the fields with a time derivative: those that an initial state is needed of."""
    return {
        f
        for e in pde.equations.values()
        for d in e.atoms(D)
        if d.parts[1].name == time
        for f in d.parts[0].free_symbols
        if isinstance(f, Field)
    }
