r"""The best linear answer: fields taken for Gaussian, with the data's mean and covariance.

.. math:: x = S\epsilon + SS^T H^T (H SS^T H^T + \mathrm{diag}(s^2))^{-1}
    (y + s\xi - H S\epsilon),

S being the colour of the run's data (:mod:`piddm.data.packing`); each member is a sample of the
Gaussian posterior, by Matheron's rule. It is kriging with a covariance that was learned: no network
is called and no equation asked, so what a solver gains by either is what it gains over this one.
Of fields with a range the logarithms or logits are taken for Gaussian.
"""

from __future__ import annotations

from collections.abc import Generator as Steps

import torch
from torch import Generator, Tensor

from piddm.solvers._linear_part import LinearPart, conditioned, through_colour
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

ROUNDS = 30
"""Steps of Gauss and Newton at most where a range makes what is seen nonlinear; they are cheap."""

MOST = 8192
"""Observations at most: their matrix is dense."""


class GaussianSolver(Solver):
    """Conditions the data's own Gaussian law on the observations.

    Args:
        run: A run, of whose teacher's normalisation only is used.
    """

    def __init__(self, run: Model) -> None:
        self.run = run

    @torch.no_grad()
    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return samples of the Gaussian posterior."""
        packing, names = self.run.packing, self.run.pde.field_names
        likelihood = Likelihood.of(task, names, packing)
        sensors, unit = likelihood.sensors, likelihood.unit
        if sensors.curved:
            raise UsageError(
                "gaussian takes linear readings, and one is no linear function of the fields; take "
                "classical, ensemble-kalman, level-set or data-space"
            )
        n, shape = len(sensors), (packing.channels, *packing.image)
        if n > MOST:
            raise UsageError(f"gaussian takes at most {MOST} observations, not {n}")
        if packing.bounds:
            noise = self._within(likelihood, count, generator)
            yield Progress("gaussian", 1, 1, {"observations": float(n)})
            return Members(packing.unpack(packing.colour(noise.to(packing.scale))))
        s = likelihood.sigma / unit
        seen = through_colour(packing, sensors).double() / unit[:, None]
        mean = sensors(packing.relaxed(torch.zeros(1, *shape))).double() / unit
        white = torch.randn((count, *shape), generator=generator)
        xi = likelihood.noise(count, generator)
        missing = sensors.values / unit - mean + s * xi - white.flatten(1).double() @ seen.mT
        gain = torch.linalg.solve(seen @ seen.mT + torch.diag(s.square()), missing.mT)
        noise = white + (gain.mT @ seen).to(white).view_as(white)
        yield Progress("gaussian", 1, 1, {"observations": float(n)})
        return Members(packing.unpack(packing.colour(noise.to(packing.scale))))

    def _within(self, likelihood: Likelihood, count: int, generator: Generator) -> Tensor:
        """Return the members' noise where fields have a range.

        Their logarithms or logits are Gaussian, and what is seen of them is no longer linear: each
        member is the best for observations and noise of its own (randomised maximum likelihood).
        """
        packing = self.run.packing
        shape = (packing.channels, *packing.image)
        linear = LinearPart.of(packing, likelihood, generator)
        white = torch.randn((count, *shape), generator=generator)
        target = likelihood.perturbed(count, generator)

        def seen(noise: Tensor) -> Tensor:
            packed = packing.colour(noise.view(-1, *shape).to(packing.scale))
            return likelihood.seen(packing.relaxed(packed)).double()

        noise = white.flatten(1)
        for better, _ in conditioned(seen, linear, white.flatten(1), target, ROUNDS):
            noise = better
        return noise.view_as(white)
