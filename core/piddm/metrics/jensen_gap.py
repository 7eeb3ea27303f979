r"""How far the residual of the posterior mean is from the posterior mean of the residual.

.. math:: \text{gap}(x_t) = E[R(x_0) \mid x_t] - R(E[x_0 \mid x_t])
    = \tfrac12 D^2R : \mathrm{Cov}(x_0 \mid x_t),

the second equality where R is quadratic (docs/theory.md has the proof). With an ideal denoiser
both sides are finite sums. A trained teacher knows only E[x0 | xt]: of it the residual of that
mean is measured, which is what PIDM and DiffusionPDE lower, and beside it the residual of the state
where its probability-flow ODE arrives from the same x_t, which is what distillation sees. Data
satisfy the equation, hence E[R(x0) | xt] is zero for any exact posterior, and the residual of a
teacher's mean is minus the gap, apart from the teacher's own error.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from piddm.residuals.norms import mean_squares
from piddm.residuals.residual import Residual
from piddm.teachers.ideal import IdealDenoiser
from piddm.teachers.teacher import Teacher
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator

Rows = dict[str, Tensor]
"""Values of each equation and condition."""

LEVELS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.97, 0.985, 0.995, 1.0)
"""Times at which it is measured; on few data in many dimensions the posterior spreads late."""

STEP = 1e-2
"""Step of the second difference: exact for cubic residuals, and rounding stays at 1e-10."""

CHUNK = 128
"""Residuals that are evaluated together."""

NEGLIGIBLE = 1e-14
"""Posterior weight of a state that is left out."""


@dataclass(frozen=True)
class Level:
    """One row of a residual at one noise level: root mean squares over x_t and nodes, over scale.

    Args:
        t: The time.
        noise: sigma/alpha, the noise-to-signal ratio; infinite where no signal is left.
        row: The equation or condition.
        of_mean: R(E[x0 | xt]).
        mean_of: E[R(x0) | xt].
        gap: Their difference.
        predicted: 1/2 D^2R : Cov(x0 | xt).
        missed: gap - predicted.
        spread: Effective number of states in the posterior, the exponential of its entropy.
        teacher: R(E[x0 | xt]) with a trained teacher.
        arrived: R at the end of the teacher's ODE from x_t.
    """

    t: float
    noise: float
    row: str
    of_mean: float
    mean_of: float
    gap: float
    predicted: float
    missed: float
    spread: float
    teacher: float | None = None
    arrived: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; JSON has no infinity."""
        return asdict(self) | {"noise": self.noise if self.noise != float("inf") else None}


def posterior_gap(
    residual: Residual, ideal: IdealDenoiser, weights: Tensor, rows: Rows
) -> dict[str, Rows]:
    """Return ``of_mean``, ``mean_of``, ``gap`` and ``predicted``, rows by name, for one posterior.

    Args:
        residual: The residual.
        ideal: The denoiser.
        weights: Its weights, ``(count,)``.
        rows: The residual of each of its data.
    """
    mean = torch.tensordot(weights, ideal.data, dims=1)[None]
    of_mean = {k: v[0] for k, v in residual(ideal.packing.unpack(mean)).items()}
    mean_of = {k: torch.tensordot(weights, v, dims=1) for k, v in rows.items()}
    predicted = {k: torch.zeros_like(v) for k, v in of_mean.items()}
    live = torch.nonzero(weights > NEGLIGIBLE)[:, 0]
    for index in live.split(CHUNK):
        moves = STEP * (ideal.data[index] - mean)
        for moved in (mean + moves, mean - moves):
            for k, v in residual(ideal.packing.unpack(moved)).items():
                change = (v - of_mean[k]) / (2 * STEP**2)
                predicted[k] += torch.tensordot(weights[index], change, dims=1)
    gap = {k: mean_of[k] - of_mean[k] for k in of_mean}
    return {"of_mean": of_mean, "mean_of": mean_of, "gap": gap, "predicted": predicted}


@torch.no_grad()
def jensen_gap(
    residual: Residual,
    scale: Mapping[str, float],
    ideal: IdealDenoiser,
    levels: Sequence[float] = LEVELS,
    draws: int = 16,
    seed: int = 0,
    teacher: Teacher | None = None,
    steps: int = 20,
) -> Generator[Progress, None, list[Level]]:
    """Measure both sides along noise levels; yield progress, return a :class:`Level` a row.

    Args:
        residual: The residual.
        scale: Scale of its rows.
        ideal: The exact denoiser of some data.
        levels: Times.
        draws: States x_t at each.
        seed: Seed of these.
        teacher: A trained one, which sees other noise of the same kind on the same data.
        steps: Steps of the teacher's ODE from x_t to data.
    """
    exact = _in_chunks(residual, ideal)
    found: list[Level] = []
    for n, level in enumerate(levels):
        t = torch.full((draws,), level, dtype=torch.float64)
        x0, xt = ideal.corrupt(t, generator(seed, "jensen", n))
        weights = ideal.weights(xt, t)
        parts = [posterior_gap(residual, ideal, w, exact) for w in weights]
        a, s = float(ideal.schedule.alpha(t)[0]), float(ideal.schedule.sigma(t)[0])
        spread = float(torch.exp(torch.special.entr(weights).sum(1).mean()))
        learnt = (
            {} if teacher is None else _learnt(residual, scale, teacher, x0, level, steps, seed)
        )
        for row in exact:
            every = {k: torch.stack([p[k][row] for p in parts]) for k in parts[0]}
            every["missed"] = every["gap"] - every["predicted"]
            sizes = {k: float(v.square().mean().sqrt()) / scale[row] for k, v in every.items()}
            noise = s / a if a > 1e-12 else float("inf")
            own = {k: v[row] for k, v in learnt.items()}
            found.append(Level(level, noise, row, **sizes, spread=spread, **own))
        worst = max(f.gap for f in found[-len(exact) :])
        yield Progress("jensen", n + 1, len(levels), {"t": level, "gap": worst})
    return found


def _in_chunks(residual: Residual, ideal: IdealDenoiser) -> Rows:
    parts = [residual(ideal.packing.unpack(x)) for x in ideal.data.split(CHUNK)]
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}


def _learnt(
    residual: Residual, scale: Mapping[str, float], teacher: Teacher, x0: Tensor, level: float,
    steps: int, seed: int,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return the teacher's columns by row."""
    packing = teacher.packing
    x0 = x0.to(packing.mean)
    white = torch.randn(x0.shape, generator=generator(seed, "jensen teacher", f"{level:g}")).to(x0)
    times = level * torch.linspace(1, 0, steps + 1).to(x0)
    t = times[:1].expand(len(x0))
    a, s = (v(t)[:, None, None, None] for v in (teacher.schedule.alpha, teacher.schedule.sigma))
    xt = a * x0 + s * packing.colour(white)
    arrived = xt
    for now, then in itertools.pairwise(times):
        arrived = arrived + (then - now) * teacher.velocity(arrived, now.expand(len(x0)))
    found = {"teacher": teacher.denoise(xt, t), "arrived": arrived}
    return {
        name: {
            k: float(v.sqrt())
            for k, v in mean_squares(residual, packing.unpack(x.double()), scale).items()
        }
        for name, x in found.items()
    }
