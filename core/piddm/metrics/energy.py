r"""A loss on what a regression loses: the law of the samples, its spread above all.

A student that regresses to its pairs averages over what it cannot predict: interfaces blur,
variance shrinks. The energy distance between a batch of samples and a batch of data,

.. math:: \frac{1}{\sqrt d}\left(2\,E\|X-Y\| - E\|X-X'\| - E\|Y-Y'\|\right),

d the number of values, vanishes only for equal laws. Its sampled gradient, every expectation a
mean over distinct pairs, has no bias, so that batches will do; the last term does not depend on the
student and is left out. As a score of forecasts it is Gneiting and Raftery's energy score (JASA
102, 2007); generators have been trained on nothing else (Shen and Meinshausen, Engression, JRSS B
2024, arXiv 2307.00835).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CITATION = r"""
@article{gneiting2007strictly,
  title = {Strictly Proper Scoring Rules, Prediction, and Estimation},
  author = {Gneiting, Tilmann and Raftery, Adrian E.},
  year = {2007},
  journal = {Journal of the American Statistical Association},
  volume = {102},
  pages = {359--378},
}
@article{szekely2013energy,
  title = {Energy statistics: A class of statistics based on distances},
  author = {Sz{\'e}kely, G{\'a}bor J. and Rizzo, Maria L.},
  year = {2013},
  journal = {Journal of Statistical Planning and Inference},
  volume = {143},
  pages = {1249--1272},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""

SAME = 1e-6
"""Distance of two samples, over their size, below which they are the same."""


def energy_score(x: Tensor, y: Tensor, every: Tensor | None = None) -> Tensor:
    """Return 2 E|X - Y| - E|X - X'| over the root of the dimension; its gradient is that of x only.

    Args:
        x: Samples ``(batch, ...)``, at least two.
        y: Data ``(other batch, ...)``.
        every: All samples, of which ``x`` are one of several equal parts; the mean of the parts'
            scores, and of their gradients, is that of all.
    """
    x, y = x.flatten(1), y.flatten(1)
    with torch.no_grad():
        whole = x if every is None else every.flatten(1)
        # Sums over a part, for a mean over parts, count for as many.
        pairs, crossed = len(x) * (len(whole) - 1), len(x) * len(y)
        (across, to_data), (within, to_samples) = _distances(x, y), _distances(x, whole)
        value = 2 * across / crossed - within / pairs
        slope = 2 * to_data / crossed - 2 * to_samples / pairs
    return (value + (slope * (x - x.detach())).sum()) / math.sqrt(x.shape[1])


def _distances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of |x_i - y_j| over all pairs, and of (x_i - y_j)/|x_i - y_j| over j.

    The latter by products of matrices: what torch keeps for the slope of a distance may take the
    square of a batch times its memory. A distance of 0 has the slope 0.
    """
    # Products of matrices in float64: a third of the time that differences in float32 take, whose
    # sums of many squares are less accurate. Below SAME a distance is what rounding left of it.
    away = torch.cdist(x.double(), y.double(), compute_mode="use_mm_for_euclid_dist")
    size = x.double().square().sum(1, keepdim=True).sqrt()
    away = torch.where(away > SAME * size, away, 0.0)
    inverse = torch.where(away > 0, 1 / away, 0.0).to(x)
    return away.sum().to(x), x * inverse.sum(1, keepdim=True) - inverse @ y


def energy_distance(a: Tensor, b: Tensor) -> float:
    r"""Return :math:`2E|A-B| - E|A-A'| - E|B-B'|` over the root of the dimension.

    Never negative, and zero only for equal empirical laws (Szekely and Rizzo, Journal of
    Statistical Planning and Inference 143, 2013). Two draws of one law show the finite-sample
    floor.
    """
    a, b = a.flatten(1).double(), b.flatten(1).double()
    across = torch.cdist(a, b).mean()
    within = torch.cdist(a, a).mean() + torch.cdist(b, b).mean()
    return float(2 * across - within) / a.shape[1] ** 0.5
