r"""Replay: solve from each sample's own inputs, and compare.

The fair test of frames that are far apart, where a step residual says nothing. Between two frames
as many steps are taken as it needs; the relative distance is

.. math:: \|u - \hat u\| / \|u - \bar u\|

over all that is not an input, by field.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.derived_solver import DerivedSolver
from piddm.residuals.residual import Fields
from piddm.symbolic.operators import Field, Param, Slice
from piddm.tools.errors import PiddmError, UsageError

FINER = (1, 4, 16, 64)
"""Steps between two frames, one after the other, until the distance no longer falls."""

NUMBERS = 1 << 20
"""Nodes of a solve, at most."""

ENOUGH = 0.01
"""Distance at which finer steps are not asked for."""

FALLS = 0.7
"""Factor by which finer steps must lower the distance to be worth finer ones."""


@dataclass(frozen=True)
class Replay:
    """What a replay found.

    Args:
        distance: Mean over samples of the relative distance, by field.
        by_sample: The largest over fields of each sample.
        steps: Steps between two frames.
        why: Why there is none, where there is none.
    """

    distance: dict[str, float]
    by_sample: tuple[float, ...] = ()
    steps: int = 1
    why: str = ""


def replay(pde: PDE, fields: Fields, grid: Grid, most: int = NUMBERS) -> Replay:
    """Solve from samples' own inputs and compare.

    Args:
        pde: The equation, placed on the grid of the samples.
        fields: A few samples, float64.
        grid: Their grid.
        most: Nodes of a solve, at most.
    """
    if not pde.inputs or grid.spherical:
        return Replay({}, why="the equation has no inputs, or is on a sphere")
    axis = next(iter(grid.axes.values()))
    slices = all(not isinstance(g, Field) for g in pde.inputs)
    best: Replay | None = None
    why = ""
    for steps in FINER if axis.time and slices else FINER[:1]:
        size = (axis.size - 1) * steps + 1 if axis.time else axis.size
        finer = dataclasses.replace(axis, size=size)
        on = Grid(**{**grid.axes, grid.names[0]: finer})
        nodes = 1
        for n in on.shape:
            nodes *= n
        if nodes > most:
            why = why or "the grid is too large to be solved on"
            break
        try:
            found = _once(pde, fields, on, steps if axis.time else 1)
        except (PiddmError, UsageError) as error:
            why = str(error)
            continue
        if best is not None and _size(found) > FALLS * _size(best):
            return min(best, found, key=_size)
        best = found if best is None else min(best, found, key=_size)
        if _size(best) <= ENOUGH:
            break
    return best or Replay({}, why=why)


def _size(found: Replay) -> float:
    return max(found.distance.values(), default=float("inf"))


@torch.no_grad()
def _once(pde: PDE, fields: Fields, grid: Grid, steps: int) -> Replay:
    given = {g: _value(pde, g, fields, grid) for g in pde.inputs}
    solver = DerivedSolver(pde, grid, pde.inputs)
    solved = solver.solve(given)
    inputs = {g.name for g in pde.inputs if isinstance(g, Field)}
    distance, worst = {}, torch.zeros(len(fields[pde.field_names[0]]), dtype=torch.float64)
    for name in (n for n in pde.field_names if n not in inputs):
        theirs, ours = fields[name].double(), solved[name]
        if steps > 1:
            ours = ours[:, ::steps]
        own = _relative(theirs, ours)
        distance[name] = float(own.mean())
        worst = torch.maximum(worst, own)
    return Replay(distance, tuple(worst.tolist()), steps)


def _relative(theirs: Tensor, ours: Tensor) -> Tensor:
    away = (theirs - ours).flatten(1).square().sum(1)
    flat = theirs.flatten(1)
    size = (flat - flat.mean(1, keepdim=True)).square().sum(1)
    return (away / size.clamp_min(1e-300)).sqrt().nan_to_num(torch.inf)


def _value(pde: PDE, item: Field | Slice | Param, fields: Fields, grid: Grid) -> Tensor:
    if isinstance(item, Slice):
        dimension, node = pde.slice_index(item, grid)
        at = 0 if node == 0 else -1
        return fields[item.field.name].select(dimension + 1, at).double()
    return fields[item.name].double()
