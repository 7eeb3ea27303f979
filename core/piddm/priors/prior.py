"""The interface of a law of random inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from piddm.grids.grid import Grid
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Prior(ABC):
    """A law from which fields on a grid are drawn."""

    @property
    def phases(self) -> tuple[float, float] | None:
        """The two values of a medium, where what is behind it is negative and where it is not."""
        return None

    @abstractmethod
    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        raise UsageError(f"{self!r} draws fields; the law of a param is Uniform, for example")

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field.

        Raises:
            UsageError: If the law is no differentiable map of white noise.
        """
        raise UsageError(f"the law {self!r} has no derivative by white noise")

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably.

        The result has the law of :meth:`sample`: what solvers that use derivatives optimise.
        """
        raise UsageError(f"the law {self!r} has no derivative by white noise")

    def param_from_white(self, noise: Tensor) -> Tensor:
        """Map white noise ``(count,)`` to values of a param, differentiably."""
        raise UsageError(f"the law {self!r} has no derivative by white noise")

    def latent(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw what a field of this law is made of, ``(count, ...)``: as a rule the field itself.

        The field behind the phases of a medium, or the logarithm of a positive one: what may be
        added up and averaged without leaving the law. :meth:`from_latent` makes fields of it.
        """
        return self.sample(grid, count, generator)

    def from_latent(self, grid: Grid, latent: Tensor) -> Tensor:
        """Return fields ``(count, *grid.shape)`` of what :meth:`latent` draws."""
        return latent

    def latent_from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Return what :meth:`latent` draws, of white noise as :meth:`from_white` takes it."""
        return self.from_white(grid, noise)

    def softened(self, width: float) -> Prior:
        """Return a law that has derivatives and comes to this one as a width goes to zero.

        Itself, unless it jumps.

        Args:
            width: Of what stands for a jump, over the deviation of the field that jumps.
        """
        return self

    def latent_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw white noise ``(count,)`` of which :meth:`param_from_white` makes a param."""
        import torch

        return torch.randn(count, generator=generator, dtype=torch.float64)

    def variance(self, grid: Grid) -> Tensor:
        """Return the variance at each node, ``(*grid.shape)``, of a law affine in white noise.

        From the response to each of its numbers; a law that knows better says so.
        """
        import torch

        white = self.white(grid)
        rest = self.from_white(grid, torch.zeros(1, white, dtype=torch.float64))
        found = torch.zeros(grid.shape, dtype=torch.float64)
        for part in torch.eye(white, dtype=torch.float64).split(64):
            found += (self.from_white(grid, part) - rest).square().sum(0)
        return found


class Mapped(Prior):
    """A field of another law, changed."""

    underlying: Prior

    @abstractmethod
    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields ``(count, *grid.shape)`` of this law from those of the underlying one."""

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return self.changed(grid, self.underlying.sample(grid, count, generator))

    def latent(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw what a field of this law is made of: of the underlying law."""
        return self.underlying.latent(grid, count, generator)

    def from_latent(self, grid: Grid, latent: Tensor) -> Tensor:
        """Return fields ``(count, *grid.shape)`` of what :meth:`latent` draws."""
        return self.changed(grid, self.underlying.from_latent(grid, latent))

    def latent_from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Return what a field of this law is made of: a field of the underlying law."""
        return self.underlying.latent_from_white(grid, noise)

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        return self.underlying.white(grid)

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        return self.changed(grid, self.underlying.from_white(grid, noise))
