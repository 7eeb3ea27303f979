r"""The last step of an answer: the nearest fields that satisfy the equation and the observations.

.. math:: \min_{x'} \|x' - x\|^2/\tau^2 + \|(y + \sigma\xi - Hx')/\sigma\|^2
    \quad\text{with}\quad R(x') = 0,

fields over their deviations, tau the model's own error in these units. A member x that a generator
made says where the truth is up to tau; the observations and the equation say the rest. Exact
observations have a sigma of a thousandth of the deviation: where there are more of them than the
equation leaves free, they cannot all be met to the last digit. The inputs of a forward task are
held as they are, which leaves a solve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from piddm.interfaces import Fields, Task
from piddm.projection import Projection
from piddm.tasks.given import with_params
from piddm.tasks.observed import SEEN, Observed
from piddm.tasks.sensors import Sensors

if TYPE_CHECKING:
    from piddm.api import Run


EXACT = 1e-3
"""Sigma of an exact observation, over the field's deviation."""


def finisher(run: Run, task: Task) -> Callable[[Fields, Generator], dict[str, Tensor]]:
    """Return what takes members ``(count, *axes)`` to that nearest point, float64.

    Args:
        run: Residual, scales, and the student's distance from solutions, which is tau.
        task: What is known.
    """
    residual = with_params(run.residual, task.observations.params)
    names, scale = residual.field_names, run.packing.field_scale()
    sensors = Sensors(task.observations, names, task.interpolation)
    if task.kind == "forward":
        known = sensors.known
        projection = Projection(residual, run.packing.norm(), run.scale, held=known)
        flat = torch.zeros(len(names) * sensors.nodes, dtype=torch.float64)
        flat[sensors.index[sensors.weight.abs() > 0.5]] = sensors.values
        values = dict(zip(names, flat.split(sensors.nodes), strict=True))

        def solve(members: Fields, generator: Generator) -> dict[str, Tensor]:
            placed = {
                k: torch.where(
                    torch.from_numpy(known[k]), values[k].view(run.residual.grid.shape), v.double()
                )
                for k, v in members.items()
                if k in names
            }
            return projection(placed)

        return solve
    unit = torch.tensor([scale[k] for k in names], dtype=torch.float64)[sensors.field]
    sigma = torch.where(sensors.sigma > 0, sensors.sigma, EXACT * unit)
    tau = run.metrics["student"].constraint_distance ** 0.5
    seen = Observed(residual, sensors, unit)
    slack = {SEEN: (sigma / unit / tau).square().numpy()}
    projection = Projection(seen, run.packing.norm(), {**run.scale, SEEN: 1.0}, slack=slack)

    def finish(members: Fields, generator: Generator) -> dict[str, Tensor]:
        exact = {k: v.double() for k, v in members.items() if k in names}
        count = len(next(iter(exact.values())))
        xi = torch.randn((count, len(sensors)), generator=generator, dtype=torch.float64)
        found = projection(exact | {SEEN: sensors.values + sensors.sigma * xi})
        return {k: v for k, v in found.items() if k != SEEN}

    return finish
