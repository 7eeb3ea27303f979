r"""Base of the teachers whose network gives data and noise at once: the flow and Heun's method."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator

from torch import Tensor, nn

from piddm.data.packing import Packing
from piddm.teachers.schedules import Schedule
from piddm.teachers.teacher import Teacher


class ProbabilityFlow(Teacher):
    r"""A teacher by its estimates of data and noise.

    Its probability flow is

    .. math:: \frac{dx}{dt} = \dot\alpha\,\hat x_0 + \dot\sigma\,\hat\epsilon.

    Args:
        network: Backbone.
        packing: Normalisation and colour.
        schedule: Noise schedule.
    """

    def __init__(self, network: nn.Module, packing: Packing, schedule: Schedule) -> None:
        super().__init__()
        self.network, self.packing, self.schedule = network, packing, schedule

    @abstractmethod
    def predict(self, xt: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the estimates of x0 and of the coloured noise at ``(xt, t)``."""

    def denoise(self, xt: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of E[x0 | xt]."""
        return self.predict(xt, t)[0]

    def velocity(self, xt: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt of the probability-flow ODE."""
        data, noise = self.predict(xt, t)
        rate_a, rate_s = self.schedule.rates(t)
        return image(rate_a) * data + image(rate_s) * noise

    def calls(self, steps: int) -> int:
        """Return the network calls that :meth:`sample` makes for one sample."""
        return 2 * steps - 1

    def sample(self, noise: Tensor, steps: int) -> Iterator[Tensor]:
        """Integrate by Heun's method, the last step by Euler's; yield the state after each step."""
        x = self.packing.colour(noise)
        times = self.schedule.times(steps).to(x)
        for now, then in itertools.pairwise(times):
            t = now.expand(x.shape[0])
            v = self.velocity(x, t)
            if then > 0:
                ahead = self.velocity(x + (then - now) * v, then.expand(x.shape[0]))
                v = (v + ahead) / 2
            x = x + (then - now) * v
            yield x


def image(v: Tensor) -> Tensor:
    """Return ``(batch,)`` as it broadcasts with packed states."""
    return v[:, None, None, None]
