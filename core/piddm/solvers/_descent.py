"""Gauss-Newton steps with Levenberg's damping, for the members of an ensemble in step."""

from __future__ import annotations

import torch
from torch import Tensor

from piddm.solvers._inverse_problem import InverseProblem

DONE = 1e-3
"""Decrease of the objective, in units of half a chi squared, that is not worth a step."""

STRAIGHT = 0.9
"""Share of its promise that the first step must keep, else sigma is loosened at first."""

EASING = 0.3
"""Share of the misfit to which a step of the descent reduces it, where sigma asks for less."""


class Descent:
    """All members' descents, in step.

    Where the first step does not keep what it promised, the equation bends, and exact observations
    of a far solution would pull along slopes that hold nearby only. Sigma is then loosened, by a
    factor that falls with the misfit and ends at 1.

    Args:
        problem: What is minimised.
        anchor: The random part z0, ``(members, size)``.
        noise: That of the observations, over their sigma, ``(members, seen)``.
        start: Where the descents begin, ``(members, size)``; the middle of the law where left out.
    """

    def __init__(
        self, problem: InverseProblem, anchor: Tensor, noise: Tensor, start: Tensor | None = None
    ) -> None:
        self._problem, self._anchor, self._noise = problem, anchor, noise
        # From the middle of the law, where equations are tamest, rather than from the anchor.
        self._z = torch.zeros_like(anchor) if start is None else start.clone()
        self.x = problem.solved(self._z, strict=True)
        self.misfit = problem.misfit(self.x) - noise
        self.loose = torch.ones(len(anchor), dtype=torch.float64)
        self._first = True
        self.going = torch.ones(len(anchor), dtype=torch.bool)
        self._damping = torch.zeros(len(anchor), dtype=torch.float64)
        self._slopes: dict[int, Tensor] = {}
        self._step, self._promised = torch.zeros_like(anchor), torch.zeros_like(self._damping)

    def point(self) -> None:
        """Find each member's next step; those that none would help are done."""
        new = [k for k in self._members() if k not in self._slopes]
        if new:
            found = self._problem.slopes({k: v[new] for k, v in self.x.items()}, self._z[new])
            self._slopes |= dict(zip(new, found, strict=True))
        self._step = torch.zeros_like(self._z)
        for k in self._members():
            self._promised[k] = 0.0
            while self._promised[k] < DONE and self.going[k]:
                self._step[k], self._promised[k] = gauss_newton(
                    self._slopes[k] / self.loose[k],
                    self.misfit[k] / self.loose[k],
                    self._z[k] - self._anchor[k],
                    float(self._damping[k]),
                )
                if self._promised[k] < DONE:
                    self.going[k] = self.loose[k] > 1
                    self.loose[k] = (EASING * self.loose[k]).clamp_min(1.0)
            if not self.going[k]:
                self._step[k] = 0.0

    def move(self) -> None:
        """Take the steps that lower the objective; where one does not, damp the next."""
        going = self.going
        trial = self._z + self._step
        x = {k: v.clone() for k, v in self.x.items()}
        for k, v in self._problem.solved(trial[going]).items():
            x[k][going] = v
        misfit = self._problem.misfit(x) - self._noise
        gain = self._objective(self.misfit, self._z) - self._objective(misfit, trial)
        better = going & (gain > 0)
        bent = going & ~(gain > STRAIGHT * self._promised) & self._first
        self._first = False
        for k in self._members():
            if bent[k]:
                self.loose[k] = _loosened(self.misfit[k : k + 1])[0]
                better[k] = better[k] & (self.loose[k] == 1)
            elif better[k]:
                self._damping[k] = self._damping[k] / 10 if self._damping[k] > 1e-2 else 0.0
            else:
                largest = float((self._slopes[k] / self.loose[k]).square().sum(1).max())
                self._damping[k] = max(10 * float(self._damping[k]), 1e-4 * largest)
            if better[k]:
                del self._slopes[k]
        # Where the parabola was true to the function, its minimum is reached.
        exact = (gain - self._promised).abs() < DONE
        self.going = going & ~(better & exact & (self._damping == 0) & (self.loose == 1))
        for k, v in self.x.items():
            v[better] = x[k][better]
        self._z[better], self.misfit[better] = trial[better], misfit[better]
        self.loose = torch.minimum(self.loose, _loosened(self.misfit))

    @property
    def noise(self) -> Tensor:
        """Where the members are, ``(members, size)``."""
        return self._z

    @property
    def fit(self) -> float:
        """Chi squared of the members, a sensor."""
        return float((self.misfit + self._noise).square().mean())

    @property
    def chi_squared(self) -> Tensor:
        """That of each member, ``(members,)``."""
        return (self.misfit + self._noise).square().sum(1)

    @property
    def objective(self) -> Tensor:
        """What each member minimises, ``(members,)``."""
        return (self.misfit.square().sum(1) + (self._z - self._anchor).square().sum(1)) / 2

    def _members(self) -> list[int]:
        return self.going.nonzero()[:, 0].tolist()

    def _objective(self, misfit: Tensor, z: Tensor) -> Tensor:
        fit = (misfit / self.loose[:, None]).square().sum(1)
        return (fit + (z - self._anchor).square().sum(1)) / 2


def _loosened(misfit: Tensor) -> Tensor:
    return (EASING * misfit.square().mean(1).sqrt()).clamp_min(1.0)


def gauss_newton(
    slope: Tensor, misfit: Tensor, away: Tensor, damping: float = 0.0
) -> tuple[Tensor, float]:
    r"""Return :math:`-(G^TG + (1+\mu)I)^{-1} g` and the decrease that it promises.

    The matrix is inverted where it is smaller: among white numbers, or among observations.
    """
    gradient, diagonal = slope.mT @ misfit + away, 1 + damping
    seen, size = slope.shape
    if size <= seen:
        normal = slope.mT @ slope + diagonal * torch.eye(size, dtype=slope.dtype)
        move = -_solved(normal, gradient)
    else:
        normal = slope @ slope.mT + diagonal * torch.eye(seen, dtype=slope.dtype)
        move = -(gradient - slope.mT @ _solved(normal, slope @ gradient)) / diagonal
    bend = (slope @ move).square().sum() + move.square().sum()
    return move, float(-(gradient @ move) - bend / 2)


def _solved(matrix: Tensor, side: Tensor) -> Tensor:
    return torch.cholesky_solve(side[:, None], torch.linalg.cholesky(matrix))[:, 0]
