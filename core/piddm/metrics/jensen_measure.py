"""From an equation, or a run of it, to Jensen's gap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch

from piddm.data.packing import Packing
from piddm.data.simulate import CHUNK, simulate
from piddm.equation import PDE
from piddm.grids.grid import NodeCounts
from piddm.metrics.jensen_gap import Level, jensen_gap
from piddm.residuals.norms import term_scale
from piddm.residuals.residual import Residual
from piddm.teachers.ideal import IdealDenoiser
from piddm.teachers.schedules import SCHEDULES
from piddm.teachers.teacher import Teacher
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator

RANK = 256
"""Principal components at most, without a run to take its packing from."""

SCHEDULE = "trigonometric"
"""The schedule without a run."""

SIZE, SMALL_SIZE = 32, 16
"""Nodes a side without a run, on two axes and on three."""


class Trained(Protocol):
    """The parts of a run that are measured: residual, scale of its rows, teacher and packing."""

    @property
    def residual(self) -> Residual:
        """The residual on the run's grid."""
        ...

    @property
    def scale(self) -> Mapping[str, float]:
        """Scale of each row."""
        ...

    @property
    def teacher(self) -> Teacher:
        """The trained teacher."""
        ...

    @property
    def packing(self) -> Packing:
        """Normalisation and colour."""
        ...


def measure(
    pde: PDE,
    found: list[Level],
    run: Trained | None = None,
    count: int = 256,
    size: NodeCounts | None = None,
    draws: int = 16,
    seed: int = 0,
) -> Iterator[Progress]:
    """Simulate and measure; yield progress, and leave the levels in ``found``.

    Args:
        pde: The equation.
        found: Where the levels go.
        run: A run of it, whose grid, noise and teacher are taken.
        count: Solutions that are the data; drawn anew, in float64: the rounding of a file's would
            be what is left of the mean residual.
        size: Nodes along every axis, or ``{axis: nodes}``, without a run.
        draws: Noisy states at each level.
        seed: Seed of everything.
    """
    if run is None:
        grid = pde.grid.resized(SIZE if len(pde.grid.axes) < 3 else SMALL_SIZE)
        grid = grid.resized(size) if size else grid
        residual = pde.bind(grid)
    else:
        residual, grid = run.residual, run.residual.grid
    parts, done = [], 0
    for part in simulate(pde, grid, count, generator(seed, "jensen data"), CHUNK):
        parts.append({k: part[k] for k in pde.field_names})
        done += len(part[pde.field_names[0]])
        yield Progress("simulate", done, count, {})
    fields = {k: torch.cat([part[k] for part in parts]) for k in pde.field_names}
    scale = term_scale(residual, fields) if run is None else run.scale
    if run is None:
        packing = Packing(grid, pde.field_names, RANK, bounds=pde.bounds).double().fit(fields)
        teacher, schedule = None, SCHEDULES[SCHEDULE]
    else:
        teacher, packing = run.teacher, run.packing
        schedule = teacher.schedule
    ideal = IdealDenoiser(fields, packing, schedule)
    levels = yield from jensen_gap(residual, scale, ideal, draws=draws, seed=seed, teacher=teacher)
    found.extend(levels)
