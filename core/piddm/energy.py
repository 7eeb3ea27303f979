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
    """Return 2 E|X - Y| - E|X - X'| over the root of the dimension, a scalar.

    Args:
        x: Samples ``(batch, ...)``, at least two.
        y: Data ``(other batch, ...)``.
    """
    x, y = x.flatten(1), y.flatten(1)
    # Differences as they are: by products of matrices, near pairs would lose their digits.
    across = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return (2 * across.mean() - torch.pdist(x).mean()) / math.sqrt(x.shape[1])
