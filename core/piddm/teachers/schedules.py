r"""Noise schedules: :math:`x_t = \alpha(t) x_0 + \sigma(t) \epsilon`, t from 0 (data) to 1 (noise).

A schedule is all that tells flow matching from VP, sub-VP or EDM diffusion. Data and noise have one
covariance (:mod:`piddm.data.packing`), and :math:`\alpha^2 + \sigma^2 = 1` at the noise end, so
that a sampler starts from the coloured noise itself.

A network that sees only :math:`y = x_t/\sqrt{\alpha^2+\sigma^2}`, as that of
:mod:`piddm.teachers.flow` does, sees of a schedule only the angle
:math:`\theta = \arctan(\sigma/\alpha)`, and the probability flow is the same for all of them,

.. math:: \frac{dy}{d\theta} = -F(y, \theta).

So a :class:`Paced` schedule has the states y, on the unit arc, and what is left of its authors' is
how often each angle is trained, and which a sampler stops at. In their own states a step along
EDM's :math:`\sigma`, from 6 to 1, is far off even for Gaussian data, which stand still in y; and
VP's rates are infinite at the data's end of its own time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Generator, Tensor


class Schedule(ABC):
    """Signal and noise levels as functions of time."""

    name: str

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Return the signal level, which decreases from 1 at t = 0."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Return the noise level, which increases from 0 at t = 0."""

    @abstractmethod
    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return d alpha/dt and d sigma/dt."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Draw uniform training times, ``(count,)``, stratified to lower the loss's noise."""
        jitter = torch.rand(count, generator=generator)
        order = torch.randperm(count, generator=generator)
        return ((torch.arange(count) + jitter) / count)[order]

    def times(self, steps: int) -> Tensor:
        """Return ``steps + 1`` sampling times from 1 down to 0."""
        return torch.linspace(1, 0, steps + 1)


class Linear(Schedule):
    """Straight lines between data and noise: flow matching (Lipman et al., arXiv 2210.02747)."""

    name = "linear"

    def alpha(self, t: Tensor) -> Tensor:
        """Return 1 - t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """Return t."""
        return t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return -1 and 1."""
        return -torch.ones_like(t), torch.ones_like(t)


class Trigonometric(Schedule):
    """Variance-preserving arc, the cosine VP schedule: alpha = cos(pi t/2), sigma = sin(pi t/2)."""

    name = "trigonometric"

    def alpha(self, t: Tensor) -> Tensor:
        """Return cos(pi t/2)."""
        return torch.cos(t * math.pi / 2)

    def sigma(self, t: Tensor) -> Tensor:
        """Return sin(pi t/2)."""
        return torch.sin(t * math.pi / 2)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two derivatives."""
        return -math.pi / 2 * self.sigma(t), math.pi / 2 * self.alpha(t)


class Paced(Schedule):
    """The unit arc at a pace of others: t is the angle over the largest one that they reach."""

    @abstractmethod
    def levels(self, pace: Tensor) -> tuple[Tensor, Tensor]:
        """Return the authors' own alpha and sigma at their own times, 0 to 1, in float64."""

    def trained(self, share: Tensor) -> Tensor:
        """Return the authors' time below which a share of the training times lies."""
        return share

    def stops(self, share: Tensor) -> Tensor:
        """Return the authors' time after a share of the sampler's steps, counted from the data."""
        return share

    def angle(self, pace: Tensor) -> Tensor:
        """Return the angle arctan(sigma/alpha) at the authors' times."""
        alpha, sigma = self.levels(pace.double())
        return torch.atan2(sigma, alpha)

    @cached_property
    def end(self) -> float:
        """The largest angle, just below a right one."""
        return float(self.angle(torch.ones(())))

    def alpha(self, t: Tensor) -> Tensor:
        """Return the cosine of the angle."""
        return torch.cos(self.end * t)

    def sigma(self, t: Tensor) -> Tensor:
        """Return the sine of the angle."""
        return torch.sin(self.end * t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two derivatives."""
        return -self.end * self.sigma(t), self.end * self.alpha(t)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Draw training times as the authors do, ``(count,)``, stratified."""
        share = super().draw(count, generator)
        return (self.angle(self.trained(share.double())) / self.end).to(share)

    def times(self, steps: int) -> Tensor:
        """Return ``steps + 1`` sampling times from 1 down to 0."""
        share = super().times(steps)
        times = (self.angle(self.stops(share.double())) / self.end).to(share)
        times[-1] = 0  # where the authors stop short of the data, the last step goes on to them
        return times


class VariancePreserving(Paced):
    r"""VP (Song et al., arXiv 2011.13456): beta from 0.1 to 20, linear in time, drawn uniformly.

    .. math:: \log\alpha = -\tfrac14 s^2 (\beta_1-\beta_0) - \tfrac12 s\beta_0, \qquad
        \sigma^2 = 1 - \alpha^2

    The angle goes as the root of s at the data. Steps are equal in the root, else the last one
    would be the longest, and the sampler's order one.
    """

    name = "vp"
    lowest, highest = 0.1, 20.0

    def levels(self, pace: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha and sigma of the formula above."""
        log_alpha = self.log_alpha(pace)
        return log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()

    def log_alpha(self, pace: Tensor) -> Tensor:
        """Return minus half the integral of beta."""
        return -(pace**2) * (self.highest - self.lowest) / 4 - pace * self.lowest / 2

    def stops(self, share: Tensor) -> Tensor:
        """Return the square."""
        return share**2


class SubVariancePreserving(VariancePreserving):
    """sub-VP (same paper): VP's alpha, sigma = 1 - alpha^2. The angle is smooth: equal steps."""

    name = "sub-vp"

    def levels(self, pace: Tensor) -> tuple[Tensor, Tensor]:
        """Return VP's alpha, and the square of its sigma."""
        log_alpha = self.log_alpha(pace)
        return log_alpha.exp(), -torch.expm1(2 * log_alpha)

    def stops(self, share: Tensor) -> Tensor:
        """Return the share itself."""
        return share


class Elucidated(Paced):
    r"""EDM (Karras et al., arXiv 2206.00364): alpha = 1, sigma from 0.002 to 80.

    .. math:: \sigma^{1/7} = 0.002^{1/7} + s\,(80^{1/7} - 0.002^{1/7})

    Steps are equal in s; in training log sigma is normal, of mean -1.2 and deviation 1.2. The
    numbers are the authors', whose images had a deviation of 0.5; fields here have one of 1.
    """

    name = "edm"
    lowest, highest, power = 0.002, 80.0, 7.0
    mean, deviation = -1.2, 1.2

    def levels(self, pace: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1, and sigma of the formula above."""
        first, last = self._roots()
        return torch.ones_like(pace), (first + pace * (last - first)) ** self.power

    def trained(self, share: Tensor) -> Tensor:
        """Return the times of the log-normal law's quantiles, no further than the ends."""
        sigma = (self.mean + self.deviation * torch.special.ndtri(share)).exp()
        first, last = self._roots()
        return ((sigma ** (1 / self.power) - first) / (last - first)).clamp(0, 1)

    def _roots(self) -> tuple[float, float]:
        return self.lowest ** (1 / self.power), self.highest ** (1 / self.power)


SCHEDULES: dict[str, Schedule] = {
    s.name: s
    for s in (
        Linear(), Trigonometric(), VariancePreserving(), SubVariancePreserving(), Elucidated()
    )
}  # fmt: skip
"""Noise schedules by name, for ``teacher.schedule``."""
