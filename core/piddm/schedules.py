r"""Noise schedules: :math:`x_t = \alpha(t) x_0 + \sigma(t) \epsilon`, t from 0 (data) to 1 (noise).

A schedule is all that tells flow matching from VP, sub-VP or EDM diffusion.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

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


SCHEDULES: dict[str, Schedule] = {s.name: s for s in (Linear(), Trigonometric())}
