r"""The derived solver, its adjoint, and the inputs' own law: no network, no training.

A forward task with exact inputs is one solve. Any other is Bayes' rule for the white noise z that
inputs are made of, a = T(z), with u(a) the derived solver's. Each member is the minimum of a
randomised problem,

.. math:: \tfrac12\left\|\frac{Hx(z) - y - s\xi}{s}\right\|^2 + \tfrac12\|z - z_0\|^2,
    \qquad \xi, z_0 \sim N(0, I),

by Gauss-Newton steps with Levenberg's damping. A film that is too large to factorise as a whole is
marched instead, and its adjoint runs back (:mod:`piddm.solvers._film`). Such members are samples of
the posterior where x(z) is linear, which is then had in closed form instead
(:mod:`piddm.solvers.exact`); elsewhere nearly so, near each of its modes. Source: Oliver, He and
Reynolds, Conditioning permeability fields to pressure data, 1996 (randomised maximum likelihood).
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Iterator

import torch
from scipy.stats import chi2
from torch import Generator, Tensor

from piddm.numerics.derived_solver import DerivedSolver
from piddm.numerics.marching import Given
from piddm.solvers._affine import bent
from piddm.solvers._descent import Descent
from piddm.solvers._film import Film, films
from piddm.solvers._inverse_problem import InverseProblem
from piddm.solvers._splitting import too_large
from piddm.solvers.exact import ExactSolver
from piddm.symbolic.operators import Param, Slice
from piddm.tasks.model import Model
from piddm.tasks.sensors import Sensors
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.errors import UsageError, labelled
from piddm.tools.progress import Progress

STUCK = 1e-6
"""Chance of a chi squared as large as a member's, below which it has not come to its minimum where
others have."""


class ClassicalSolver(Solver):
    """Newton's method forwards, randomised maximum likelihood for everything else.

    Args:
        run: Its equation, grid and scales; models are not used.
        steps: Gauss-Newton steps, at most.
    """

    exact = True

    def __init__(self, run: Model, steps: int = 40) -> None:
        if steps < 1:
            raise UsageError("classical takes at least 1 step")
        self.run, self.steps = run, steps

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Look for ``count`` members; see :meth:`piddm.interfaces.Solver.solve`."""
        sensors = Sensors(task.observations, self.run.pde.field_names, task.interpolation)
        if (given := _plain(self.run, task, sensors)) is not None:
            with labelled(self.run.pde.name):
                solver = DerivedSolver(self.run.pde, self.run.residual.grid, given)
                one = solver.solve(given)
            yield Progress("classical", 1, 1, {})
            return Members({k: v.repeat_interleave(count, 0) for k, v in one.items()})
        large, curved = too_large(self.run.residual), sensors.curved
        straight = not large and not curved
        if straight and not bent(self.run.pde, self.run.residual, task.observations.params):
            return (yield from ExactSolver(self.run).solve(task, count, generator))
        if large and not curved and films(self.run.pde, self.run.residual.grid):
            film = Film(self.run, task, self.steps)
            return (yield from film.members(count, generator))
        problem = InverseProblem(self.run, task, sensors)
        return (yield from self._minimise(problem, count, generator))

    def _minimise(
        self, problem: InverseProblem, count: int, generator: Generator
    ) -> Steps[Progress, None, Members]:
        anchor = torch.randn(count, problem.size, generator=generator, dtype=torch.float64)
        noise = problem.likelihood.noise(count, generator)
        descent = Descent(problem, anchor, noise)
        found = descent.x

        def members() -> Members:
            return Members(problem.members(found))

        self.so_far = members
        yield from self._descended(descent)
        lost, near = _stuck(descent, anchor)
        if len(lost):
            again = Descent(problem, anchor[lost], noise[lost], descent.noise[near])
            yield from self._descended(again)
            better = again.objective < descent.objective[lost]
            for k, v in found.items():
                v[lost[better]] = again.x[k][better]
        return members()

    def _descended(self, descent: Descent) -> Iterator[Progress]:
        """Take members down, step by step."""
        for step in range(self.steps):
            descent.point()
            going = int(descent.going.sum())
            if not going:
                return
            descent.move()
            values = {
                "misfit": descent.fit,
                "loose": float(descent.loose.max()),
                "going": float(going),
            }
            yield Progress("classical", step + 1, self.steps, values)


def _stuck(descent: Descent, anchor: Tensor) -> tuple[Tensor, Tensor]:
    """Return members that a far minimum keeps, and for each the nearest one that none does.

    A member that is as far from the observations as noise makes none, where others are not, came
    into a place without slopes, such as a film that has decayed: it starts again from another's.
    """
    size, seen = descent.chi_squared, descent.misfit.shape[1]
    chance = torch.from_numpy(chi2.sf(size.numpy(), seen))
    lost, well = (chance < STUCK).nonzero()[:, 0], (chance >= STUCK).nonzero()[:, 0]
    if not len(well):
        return lost[:0], well
    return lost, well[torch.cdist(anchor[lost], anchor[well]).argmin(1)]


def _plain(run: Model, task: Task, sensors: Sensors) -> dict[Given, Tensor] | None:
    """Return every input, where all are known exactly and nothing is left to infer."""
    if task.kind != "forward":
        return None
    pde, grid = run.pde, run.residual.grid
    params = {p: task.observations.params[p.name] for p in pde.params
              if p.name in task.observations.params}  # fmt: skip
    flat = torch.full((len(sensors.names), *grid.shape), torch.nan, dtype=torch.float64)
    index, values = sensors.exact
    flat.view(-1)[index] = values
    given: dict[Given, Tensor] = {
        p: torch.full((1,), v, dtype=torch.float64) for p, v in params.items()
    }
    for item in pde.inputs:
        if isinstance(item, Param):
            continue
        field = item.field if isinstance(item, Slice) else item
        value = flat[sensors.names.index(field.name)]
        if isinstance(item, Slice):
            value = value.select(*pde.slice_index(item, grid))
        if bool(value.isnan().any()):  # noisy, so not known
            return None
        given[item] = value[None]
    return given
