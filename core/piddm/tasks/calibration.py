r"""Whether an ensemble means what it says: coverage, CRPS and ranks against a known truth."""

from __future__ import annotations

import torch
from torch import Tensor


def coverage(members: Tensor, truth: Tensor, level: float) -> Tensor:
    """Return at which values the truth lies in the ensemble's central interval.

    Args:
        members: ``(count, *shape)``.
        truth: ``(*shape)``.
        level: Nominal share, such as 0.9.

    Returns:
        Boolean ``(*shape)``; its mean is the coverage.
    """
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=members.dtype)
    low, high = torch.quantile(members, tails, dim=0)
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
    """Return how many members lie below the truth at each value.

    Over many truths these are spread evenly over 0 ... count where the truth is drawn from the same
    law as the members are.
    """
    return (members < truth).sum(0)
