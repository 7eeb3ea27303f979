"""Samples on a grid that nothing was trained on: what a small residual is worth off its own grid.

A residual is that of one discretisation. Samples are carried to other nodes by splines of the
third order, trigonometric where an axis is periodic, and scored there by the same equation on the
new grid. Data carried likewise have an error too, which stands beside: that of the discretisation
they solve, seen from another.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.signal import resample
from torch import Tensor

from piddm.data.packing import Packing
from piddm.grids.grid import Grid
from piddm.metrics.yardstick import Yardstick
from piddm.numerics.projection import Projection
from piddm.residuals.norms import term_scale
from piddm.residuals.residual import Fields
from piddm.runs.stages import Distillation
from piddm.tools.errors import UsageError

MEASURED = 128
"""Training samples whose mean, deviation and terms are the new grid's units."""

TOGETHER = 64
"""Samples that are carried together: a spline's coefficients are four times the values."""


class OtherGrid:
    """A run's data, equation and yardstick with another number of nodes.

    Args:
        job: The run.
        factor: Nodes along each axis, over those of the run.

    Raises:
        UsageError: If the grid is a sphere's, whose nodes no spline along an axis connects.
    """

    def __init__(self, job: Distillation, factor: float) -> None:
        old = job.grid
        if old.spherical:
            raise UsageError("+grid is for grids in the plane; leave it out on a sphere")
        sizes = {k: round(a.size * factor) for k, a in old.axes.items()}
        self.old, self.grid, self._packing = old, old.resized(sizes), job.packing
        train, held_out = (
            carried({k: v[:n] for k, v in d.fields.items()}, old, self.grid)
            for d, n in zip(job.data, (MEASURED, None), strict=True)
        )
        self.packing = Packing(self.grid, job.pde.field_names, bounds=job.pde.bounds).fit(train)
        residual = job.pde.bind(self.grid)
        scale = term_scale(residual, train)
        projection = Projection(residual, self.packing.norm(), scale)
        self.held_out = self.packing.pack(held_out)
        self.yardstick = Yardstick(
            projection, self.packing, self.held_out, job.config.evaluation.distance_count
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Carry samples in the run's packing to this grid and its packing."""
        fields = self._packing.unpack(x.cpu().double())
        return self.packing.pack(carried(fields, self.old, self.grid))


def carried(fields: Fields, old: Grid, new: Grid) -> dict[str, Tensor]:
    """Return fields ``(batch, *old.shape)`` at the nodes of another grid of the same domain.

    What is no field, a param of each sample, stays as it is.
    """
    return {
        k: v if v.dim() == 1 else torch.cat([
            torch.from_numpy(_along(part.double().cpu().numpy(), old, new))
            for part in v.split(TOGETHER)
        ])
        for k, v in fields.items()
    }  # fmt: skip


def _along(values: np.ndarray, old: Grid, new: Grid) -> np.ndarray:
    pairs = zip(old.axes.values(), new.axes.values(), strict=True)
    for dim, (before, after) in enumerate(pairs, start=1):
        if before.periodic:
            values = np.asarray(resample(values, after.size, axis=dim))
        else:
            spline = CubicSpline(before.coordinates(), values, axis=dim)
            values = spline(after.coordinates())
    return np.ascontiguousarray(values)
