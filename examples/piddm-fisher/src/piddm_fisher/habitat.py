"""A law for shares, which lie between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piddm.priors import Prior

if TYPE_CHECKING:
    import torch

    from piddm import Grid


@dataclass(frozen=True)  # its repr says all that data depend on: piddm tells results apart by it
class Share(Prior):
    r"""A field between 0 and 1: :math:`1 / (1 + e^{-s g})` of another field g.

    Where the slope of g is zero at the walls, so is its own.

    Args:
        underlying: The law of g.
        steepness: The factor s: how sharply what is taken ends.
    """

    underlying: Prior
    steepness: float = 1.0

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return (self.steepness * self.underlying.sample(grid, count, generator)).sigmoid()
