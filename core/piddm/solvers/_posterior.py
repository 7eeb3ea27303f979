r"""The posterior of a generator's latent noise: misfit, physics and prior, as one energy.

.. math:: E(\epsilon) = \tfrac12\Big\|\frac{y - H d(\epsilon)}{s}\Big\|^2
    + \frac{\lambda}{2\tau^2}\,\|x - P(x)\|^2 + \tfrac12\|\epsilon\|^2, \qquad
    s^2 = \sigma^2 + \tau^2 \varsigma^2,

the negative logarithm of the posterior of the noise given the observations. x is d(epsilon) with
exactly known values put in their place (x_mix of Algorithm 3, arXiv 2505.22391), P the nearest
solution (:mod:`piddm.numerics.projection`), and :math:`\varsigma` a field's standard deviation.

The generator is a model, and no model is exact: tau is how far its samples are from solutions, in
units of the fields' deviation. Without it an ensemble would fit the model's own error, and be far
too sure of itself.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from piddm.numerics.projection import Projection
from piddm.residuals.wrappers import with_params
from piddm.solvers._linear_part import LinearPart
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.task import Task

TOGETHER = 64
"""Samples that a network takes at once."""


class Posterior:
    """Energies of states that a run's student generates, given a task's observations.

    Args:
        run: Student, normalisation and residual.
        task: What is known.
        weight: lambda; 0 leaves physics out.
        tolerance: tau; where None is given, the root of the student's constraint distance.

    Attributes:
        passes: Network calls so far, over all samples: a pass forward is one of each that the
            student makes, and a pass back another.
    """

    def __init__(
        self, run: Model, task: Task, weight: float = 0.1, tolerance: float | None = None
    ) -> None:
        self.run, self.task = run, task
        self.weight = weight if run.residual.rows else 0.0
        self.packing, self.student = run.packing, run.student
        self.tolerance: float = tolerance or run.model_error
        self.likelihood = Likelihood.of(task, run.pde.field_names, self.packing, self.tolerance)
        self.target = self.likelihood.target
        self._exact = self._known_exactly()
        self.passes = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample's noise."""
        return self.packing.channels, *self.packing.image

    @cached_property
    def projection(self) -> Projection:
        """Nearest solutions, known params given."""
        residual = with_params(self.run.soft_residual, self.task.observations.params)
        return Projection(residual, self.packing.norm(), self.run.scale)

    def seen(self, x: Tensor) -> Tensor:
        """Return H x / s of packed states, ``(batch, n)``."""
        return self.likelihood.seen(self.packing.unpack(x))

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
        parts = noise.split(TOGETHER)
        return torch.cat([self._drawn(part) for part in parts])

    def _drawn(self, noise: Tensor) -> Tensor:
        """Return the student's packed samples of noise ``(batch, dimension)``, and count passes."""
        back = noise.requires_grad and torch.is_grad_enabled()
        self.passes += (1 + back) * len(noise) * self.student.calls
        return self.student(noise.to(self.packing.scale).view(-1, *self.shape))

    def energy(self, noise: Tensor, target: Tensor, anchor: Tensor | float = 0.0) -> Tensor:
        r"""Return :math:`E`, with the prior around an anchor, of each sample.

        Args:
            noise: ``(batch, dimension)``.
            target: Observations over s, ``(n,)`` or ``(batch, n)``.
            anchor: Mean of the noise's prior.
        """
        x = self._drawn(noise)
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
            scaled = self.packing.moves(x, self.projection.correction(exact)).to(x)
            nearest = x - self.packing.weigh(scaled, -0.5)
        apart = self.packing.weigh(x - nearest) / self.tolerance
        return 0.5 * apart.square().flatten(1).sum(1)

    def linear(self, generator: torch.Generator) -> LinearPart:
        """Return the student's linear part, see :mod:`piddm.solvers._linear_part`."""
        return LinearPart.of(self.packing, self.likelihood, generator)

    def jacobian(self, noise: Tensor) -> Tensor:
        """Return the derivative of what is seen by one sample's noise, ``(n, dimension)``."""
        rows, count = [], len(self.target)
        for start in range(0, count, TOGETHER):
            size = min(TOGETHER, count - start)
            point = noise.detach().expand(size, -1).clone().requires_grad_()
            seen = self.seen(self._drawn(point))
            own = seen[torch.arange(size), torch.arange(start, start + size)].sum()
            rows.append(torch.autograd.grad(own, point)[0])
        return torch.cat(rows)

    def _known_exactly(self) -> tuple[Tensor, Tensor] | None:
        """Return where in a packed state exact values are known, and these, normalised."""
        sensors = self.likelihood.sensors
        index, values = sensors.exact
        if not len(index):
            return None
        state = torch.zeros(len(sensors.names) * sensors.nodes, dtype=torch.float64)
        state[index] = values
        shape = 1, *self.run.residual.grid.shape
        fields = {
            k: part.view(shape)
            for k, part in zip(sensors.names, state.split(sensors.nodes), strict=True)
        }
        return index, self.packing.pack(fields).flatten()[index]
