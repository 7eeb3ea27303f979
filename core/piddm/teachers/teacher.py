"""The interface of a teacher."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self

from torch import Generator, Tensor, nn

from piddm.data.packing import Packing
from piddm.teachers.schedules import Schedule

TINY = 1e-12
"""Stands in for a noise level of zero."""


class Teacher(nn.Module, ABC):
    r"""A diffusion or flow model of the joint, packed state x = (inputs, solution).

    Its noisy states are :math:`x_t = \alpha(t)\,x_0 + \sigma(t)\,S\xi`, with :math:`\alpha` and
    :math:`\sigma` the schedule's levels, S the colour of the packing and :math:`\xi` white noise.

    Attributes:
        network: The backbone, and all that is learnt: what a student begins with.
        packing: Normalisation and colour of states.
        schedule: Noise schedule.
    """

    network: nn.Module
    packing: Packing
    schedule: Schedule

    @abstractmethod
    def denoise(self, xt: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of E[x0 | xt], for one network call.

        Args:
            xt: Noisy states, ``(batch, channel, *image)``.
            t: Their times, ``(batch,)``.
        """

    @abstractmethod
    def velocity(self, xt: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt of the probability-flow ODE at ``(xt, t)``."""

    @abstractmethod
    def loss(self, x0: Tensor, generator: Generator) -> Tensor:
        """Return the training loss on a batch of data, a scalar.

        Of several processes each has its share of the batch; what is drawn for it is drawn for the
        whole and shared alike (:func:`piddm.tools.ranks.drawn`), else all add the same noise.

        Args:
            x0: Packed states ``(batch, channel, *image)``.
            generator: The only source of chance.
        """

    @abstractmethod
    def calls(self, steps: int) -> int:
        """Return the network calls that sampling with so many steps makes."""

    @abstractmethod
    def sample(self, noise: Tensor, steps: int) -> Iterator[Tensor]:
        """Integrate from white noise to data; yield the state after each step, the last is x0.

        Differentiable by the noise: who needs no gradients turns them off.

        Args:
            noise: White noise ``(batch, channel, *image)``.
            steps: Steps of the integration.
        """

    def turn(self, y: Tensor, t: Tensor) -> Tensor:
        r"""Return how the flow turns states on the unit arc, :math:`F(y, t) = -dy/d\theta`.

        With :math:`n^2 = \alpha^2 + \sigma^2`, states :math:`y = x_t/n` go from data to noise by
        the angle :math:`\theta = \arctan(\sigma/\alpha)`, on any schedule, and

        .. math:: F(y, t) = \frac{n\,D(n y, t) - \alpha\,y}{\sigma},

        D the estimate of :meth:`denoise`. It is what students take over of a teacher; one whose
        network predicts it overrides this, for the sake of rounding and of the noise level zero.
        """
        a, s = (v(t)[:, None, None, None] for v in (self.schedule.alpha, self.schedule.sigma))
        size = (a**2 + s**2).sqrt()
        return (size * self.denoise(size * y, t) - a * y) / s.clamp_min(TINY)

    def with_network(self, network: nn.Module) -> Self:
        """Return this teacher with another network in the place of its own, and all else shared."""
        twin = copy.copy(self)
        twin._modules = {**self._modules, "network": network}
        return twin

    def forward(self, x0: Tensor, generator: Generator) -> Tensor:
        """Return the training loss, so that wrappers of modules (data parallelism) see the call.

        The arguments are those of :meth:`loss`.
        """
        return self.loss(x0, generator)
