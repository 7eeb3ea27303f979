r"""The last step of an answer: the nearest fields that satisfy the equation and the observations.

.. math:: \min_{x'} \|x' - x\|^2/\tau^2 + \|(y + \sigma\xi - Hx')/\sigma\|^2
    \quad\text{with}\quad R(x') = 0,

fields over their deviations, tau the model's own error in these units. A member x that a generator
made says where the truth is up to tau; the observations and the equation say the rest. Exact
observations have a sigma of a thousandth of the deviation: where there are more of them than the
equation leaves free, they cannot all be met to the last digit. Exact inputs of a forward task are
held as they are, which leaves a solve.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from piddm.derived import held
from piddm.errors import PiddmError
from piddm.interfaces import Fields, Members, Solver, Task
from piddm.projection import Projection
from piddm.symbolic.operators import Param
from piddm.tasks.given import with_params
from piddm.tasks.observed import SEEN, Observed
from piddm.tasks.sensors import Sensors
from piddm.tasks.solution import VANISHED, merged
from piddm.training import Progress

if TYPE_CHECKING:
    from piddm.api import Run


EXACT = 1e-3
"""Sigma of an exact observation, over the field's deviation."""

FINEST = 1e-6
"""Least sigma, over the field's deviation: rounding would make less of it a contradiction."""

TOGETHER = 8
"""Members that are projected together."""


class Finisher:
    """Takes members to that nearest point.

    Args:
        run: Residual and scales.
        task: What is known.
        tolerance: tau; where None is given, the root of the student's constraint distance.
    """

    def __init__(self, run: Run, task: Task, tolerance: float | None = None) -> None:
        residual = with_params(run.residual, task.observations.params)
        self._at: tuple[list[Fields], Fields] = [], {}  # what is there, and all as it began
        self._sensors = sensors = Sensors(
            task.observations, residual.field_names, task.interpolation
        )
        norm, scale = run.packing.norm(), run.packing.field_scale()
        self._known = _inputs(run, task, sensors)
        if self._known:
            inputs = {k: at for k, (at, _) in self._known.items()}
            self._projection = Projection(residual, norm, run.scale, held=inputs)
            return
        unit = torch.tensor([scale[k] for k in sensors.names], dtype=torch.float64)[sensors.field]
        sigma = torch.where(sensors.sigma > 0, sensors.sigma.maximum(FINEST * unit), EXACT * unit)
        tau = tolerance or run.model_error
        slack = {SEEN: (sigma / unit / tau).square().numpy()}
        self._projection = Projection(
            Observed(residual, sensors, unit), norm, {**run.scale, SEEN: 1.0}, slack=slack
        )

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
        xi = torch.randn((count, len(sensors)), generator=generator, dtype=torch.float64)
        if self._known:
            for name, (at, values) in self._known.items():
                exact[name] = torch.where(torch.from_numpy(at), values, exact[name])
        else:
            exact[SEEN] = sensors.values + sensors.sigma * xi
        parts, _ = self._at = [], exact
        for start in range(0, count, TOGETHER):
            parts.append(self._nearest({k: v[start : start + TOGETHER] for k, v in exact.items()}))
            yield Progress("project", min(start + TOGETHER, count), count, {})
        found, self._at = self.so_far(members), ([], {})
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
        count = len(members[self._sensors.names[0]])
        start = self._projection.residual.fit(members)
        try:
            found = self._projection(members, strict=False)
        except PiddmError:
            if count == 1:
                return start
            # One that has no nearest point must not take the others' with it.
            every = [{k: v[i : i + 1] for k, v in members.items()} for i in range(count)]
            return merged([self._nearest(one) for one in every])
        there = self._projection.error(found) <= VANISHED
        return {
            k: torch.where(there.view(-1, *[1] * (v.ndim - 1)), v, start[k])
            for k, v in found.items()
        }


def _inputs(run: Run, task: Task, sensors: Sensors) -> dict[str, tuple[np.ndarray, Tensor]]:
    """Return where fields are inputs and their values, if the task is to solve for exact ones."""
    pde, grid = run.pde, run.residual.grid
    if task.kind != "forward":
        return {}
    inputs = held(pde, grid, (g for g in pde.inputs if not isinstance(g, Param)))
    needed = np.concatenate([inputs[k].ravel() for k in sensors.names])
    single, slot = (sensors.weight.abs() > 1 - 1e-9).nonzero(as_tuple=True)
    at = sensors.index[single, slot]
    if bool((sensors.sigma[single][needed[at]] > 0).any()):
        return {}
    values = torch.zeros(len(needed), dtype=torch.float64).index_copy(0, at, sensors.values[single])
    parts = values.view(-1, *grid.shape)
    return {k: (inputs[k], part) for k, part in zip(sensors.names, parts, strict=True)}
