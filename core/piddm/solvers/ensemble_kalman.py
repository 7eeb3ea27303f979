r"""Ensemble Kalman: no derivative of law or equation, each member's forward a derived solve.

Members m are draws of what the inputs are made of (the Gaussian field behind the phases of a
medium, the logarithm of a positive one), and see :math:`g(m)`. In a few steps the likelihood is let
in, a share :math:`1/\alpha_k` of it each, :math:`\sum_k 1/\alpha_k = 1`:

.. math:: m \leftarrow m + \rho\circ C_{mg}\,(C_{gg} + \alpha_k\Sigma)^{-1}
    (y + \sqrt{\alpha_k}\,\sigma\xi - g(m)),

with the ensemble's own covariances. It is exact for a linear equation, a Gaussian law and many
members. The share of a step follows from the misfits, so that no step goes farther than the
ensemble can see; correlations as small as those of so many random numbers are damped by
:math:`\rho`, whatever they are correlations of. Members that are farther from the observations than
noise is, for no regression knows how an equation bends, then go the ensemble's way again where that
brings them nearer (Chen and Oliver, Computational Geosciences 17, 2013), and media of phases end by
:mod:`piddm.solvers._flips`. Source: Emerick and Reynolds, Computers and Geosciences 55, 2013
(multiple data assimilation); Iglesias and Yang, Inverse Problems 37, 2021 (shares); Furrer and
Bengtsson, Journal of Multivariate Analysis 98, 2007 (damping); Chada et al., Inverse Problems 34,
2018 (level sets).
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from piddm.solvers._flips import Flips
from piddm.solvers._forward import Forward
from piddm.solvers._kalman import Latent, of_law, of_student
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.sensors import Sensors
from piddm.tasks.solver import Members, Solver, merged
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress

if TYPE_CHECKING:
    from piddm.tasks.model import Model


NEARER = 6
"""Moves towards the observations after the last share of them, at most."""


class EnsembleKalmanSolver(Solver):
    """Iterated ensemble smoother with multiple data assimilation.

    Args:
        run: Its equation, grid and scales; no model is used.
        ensemble: Members that are at work; what is asked for is taken from them.
        steps: Steps at most; what is left of the likelihood then is left out, and misfits show it.
        student: Whether inputs are the student's, and its noise what moves, where the law is given
            by samples only; solutions are the solver's all the same.
    """

    exact = True

    def __init__(
        self, run: Model, *, ensemble: int = 200, steps: int = 20, student: bool = False
    ) -> None:
        if ensemble < 10 or steps < 1:
            raise UsageError("ensemble-kalman takes at least 10 members and 1 step")
        self.run, self.ensemble, self.steps, self.student = run, ensemble, steps, student

    @torch.no_grad()
    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return ``count`` members of the last ensemble."""
        run, known = self.run, task.observations.params
        laws = {g: p for g, p in run.pde.inputs.items() if str(g) not in known}
        if not laws:
            raise UsageError(
                f"{run.pde.name} has no unknown input whose law is known, which ensemble-kalman "
                "needs; take data-space"
            )
        seen = Likelihood.of(task, run.pde.field_names, run.packing)
        forward = Forward(run.pde, run.residual.grid, list(laws), known)
        size = max(self.ensemble, count)
        own = of_student(run, laws, size, generator) if self.student else None
        latent = own or of_law(laws, run.residual.grid, size, generator)
        share, ensemble = 0.0, _Members({}, torch.empty(0))
        for step in range(self.steps + 1):
            parts = []
            for done, part in forward.chunks(latent.inputs()):
                parts.append(part)
                yield Progress(
                    "kalman", step * latent.count + done, (self.steps + 1) * latent.count,
                    {"assimilated": share},
                )  # fmt: skip
            x = merged(parts)
            misfit = seen.misfit(x)
            lost = ~misfit.isfinite().all(1)
            if int(lost.sum()) > latent.count // 2:
                raise PiddmError("most members of the ensemble have no solution; take classical")
            if bool(lost.any()):
                misfit = latent.replaced(lost, misfit, x, generator)
            ensemble = _Members(x, misfit)
            self.so_far = lambda ensemble=ensemble: ensemble.first(count, known)
            if share >= 1 or step == self.steps:
                break
            part = min(_share(misfit), 1 - share)
            latent.update(misfit, part, seen.noise(latent.count, generator))
            share += part
        if share >= 1:
            yield from self._nearer(latent, forward, seen, ensemble, count)
            if latent.jumps:
                yield from self._flipped(task, latent, seen.sensors, count)
        assert self.so_far is not None
        return self.so_far()

    def _nearer(
        self, latent: Latent, forward: Forward, seen: Likelihood, ensemble: _Members, count: int
    ) -> Steps[Progress, None, None]:
        """Move members that the bends of the equation left too far from what was observed.

        Each goes the ensemble's way towards it where that is nearer, and no nearer than noise is;
        those within a deviation of noise's chi squared stay.
        """
        most = len(seen) + (2 * len(seen)) ** 0.5
        for done in range(1, NEARER + 1):
            far = (ensemble.misfit[:count].square().sum(1) > most).nonzero()[:, 0]
            if not len(far):
                break
            trial = latent.towards(ensemble.misfit, far)
            found = merged([part for _, part in forward.chunks(latent.inputs(trial))])
            misfit = seen.misfit(found)
            better = misfit.square().sum(1) < ensemble.misfit[far].square().sum(1)
            if not bool(better.any()):
                break
            latent.take(far[better], {g: v[better] for g, v in trial.items()})
            ensemble.take(far[better], {k: v[better] for k, v in found.items()}, misfit[better])
            yield Progress("nearer", done, NEARER, {"far": float(len(far))})

    def _flipped(
        self, task: Task, latent: Latent, sensors: Sensors, count: int
    ) -> Steps[Progress, None, None]:
        """Bring media of phases to the observations, where the equation can be factorised."""
        try:
            flips = Flips(self.run, task, sensors)
        except UsageError:
            return
        parts = []
        own = {k: v for k, v in latent.first(count).items() if not isinstance(k, str)}
        for part in flips(own):
            parts.append(part)
            yield Progress("flips", len(parts), count, {})
        found = Members(merged(parts))
        self.so_far = lambda: found


class _Members:
    """Solutions of an ensemble, and their misfit ``(count, n)``."""

    def __init__(self, x: dict[str, Tensor], misfit: Tensor) -> None:
        self._x, self.misfit = x, misfit

    def take(self, at: Tensor, x: dict[str, Tensor], misfit: Tensor) -> None:
        """Put others in their places."""
        self.misfit[at] = misfit
        for k, v in x.items():
            self._x[k][at] = v

    def first(self, count: int, known: Mapping[str, float]) -> Members:
        """Return the first ones, without what was known."""
        return Members({k: v[:count] for k, v in self._x.items() if k not in known})


def _share(misfit: Tensor) -> float:
    """Return the share of the likelihood that an ensemble bears at once."""
    half = misfit.square().sum(1) / 2
    n = misfit.shape[1]
    return max(n / float(2 * half.mean()), (n / float(2 * half.var())) ** 0.5)
