r"""Whether an ensemble means what it says: coverage, CRPS and ranks against a known truth."""

from __future__ import annotations

import torch
from torch import Tensor


def quantile(members: Tensor, share: float) -> Tensor:
    r"""Return the value below which a share of the ensemble's law lies, ``(*shape)``.

    The i-th of K sorted members stands for the share i/(K + 1), which is what lies below it of the
    law they were drawn from, in the mean (Weibull's positions, type 6 of Hyndman and Fan, The
    American Statistician 50, 1996); linear between them, and the outermost member beyond. The more
    usual i - 1 of K - 1 would make the 90 % interval of 32 members one of 84 %.

    Args:
        members: ``(count, *shape)``.
        share: Between 0 and 1.
    """
    count = len(members)
    place = min(max(share * (count + 1) - 1, 0.0), count - 1.0)
    order = members.sort(dim=0).values
    left = min(int(place), max(count - 2, 0))
    right = min(left + 1, count - 1)
    return torch.lerp(order[left], order[right], place - left)


def coverage(members: Tensor, truth: Tensor, level: float) -> Tensor:
    """Return at which values the truth lies in the ensemble's central interval.

    Args:
        members: ``(count, *shape)``. With fewer than (1 + level)/(1 - level) of them, 19 for 0.9,
            the interval is from the lowest to the highest, and holds (count - 1)/(count + 1).
        truth: ``(*shape)``.
        level: Nominal share, such as 0.9.

    Returns:
        Boolean ``(*shape)``; its mean is the coverage.
    """
    low, high = quantile(members, (1 - level) / 2), quantile(members, (1 + level) / 2)
    return (low <= truth) & (truth <= high)


def crps(members: Tensor, truth: Tensor) -> Tensor:
    r"""Return the continuous ranked probability score at each value, ``(*shape)``.

    .. math:: E|X - y| - \tfrac12 E|X - X'|,

    the second mean over pairs of different members, which makes it unbiased in their number (the
    fair score of Ferro, Quarterly Journal of the Royal Meteorological Society 140, 2014). It is in
    the field's units, and the absolute error where there is one member.
    """
    count = len(members)
    away = (members - truth).abs().mean(0)
    if count < 2:
        return away
    # Sorted, the sum over pairs is linear in the number of members.
    order = members.sort(dim=0).values
    weight = 2 * torch.arange(count, dtype=members.dtype) - count + 1
    pairs = (order * weight.view(-1, *[1] * truth.ndim)).sum(0)
    return away - pairs / (count * (count - 1))


def ranks(members: Tensor, truth: Tensor) -> Tensor:
    """Return at how many values 0, 1, ... count of the members lie below the truth.

    Over many truths these are alike where the truth is drawn from the same law as the members are.
    Values at which all members are the truth, such as those of a wall, are left out.

    Args:
        members: ``(count, *shape)``.
        truth: ``(*shape)``.

    Returns:
        Integers ``(count + 1,)``.
    """
    below = (members < truth).sum(0)[(members != truth).any(0)]
    return torch.bincount(below, minlength=len(members) + 1)
