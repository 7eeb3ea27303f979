r"""The derived solver, its adjoint, and the inputs' own law: no network, no training.

A forward task with exact inputs is one solve. Any other is Bayes' rule for the white noise z that
inputs are made of, a = T(z), with u(a) the derived solver's. Each member is the minimum of a
randomised problem,

.. math:: \tfrac12\left\|\frac{Hx(z) - y - s\xi}{s}\right\|^2 + \tfrac12\|z - z_0\|^2,
    \qquad \xi, z_0 \sim N(0, I),

by Gauss-Newton steps with Levenberg's damping. Where x(z) is linear such members are samples of the
posterior, exactly; elsewhere nearly so, near each of its modes. Source: Oliver, He and Reynolds,
Conditioning permeability fields to pressure data, 1996 (randomised maximum likelihood).
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from piddm.derived import DerivedSolver, Given
from piddm.errors import PiddmError, UsageError
from piddm.interfaces import Members, Solver, Task
from piddm.jacobian import Jacobian
from piddm.pde import labelled
from piddm.solvers.sensitivity import Inputs, Sensitivity
from piddm.symbolic.operators import Param, Slice
from piddm.tasks.finishing import EXACT
from piddm.tasks.sensors import Sensors
from piddm.training import Progress

if TYPE_CHECKING:
    from piddm.api import Run

DONE = 1e-3
"""Decrease of the objective, in units of half a chi squared, that is not worth a step."""

STRAIGHT = 0.9
"""Share of its promise that the first step must keep, else sigma is loosened at first."""

EASING = 0.3
"""Share of the misfit to which a step of the descent reduces it, where sigma asks for less."""


class ClassicalSolver(Solver):
    """Newton's method forwards, randomised maximum likelihood for everything else.

    Args:
        run: Its equation, grid and scales; models are not used.
        steps: Gauss-Newton steps, at most.
    """

    exact = True

    def __init__(self, run: Run, steps: int = 40) -> None:
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
        problem = _Problem(self.run, task, sensors)
        return (yield from self._minimise(problem, count, generator))

    def _minimise(
        self, problem: _Problem, count: int, generator: Generator
    ) -> Steps[Progress, None, Members]:
        anchor = torch.randn(count, problem.size, generator=generator, dtype=torch.float64)
        noise = torch.randn(count, problem.seen, generator=generator, dtype=torch.float64)
        search = _Search(problem, anchor, noise)

        def members() -> Members:
            return Members(problem.members(search.x))

        self.so_far = members
        for step in range(self.steps):
            search.point()
            going = int(search.going.sum())
            if not going:
                break
            search.move()
            values = {
                "misfit": float((search.misfit + noise).square().mean()),
                "loose": float(search.loose.max()),
                "going": float(going),
            }
            yield Progress("classical", step + 1, self.steps, values)
        return members()


class _Search:
    """All members' descents, in step.

    Where the first step does not keep what it promised, the equation bends, and exact observations
    of a far solution would pull along slopes that hold nearby only. Sigma is then loosened, by a
    factor that falls with the misfit and ends at 1.

    Args:
        problem: What is minimised.
        anchor: The random part z0, ``(members, size)``.
        noise: That of the observations, over their sigma, ``(members, seen)``.
    """

    def __init__(self, problem: _Problem, anchor: Tensor, noise: Tensor) -> None:
        self._problem, self._anchor, self._noise = problem, anchor, noise
        # From the middle of the law, where equations are tamest, rather than from the anchor.
        self._z = torch.zeros_like(anchor)
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
                self._step[k], self._promised[k] = _step(
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

    def _members(self) -> list[int]:
        return self.going.nonzero()[:, 0].tolist()

    def _objective(self, misfit: Tensor, z: Tensor) -> Tensor:
        fit = (misfit / self.loose[:, None]).square().sum(1)
        return (fit + (z - self._anchor).square().sum(1)) / 2


def _loosened(misfit: Tensor) -> Tensor:
    return (EASING * misfit.square().mean(1).sqrt()).clamp_min(1.0)


class _Problem:
    """What is unknown and what is seen of it.

    Attributes:
        size: White numbers of one sample.
        seen: How many observations there are.
    """

    def __init__(self, run: Run, task: Task, sensors: Sensors) -> None:
        pde, residual = run.pde, run.residual
        names = {p.name: p for p in pde.params}
        self._known = {names[k]: v for k, v in task.observations.params.items()}
        priors = {g: p for g, p in pde.inputs.items() if g not in self._known}
        if not priors:
            raise UsageError(f"{pde.name} has no input whose law is known, which classical needs")
        self._inputs, self._sensors = Inputs(pde, residual.grid, priors), sensors
        with labelled(pde.name):
            self._solver = DerivedSolver(pde, residual.grid, [*priors, *self._known])
        free = tuple(k for k in pde.free_params if names[k] not in self._known)
        jacobian = Jacobian(residual, params=free)
        self._slopes = Sensitivity(pde, jacobian, self._inputs, list(priors), sensors)
        self.size, self.seen = self._inputs.size, len(sensors)
        self._fixed, self._label = set(map(str, self._known)), pde.name
        scale = run.packing.field_scale()
        unit = torch.tensor([scale[k] for k in sensors.names], dtype=torch.float64)
        self._sigma = torch.where(sensors.sigma > 0, sensors.sigma, EXACT * unit[sensors.field])

    def solved(self, z: Tensor, strict: bool = False) -> dict[str, Tensor]:
        """Return the solutions; NaN where there is none to be found, unless that is refused."""
        given: dict[Given, Tensor] = self._inputs(z)
        given |= {k: torch.full((len(z),), v, dtype=z.dtype) for k, v in self._known.items()}
        try:
            with labelled(self._label):
                return self._solver.solve(given)
        except PiddmError as error:
            if strict or isinstance(error, UsageError):
                raise
            if len(z) == 1:
                shape = (1, *self._sensors.grid.shape)
                lost = {k: torch.full(shape, torch.nan, dtype=z.dtype) for k in self._sensors.names}
                alone = {str(k): v for k, v in given.items() if isinstance(k, Param)}
                alone |= {k: z.new_full((1,), torch.nan) for k in self._solver.params}
                return lost | alone
            parts = [self.solved(one) for one in z.split(1)]
            return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}

    def misfit(self, x: dict[str, Tensor]) -> Tensor:
        """Return (Hx - y) / s, ``(batch, observations)``."""
        return (self._sensors(x) - self._sensors.values) / self._sigma

    def slopes(self, x: dict[str, Tensor], z: Tensor) -> list[Tensor]:
        """Return the derivative of the misfit by z, ``(observations, size)`` for each sample."""
        return [slope / self._sigma[:, None] for slope in self._slopes(x, z)]

    def members(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what is not known beforehand."""
        return {k: v for k, v in x.items() if k not in self._fixed}


def _step(slope: Tensor, misfit: Tensor, away: Tensor, damping: float) -> tuple[Tensor, float]:
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


def _plain(run: Run, task: Task, sensors: Sensors) -> dict[Given, Tensor] | None:
    """Return every input, where all are known exactly and nothing is left to infer."""
    if task.kind != "forward":
        return None
    pde, grid = run.pde, run.residual.grid
    params = {p: task.observations.params[p.name] for p in pde.params
              if p.name in task.observations.params}  # fmt: skip
    flat = torch.full((len(sensors.names), *grid.shape), torch.nan, dtype=torch.float64)
    own = (sensors.weight.abs() > 1 - 1e-9) & (sensors.sigma == 0)[:, None]
    flat.view(-1)[sensors.index[own]] = sensors.values[own.nonzero()[:, 0]]
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
