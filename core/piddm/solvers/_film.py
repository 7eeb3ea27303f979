r"""A film that is known by its first time: four-dimensional variational analysis, with an ensemble.

What is unknown is the white noise z behind the first time, what is seen lies anywhere in the film.
The point of the largest posterior density minimises

.. math:: \tfrac12\left\|\frac{Hx(z) - y}{s}\right\|^2 + \tfrac12\|z\|^2

by Gauss-Newton steps in the space of observations, G = H dx/dz by the adjoint of the march
(:mod:`piddm.solvers._film_slopes`), its matrix :math:`GG^T` decomposed once for all sizes of s that
a step may take: s is loosened where observations are exact and the solution far. G is taken again
where the film has moved. Members start where the linear problem would have them, by randomised
maximum likelihood, and take a few steps with the same G, each judged by its own film. Source: Le
Dimet and Talagrand, Tellus A 38, 1986; Courtier, Quarterly Journal of the Royal Meteorological
Society 123, 1997 (the dual space); Bannister, ibid. 143, 2017 (ensembles).
"""

from __future__ import annotations

from collections.abc import Generator as Steps

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.periodic_marching import PeriodicMarching
from piddm.solvers._film_slopes import FilmSlopes
from piddm.solvers._sensitivity import Inputs
from piddm.symbolic.operators import Slice
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.solver import Members
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress

EASING = 0.1
"""Share of the misfit to which a step reduces it, where sigma asks for less."""

DONE = 0.05
"""Decrease of the objective, over the number of observations, that is not worth a step."""

MOVED = 0.1
"""Change of the film, over its size, from which slopes are taken again."""

NEARER = 3
"""Steps of the members."""

TOGETHER = 8
"""Films that are marched together."""


def films(pde: PDE, grid: Grid) -> bool:
    """Return whether all that is unknown is the first time of a film that modes can march."""
    name, axis = next(iter(grid.axes.items()))
    return PeriodicMarching.fits(pde, grid) and all(
        isinstance(g, Slice) and g.axis == name and g.value == axis.lower for g in pde.inputs
    )


class Film:
    """The problem, and its solution.

    Args:
        run: The equation, its grid and the scales of its fields.
        task: What is known.
        steps: Gauss-Newton steps at most.
    """

    def __init__(self, run: Model, task: Task, steps: int) -> None:
        pde, grid = run.pde, run.residual.grid
        self.likelihood = Likelihood.of(task, pde.field_names, run.packing)
        known = {p.name: float(p.value) for p in pde.params} | dict(task.observations.params)
        self._inputs, self._steps = Inputs(pde, grid, pde.inputs), steps
        started = tuple(g.field.name for g in pde.inputs if isinstance(g, Slice))
        self._march = PeriodicMarching(pde, grid, started, known)
        seen = self.likelihood.sensors.matrix(len(pde.fields) * self.likelihood.sensors.nodes)
        self._slopes = FilmSlopes(pde, grid, started, known, seen)
        self._name = pde.name
        self.size = self._inputs.size

    def films(self, z: Tensor) -> dict[str, Tensor]:
        """Return the films of white noise ``(batch, size)``."""
        parts = []
        for some in z.split(TOGETHER):
            first = {str(g.field): v for g, v in self._inputs(some).items()}  # pyright: ignore
            parts.append(self._march.solve(first))
        return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}

    def slopes(self, film: dict[str, Tensor], z: Tensor) -> Tensor:
        """Return G of the first film, over sigma, ``(n, size)``."""
        left = self._slopes({k: v[0] for k, v in film.items()})
        flat = torch.from_numpy(left.reshape(len(left), -1)).double()
        return self._inputs.pulled(z[0], flat) / self.likelihood.sigma[:, None]

    def members(self, count: int, draw: torch.Generator) -> Steps[Progress, None, Members]:
        """Yield progress, and return the point of the largest density and members around it."""
        total = self._steps + 1 + NEARER
        z = torch.zeros(1, self.size, dtype=torch.float64)
        x = self.films(z)
        misfit = self.likelihood.misfit(x)
        linear, at, n = _Linear(self.slopes(x, z)), x, misfit.shape[1]
        loose = _loosened(misfit)
        for step in range(self._steps):
            yield Progress("film", step, total, {"misfit": float(misfit.square().mean())})
            if _apart(x, at) > MOVED:
                linear, at = _Linear(self.slopes(x, z)), x
            damping, gain = 0.0, 0.0
            for _ in range(6):
                trial = z + linear.step(misfit, z, loose, damping)
                found = self._tried(trial)
                away = self.likelihood.misfit(found)
                gain = float(_objective(misfit, z, loose) - _objective(away, trial, loose))
                if gain > 0:
                    z, x, misfit = trial, found, away
                    break
                damping = max(10 * damping, 1e-4 * float(linear.values[-1] / loose**2))
            if not gain > DONE * n and float(loose) == 1.0:
                if at is x or _apart(x, at) < 1e-3 * MOVED:
                    break
                linear, at = _Linear(self.slopes(x, z)), x
            loose = torch.minimum(loose, _loosened(misfit)) if gain > 0 else loose
        most = {k: v[0] for k, v in x.items()}
        anchor = torch.randn(count, self.size, generator=draw, dtype=torch.float64)
        noise = self.likelihood.noise(count, draw)
        one = torch.ones(())
        zs = z + linear.step(misfit - noise, z - anchor, one, 0.0)
        found = self._tried(zs)
        away = self.likelihood.misfit(found) - noise
        for step in range(NEARER):
            yield Progress("film", self._steps + step, total,
                           {"misfit": float((away + noise).square().mean())})  # fmt: skip
            trial = zs + linear.step(away, zs - anchor, one, 0.0)
            new = self._tried(trial)
            off = self.likelihood.misfit(new) - noise
            better = _objective(off, trial - anchor, one) < _objective(away, zs - anchor, one)
            zs[better], away[better] = trial[better], off[better]
            for k, v in found.items():
                v[better] = new[k][better]
        deviation = {k: v.std(0) if count > 1 else torch.zeros_like(v[0]) for k, v in found.items()}
        return Members(found, mean=most, deviation=deviation)

    def _tried(self, z: Tensor) -> dict[str, Tensor]:
        try:
            return self.films(z)
        except PiddmError as error:
            raise UsageError(f"{self._name}: {error}") from error


class _Linear:
    """The problem with one G, for any loosened sigma and damping.

    Args:
        slopes: G, ``(n, size)``.
    """

    def __init__(self, slopes: Tensor) -> None:
        self._slopes = slopes
        values, self._vectors = torch.linalg.eigh(slopes @ slopes.mT)
        self.values = values.clamp_min(0.0)

    def step(self, misfit: Tensor, away: Tensor, loose: Tensor, damping: float) -> Tensor:
        r"""Return :math:`-(G^TG/l^2 + (1+\mu)I)^{-1}(G^Tr/l^2 + a)` for a batch ``(m, n)``."""
        gradient = misfit @ self._slopes / loose**2 + away
        weight = 1 / (self.values / loose**2 + 1 + damping) / loose**2
        inner = ((gradient @ self._slopes.mT) @ self._vectors * weight) @ self._vectors.mT
        return -(gradient - inner @ self._slopes) / (1 + damping)


def _loosened(misfit: Tensor) -> Tensor:
    return (EASING * misfit.square().mean().sqrt()).clamp_min(1.0)


def _objective(misfit: Tensor, away: Tensor, loose: Tensor) -> Tensor:
    return ((misfit / loose).square().sum(1) + away.square().sum(1)) / 2


def _apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return how far two films are apart, over their size, in the field that differs most."""
    return max(float((one[k] - v).norm() / v.norm().clamp_min(1e-300)) for k, v in other.items())
