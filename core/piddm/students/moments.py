r"""The last step of a first stage: mean and spectrum of what it draws are those of the data.

.. math:: y = B\,\Gamma\,B^T (x - m_x) + m_d.

A network that draws a medium has a small bias of its own: places that are in one phase too often,
waves a tenth too strong. Both are seen in a few thousand draws and taken away by an affine map: the
mean :math:`m_x` of the draws gives way to that of the data, and each product mode B of the colour
(:mod:`piddm.data.colour`) is scaled by the ratio :math:`\Gamma` of the deviations. Of all maps that
bring one Gaussian law to another that is diagonal in the same modes, it moves samples least
(Olkin and Pukelsheim, Linear Algebra Appl. 48, 1982). The map is fitted when training is over, and
costs two products with each mode basis.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from piddm.data.packing import Packing
from piddm.tools.randomness import white

DRAWS = 4096
"""Draws that the moments are taken of, at most; four for each of the data are enough."""

TOGETHER = 64
"""Draws that are made at once."""

FARTHEST = 2.0
"""Ratio of deviations, at most; a network that is farther off is not mended by a factor."""

FAINT = 1e-3
"""Deviation of a mode, over the largest, below which it is left as it is."""


class Moments(nn.Module):
    """An affine map of packed states; until it is fitted, none.

    Args:
        packing: Whose modes it scales.
    """

    log_gain: Tensor
    shift: Tensor

    def __init__(self, packing: Packing) -> None:
        super().__init__()
        shape = (packing.channels, *packing.image)
        self.register_buffer("log_gain", torch.zeros(shape))
        self.register_buffer("shift", torch.zeros(shape))

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """Return packed states ``(batch, channel, *image)``."""
        modes = _modes(packing, packing.weigh(x)) * self.log_gain.exp()
        y = packing.basis_0 @ modes @ packing.basis_1.transpose(-1, -2) + self.shift
        return packing.weigh(y, -0.5)

    @torch.no_grad()
    def fit(
        self, draw: Callable[[Tensor], Tensor], data: Tensor, packing: Packing, seed: int
    ) -> None:
        """Set the map so that draws have the moments of data.

        Args:
            draw: From white noise to packed states, both ``(batch, channel, *image)``.
            data: Packed data.
            packing: How they are packed.
            seed: Of the noise.
        """
        self.log_gain.zero_()
        self.shift.zero_()
        device = self.shift.device
        noise = white((min(DRAWS, 4 * len(data)), *data.shape[1:]), device, seed, "moments")
        drawn = torch.cat([packing.weigh(draw(part)) for part in noise.split(TOGETHER)])
        mean, spread = _moments(packing, drawn)
        goal, wanted = _moments(packing, packing.weigh(data.to(device)))
        heard = torch.minimum(spread, wanted) > FAINT * wanted.amax((-2, -1), keepdim=True)
        ratio = (wanted / spread.clamp_min(1e-30)).clamp(1 / FARTHEST, FARTHEST)
        self.log_gain.copy_(torch.where(heard, ratio, 1.0).log())
        moved = self(packing.weigh(mean[None], -0.5), packing)
        self.shift.copy_(goal - packing.weigh(moved)[0])


def _modes(packing: Packing, x: Tensor) -> Tensor:
    return packing.basis_0.transpose(-1, -2) @ x @ packing.basis_1


def _moments(packing: Packing, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of weighed states, and the deviation of each mode."""
    mean = x.mean(0)
    squares = torch.zeros_like(mean)
    for part in x.split(TOGETHER):
        squares += _modes(packing, part - mean).square().sum(0)
    return mean, (squares / len(x)).sqrt()
