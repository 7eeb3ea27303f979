r"""Intervals that hold: factors by which an ensemble's intervals are stretched, from known truths.

With the interval :math:`[\ell, h]` of an ensemble around its mean m, the factor that a value y
needs is

.. math:: c = \max\Big(\frac{y - m}{h - m + \gamma},\; \frac{m - y}{m - \ell + \gamma}\Big),

:math:`\gamma` a floor, for values on which all members agree. Over truths of the law, the quantile
of c makes the stretched interval hold at so many places, and the quantile of the largest c of each
truth makes the whole field lie inside: of T exchangeable truths and a new one, the k-th smallest
factor is exceeded by the new one with a chance of at most 1 - k/(T + 1). Source: Papadopoulos et
al., European Conference on Machine Learning, 2002 (split conformal prediction); Diquigiovanni,
Fontana and Vantini, Journal of Multivariate Analysis 189, 2022 (bands of functions).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from scipy.stats import chisquare
from torch import Tensor

TINY = 1e-300
"""Least width of half an interval."""

PER_BIN, BINS = 5, 10
"""Ranks that are expected in a bin of their test, at least, and bins at most."""


def needed(truth: Tensor, middle: Tensor, low: Tensor, high: Tensor, floor: float) -> Tensor:
    """Return the factor with which each value is on the edge of its interval, ``(*shape)``."""
    above = (truth - middle) / ((high - middle).clamp_min(0.0) + floor).clamp_min(TINY)
    below = (middle - truth) / ((middle - low).clamp_min(0.0) + floor).clamp_min(TINY)
    return torch.maximum(above, below)


def own_width(low: Tensor, high: Tensor) -> float:
    """Return the root mean square of half an interval over a field."""
    return float(((high - low) / 2).square().mean().sqrt())


def pointwise(factors: Sequence[Tensor], level: float) -> float:
    """Return the factor that holds at a share of all places, each truth counting the same.

    Args:
        factors: What each truth needs at its places.
        level: The share.
    """
    parts = [f for f in factors if len(f)]
    if not parts:
        return 1.0
    every = torch.cat(parts)
    weight = torch.cat([torch.full_like(f, 1 / (len(f) * len(parts))) for f in parts])
    order = every.argsort()
    total = weight[order].cumsum(0)
    place = int((total < level - 1e-12).sum())
    return float(every[order[min(place, len(every) - 1)]])


def balanced(own: Sequence[Tensor], held: Sequence[float], level: float) -> float:
    """Return the factor that holds at a share of all places, where some truths have another one.

    Args:
        own: What truths need at their places that have this factor.
        held: The shares that hold of the others, with theirs.
        level: The share over both, each truth counting the same.
    """
    if not own:
        return 1.0
    left = level * (len(own) + len(held)) - sum(held)
    return pointwise(own, min(max(left / len(own), 0.0), 1.0))


def exceeded(values: Sequence[float], level: float) -> float:
    """Return what a new value of the same law is below with a chance of at least the level.

    Infinite where there are too few values to say: 9 for a level of 0.9.
    """
    place = math.ceil(level * (len(values) + 1) - 1e-9)
    return sorted(values)[place - 1] if place <= len(values) else math.inf


def uniform(ranks: Sequence[int], members: int) -> float:
    """Return the chance of ranks as uneven as these where members and truths have one law.

    Args:
        ranks: Independent ones, one a truth, of 0 to ``members``.
        members: Members of each ensemble.
    """
    bins = max(2, min(BINS, members + 1, len(ranks) // PER_BIN))
    edges = [round(k * (members + 1) / bins) for k in range(bins + 1)]
    held = [sum(a <= r < b for r in ranks) for a, b in itertools.pairwise(edges)]
    share = [(b - a) / (members + 1) * len(ranks) for a, b in itertools.pairwise(edges)]
    return float(chisquare(held, share).pvalue)
