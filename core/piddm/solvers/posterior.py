r"""What a task makes of a generator's latent noise: misfit, physics and prior, as one energy.

.. math:: E(\epsilon) = \tfrac12\Big\|\frac{y - H d(\epsilon)}{s}\Big\|^2
    + \frac{\lambda}{2\tau^2}\,\|x - P(x)\|^2 + \tfrac12\|\epsilon\|^2, \qquad
    s^2 = \sigma^2 + \tau^2 \varsigma^2,

the negative logarithm of the posterior of the noise given the observations. x is d(epsilon) with
what is known exactly put in its place (x_mix of Algorithm 3, arXiv 2505.22391), P the nearest
solution (:mod:`piddm.projection`), and :math:`\varsigma` a field's standard deviation.

The generator is a model, and no model is exact: tau is how far its samples are from solutions, in
units of the fields' deviation. Without it an ensemble would fit the model's own error, and be far
too sure of itself.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.interfaces import Task
from piddm.projection import Projection
from piddm.solvers.linear import LinearPart
from piddm.tasks.given import with_params
from piddm.tasks.sensors import Sensors

if TYPE_CHECKING:
    from piddm.api import Run

TOGETHER = 64
"""Samples that a network takes at once."""


class Posterior:
    """Energies of states that a run's student generates, given a task's observations.

    Args:
        run: Student, normalisation and residual.
        task: What is known.
        weight: lambda; 0 leaves physics out.
        tolerance: tau; where None is given, the root of the student's constraint distance.
    """

    def __init__(
        self, run: Run, task: Task, weight: float = 0.1, tolerance: float | None = None
    ) -> None:
        self.run, self.task, self.weight = run, task, weight
        self.packing, self.student = run.packing, run.student
        self.tolerance: float = tolerance or run.model_error
        observed = task.observations
        self.sensors = Sensors(observed, run.pde.field_names, task.interpolation)
        scale = self.packing.field_scale()
        unit = torch.tensor([scale[k] for k in self.sensors.names], dtype=torch.float64)
        model = self.tolerance * unit[self.sensors.field]
        self._s = (self.sensors.sigma.square() + model.square()).sqrt()
        self.target = self.sensors.values / self._s
        self._exact = self._known_exactly()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample's noise."""
        return self.packing.channels, *self.packing.image

    @cached_property
    def projection(self) -> Projection:
        """Nearest solutions, known params given."""
        residual = with_params(self.run.residual, self.task.observations.params)
        return Projection(residual, self.packing.norm(), self.run.scale)

    def perturbed(self, count: int, generator: torch.Generator) -> Tensor:
        """Return what might have been observed as well: targets with noise of their own."""
        shape = count, len(self.target)
        return self.target + torch.randn(shape, generator=generator, dtype=torch.float64)

    def seen(self, x: Tensor) -> Tensor:
        """Return H x / s of packed states, ``(batch, n)``."""
        return self.sensors(self.packing.unpack(x)) / self._s.to(x)

    @property
    def dimension(self) -> int:
        """Numbers in one sample's noise."""
        return math.prod(self.shape)

    def look(self, noise: Tensor) -> Tensor:
        """Return what is seen of the samples of noise ``(batch, dimension)``, float64."""
        parts = noise.split(TOGETHER)
        return torch.cat([self.seen(self.generate(part)).double().cpu() for part in parts])

    @torch.no_grad()
    def generate(self, noise: Tensor) -> Tensor:
        """Return packed samples of noise ``(batch, dimension)``."""
        parts = noise.to(self.packing.scale).view(-1, *self.shape).split(TOGETHER)
        return torch.cat([self.student(part) for part in parts])

    def energy(self, noise: Tensor, target: Tensor, anchor: Tensor | float = 0.0) -> Tensor:
        r"""Return :math:`E`, with the prior around an anchor, of each sample.

        Args:
            noise: ``(batch, dimension)``.
            target: Observations over s, ``(n,)`` or ``(batch, n)``.
            anchor: What the noise is held to.
        """
        x = self.student(noise.to(self.packing.scale).view(-1, *self.shape))
        total = 0.5 * (self.seen(x) - target.to(x)).square().sum(1)
        if self.weight:
            total = total + self.weight * self.physics(x)
        return total.to(noise) + 0.5 * (noise - anchor).square().sum(1)

    def physics(self, x: Tensor) -> Tensor:
        """Return half the squared distance to the nearest solution over tau squared, by sample."""
        if self._exact is not None:
            index, values = self._exact
            flat = x.flatten(1).clone()
            flat[:, index] = values.to(x)
            x = flat.view_as(x)
        with torch.no_grad():
            exact = {k: v.double() for k, v in self.packing.unpack(x).items()}
            scaled = self.packing.stack(self.projection.correction(exact)).to(x)
            nearest = x - self.packing.weigh(scaled, -0.5)
        apart = self.packing.weigh(x - nearest) / self.tolerance
        return 0.5 * apart.square().flatten(1).sum(1)

    def linear(self, generator: torch.Generator) -> LinearPart:
        """Return what the student would be were it linear, see :mod:`piddm.solvers.linear`."""
        return LinearPart.of(self.packing, self.sensors, self._s, generator)

    def jacobian(self, noise: Tensor) -> Tensor:
        """Return the derivative of what is seen by one sample's noise, ``(n, dimension)``."""
        rows, count = [], len(self.target)
        for start in range(0, count, TOGETHER):
            size = min(TOGETHER, count - start)
            point = noise.detach().expand(size, -1).clone().requires_grad_()
            seen = self.seen(self.student(point.to(self.packing.scale).view(-1, *self.shape)))
            own = seen[torch.arange(size), torch.arange(start, start + size)].sum()
            rows.append(torch.autograd.grad(own, point)[0])
        return torch.cat(rows)

    def _known_exactly(self) -> tuple[Tensor, Tensor] | None:
        """Return where in a packed state exact values are known, and these, normalised."""
        sensors = self.sensors
        slot = sensors.weight.abs().argmax(1)
        one = torch.arange(len(slot))
        exact = (sensors.sigma == 0) & (sensors.weight[one, slot] > 1 - 1e-9)
        if not bool(exact.any()):
            return None
        state = torch.zeros(len(sensors.names) * sensors.nodes, dtype=torch.float64)
        index = sensors.index[one, slot][exact]
        state[index] = sensors.values[exact]
        shape = 1, *self.run.residual.grid.shape
        fields = {
            k: part.view(shape)
            for k, part in zip(sensors.names, state.split(sensors.nodes), strict=True)
        }
        return index, self.packing.pack(fields).flatten()[index]
