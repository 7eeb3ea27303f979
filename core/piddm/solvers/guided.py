r"""Posterior sampling with the teacher: its probability flow, led by observations and the residual.

At each step, as DiffusionPDE does (Huang et al., arXiv 2406.17763, after DPS, Chung et al., arXiv
2209.14687), the teacher's estimate :math:`\hat x_0(x_t)` is compared with the observations, and the
gradient by :math:`x_t`, through the network, leads the flow. DPS needs a weight for that, which
hangs on the equation. Here the noise has the data's covariance :math:`C = SS^T`
(:mod:`piddm.data.packing`), and with it the likelihood of the noisy state is that of a Gaussian,

.. math:: p(y \mid x_t) = N\big(y;\; H\hat x_0(x_t),\; r^2 H C H^T + s^2\big), \qquad
    r^2 = \frac{\sigma^2}{\alpha^2 + \sigma^2}, \qquad
    \hat x_0 \leftarrow \hat x_0 + \frac{\sigma^2}{\alpha}\,
    C\,\nabla_{x_t} \log p(y \mid x_t),

r^2 C being the covariance of :math:`x_0` given :math:`x_t`. For Gaussian data that is exact, with
no weight. On Burgers and Darcy with 3 % of points known DPS's own step of a fixed length did no
better with C and its weight tuned, and much worse without C.
It is the guidance of Song et al. (ICLR 2023, pseudoinverse-guided diffusion) for coloured noise.

In the last share of the steps the estimate is then moved towards the nearest solution
(:mod:`piddm.numerics.projection`); the gradient of the residual's plain norm did nothing
measurable. Steps are those of DDIM, exact where the estimate stands still.
"""

from __future__ import annotations

from collections.abc import Generator as Steps

import torch
from torch import Generator, Tensor

from piddm.data.packing import Packing
from piddm.numerics.projection import Projection
from piddm.residuals.wrappers import with_params
from piddm.solvers._linear_part import at_mean
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

TOGETHER = 64
"""States that are coloured at once."""

MOST = 10_000
"""Observations whose matrix is decomposed; it takes the square of that in memory."""

STILL = 1e-6
"""Signal level below which the state says nothing of the data."""


LONGEST = 10.0
"""How far observations may move an estimate in a step, over the fields' deviation.

Where the denoiser bends they overshoot, and each step would be larger than the last: on
Navier-Stokes, 20 steps, without a limit to a relative error of 400, with it of 0.19. On Burgers and
Darcy no step is as long, and 3 changed the fourth digit."""


NEAR = 1.0
"""The same of moves to the nearest solution where fields have a range, which bend them."""

HALVINGS = 10
"""Halvings of a move at most."""


class GuidedSolver(Solver):
    """Samples the teacher's flow, guided.

    Args:
        run: A run with a teacher.
        steps: Steps of the flow, two network calls each.
        weight: Of the observations' gradient; 1 is the Gaussian's own.
        tolerance: What stands beside the noise of the observations for the teacher's own error,
            over the fields' deviation.
        physics: Part of the way to the nearest solution that the estimate is moved.
        share: Share of the steps, the last ones, that do so.
    """

    def __init__(
        self, run: Model, *, steps: int = 100, weight: float = 1.0, tolerance: float = 0.01,
        physics: float = 0.5, share: float = 0.5,
    ) -> None:  # fmt: skip
        shares = 0 <= physics <= 1 and 0 <= share <= 1
        if steps < 1 or weight < 0 or tolerance <= 0 or not shares:
            raise UsageError(
                "guided: steps are at least 1, the weight at least 0, the tolerance positive, "
                "physics and share between 0 and 1"
            )
        self.run, self.steps, self.weight, self.tolerance = run, steps, weight, tolerance
        self.physics, self.share = physics, share

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return members that the guided flow ends at."""
        teacher, packing = self.run.teacher, self.run.packing
        schedule = teacher.schedule
        seen = Likelihood.of(task, packing.names, packing, self.tolerance)
        guidance = _Guidance(packing, seen)
        projection = None
        if self.physics and self.share and self.run.residual.rows:
            residual = with_params(self.run.soft_residual, task.observations.params)
            projection = Projection(residual, packing.norm(), self.run.scale)
        white = torch.randn((count, packing.channels, *packing.image), generator=generator)
        x, times = packing.colour(white.to(packing.scale)), schedule.times(self.steps)
        alpha, sigma = schedule.alpha(times).tolist(), schedule.sigma(times).tolist()
        for step in range(self.steps):
            a, s = alpha[step], sigma[step]
            state = x.detach().requires_grad_()
            with torch.enable_grad():
                estimate = teacher.denoise(state, times[step].to(state).expand(count))
                away = guidance.away(estimate)
                force = guidance.force(away.detach(), s**2 / (a**2 + s**2))
                (slope,) = torch.autograd.grad((away * force).sum(), state)
            x0 = estimate.detach()
            if a > STILL:
                move = _limited(self.weight * s**2 / a * covariance(packing, slope))
                x0 = x0 - (guidance.halved(x0, move, away.detach()) if packing.bounds else move)
            if projection and step >= (1 - self.share) * self.steps:
                move = packing.moves(x0, projection.correction(packing.unpack(x0)))
                move = self.physics * packing.weigh(move, -0.5)
                x0 = x0 - (_limited(move, NEAR) if packing.bounds else move)
            noise = (x - a * x0) / s
            x = alpha[step + 1] * x0 + sigma[step + 1] * noise
            misfit = float(away.detach().square().mean().sqrt())
            yield Progress("guided", step + 1, self.steps, {"misfit": misfit})
        return Members(packing.unpack(x), 2 * self.steps)


def _limited(move: Tensor, longest: float = LONGEST) -> Tensor:
    """Return moves of packed samples, none longer than that in the mean over nodes."""
    size = move.flatten(1).square().mean(1).sqrt() / longest
    return move / size.clamp_min(1.0).view(-1, *[1] * (move.ndim - 1))


def covariance(packing: Packing, x: Tensor) -> Tensor:
    """Return :math:`SS^T x` of packed ``(batch, channel, *image)``."""
    with torch.enable_grad():
        white = torch.zeros_like(x).requires_grad_()
        (turned,) = torch.autograd.grad(packing.colour(white), white, x)
    return packing.colour(turned)


class _Guidance:
    """The likelihood of observations, given an estimate that is uncertain by :math:`r^2 C`."""

    def __init__(self, packing: Packing, likelihood: Likelihood) -> None:
        if len(likelihood) > MOST:
            raise UsageError(
                f"guided takes {MOST} observations at most, not {len(likelihood)}: leave some "
                "out, or choose another solver"
            )
        self._packing, self._likelihood = packing, likelihood
        self._values, self._vectors = torch.linalg.eigh(self._covariance())

    def _covariance(self) -> Tensor:
        """Return :math:`H C H^T` of what is seen, by columns."""
        sensors = at_mean(self._packing, self._likelihood.sensors)
        sigma = self._likelihood.sigma
        rows, count, packing = [], len(sensors), self._packing
        like = packing.scale
        for start in range(0, count, TOGETHER):
            size = min(TOGETHER, count - start)
            one = torch.zeros(size, count).to(like)
            one[torch.arange(size), torch.arange(start, start + size)] = 1.0
            spread = sensors.spread(one / sigma.to(like))
            moved = covariance(packing, packing.pull(spread))
            change = packing.push(torch.zeros_like(moved), moved)
            seen = sensors.push(change).double()
            rows.append(seen / sigma.to(seen.device))
        full = torch.cat(rows)
        return (full + full.mT) / 2

    def away(self, x: Tensor) -> Tensor:
        """Return (H x - y) / s of packed states, ``(batch, n)``."""
        seen = self._likelihood.seen(self._packing.unpack(x))
        return seen - self._likelihood.target.to(x)

    def halved(self, x: Tensor, move: Tensor, away: Tensor) -> Tensor:
        """Return moves that bring states nearer to the observations, halved until they do.

        Where fields have a range what is seen bends, and a whole move may go too far.
        """
        before = away.square().sum(1)
        for _ in range(HALVINGS):
            farther = ~(self.away(x - move).square().sum(1) <= before)
            if not bool(farther.any()):
                break
            move = torch.where(farther.view(-1, *[1] * (move.ndim - 1)), move / 2, move)
        return move

    def force(self, away: Tensor, doubt: float) -> Tensor:
        """Return :math:`(r^2 H C H^T/s^2 + 1)^{-1}` times what is away."""
        inner = away.double() @ self._vectors / (doubt * self._values.clamp_min(0.0) + 1)
        return (inner @ self._vectors.mT).to(away)
