r"""The best linear prediction of a state from its inputs, by the principal components of data.

With :math:`x = Us\,z`, z white, and inputs :math:`x_M = Bz + \sigma\epsilon`, B the rows of Us that
are inputs, the mean of z given the inputs is

.. math:: E[z\mid x_M] = (\sigma^2 + B^TB)^{-1}B^T x_M,

and :math:`Us\,E[z\mid x_M]` predicts the state. Of a linear equation this is the solution, as far
as the components go. Where data have no such components (:mod:`piddm.data.packing`) the prediction
is zero, the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piddm.data.packing import Packing

GRAIN = 0.01
"""Part of an input that components leave, over a field's deviation: the sigma above."""


class LinearPrediction(nn.Module):
    """Packed states from their inputs, linearly.

    Args:
        rank: Number of components, at most.
        mask: Which packed values are inputs, ``(channel, *image)``.
    """

    index: Tensor
    gain: Tensor

    def __init__(self, rank: int, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", mask.flatten().nonzero()[:, 0], persistent=False)
        self.register_buffer("gain", torch.zeros(rank, rank))

    @torch.no_grad()
    def fit(self, packing: Packing) -> None:
        """Take the components of a packing as it is."""
        used = packing.rank()
        self.gain.zero_()
        b = packing.strengths[:used, None].double() * packing.components[:used, self.index].double()
        square = b @ b.mT
        square.diagonal().add_(GRAIN**2)
        self.gain[:used, :used] = torch.linalg.inv(square)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """Return states ``(batch, channel, *image)`` like ``x``, whose inputs are looked at."""
        used = packing.rank()
        if not used:
            return torch.zeros_like(x)
        components, strengths = packing.components[:used], packing.strengths[:used]
        seen = packing.weigh(x).flatten(1)[:, self.index] @ components[:, self.index].transpose(
            -1, -2
        )
        z = (seen * strengths) @ self.gain[:used, :used]
        return packing.weigh(((z * strengths) @ components).view_as(x), -0.5)
