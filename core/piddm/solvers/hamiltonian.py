r"""The posterior of the student's noise, sampled: Hamiltonian Monte Carlo for a Gaussian prior.

The energy U of the noise (:mod:`piddm.solvers._posterior`) is split into a Gaussian's,
:math:`N(\mu, C)`, and a rest. Under the first, positions :math:`q = \epsilon - \mu` and velocities
:math:`v \sim N(0, C)` turn exactly, in any dimension; the rest kicks:

.. math:: v \leftarrow v - \tfrac h2\,(C\,\nabla U - q), \qquad
    (q, v) \leftarrow (q \cos h + v \sin h,\; v \cos h - q \sin h), \qquad
    v \leftarrow v - \tfrac h2\,(C\,\nabla U - q),

and a trajectory is accepted by the change of :math:`U + \tfrac12 v^T C^{-1} v`. With the prior for
the Gaussian (C = I) that is Beskos et al., Hybrid Monte Carlo on Hilbert spaces, Stochastic
Processes and their Applications 121, 2011. The likelihood is stiff, so that steps would be tiny:
here :math:`C = (I + J^TJ)^{-1}`, what the posterior of a linear student would have, with J the
derivative of what is seen, in the mean over a few members. For a linear student each trajectory is
an independent sample.

Every member is the end of a chain of its own, from where :mod:`piddm.solvers._search` ends: chains
from farther off freeze. One step h serves them all; it is tuned in the first half of the chain, and
then kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from piddm.solvers._linear_part import LinearPart
from piddm.solvers._posterior import Posterior
from piddm.solvers._search import Search
from piddm.tasks.model import Model
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

ACCEPTED = 0.75
"""Share of trajectories that tuning wants accepted."""

FIRST = 0.1
"""Step that tuning starts at."""

DENSE = 1024
"""Observations up to which J is worth its network calls."""

POINTS = 4
"""Members over which J^T J is averaged."""


class HamiltonianSolver(Solver):
    """Samples the student's noise, many chains in one batch.

    Args:
        run: A run with a student.
        rounds, search: Calls and evaluations of L-BFGS that bring the starts to where the posterior
            is, as :mod:`piddm.solvers.latent` does.
        steps: Trajectories of each chain; the first half tunes the step.
        leapfrog: Kicks of a trajectory, two network calls each.
        weight: lambda, the weight of physics.
        tolerance: The model's own error, over the fields' deviation; the student's measured one
            where None is given.
    """

    def __init__(
        self, run: Model, *, rounds: int = 8, search: int = 40,
        steps: int = 40, leapfrog: int = 8, weight: float = 0.1, tolerance: float | None = None,
    ) -> None:  # fmt: skip
        if (
            min(rounds, search, steps, leapfrog) < 1
            or weight < 0
            or (tolerance is not None and tolerance <= 0)
        ):
            raise UsageError(
                "hamiltonian: rounds, search, steps and leapfrog are at least 1, the "
                "weight at least 0, the tolerance positive"
            )
        self.run, self.rounds, self.search = run, rounds, search
        self.steps, self.leapfrog, self.weight, self.tolerance = steps, leapfrog, weight, tolerance

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return the last states of chains."""
        posterior = Posterior(self.run, task, self.weight, self.tolerance)
        reached, target = Search(posterior, count, generator), posterior.target
        self.so_far = reached.members
        began = self.rounds + self.search
        total = began + self.steps
        for done, values in reached.work(self.rounds, self.search):
            yield Progress("hamiltonian", done, total, values)
        start = reached.noise
        jacobian = start.new_zeros(0, posterior.dimension)
        if len(target) <= DENSE:
            parts = [posterior.jacobian(z) for z in start[:POINTS]]
            jacobian = torch.cat(parts) / len(parts) ** 0.5
        chains = trajectories(
            lambda z: posterior.energy(z, target), start, start.mean(0), jacobian,
            self.steps, self.leapfrog, generator,
        )  # fmt: skip
        for done, state in enumerate(chains, 1):
            reached.noise = state.position
            values = {
                "energy": float(state.energy.mean()),
                "accepted": float(state.accepted.mean()),
                "step": state.step,
            }
            yield Progress("hamiltonian", began + done, total, values)
        return reached.members()


class State(NamedTuple):
    """Chains after a trajectory.

    Attributes:
        position: ``(chains, dimension)``.
        energy: ``(chains,)``.
        accepted: Chance that each had to be accepted, ``(chains,)``.
        step: The step h that it took.
    """

    position: Tensor
    energy: Tensor
    accepted: Tensor
    step: float


def trajectories(
    energy: Callable[[Tensor], Tensor],
    start: Tensor,
    centre: Tensor,
    jacobian: Tensor,
    steps: int,
    leapfrog: int,
    generator: Generator,
) -> Iterator[State]:
    """Yield the chains after each trajectory.

    Args:
        energy: Negative logarithm of the density, ``(chains, dimension)`` to ``(chains,)``.
        start: Where chains start, ``(chains, dimension)``.
        centre: mu, ``(dimension,)``.
        jacobian: J, ``(rows, dimension)``; without rows C is the identity.
        steps: Trajectories; the first half tunes the step towards :data:`ACCEPTED`.
        leapfrog: Kicks of each.
        generator: The only source of chance.
    """
    j = jacobian.double()
    apply = LinearPart(j).inverse_hessian

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().to(start).requires_grad_()
            value = energy(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach().double(), apply(gradient.double())

    def kinetic(v: Tensor) -> Tensor:
        return 0.5 * (v.square().sum(1) + (v @ j.mT).square().sum(1))

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x, (count, dimension) = start.double(), start.shape
    value, slope = evaluate(x)
    longest = math.pi / 2 / leapfrog
    h = min(FIRST, longest)
    for step in range(steps):
        v = apply(draw(count, dimension) + draw(count, len(j)) @ j)  # covariance C (1 + J^T J) C
        before = value + kinetic(v)
        q, trial, force = x - centre, value, slope
        for _ in range(leapfrog):
            v = v - h / 2 * (force - q)
            q, v = math.cos(h) * q + math.sin(h) * v, math.cos(h) * v - math.sin(h) * q
            trial, force = evaluate(centre + q)
            v = v - h / 2 * (force - q)
        change = (before - trial - kinetic(v)).nan_to_num(-torch.inf, neginf=-torch.inf)
        chance = change.clamp_max(0.0).exp()
        taken = torch.rand(count, generator=generator, dtype=torch.float64) < chance
        x = torch.where(taken[:, None], centre + q, x)
        value = torch.where(taken, trial, value)
        slope = torch.where(taken[:, None], force, slope)
        yield State(x.to(start), value, chance, h)
        if step < steps // 2:
            h *= math.exp((float(chance.mean()) - ACCEPTED) * 2 / (1 + step) ** 0.5)
            h = min(h, longest)
