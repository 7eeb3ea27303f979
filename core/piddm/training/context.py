"""The context of training and sampling that all methods of one run share, on equal terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from piddm.config import Config
from piddm.data.correcting import Corrections
from piddm.data.packing import Packing
from piddm.numerics.projection import Projection
from piddm.residuals.residual import Residual
from piddm.teachers.teacher import Teacher
from piddm.tools import ranks
from piddm.tools.errors import UsageError
from piddm.training.pairs import PairPool
from piddm.training.physics import NORMS, PhysicsLoss, strong

TOGETHER = 16
"""Samples that are projected together: matrices of more would not fit into a cache."""


@dataclass(frozen=True)
class TrainingContext:
    """Teacher, data, pairs and residual.

    Args:
        config: The run's configuration: budgets, batches, weights, the seed.
        teacher: The trained teacher, frozen.
        projection: Nearest solutions, by which methods are trained and sample.
        data: Packed training data ``(count, channel, *image)``, on the CPU.
        pairs: Noise and the teacher's samples from it, on which students are trained. Empty until
            somebody has called ``pairs.advance(0)``.
        corrections: What brings samples onto the equation in a few cheap steps.
    """

    config: Config
    teacher: Teacher
    projection: Projection
    data: Tensor
    pairs: PairPool
    corrections: Corrections | None = None

    @property
    def packing(self) -> Packing:
        """Normalisation and colour."""
        return self.teacher.packing

    @property
    def device(self) -> torch.device:
        """Where the teacher is, and all training and sampling."""
        return self.packing.mean.device

    @property
    def residual(self) -> Residual:
        """The equation's residual on the grid of the data."""
        return self.projection.residual

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one packed sample."""
        return (self.packing.channels, *self.packing.image)

    @property
    def physics(self) -> PhysicsLoss:
        """The physics loss that the configuration names."""
        return NORMS[self.config.student.physics_norm](self.projection, self.packing)

    @property
    def strong(self) -> PhysicsLoss:
        """The mean square of the normalised residual of packed samples, differentiable."""
        return strong(self.projection, self.packing)

    def share(self, *batches: Tensor) -> Tensor:
        """Return this process' parts of batches, one after another; all of them where it is alone.

        What is drawn whole and shared makes the same losses, whatever the number of processes.
        """
        return torch.cat([ranks.share(batch) for batch in batches])

    def every(self, batch: Tensor) -> Tensor:
        """Return the parts of all processes, of one size, without gradients.

        Args:
            batch: This process' part, ``(n, ...)``; with p processes ``(p n, ...)`` comes back.
        """
        return ranks.every(batch)

    def away(self, x: Tensor) -> Tensor:
        """Return x - P(x) of packed samples to first order, packed, without gradient."""
        moved = self.projection.correction(self.packing.unpack(x.detach()))
        return self.packing.weigh(self.packing.moves(x, moved), -0.5)

    def correct(self, x: Tensor, tolerance: float | None = None) -> Tensor:
        """Return packed samples after the correction; gradients pass through it.

        Args:
            x: Packed samples.
            tolerance: Normalised PDE error at which one is good; by precision where None is given.

        Raises:
            UsageError: If nobody said how to correct them.
        """
        if self.corrections is None:
            raise UsageError("these methods share no correction")
        made = self.corrections.of(None)(self.packing.unpack(x), tolerance)
        return self.packing.pack({k: made.fields[k] for k in self.packing.names})

    @torch.no_grad()
    def project(self, x: Tensor) -> Tensor:
        """Return the packed samples' nearest solutions to round-off, or as near as was reached.

        In the precision of the samples.
        """
        return torch.cat([
            self.packing.pack(self.projection(self.packing.unpack(part), strict=False))
            for part in x.split(TOGETHER)
        ])  # fmt: skip
