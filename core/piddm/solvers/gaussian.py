r"""The best linear answer: fields taken for Gaussian, with the data's mean and covariance.

.. math:: x = S\epsilon + SS^T H^T (H SS^T H^T + \mathrm{diag}(s^2))^{-1}
    (y + s\xi - H S\epsilon),

S being the colour of the run's data (:mod:`piddm.packing`); each member is a sample of the Gaussian
posterior, by Matheron's rule. It is kriging with a covariance that was learned: no network is
called and no equation asked, so what a solver gains by either is what it gains over this one.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from typing import TYPE_CHECKING

import torch
from torch import Generator

from piddm.errors import UsageError
from piddm.interfaces import Members, Solver, Task
from piddm.solvers.linear import through_colour
from piddm.tasks.finishing import EXACT
from piddm.tasks.sensors import Sensors
from piddm.training import Progress

if TYPE_CHECKING:
    from piddm.api import Run

MOST = 8192
"""Observations at most: their matrix is dense."""


class GaussianSolver(Solver):
    """Conditions the data's own Gaussian law on the observations.

    Args:
        run: A run, of whose teacher's normalisation only is used.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @torch.no_grad()
    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return samples of the Gaussian posterior."""
        packing, names = self.run.packing, self.run.pde.field_names
        sensors = Sensors(task.observations, names, task.interpolation)
        n, shape = len(sensors), (packing.channels, *packing.image)
        if n > MOST:
            raise UsageError(f"gaussian takes at most {MOST} observations, not {n}")
        scale = packing.field_scale()
        unit = torch.tensor([scale[k] for k in names], dtype=torch.float64)[sensors.field]
        s = torch.where(sensors.sigma > 0, sensors.sigma, EXACT * unit) / unit
        seen = through_colour(packing, sensors).double() / unit[:, None]
        mean = sensors(packing.unpack(torch.zeros(1, *shape))).double() / unit
        white = torch.randn((count, *shape), generator=generator)
        xi = torch.randn((count, n), generator=generator, dtype=torch.float64)
        missing = sensors.values / unit - mean + s * xi - white.flatten(1).double() @ seen.mT
        gain = torch.linalg.solve(seen @ seen.mT + torch.diag(s.square()), missing.mT)
        noise = white + (gain.mT @ seen).to(white).view_as(white)
        yield Progress("gaussian", 1, 1, {"observations": float(n)})
        return Members(packing.unpack(packing.colour(noise.to(packing.scale))))
