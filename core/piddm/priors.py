"""Laws of random inputs: what a plugin names in ``inputs``.

Importing this module does not import torch, so that listing equations stays quick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piddm.errors import UsageError
from piddm.grid import Grid

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Prior(ABC):
    """A law from which fields on a grid are drawn."""

    @abstractmethod
    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        raise UsageError(f"{self!r} draws fields; the law of a param is Uniform, for example")


@dataclass(frozen=True)
class Uniform(Prior):
    """A number, equally likely anywhere between two: a param, or a field that is constant."""

    low: float
    high: float

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        values = self.sample_param(count, generator)
        return values.view(-1, *[1] * len(grid.shape)).repeat(1, *grid.shape)

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        import torch

        unit = torch.rand(count, generator=generator, dtype=torch.float64)
        return self.low + (self.high - self.low) * unit


@dataclass(frozen=True)
class GaussianField(Prior):
    r"""Centred Gaussian random field with covariance :math:`\sigma^2(-\Delta+\tau^2 I)^{-\alpha}`.

    .. math:: g = \sum_{k\ne0} \sigma(\lambda_k+\tau^2)^{-\alpha/2}\,\xi_k\,\phi_k,
        \qquad \sigma=\tau^{(2\alpha-d)/2},

    with :math:`(\lambda_k, \phi_k)` the Laplacian's eigenpairs: Fourier modes along periodic axes,
    cosines (Neumann) along the others. Source: Li et al., Fourier Neural Operator, arXiv
    2010.08895, appendix A.3, whose data sets the field still uses.

    Args:
        alpha: Smoothness.
        tau: Inverse correlation length.
        scale: Factor on the field. The published periodic fields of two dimensions are those of
            this formula times the square root of 2: their generator keeps the real part of a
            transform of complex noise, which counts each pair of modes twice.
    """

    alpha: float
    tau: float
    scale: float = 1.0

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        import numpy as np
        import torch

        from piddm.bases import along, basis

        pairs = [basis(axis) for axis in grid.axes.values()]
        eigenvalue = sum(np.square(g) for g in np.meshgrid(*(f for _, f in pairs), indexing="ij"))
        sigma = self.scale * self.tau ** ((2 * self.alpha - len(pairs)) / 2)
        amplitude = sigma * (eigenvalue + self.tau**2) ** (-self.alpha / 2)
        amplitude.flat[0] = 0.0
        shape = (count, *grid.shape)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        field = noise * torch.from_numpy(amplitude)
        for dim, (functions, _) in enumerate(pairs):
            field = along(torch.from_numpy(functions), field, dim + 1)
        return field


@dataclass(frozen=True)
class TwoPhase(Prior):
    """Two materials: ``high`` where the underlying field is at least 0, ``low`` elsewhere."""

    underlying: Prior
    low: float
    high: float

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        import torch

        g = self.underlying.sample(grid, count, generator)
        return torch.where(g >= 0, self.high, self.low).to(g.dtype)
