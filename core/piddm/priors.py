"""Laws of random inputs: what a plugin names in ``inputs``.

Importing this module does not import torch, so that listing equations stays quick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from piddm.errors import UsageError
from piddm.grid import Grid

if TYPE_CHECKING:
    import numpy as np
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


@dataclass(frozen=True)
class LogNormal(Prior):
    """The exponential of the underlying field: a smooth positive medium."""

    underlying: Prior

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return self.underlying.sample(grid, count, generator).exp()


@dataclass(frozen=True)
class Inverse(Prior):
    """One over a number or field of the underlying law."""

    underlying: Prior

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return 1 / self.underlying.sample(grid, count, generator)

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        return 1 / self.underlying.sample_param(count, generator)


@dataclass(frozen=True)
class ZeroOnEdge(Prior):
    """The underlying field with zeros at both ends of every bounded axis."""

    underlying: Prior

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        field = self.underlying.sample(grid, count, generator)
        for dim, axis in enumerate(grid.axes.values()):
            if not axis.periodic:
                field.select(dim + 1, 0).zero_()
                field.select(dim + 1, -1).zero_()
        return field


@dataclass(frozen=True)
class UnitRange(Prior):
    """The underlying field, shifted and scaled so that its values go from 0 to 1."""

    underlying: Prior

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        field = self.underlying.sample(grid, count, generator)
        dims = tuple(range(1, field.ndim))
        low, high = field.amin(dims, keepdim=True), field.amax(dims, keepdim=True)
        return (field - low) / (high - low)


@dataclass(frozen=True)
class Sines(Prior):
    r"""A few sine waves along one axis of length L, all numbers uniform in ranges.

    .. math:: g(x) = \sum_{i=1}^{count} A_i \sin 2\pi\left(n_i (x - lower) / L + p_i\right)

    Source: Takamoto et al., PDEBench, arXiv 2210.07182, whose advected waves these are.

    Args:
        count: How many waves.
        waves: Least and greatest number of waves along the axis, :math:`n_i`, both included.
        amplitude: Range of :math:`A_i`.
        phase: Range of :math:`p_i`, in turns.
    """

    count: int = 2
    waves: tuple[int, int] = (1, 8)
    amplitude: tuple[float, float] = (0.0, 1.0)
    phase: tuple[float, float] = (0.0, 1.0)

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        import torch

        if len(grid.shape) != 1:
            raise UsageError(f"{self!r} draws fields along one axis, not {len(grid.shape)}")
        (axis,) = grid.axes.values()
        unit = torch.from_numpy((axis.coordinates() - axis.lower) / (axis.upper - axis.lower))
        shape = (count, self.count)
        number = torch.randint(self.waves[0], self.waves[1] + 1, shape, generator=generator)
        size, shift = (
            Uniform(*span).sample_param(count * self.count, generator).view(shape)
            for span in (self.amplitude, self.phase)
        )
        angle = 2 * torch.pi * (number[..., None] * unit + shift[..., None])
        return (size[..., None] * angle.sin()).sum(1)


@dataclass(frozen=True)
class KarhunenLoeve(Prior):
    r"""Gaussian random field of unit variance, cut off after its leading modes.

    .. math:: g = \sum_{i \le modes} \sqrt{\lambda_i}\,\xi_i\,\phi_i, \qquad
        \int e^{-|x-y|/\ell}\,\phi_i(y)\,dy = \lambda_i \phi_i(x),

    the integral by the trapezoidal rule on the grid's own nodes. Source: Bastek et al.,
    Physics-Informed Diffusion Models, arXiv 2403.14404, after Jacobsen et al., arXiv 2312.10527.

    Args:
        length: Correlation length, the same along all axes.
        modes: How many modes are kept.
    """

    length: float
    modes: int

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        import torch

        functions = torch.from_numpy(self.functions(grid))
        noise = torch.randn(count, self.modes, generator=generator, dtype=torch.float64)
        return (noise @ functions).view(count, *grid.shape)

    def functions(self, grid: Grid) -> np.ndarray:
        r"""Return the modes :math:`\sqrt{\lambda_i}\,\phi_i` on a grid, ``(modes, nodes)``."""
        return _exponential_modes(grid, self.length, self.modes)


@lru_cache(maxsize=8)
def _exponential_modes(grid: Grid, length: float, modes: int) -> np.ndarray:
    """Return the leading modes of an exponential kernel, ``(modes, nodes)``, variance included.

    The kernel is a convolution: padded to twice the grid, Fourier transforms apply it, and a matrix
    of all pairs of nodes, which would not fit at 128 x 128, is never built.
    """
    import numpy as np
    from scipy.sparse.linalg import LinearOperator, eigsh

    if any(grid.periodic) or modes >= np.prod(grid.shape):
        raise UsageError(f"{modes} modes of an exponential kernel need bounded axes, more nodes")
    padded = [2 * n for n in grid.shape]
    steps = [np.minimum(np.arange(n), n - np.arange(n)) for n in padded]
    apart = [np.square(h * k) for h, k in zip(grid.spacing, steps, strict=True)]
    distance = np.sqrt(sum(np.meshgrid(*apart, indexing="ij")))
    axes = range(len(padded))
    kernel = np.fft.rfftn(np.exp(-distance / length))
    root = np.ones(grid.shape)
    for dim, h in enumerate(grid.spacing):
        weight = np.full(grid.shape[dim], h)
        weight[[0, -1]] = h / 2
        root *= np.sqrt(weight).reshape([-1 if d == dim else 1 for d in range(root.ndim)])

    def apply(v: np.ndarray) -> np.ndarray:
        wave = np.fft.rfftn(root * v.reshape(grid.shape), padded, axes)
        spread = np.fft.irfftn(kernel * wave, padded, axes)
        return (root * spread[tuple(map(slice, grid.shape))]).ravel()

    operator = LinearOperator((root.size, root.size), matvec=apply, dtype=np.float64)  # pyright: ignore
    # A start of its own: the default one is drawn at random.
    values, vectors = eigsh(operator, modes, v0=np.arange(1.0, root.size + 1))
    return (np.sqrt(values) * vectors / root.reshape(-1, 1)).T
