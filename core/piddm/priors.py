"""Laws of random inputs: what a plugin names in ``inputs``.

Importing this module does not import torch, so that listing equations stays quick.
"""

from __future__ import annotations

import math
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


class _Mapped(Prior):
    """A field of another law, changed."""

    underlying: Prior

    @abstractmethod
    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields ``(count, *grid.shape)`` of this law from those of the underlying one."""

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return self.changed(grid, self.underlying.sample(grid, count, generator))

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        return self.underlying.white(grid)

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        return self.changed(grid, self.underlying.from_white(grid, noise))


@dataclass(frozen=True)
class Uniform(Prior):
    """A number, equally likely anywhere between two: a param, or a field that is constant."""

    low: float
    high: float

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return _constant(self.sample_param(count, generator), grid)

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        import torch

        return self._of(torch.rand(count, generator=generator, dtype=torch.float64))

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        return 1

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        return _constant(self.param_from_white(noise[:, 0]), grid)

    def param_from_white(self, noise: Tensor) -> Tensor:
        """Map white noise to values of a param, of the same shape, differentiably."""
        import torch

        return self._of(torch.special.ndtr(noise))

    def _of(self, unit: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * unit


def _constant(values: Tensor, grid: Grid) -> Tensor:
    return values.view(-1, *[1] * len(grid.shape)).repeat(1, *grid.shape)


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
            from piddm.sphere import harmonics_of

            return len(harmonics_of(grid).basis()[1])
        return math.prod(grid.shape)

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        import numpy as np
        import torch

        from piddm.bases import along, basis

        if grid.spherical:
            return self._on_sphere(grid, noise)
        pairs = [basis(axis) for axis in grid.axes.values()]
        eigenvalue = sum(np.square(g) for g in np.meshgrid(*(f for _, f in pairs), indexing="ij"))
        sigma = self.scale * self.tau ** ((2 * self.alpha - len(pairs)) / 2)
        amplitude = sigma * (eigenvalue + self.tau**2) ** (-self.alpha / 2)
        amplitude.flat[0] = 0.0
        field = noise.view(-1, *grid.shape) * torch.from_numpy(amplitude)
        for dim, (functions, _) in enumerate(pairs):
            field = along(torch.from_numpy(functions), field, dim + 1)
        return field

    def _on_sphere(self, grid: Grid, noise: Tensor) -> Tensor:
        from piddm.sphere import harmonics_of

        if grid.names != ("lat", "lon"):
            raise UsageError(f"{self!r} draws fields on a sphere alone: give a slice, u.at(t=0)")
        functions, degree = harmonics_of(grid).basis()
        sigma = self.scale * self.tau ** (self.alpha - 1)
        amplitude = sigma * (degree * (degree + 1) + self.tau**2) ** (-self.alpha / 2)
        amplitude[degree == 0] = 0.0
        return ((noise * amplitude) @ functions.flatten(1)).view(-1, *grid.shape)


@dataclass(frozen=True)
class TwoPhase(_Mapped):
    """Two materials: ``high`` where the underlying field is at least 0, ``low`` elsewhere."""

    underlying: Prior
    low: float
    high: float

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        import torch

        return torch.where(field >= 0, self.high, self.low).to(field.dtype)

    def white(self, grid: Grid) -> int:
        """Refuse: a step between two values has no slope to follow."""
        return Prior.white(self, grid)


@dataclass(frozen=True)
class LogNormal(_Mapped):
    """The exponential of the underlying field: a smooth positive medium."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        return field.exp()


@dataclass(frozen=True)
class Inverse(_Mapped):
    """One over a number or field of the underlying law."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        return 1 / field

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        return 1 / self.underlying.sample_param(count, generator)

    def param_from_white(self, noise: Tensor) -> Tensor:
        """Map white noise ``(count,)`` to values of a param, differentiably."""
        return 1 / self.underlying.param_from_white(noise)


@dataclass(frozen=True)
class ZeroOnEdge(_Mapped):
    """The underlying field with zeros at both ends of every bounded axis."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        import torch

        inside = torch.ones(grid.shape, dtype=torch.bool)
        for dim, axis in enumerate(grid.axes.values()):
            if not (axis.periodic or axis.latitude):
                inside.select(dim, 0).zero_()
                inside.select(dim, -1).zero_()
        return torch.where(inside, field, 0.0)


@dataclass(frozen=True)
class UnitRange(_Mapped):
    """The underlying field, shifted and scaled so that its values go from 0 to 1."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
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
