r"""The last step of an answer whose inputs jump: values beside a jump go over to its other side.

.. math:: \min_F \Big\|r + \sum_{i\in F} \frac{\partial r}{\partial a_i}\,(a_i' - a_i)\Big\|^2,
    \qquad r = (Hx - y)/\sigma,

F being some of the nodes where the field g behind the phases is within some :data:`NEAR` of
its deviation from the jump, and :math:`a_i'` what the law makes of them beyond it. Nodes are taken
greedily, by the adjoint's slopes, and a set is kept where the solution that belongs to it is nearer
to what was observed. A member ends where its chi squared is that of noise, and goes no nearer: what
a ramp or an ensemble's regression leaves over is the grain of the step, which is a node. Source:
Mallat and Zhang, IEEE Transactions on Signal Processing 41, 1993 (greedy pursuit); Morozov, Methods
for Solving Incorrectly Posed Problems, 1984 (where to stop).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.priors.prior import Prior
from piddm.solvers._inverse_problem import InverseProblem
from piddm.symbolic.operators import Param, Slice

if TYPE_CHECKING:
    from piddm.grids.grid import Grid
    from piddm.numerics.marching import Given
    from piddm.tasks.model import Model
    from piddm.tasks.sensors import Sensors
    from piddm.tasks.task import Task

NEAR = 0.15, 0.4, 1.0
"""How near to the jump the field behind the phases is where a node may go over, in deviations; the
next where nodes so near do not suffice."""

ROUNDS, MOST = 12, 16
"""Rounds of a member for each of them, and nodes that go over in a round, at most."""

FAR = 25.0
"""Chi squared, an observation, beyond which a member is farther off than the grain of a step: so it
is where observations are exact, and stays as it is."""

FALL = 0.01
"""Share of the chi squared by which a node must lower it."""


@dataclasses.dataclass(frozen=True)
class _Values(Prior):
    """A law in name only: its white noise is the values themselves."""

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Return white noise."""
        return torch.randn(count, *grid.shape, generator=generator, dtype=torch.float64)

    def white(self, grid: Grid) -> int:
        """Return how many values a field has."""
        return math.prod(grid.shape)

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Return the values in the shape of a field."""
        return noise.view(-1, *grid.shape)

    def param_from_white(self, noise: Tensor) -> Tensor:
        """Return the values."""
        return noise


class Flips:
    """Takes members to what was observed, node by node.

    Args:
        run: The equation, its grid and the scales of its fields.
        task: What is known.
        sensors: The same as a linear map.

    Raises:
        UsageError: If the equation cannot be factorised as a whole.
    """

    def __init__(self, run: Model, task: Task, sensors: Sensors) -> None:
        pde, known = run.pde, task.observations.params
        self._laws = {g: p for g, p in pde.inputs.items() if str(g) not in known}
        self._grid = run.residual.grid
        inputs = {g: _Values() if g in self._laws else p for g, p in pde.inputs.items()}
        self._problem = InverseProblem(run, task, sensors, dataclasses.replace(pde, inputs=inputs))

    def __call__(self, latent: Mapping[Given, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Yield the members one by one, each with its solution.

        Args:
            latent: What inputs are made of (:meth:`piddm.priors.prior.Prior.latent`), by input.
        """
        sides = [self._sides(latent, near) for near in NEAR]
        for k in range(len(sides[0][0])):
            start = sides[0][0][k : k + 1]
            values, x = start, self._problem.solved(start)
            for _, there in sides:
                over = torch.where(values != start, start, there[k : k + 1])
                values, x = self._nearest(values, over, x)
            yield self._problem.members(x)

    def _nearest(
        self, here: Tensor, there: Tensor, x: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        problem, rounds, most = self._problem, 0, MOST
        misfit = problem.misfit(x)[0]
        if float(misfit.square().mean()) > FAR:
            return here, x
        while float(misfit.square().sum()) > len(misfit) and most and rounds < ROUNDS:
            (slope,) = problem.slopes(x, here)
            way = _pursued(misfit, slope * (there - here), most)
            if not len(way):
                break
            trial = here.index_copy(1, way, there[:, way])
            found = problem.solved(trial)
            away, rounds = problem.misfit(found)[0], rounds + 1
            if not float(away.square().sum()) < float(misfit.square().sum()):
                most = len(way) // 2  # the slopes are those of small changes
                continue
            there = there.index_copy(1, way, here[:, way])
            here, x, misfit = trial, found, away
        return here, x

    def _sides(self, latent: Mapping[Given, Tensor], near: float) -> tuple[Tensor, Tensor]:
        """Return the inputs' values, and those beyond a jump, the same where none is near."""
        here, there = [], []
        for given, law in self._laws.items():
            if isinstance(given, Param):
                value = other = law.param_from_white(latent[given])
            else:
                on = self._grid.without(given.axis) if isinstance(given, Slice) else self._grid
                value = other = law.from_latent(on, latent[given])
                if law.softened(near) is not law:
                    step = near * latent[given].std()
                    up, down = (law.from_latent(on, latent[given] + s) for s in (step, -step))
                    other = torch.where(up != value, up, down)
            here.append(value.reshape(len(value), -1))
            there.append(other.reshape(len(value), -1))
        return torch.cat(here, 1), torch.cat(there, 1)


def _pursued(misfit: Tensor, effects: Tensor, most: int) -> Tensor:
    """Return nodes whose effects ``(observations, nodes)`` bring a misfit to the size of noise."""
    way: list[int] = []
    size = effects.square().sum(0)
    left = misfit.clone()
    while len(way) < most and float(chi := left.square().sum()) > len(misfit):
        change = 2 * (left @ effects) + size
        change[way] = 0.0
        best = int(change.argmin())
        if float(change[best]) > -FALL * float(chi):
            break
        way.append(best)
        left = left + effects[:, best]
    return torch.tensor(way, dtype=torch.int64)
