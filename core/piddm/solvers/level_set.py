r"""Media of phases by derivatives: the field behind the phases is the unknown, its step a ramp.

.. math:: a_w(z) = a_0 + (a_1 - a_0)\,\Phi\big(g(z)/(w\,s)\big), \qquad w \downarrow 0,

with g the Gaussian field behind the phases and s its deviation. Each member is a randomised problem
as in :mod:`piddm.solvers.classical`, solved for wide ramps first, whose slopes are felt far off,
and then for narrower ones, each from where the last ended; exact observations are met by way of
the mean (:mod:`piddm.solvers._graduated`). What is returned has the step itself, which
:mod:`piddm.solvers._flips` brings to the observations, and the solution that belongs to it. Where
the medium alone was seen, members are exact draws of its law (:mod:`piddm.solvers._signs`).
Source: Santosa, ESAIM: Control, Optimisation and Calculus of
Variations 1, 1996 (level sets for inverse problems); Iglesias, Lu and Stuart, Interfaces and Free
Boundaries 18, 2016 (their Bayesian form); graduated widths as in Blake and Zisserman, Visual
Reconstruction, 1987.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from piddm.solvers._descent import Descent
from piddm.solvers._flips import Flips
from piddm.solvers._forward import Forward
from piddm.solvers._graduated import MEAN_STEPS, RAMPS, graduated
from piddm.solvers._inverse_problem import InverseProblem
from piddm.solvers._sensitivity import Inputs
from piddm.solvers._signs import ARCS, STEP, Signs, signs_seen, softened
from piddm.tasks.sensors import Sensors
from piddm.tasks.solver import Members, Solver, merged
from piddm.tasks.task import Task
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

if TYPE_CHECKING:
    from piddm.numerics.marching import Given
    from piddm.priors.prior import Prior
    from piddm.tasks.model import Model

WIDTHS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
"""Widths of the ramp, over the deviation of the field behind the phases. On Darcy, 32 x 32, 39
sensors with 2 % of noise, the step itself has a chi squared of 11 to 17 a sensor after a last width
of 0.1, of 1.7 to 2 after 0.01."""


class LevelSetSolver(Solver):
    """Randomised maximum likelihood for laws that jump.

    Args:
        run: Its equation, grid and scales; no model is used.
        steps: Gauss-Newton steps for each width, at most, where observations have noise.
    """

    exact = True

    def __init__(self, run: Model, steps: int = 12) -> None:
        if steps < 1:
            raise UsageError("level-set takes at least 1 step for each width")
        self.run, self.steps = run, steps

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return members whose inputs have the law's own phases."""
        run, known = self.run, task.observations.params
        laws = {g: p for g, p in run.pde.inputs.items() if str(g) not in known}
        if all(p.softened(STEP) is p for p in run.pde.inputs.values()):
            raise UsageError(
                f"{run.pde.name}: no law of an input jumps, or none says how it is softened, which "
                "level-set needs; take the solver auto"
            )
        sensors = Sensors(task.observations, run.pde.field_names, task.interpolation)
        soft = softened(run.pde, STEP)
        if (walls := signs_seen(soft, run.residual.grid, laws, sensors)) is not None:
            signs = Signs(soft, run.residual.grid, laws, walls)
            return (yield from self._drawn(signs, known, count, generator))
        ways = self._exactly if _exact(laws, sensors) else self._noisily
        noise = yield from ways(task, sensors, count, generator)
        parts, flips = [], Flips(run, task, sensors)
        for part in flips(self._behind(noise, known)):
            parts.append(part)
            yield Progress("flips", len(parts), count, {})
        return Members(merged(parts))

    def _drawn(
        self, signs: Signs, known: Mapping[str, float], count: int, generator: Generator
    ) -> Steps[Progress, None, Members]:
        """Return members of the law itself, where media alone were seen, and their solutions."""
        inputs: dict[Given, Tensor] = {}
        for done, found in signs.draws(count, generator):
            yield Progress("signs", done, ARCS, {})
            inputs = found
        forward = Forward(self.run.pde, self.run.residual.grid, list(inputs), known)
        parts = []
        for done, part in forward.chunks(inputs):
            parts.append(part)
            yield Progress("solve", done, count, {})
        return Members({k: v for k, v in merged(parts).items() if k not in known})

    def _exactly(
        self, task: Task, sensors: Sensors, count: int, generator: Generator
    ) -> Steps[Progress, None, Tensor]:
        """Return the white noise of members that exact observations of a solution leave."""
        noise, known = torch.empty(0), task.observations.params
        steps = graduated(
            self.run, task, sensors, lambda w: softened(self.run.pde, w), count, generator
        )
        for done, (misfit, noise) in enumerate(steps, 1):
            self.so_far = lambda noise=noise: self._stepped(noise, known)
            total = max(done, len(RAMPS) * MEAN_STEPS + count)
            yield Progress("level-set", done, total, {"misfit": misfit})
        return noise

    def _noisily(
        self, task: Task, sensors: Sensors, count: int, generator: Generator
    ) -> Steps[Progress, None, Tensor]:
        """Return the white noise of members, of randomised problems on ever narrower ramps."""
        anchor, noise, descent, known = None, None, None, task.observations.params
        for level, width in enumerate(WIDTHS):
            problem = InverseProblem(self.run, task, sensors, softened(self.run.pde, width))
            if anchor is None or noise is None:
                shape = count, problem.size
                anchor = torch.randn(shape, generator=generator, dtype=torch.float64)
                noise = problem.likelihood.noise(count, generator)
            descent = Descent(problem, anchor, noise, None if descent is None else descent.noise)
            self.so_far = lambda descent=descent: self._stepped(descent.noise, known)
            for step in range(self.steps):
                descent.point()
                if not int(descent.going.sum()):
                    break
                descent.move()
                values = {"width": width, "misfit": descent.fit}
                done, total = level * self.steps + step + 1, len(WIDTHS) * self.steps
                yield Progress("level-set", done, total, values)
        assert descent is not None
        return descent.noise

    def _behind(self, noise: Tensor, known: Mapping[str, float]) -> dict[Given, Tensor]:
        """Return the fields behind the phases, and what else is unknown."""
        soft, grid = softened(self.run.pde, STEP), self.run.residual.grid
        laws = {g: p for g, p in soft.inputs.items() if str(g) not in known}
        return Inputs(soft, grid, laws).latent(noise)

    def _stepped(self, noise: Tensor, known: Mapping[str, float]) -> Members:
        """Return the solutions of inputs that have the step itself."""
        pde, grid = softened(self.run.pde, STEP), self.run.residual.grid
        laws = {g: p for g, p in pde.inputs.items() if str(g) not in known}
        found = Forward(self.run.pde, grid, list(laws), known).solve(Inputs(pde, grid, laws)(noise))
        return Members({k: v for k, v in found.items() if k not in known})


def _exact(laws: Mapping[Given, Prior], sensors: Sensors) -> bool:
    """Return whether all observations are exact values of fields that do not jump."""
    jump = {str(g) for g, p in laws.items() if p.softened(STEP) is not p}
    seen = {sensors.names[int(k)] for k in sensors.field.unique()}
    return sensors.local and not bool((sensors.sigma > 0).any()) and not seen & jump
