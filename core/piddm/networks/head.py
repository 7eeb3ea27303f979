r"""The head of a network: an offset, and a gate for the fine grain of its input.

.. math:: F(x, t) = G o + (G g)\odot x

The offset o draws what is large and smooth. The gate g lets or blocks the fine grain of x, which
the network would else have to copy node by node, to take noise off a flat phase for one. Where
principal components hold a field there is no such grain, and no gate. G damps both where the data
are small (:meth:`piddm.data.colour.Colour.shape`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piddm.data.packing import Packing


def respond(packing: Packing, network: nn.Module, x: Tensor, t: Tensor) -> Tensor:
    """Return F of packed states ``(batch, channel, *image)`` at the noise levels ``(batch,)``."""
    offset, gate = network(x, t).chunk(2, dim=1)
    if packing.rank():
        if (smooth := packing.smooth()) is None:
            return packing.shape(offset)
        x = x * (~smooth).to(x)[:, None, None]
    return torch.addcmul(packing.shape(offset), packing.shape(gate), x)
