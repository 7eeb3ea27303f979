"""From an equation, or a run of it, to Jensen's gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from piddm.generation import CHUNK
from piddm.jensen.gap import Level, jensen_gap
from piddm.jensen.ideal import IdealDenoiser
from piddm.packing import Packing
from piddm.pde import PDE
from piddm.physics import term_scale
from piddm.randomness import generator
from piddm.schedules import SCHEDULES
from piddm.simulate import simulate
from piddm.training import Progress

if TYPE_CHECKING:
    from piddm.api import Run

RANK = 256
"""Principal components at most, without a run to take its packing from."""

SCHEDULE = "trigonometric"
"""The schedule without a run."""

SIZE, SMALL_SIZE = 32, 16
"""Nodes a side without a run, on two axes and on three."""


def measure(
    pde: PDE,
    found: list[Level],
    run: Run | None = None,
    count: int = 256,
    size: int | None = None,
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
        size: Nodes along every axis, without a run.
        draws: Noisy states at each level.
        seed: Seed of everything.
    """
    if run is None:
        grid = pde.grid.resized(size or (SIZE if len(pde.grid.axes) < 3 else SMALL_SIZE))
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
        packing = Packing(grid, pde.field_names, RANK).double().fit(fields)
        teacher, schedule = None, SCHEDULES[SCHEDULE]
    else:
        teacher, packing = run.teacher, run.packing
        schedule = teacher.schedule
    ideal = IdealDenoiser(fields, packing, schedule)
    levels = yield from jensen_gap(residual, scale, ideal, draws=draws, seed=seed, teacher=teacher)
    found.extend(levels)
