"""Laws of random fields: Gaussian by their spectrum, sums of sines, Karhunen-Loeve series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from piddm.grids.grid import Grid
from piddm.priors.maps import Uniform
from piddm.priors.prior import Prior
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class GaussianField(Prior):
    r"""Centred Gaussian random field with covariance :math:`\sigma^2(-\Delta+\tau^2 I)^{-\alpha}`.

    .. math:: g = \sum_{k\ne0} \sigma(\lambda_k+\tau^2)^{-\alpha/2}\,\xi_k\,\phi_k,
        \qquad \sigma=\tau^{(2\alpha-d)/2},

    with :math:`(\lambda_k, \phi_k)` the Laplacian's eigenpairs, of mean square 1: Fourier modes
    along periodic axes, cosines (Neumann) along the others; on the unit sphere harmonics, with
    :math:`\lambda = l(l+1)` and d = 2. Source: Li et al., Fourier Neural Operator, arXiv
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
        import torch

        shape = (count, self.white(grid))
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        return self.from_white(grid, noise)

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        if grid.spherical:
            from piddm.grids.harmonics import harmonics_of

            return len(harmonics_of(grid).basis()[1])
        return math.prod(grid.shape)

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        import torch

        from piddm.grids.bases import along, basis

        if grid.spherical:
            return self._on_sphere(grid, noise)
        pairs = [basis(axis) for axis in grid.axes.values()]
        amplitude = self._amplitude([frequency for _, frequency in pairs])
        field = noise.view(-1, *grid.shape) * torch.from_numpy(amplitude)
        for dim, (functions, _) in enumerate(pairs):
            field = along(torch.from_numpy(functions), field, dim + 1)
        return field

    def variance(self, grid: Grid) -> Tensor:
        """Return the variance at each node, ``(*grid.shape)``."""
        import torch

        from piddm.grids.bases import along, basis

        if grid.spherical:
            return super().variance(grid)
        pairs = [basis(axis) for axis in grid.axes.values()]
        found = torch.from_numpy(self._amplitude([f for _, f in pairs]))[None].square()
        for dim, (functions, _) in enumerate(pairs):
            found = along(torch.from_numpy(functions).square(), found, dim + 1)
        return found[0]

    def _amplitude(self, frequencies: list[np.ndarray]) -> np.ndarray:
        """Return the standard deviation of each mode."""
        import numpy as np

        squares = [np.square(g) for g in np.meshgrid(*frequencies, indexing="ij")]
        sigma = self.scale * self.tau ** ((2 * self.alpha - len(frequencies)) / 2)
        amplitude = sigma * (sum(squares) + self.tau**2) ** (-self.alpha / 2)
        amplitude.flat[0] = 0.0
        return amplitude

    def _on_sphere(self, grid: Grid, noise: Tensor) -> Tensor:
        from piddm.grids.harmonics import harmonics_of

        if grid.names != ("lat", "lon"):
            raise UsageError(f"{self!r} draws fields on a sphere only: give a slice, u.at(t=0)")
        functions, degree = harmonics_of(grid).basis()
        sigma = self.scale * self.tau ** (self.alpha - 1)
        amplitude = sigma * (degree * (degree + 1) + self.tau**2) ** (-self.alpha / 2)
        amplitude[degree == 0] = 0.0
        return ((noise * amplitude) @ functions.flatten(1)).view(-1, *grid.shape)


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

        shape = (count, self.count)
        number = torch.randint(self.waves[0], self.waves[1] + 1, shape, generator=generator)
        size, shift = (
            Uniform(*span).sample_param(count * self.count, generator).view(shape)
            for span in (self.amplitude, self.phase)
        )
        return self._waves(grid, number, size, shift)

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        if self.waves[0] != self.waves[1]:
            return super().white(grid)  # whole numbers of waves have no slope
        return 2 * self.count

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        import torch

        number = torch.full((len(noise), self.count), self.waves[0])
        size, shift = (
            Uniform(*span).param_from_white(part)
            for span, part in zip((self.amplitude, self.phase), noise.chunk(2, dim=1), strict=True)
        )
        return self._waves(grid, number, size, shift)

    def _waves(self, grid: Grid, number: Tensor, size: Tensor, shift: Tensor) -> Tensor:
        import torch

        if len(grid.shape) != 1:
            raise UsageError(f"{self!r} draws fields along one axis, not {len(grid.shape)}")
        (axis,) = grid.axes.values()
        unit = torch.from_numpy((axis.coordinates() - axis.lower) / (axis.upper - axis.lower))
        angle = 2 * torch.pi * (number[..., None] * unit + shift[..., None])
        return (size[..., None] * angle.sin()).sum(1)


@dataclass(frozen=True)
class KarhunenLoeve(Prior):
    r"""Gaussian random field of unit variance, cut off after its leading modes.

    .. math:: g = \sum_{i \le modes} \sqrt{\lambda_i}\,\xi_i\,\phi_i, \qquad
        \int e^{-|x-y|/\ell}\,\phi_i(y)\,dy = \lambda_i \phi_i(x),

    the integral by the trapezoidal rule on the grid's own nodes, by the midpoint rule at centres.
    Source: Bastek et al., Physics-Informed Diffusion Models, arXiv 2403.14404, after Jacobsen et
    al., arXiv 2312.10527.

    Args:
        length: Correlation length, the same along all axes.
        modes: How many modes are kept.
    """

    length: float
    modes: int

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        import torch

        noise = torch.randn(count, self.modes, generator=generator, dtype=torch.float64)
        return self.from_white(grid, noise)

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        return self.modes

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        import torch

        return (noise @ torch.from_numpy(self.functions(grid))).view(-1, *grid.shape)

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
    if not all(axis.uniform for axis in grid.axes.values()):
        raise UsageError(
            "an exponential kernel is drawn on axes of equal distances: give such ones"
        )
    padded = [2 * n for n in grid.shape]
    steps = [np.minimum(np.arange(n), n - np.arange(n)) for n in padded]
    apart = [np.square(h * k) for h, k in zip(grid.spacing, steps, strict=True)]
    distance = np.sqrt(sum(np.meshgrid(*apart, indexing="ij")))
    axes = range(len(padded))
    kernel = np.fft.rfftn(np.exp(-distance / length))
    root = np.ones(grid.shape)
    for dim, (axis, h) in enumerate(zip(grid.axes.values(), grid.spacing, strict=True)):
        weight = np.full(grid.shape[dim], h)
        weight[[0, -1]] = np.array(axis.gaps) + h / 2
        root *= np.sqrt(weight).reshape([-1 if d == dim else 1 for d in range(root.ndim)])

    def apply(v: np.ndarray) -> np.ndarray:
        wave = np.fft.rfftn(root * v.reshape(grid.shape), padded, axes)
        spread = np.fft.irfftn(kernel * wave, padded, axes)
        return (root * spread[tuple(map(slice, grid.shape))]).ravel()

    operator = LinearOperator((root.size, root.size), matvec=apply, dtype=np.float64)  # pyright: ignore
    # A start of its own: the default one is drawn at random.
    values, vectors = eigsh(operator, modes, v0=np.arange(1.0, root.size + 1))
    return (np.sqrt(values) * vectors / root.reshape(-1, 1)).T
