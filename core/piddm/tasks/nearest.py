r"""The last step of an answer: the nearest fields that satisfy the equation and the observations.

.. math:: \min_{x'} \|x' - x\|^2/\tau^2 + \|(y + \sigma\xi - Hx')/\sigma\|^2
    \quad\text{with}\quad R(x') = 0,

fields over their deviations, tau the model's own error in these units. A member x that a generator
made says where the truth is up to tau; the observations and the equation say the rest. Exact
observations have a sigma of a thousandth of the deviation: where there are more of them than the
equation leaves free, they cannot all be met to the last digit. Exact inputs of a forward task are
fixed, which leaves a solve.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from scipy.stats import chi2
from torch import Generator, Tensor

from piddm.data.no_equation import needed
from piddm.numerics.derived_solver import held
from piddm.numerics.projection import VANISHED, Projection
from piddm.residuals.residual import Fields
from piddm.residuals.wrappers import with_params
from piddm.symbolic.operators import Param
from piddm.tasks.bias import bias_of
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.observed_rows import SEEN, Observed
from piddm.tasks.sensors import Sensors
from piddm.tasks.solver import Members, Solver, merged
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError
from piddm.tools.progress import Progress

TOGETHER = 8
"""Members that are projected together."""

DOUBTED, FACTOR, ROUNDS = 0.5, 3.0, 6
"""Chance of the misfit of a member to its own targets below which it is not done: tau was too small
for it and is multiplied, so many times at most."""


class MemberProjection:
    """Takes members to that nearest point.

    Args:
        run: Residual and scales.
        task: What is known.
        tolerance: tau; where None is given, the root of the student's constraint distance.
    """

    def __init__(self, run: Model, task: Task, tolerance: float | None = None) -> None:
        needed(run.residual, "the projection onto the equation (--project, the solver hybrid)")
        residual = with_params(run.soft_residual, task.observations.params)
        self._at: tuple[list[Fields], Fields] = [], {}  # what is there, and all as it began
        norm = run.packing.norm()
        # A bias is drawn, member by member, rather than integrated out: points stay local rows.
        seen = task.observations
        self._groups, self._bias = seen.all_groups(residual.field_names), seen.bias
        plain = replace(task, observations=replace(seen, groups={}, bias={}, readings=[
            replace(own, group="") for own in seen.readings]))  # fmt: skip
        self._likelihood = Likelihood.of(plain, residual.field_names, run.packing)
        self._sensors = sensors = self._likelihood.sensors
        self._known = _inputs(run, task, sensors)
        if self._known:
            inputs = {k: at for k, (at, _) in self._known.items()}
            self._projection = Projection(residual, norm, run.scale, held=inputs)
            return
        self._sigma, tau = self._likelihood.sigma, tolerance or run.model_error
        unit = self._likelihood.unit
        observed = Observed(residual, sensors, unit)

        def projection(level: int) -> Projection:
            size = tau * FACTOR**level
            names, first = observed.names, sensors.points
            parts = (self._sigma / unit / size).square().numpy()
            every = ([parts[:first]] if first else []) + [parts[k : k + 1] for k in
                                                          range(first, len(parts))]  # fmt: skip
            slack = dict(zip(names, every, strict=True))
            return Projection(observed, norm, {**run.scale, **dict.fromkeys(names, 1.0)},
                              slack=slack)  # fmt: skip

        self._again, self._projection = cache(projection), projection(0)

    def __call__(
        self, members: Fields, generator: Generator
    ) -> Steps[Progress, None, Mapping[str, Tensor]]:
        """Yield progress, and return fields ``(count, *axes)``, float64, and free params.

        A member too far off for the equation stays as it is.

        Args:
            members: Fields ``(count, *axes)``; params among them are found anew.
            generator: Of the perturbations xi.
        """
        sensors = self._sensors
        exact = {k: members[k].detach().cpu().double() for k in sensors.names}
        count = len(exact[sensors.names[0]])
        xi = self._likelihood.noise(count, generator)
        if self._known:
            for name, (at, values) in self._known.items():
                exact[name] = torch.where(torch.from_numpy(at), values, exact[name])
        else:
            exact[SEEN] = sensors.values + sensors.sigma * xi - self._biases(members, generator)
        parts, _ = self._at = [], exact
        for start in range(0, count, TOGETHER):
            parts.append(self._nearest({k: v[start : start + TOGETHER] for k, v in exact.items()}))
            yield Progress("project", min(start + TOGETHER, count), count, {})
        found, self._at = self.so_far(members), ([], {})
        return found

    def _biases(self, members: Fields, generator: Generator) -> Tensor:
        """Return a draw of each group's bias given the members, at its sensors: ``(count, n)``."""
        sensors = self._sensors
        exact = {k: v.detach().cpu().double() for k, v in members.items()}
        count = len(exact[sensors.names[0]])
        found = torch.zeros(count, len(sensors), dtype=torch.float64)
        if not any(self._groups):
            return found
        missing = sensors.values - sensors(exact)
        laws = bias_of(missing, self._groups, self._bias, sensors.sigma)
        for name, (mean, deviation) in laws.items():
            draw = torch.randn(count, generator=generator, dtype=torch.float64)
            own = torch.tensor([g == name for g in self._groups])
            found[:, own] = (mean + deviation * draw)[:, None]
        return found

    def so_far(self, members: Fields) -> Mapping[str, Tensor]:
        """Return the members that are being taken there, those that are not there yet as given."""
        parts, exact = self._at
        if not parts:
            return members
        done = sum(len(p[self._sensors.names[0]]) for p in parts)
        if rest := {k: v[done:] for k, v in exact.items() if len(v) > done}:
            parts = [*parts, self._projection.residual.fit(rest)]
        return {k: v for k, v in merged(parts).items() if k != SEEN}

    def end(
        self, solver: Solver, found: Members, generator: Generator
    ) -> Steps[Progress, None, Members]:
        """Return a solver's members there; interrupted, it offers them as far as they are."""
        solver.so_far = lambda: replace(found, fields=self.so_far(found.fields))
        return replace(found, fields=(yield from self(found.fields, generator)))

    def _nearest(self, members: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the nearest fields, with a larger tau where they miss their own targets.

        A weak generator's member is farther from the truth than from the equation, which is all
        that tau knows: its share is found by the discrepancy principle.
        """
        found = self._with(self._projection, members)
        if self._known:
            return found
        n = len(self._sensors)
        most = float(chi2.isf(DOUBTED, n))
        for level in range(1, ROUNDS + 1):
            away = (self._sensors(found) - found[SEEN]) / self._sigma
            far = (away.square().sum(1) > most).nonzero()[:, 0]
            if not len(far):
                break
            better = self._with(self._again(level), {k: v[far] for k, v in found.items()})
            found = {k: v.index_copy(0, far, better[k]) for k, v in found.items()}
        return found

    def _with(self, projection: Projection, members: dict[str, Tensor]) -> dict[str, Tensor]:
        count = len(members[self._sensors.names[0]])
        start = projection.residual.fit(members)
        try:
            found = projection(members, strict=False)
        except PiddmError:
            if count == 1:
                return start
            # One that has no nearest point must not take the others' with it.
            every = [{k: v[i : i + 1] for k, v in members.items()} for i in range(count)]
            return merged([self._with(projection, one) for one in every])
        there = projection.error(found) <= VANISHED
        return {
            k: torch.where(there.view(-1, *[1] * (v.ndim - 1)), v, start[k])
            for k, v in found.items()
        }


def _inputs(run: Model, task: Task, sensors: Sensors) -> dict[str, tuple[np.ndarray, Tensor]]:
    """Return where fields are inputs and their values, if the task is to solve for exact ones."""
    pde, grid = run.pde, run.residual.grid
    if task.kind != "forward":
        return {}
    inputs = held(pde, grid, (g for g in pde.inputs if not isinstance(g, Param)))
    needed = np.concatenate([inputs[k].ravel() for k in sensors.names])
    at, seen = sensors.exact
    exact = np.zeros_like(needed)
    exact[at] = True
    if bool((needed & ~exact).any()):  # noisy, so not known
        return {}
    values = torch.zeros(len(needed), dtype=torch.float64).index_copy(0, at, seen)
    parts = values.view(-1, *grid.shape)
    return {k: (inputs[k], part) for k, part in zip(sensors.names, parts, strict=True)}
