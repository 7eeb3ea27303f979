r"""The likelihood of observations: sensors, their noise, and the error of the model beside it.

.. math:: p(y \mid x) = \prod_i N\big(y_i;\; (Hx)_i,\; s_i^2\big), \qquad
    s_i^2 = \sigma_i^2 + \tau^2\varsigma_i^2,

H the map from fields to sensors (:mod:`piddm.tasks.sensors`), sigma the noise of an observation,
:math:`\varsigma` the standard deviation of its field (of a reading that is no point the deviation
that it has itself by the law of the data), and tau the error of the model that x comes from, in
units of that deviation. Without tau an ensemble would fit the model's own
error, and be far too sure of itself.

Where the states are solutions there is no such error, tau = 0. An exact observation has then a
sigma of :data:`EXACT` deviations, so that more of them than the equation leaves free do not
contradict each other by their last digits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from piddm.data.packing import Packing
from piddm.residuals.residual import Fields
from piddm.tasks.sensors import Sensors
from piddm.tasks.task import Task

EXACT = 1e-3
"""Sigma of an exact observation, over the field's deviation."""

FINEST = 1e-6
"""Least sigma, over the field's deviation: rounding would make less of it a contradiction."""


DRAWS = 64
"""Fields of the data's mean and covariance that tell the deviation of a reading, to a tenth."""


class Likelihood:
    """The likelihood of a task's observations, given fields.

    Args:
        sensors: The map H, with the observed values.
        deviation: Standard deviation of each field, by name, or what has it, and the covariance.
        model_error: tau; 0 where states are solutions.

    Attributes:
        sensors: The map H.
        unit: Deviation of the field that each observation is of, ``(n,)``, float64.
        sigma: The tolerance s, ``(n,)``, in the fields' units.
        target: Observations over their tolerance, y/s, ``(n,)``.
    """

    def __init__(
        self, sensors: Sensors, deviation: Mapping[str, float] | Packing, model_error: float = 0.0
    ) -> None:
        self.sensors = sensors
        self.unit = _units(sensors, deviation)
        if model_error:
            model = model_error * self.unit
            self.sigma = (sensors.sigma.square() + model.square()).sqrt()
        else:
            least = sensors.sigma.maximum(FINEST * self.unit)
            self.sigma = torch.where(sensors.sigma > 0, least, EXACT * self.unit)
        self.target = sensors.values / self.sigma

    @classmethod
    def of(
        cls, task: Task, names: tuple[str, ...], deviation: Mapping[str, float] | Packing,
        model_error: float = 0.0,
    ) -> Likelihood:  # fmt: skip
        """Return the likelihood of a task's observations; ``names`` are the fields, in order."""
        sensors = Sensors(task.observations, names, task.interpolation)
        return cls(sensors, deviation, model_error)

    def __len__(self) -> int:
        return len(self.sensors)

    def seen(self, fields: Fields) -> Tensor:
        """Return Hx/s of fields ``(batch, *grid.shape)``: ``(batch, n)``."""
        found = self.sensors(fields)
        return found / self.sigma.to(found)

    def misfit(self, fields: Fields) -> Tensor:
        """Return (Hx - y)/s of fields ``(batch, *grid.shape)``: ``(batch, n)``, float64."""
        return misfit(self.sensors, fields, self.sigma)

    def noise(self, count: int, generator: Generator) -> Tensor:
        """Return white noise xi ``(count, n)``, float64: y + s xi might as well be observed."""
        return torch.randn((count, len(self)), generator=generator, dtype=torch.float64)

    def perturbed(self, count: int, generator: Generator) -> Tensor:
        """Return targets that might have been observed as well, y/s + xi: ``(count, n)``."""
        return self.target + self.noise(count, generator)


def misfit(sensors: Sensors, fields: Fields, sigma: Tensor) -> Tensor:
    """Return (Hx - y)/s of fields ``(batch, *grid.shape)``: ``(batch, n)``, float64.

    Args:
        sensors: H and y.
        fields: The fields.
        sigma: The tolerance s, ``(n,)``.
    """
    return (sensors(fields) - sensors.values) / sigma


@torch.no_grad()
def _units(sensors: Sensors, deviation: Mapping[str, float] | Packing) -> Tensor:
    """Return the deviation of what each sensor sees, ``(n,)``, float64."""
    if isinstance(deviation, Mapping):
        if len(sensors.other):
            raise TypeError("deviations of readings follow from a packing")
        return sensors.units(deviation)
    points = sensors.units(deviation.field_scale())
    if not len(sensors.other):
        return points
    draw = torch.Generator().manual_seed(0)
    shape = (DRAWS, deviation.channels, *deviation.image)
    white = torch.randn(shape, generator=draw).to(deviation.scale)
    fields = {k: v.double().cpu() for k, v in deviation.unpack(deviation.colour(white)).items()}
    fields |= {k: torch.full((DRAWS,), v).double() for k, v in sensors.other.defaults.items()}
    flat = torch.cat([fields[k].flatten(1) for k in sensors.names], dim=1)
    found = sensors.other(fields, flat).std(0)
    return torch.cat([points, found.clamp_min(1e-12 * float(found.max()) + 1e-300)])
