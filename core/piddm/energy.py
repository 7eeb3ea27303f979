r"""A loss on what a regression loses: the law of the samples, its spread above all.

A student that regresses to its pairs averages over what it cannot predict: interfaces blur,
variance shrinks. The energy distance between a batch of samples and a batch of data,

.. math:: \frac{1}{\sqrt d}\left(2\,E\|X-Y\| - E\|X-X'\| - E\|Y-Y'\|\right),

d the number of values, vanishes for equal laws alone. Its sampled gradient, every expectation a
mean over distinct pairs, has no bias, so that batches will do; the last term does not depend on the
student and is left out. As a score of forecasts it is Gneiting and Raftery's energy score (JASA
102, 2007); generators have been trained on nothing else (Shen and Meinshausen, Engression, JRSS B
2024, arXiv 2307.00835).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def energy_score(x: Tensor, y: Tensor) -> Tensor:
    """Return 2 E|X - Y| - E|X - X'| over the root of the dimension; its gradient is x's alone.

    Args:
        x: Samples ``(batch, ...)``, at least two.
        y: Data ``(other batch, ...)``.
    """
    x, y = x.flatten(1), y.flatten(1)
    with torch.no_grad():
        pairs = len(x) * (len(x) - 1)
        (across, to_data), (within, to_samples) = _distances(x, y), _distances(x, x)
        value = 2 * across / (len(x) * len(y)) - within / pairs
        slope = 2 * to_data / (len(x) * len(y)) - 2 * to_samples / pairs
    return (value + (slope * (x - x.detach())).sum()) / math.sqrt(x.shape[1])


def _distances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of |x_i - y_j| over all pairs, and of (x_i - y_j)/|x_i - y_j| over j.

    The latter by products of matrices: what torch keeps for the slope of a distance may take the
    square of a batch times its memory. A distance of 0 has the slope 0.
    """
    # Differences as they are: by products of matrices, near pairs would lose their digits.
    away = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    inverse = torch.where(away > 0, 1 / away, 0.0)
    return away.sum(), x * inverse.sum(1, keepdim=True) - inverse @ y
