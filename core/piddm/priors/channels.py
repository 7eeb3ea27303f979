"""A law of media whose phases are connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piddm.grids.grid import Grid
from piddm.priors.prior import Prior

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Channels(Prior):
    r"""Channels along the first axis.

    Inside is where :math:`|y - c_i(x)| \le w_i/2` for one of them,

    .. math:: c_i(x) = \frac{i + \eta_i}{n} + s_i\,(x - \tfrac12)
        + A_i\sin 2\pi(x/\ell_i + p_i).

    Its phases are connected, which no covariance sees; and there is no map of white noise to it,
    for n is a whole number. Such media are those of geostatistics (after Strebelle, Mathematical
    Geology 34, 2002).

    Args:
        low, high: Permeability beside and inside channels.
        count: Least and greatest number n of channels, both included.
        width: Range of :math:`w_i`.
        amplitude: Range of :math:`A_i`.
        length: Range of :math:`\ell_i`.
        slope: Greatest :math:`|s_i|`.
    """

    low: float = 1.0
    high: float = 12.0
    count: tuple[int, int] = (2, 3)
    width: tuple[float, float] = (0.08, 0.14)
    amplitude: tuple[float, float] = (0.04, 0.12)
    length: tuple[float, float] = (0.5, 1.0)
    slope: float = 0.2

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` media, float64, shape ``(count, *grid.shape)``."""
        import torch

        def uniform(low: float, high: float) -> Tensor:
            unit = torch.rand(count, most, 1, generator=generator, dtype=torch.float64)
            return low + (high - low) * unit

        along, across = (torch.from_numpy(v.coordinates()) for v in grid.axes.values())
        least, most = self.count
        number = torch.randint(least, most + 1, (count, 1, 1), generator=generator)
        which = torch.arange(most).view(1, most, 1)
        middle = (which + uniform(0.25, 0.75)) / number
        centre = middle + uniform(-self.slope, self.slope) * (along - 0.5)
        wave = 2 * torch.pi * (along / uniform(*self.length) + uniform(0.0, 1.0))
        centre = centre + uniform(*self.amplitude) * wave.sin()
        half = uniform(*self.width)[..., None] / 2
        inside = (across - centre[..., None]).abs() <= half
        inside &= (which < number)[..., None]
        return torch.where(inside.any(1), self.high, self.low).double()
