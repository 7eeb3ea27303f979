"""Training data from the specification alone: draw the inputs, solve the residual for the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from piddm.grid import Axis, Grid
from piddm.newton import NewtonSolver
from piddm.symbolic.operators import Coordinate, D, Slice

if TYPE_CHECKING:
    from piddm.pde import PDE


def simulate(
    pde: PDE, grid: Grid, count: int, generator: torch.Generator, chunk: int = 128
) -> Iterator[dict[str, Tensor]]:
    """Draw inputs and solve for the rest; yield ``{field: (chunk, *grid.shape)}``, float64.

    A specification's own ``simulate`` takes the place of the derived solver. Where the equations
    relate two neighbouring times and the inputs start them, the solver marches; else it solves the
    whole grid at once.
    """
    march = pde.simulate is None and _marches(pde, grid)
    solvers = _Marching(pde, grid) if march else None
    whole = None if march or pde.simulate else _whole(pde, grid)
    for start in range(0, count, chunk):
        size = min(chunk, count - start)
        if pde.simulate is not None:
            yield pde.simulate(pde, grid, size, generator)
            continue
        fields = {k: torch.zeros(size, *grid.shape, dtype=torch.float64) for k in pde.field_names}
        for given, prior in pde.inputs.items():
            if isinstance(given, Slice):
                dim, _ = pde.slice_index(given, grid)
                value = prior.sample(grid.without(given.axis), size, generator)
                value = value.unsqueeze(dim + 1).expand(size, *grid.shape)
                fields[given.field.name] = value.clone()
            else:
                fields[given.name] = prior.sample(grid, size, generator)
        if solvers is not None:
            yield solvers.run(fields)
        elif whole is not None:
            yield whole.solve(fields)


def held_inputs(pde: PDE, grid: Grid) -> dict[str, np.ndarray]:
    """Return, for each field, where its values are inputs: boolean ``(*grid.shape)``."""
    held = {name: np.zeros(grid.shape, dtype=bool) for name in pde.field_names}
    for given in pde.inputs:
        if isinstance(given, Slice):
            dim, node = pde.slice_index(given, grid)
            np.moveaxis(held[given.field.name], dim, 0)[node] = True
        else:
            held[given.name][:] = True
    return held


def _whole(pde: PDE, grid: Grid) -> NewtonSolver:
    return NewtonSolver(pde.bind(grid), held_inputs(pde, grid))


def _time(grid: Grid) -> tuple[str, Axis] | None:
    return next(((k, a) for k, a in grid.axes.items() if a.time), None)


def _marches(pde: PDE, grid: Grid) -> bool:
    time = _time(grid)
    if time is None or pde.residual is not None or pde.time_scheme == "centred":
        return False
    slices = [given for given in pde.inputs if isinstance(given, Slice)]
    starts = all(s.axis == time[0] and s.value == time[1].lower for s in slices)
    whole = {given for given in pde.inputs if not isinstance(given, Slice)}
    return starts and {s.field for s in slices} | whole == set(pde.fields)


class _Marching:
    """Solves slice after slice: the residual on two neighbouring times, the earlier one held."""

    def __init__(self, pde: PDE, grid: Grid) -> None:
        self.pde, self.grid = pde, grid
        name, self.axis = _time(grid)  # pyright: ignore
        self.name = name
        everything = [*pde.equations.values(), *(c.value for c in pde.conditions.values())]
        self.autonomous = not any(
            symbol == Coordinate(name) for e in everything for symbol in _plain_symbols(e)
        )
        self._solvers: dict[int, NewtonSolver] = {}

    def _solver(self, k: int) -> NewtonSolver:
        k = 0 if self.autonomous else k
        if k not in self._solvers:
            lower = self.axis.lower + k * self.axis.spacing
            pair = dataclasses.replace(
                self.axis, lower=lower, upper=lower + self.axis.spacing, size=2
            )
            grid = Grid(**{n: pair if n == self.name else a for n, a in self.grid.axes.items()})
            held = {n: np.zeros(grid.shape, dtype=bool) for n in self.pde.field_names}
            for given in self.pde.inputs:
                if isinstance(given, Slice):
                    held[given.field.name][0] = True
                else:
                    held[given.name][:] = True
            self._solvers[k] = NewtonSolver(self.pde.bind(grid), held)
        return self._solvers[k]

    def run(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fill in every time after the first."""
        given = {i.name for i in self.pde.inputs if not isinstance(i, Slice)}
        for k in range(self.axis.size - 1):
            now = {n: v[:, k : k + 2].clone() for n, v in fields.items()}
            for n in fields.keys() - given:
                now[n][:, 1] = now[n][:, 0]
            solved = self._solver(k).solve(now)
            for n in fields.keys() - given:
                fields[n][:, k + 1] = solved[n][:, 1]
        return fields


def _plain_symbols(expression: object) -> Iterator[object]:
    """Yield the symbols an expression depends on, without those it is only differentiated by."""
    if isinstance(expression, D):
        yield from _plain_symbols(expression.parts[0])
    elif getattr(expression, "args", ()):
        for argument in expression.args:  # pyright: ignore
            yield from _plain_symbols(argument)
    else:
        yield expression
