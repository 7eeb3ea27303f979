"""Bayes' rule for the white noise that inputs are made of, with the derived solver's solutions."""

from __future__ import annotations

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.numerics.derived_solver import DerivedSolver
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.marching import Given
from piddm.solvers._sensitivity import Inputs, Sensitivity
from piddm.symbolic.operators import Param
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.sensors import Sensors
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError, UsageError, labelled


class InverseProblem:
    """The unknown inputs of an equation, and the observations of its solution.

    Args:
        run: The equation, its grid and the scales of its fields.
        task: What is known.
        sensors: The same as a linear map.
        pde: The equation with other laws of its inputs; the run's where left out.
        model_error: That of these laws in what is seen, in deviations of its field
            (:mod:`piddm.tasks.likelihood`).

    Attributes:
        size: White numbers of one sample.
        seen: How many observations there are.
    """

    def __init__(
        self, run: Model, task: Task, sensors: Sensors, pde: PDE | None = None,
        model_error: float = 0.0,
    ) -> None:  # fmt: skip
        pde, residual = pde or run.pde, run.residual
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
        self.likelihood = Likelihood(sensors, run.packing, model_error)

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
        return self.likelihood.misfit(x)

    def slopes(self, x: dict[str, Tensor], z: Tensor) -> list[Tensor]:
        """Return the derivative of the misfit by z, ``(observations, size)`` for each sample."""
        return [slope / self.likelihood.sigma[:, None] for slope in self._slopes(x, z)]

    def members(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what is not known beforehand."""
        return {k: v for k, v in x.items() if k not in self._fixed}
