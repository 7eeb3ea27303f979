r"""The law of one value: how far pooled values of samples are from those of data.

.. math:: W_f = \frac{1}{s_f} \int_0^1 \left| F_x^{-1}(q) - F_y^{-1}(q) \right| dq,

the Wasserstein-1 distance between the values of a field, all nodes and samples pooled, over the
field's deviation s. It sees blurred phases, lost extremes and wrong shares, which an energy
distance between whole states hardly does; it sees nothing of where values are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def one_point_distance(x: Tensor, data: Tensor, scale: float, weights: Tensor | None) -> float:
    """Return the distance of one field's pooled values from those of data.

    Args:
        x: Samples of the field ``(count, *axes)``.
        data: Data, likewise; the counts may differ.
        scale: The field's deviation over data.
        weights: Share of each node ``(*axes)`` where they differ, as on a sphere.
    """
    if weights is None and x.shape == data.shape:
        # Equally many values that count the same: their order statistics are the quantiles.
        ours, theirs = (v.float().flatten().sort().values for v in (x, data))
        return float((ours - theirs).abs().mean(dtype=torch.float64)) / scale
    from scipy.stats import wasserstein_distance

    shares = [None if weights is None else np.tile(weights.numpy().ravel(), len(v))
              for v in (x, data)]  # fmt: skip
    values = [v.double().numpy().ravel() for v in (x, data)]
    return float(wasserstein_distance(*values, *shares)) / scale
