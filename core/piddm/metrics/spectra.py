r"""Power spectra of packed samples, and how far they are from those of data.

A state that is right in its mean and its spread may still lack its fine grain, or have too much of
it. Along a periodic axis of the image the transform is Fourier's, along a bounded one the cosine
transform DCT-II, both orthonormal; modes are numbered in half-waves over the axis, so that
:math:`\cos(2\pi x)` has number 2 along either. On a sphere it is spherical harmonics, and the
number is the degree, 0 to n - 1 on n latitudes. A shell holds the modes with
:math:`|k|` nearest to its number; its power is the mean over them.

.. math:: d = \operatorname{mean}_{\text{shells}} |\log_{10}(P_x/P_y)|
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tools.errors import UsageError

SILENT = 1e-8
"""Share of a channel's power in the data below which a shell says nothing: it is rounding."""

QUIETEST = 1e-30
"""Share of the same that stands for less: samples without a mode are far, not infinitely."""


@torch.no_grad()
def spectrum_distance(x: Tensor, data: Tensor, grid: Grid) -> float:
    """Return the mean over shells and channels of how many powers of ten are between both.

    A shell counts where it holds more than :data:`SILENT` of its channel's power in the data.
    The mean of samples is not taken away: a wrong one shows in the shells that it lies in. Samples
    that are data times c are at a distance of 2 |log10 c|.

    Args:
        x: Packed samples ``(count, channel, *image)``.
        data: Packed data, likewise; the counts may differ.
        grid: The grid of the fields.

    Raises:
        UsageError: If the data have no power at all.
    """
    of_x, modes = spectrum(x, grid)
    of_data, _ = spectrum(data, grid)
    held = of_data * modes
    whole = held.sum(1, keepdim=True)
    counted = (held > SILENT * whole) & (whole > 0)
    if not bool(counted.any()):
        raise UsageError("the spectrum of data that vanish everywhere is no measure of samples")
    ratio = of_x.clamp_min(QUIETEST * whole)[counted] / of_data[counted]
    return float(ratio.log10().abs().mean())


def spectrum(x: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Return the mean power of a mode in each shell, and how many modes the shell has.

    Args:
        x: Packed states ``(count, channel, *image)``.
        grid: The grid of the fields; its last two axes are the image's, its only one a line's.

    Returns:
        ``(channel, shell)`` and ``(shell,)``, float64 on the CPU. Shells without modes, which
        coarse periodic axes leave between, have no power.
    """
    x = x.detach().cpu().double()
    if grid.spherical:
        matrix, shell = _harmonics(*grid.shape[-2:])
        power = (x.flatten(2) @ matrix.mT).square().mean(0)
    else:
        numbers = []
        for dim, periodic in zip((-2, -1), (True, *grid.periodic)[-2:], strict=True):
            x, number = _transformed(x, dim, periodic)
            numbers.append(number)
        power = x.abs().square().mean(0).flatten(1)
        shell = torch.hypot(*torch.meshgrid(*numbers, indexing="ij")).round().long().flatten()
    modes = torch.bincount(shell).double()
    total = torch.zeros(len(power), len(modes), dtype=power.dtype).index_add_(1, shell, power)
    return total / modes.clamp_min(1), modes


def _transformed(x: Tensor, dim: int, periodic: bool) -> tuple[Tensor, Tensor]:
    """Return orthonormal coefficients along an axis, and their numbers in half-waves."""
    n = x.shape[dim]
    if periodic:
        return torch.fft.fft(x, dim=dim, norm="ortho"), 2 * n * torch.fft.fftfreq(n).double().abs()
    # A product with the matrix of DCT-II: grids are small, and torch has no fast one.
    number = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * number[:, None] * (number + 0.5)) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return (matrix.to(x) @ x.movedim(dim, -2)).movedim(-2, dim), number


@lru_cache(maxsize=2)
def _harmonics(lat: int, lon: int) -> tuple[Tensor, Tensor]:
    """Return the analysis ``(harmonic, nodes)`` by Gauss' quadrature, and degrees."""
    from piddm.grids.harmonics import Harmonics

    basis, degree = Harmonics(lat, lon).basis()
    share = torch.from_numpy(Grid.sphere(lat).weights())[:, :1] / (lat * lon)
    return (basis * share).flatten(1), degree
