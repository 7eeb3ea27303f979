r"""Fields of a few values, such as a medium of two phases: soft for a network, sharp after it.

A network that is trained on a jump draws a blur, since what it cannot foretell it averages, and
noise with the data's covariance rings at the jump. So the training data of such a field are
softened, without a loss: across an interface the value runs over some nodes, and always stays on
its own side of the middle between two levels. Where two levels :math:`a_0 < a_1` meet at the signed
distance d (in nodes, positive in the upper phase),

.. math:: \tilde a = \frac{a_0 + a_1}{2} + \frac{a_1 - a_0}{2}\,\frac{d}{\sqrt{d^2 + L^2}}.

That is a level-set function in the units of the field, with steepness only at the interface.
Rounding to the nearest level takes it back exactly. What a network draws is smooth and near to
it, and rounds to phases with crisp interfaces: an error of the network moves an interface and
blurs none. Backwards rounding is the identity (a straight-through derivative: Bengio, Leonard and
Courville, arXiv 1308.3432), so that losses and searches have a slope.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MOST = 8
"""Values of a field, at most, that are taken for levels."""


def levels_of(values: Tensor) -> Tensor | None:
    """Return the values that a field takes, ascending; None where they are one or many."""
    few = values[:8].unique()
    if len(few) > MOST:
        return None
    found = values.unique()
    return found if 1 < len(found) <= MOST else None


def rounded(values: Tensor, levels: Tensor) -> Tensor:
    """Return the nearest levels; the derivative is that of the values as they were."""
    levels = levels.to(values)
    nearest = levels[torch.bucketize(values.detach().contiguous(), (levels[1:] + levels[:-1]) / 2)]
    return nearest + (values - values.detach()) if values.requires_grad else nearest


def softened(values: Tensor, levels: Tensor, width: float, periodic: Sequence[bool]) -> Tensor:
    """Return values that round to the given ones, and run smoothly from one to another.

    Between two others a level has a room from the middle below it to the middle above it, and the
    value is where the distances to both tell.

    Args:
        values: A field ``(batch, *axes)`` of those levels.
        levels: All its levels, ascending.
        width: L, in nodes.
        periodic: Whether each axis is.
    """
    index = torch.bucketize(values, (levels[1:] + levels[:-1]).to(values) / 2).numpy()
    own = levels.double().numpy()
    middle = (own[1:] + own[:-1]) / 2
    # How far a node is from where a threshold is crossed, as a share of the whole way, below 1.
    share = np.stack([_shares(index > k, width, periodic) for k in range(len(middle))])
    soft = np.where(index == 0, middle[0] - (middle[0] - own[0]) * share[0], 0.0)
    soft = np.where(index == len(middle), middle[-1] + (own[-1] - middle[-1]) * share[-1], soft)
    for k in range(1, len(middle)):
        way = share[k - 1] / (share[k - 1] + share[k])
        soft = np.where(index == k, middle[k - 1] + (middle[k] - middle[k - 1]) * way, soft)
    return torch.from_numpy(soft).to(values)


def _shares(above: np.ndarray, width: float, periodic: Sequence[bool]) -> np.ndarray:
    r"""Return :math:`d/\sqrt{d^2+L^2}`, d the distance to the nearest node of the other side.

    The interface is half a node before it. Without another side it is infinitely far.
    """
    from scipy.ndimage import distance_transform_edt

    # Beyond eight widths the share is within a hundredth of 1: no need to go around further.
    pads = [min(n, int(8 * width) + 1) if p else 0
            for n, p in zip(above.shape[1:], periodic, strict=True)]  # fmt: skip
    inner = tuple(slice(p, p + n) for p, n in zip(pads, above.shape[1:], strict=True))
    found = np.ones(above.shape)
    for sample, out in zip(above, found, strict=True):
        if sample.all() or not sample.any():
            continue
        whole = np.pad(sample, [(p, p) for p in pads], mode="wrap")
        upper, lower = (np.asarray(distance_transform_edt(side)) for side in (whole, ~whole))
        distance = (upper + lower)[inner] - 0.5  # each is zero on the other's side
        out[...] = distance / np.sqrt(distance**2 + width**2)
    return found
