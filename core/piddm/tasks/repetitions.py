"""Several readings at one place, as a log book has them: one, by their sigmas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tasks.quantities import EDGE
from piddm.tools.errors import UsageError

TRUE = torch.tensor(True)
"""True, as the value of an indexed assignment."""


def combined(
    grid: Grid, points: Tensor, values: Tensor, sigma: Tensor, groups: Sequence[str],
    label: Callable[[int], str],
) -> tuple[Tensor, Tensor, Tensor] | None:  # fmt: skip
    """Return the first of each place, and values and sigmas there; nothing where none repeats.

    An exact reading counts only. With another bias a reading is no repetition.

    Args:
        grid: The domain.
        points: ``(n, axes)``.
        values: ``(n,)``.
        sigma: ``(n,)``.
        groups: Group of each, or nothing.
        label: What one is called in messages.

    Raises:
        UsageError: If two exact values at one place differ.
    """
    key = _folded(grid, points)
    if groups:
        kinds = sorted(set(groups))
        number = torch.tensor([kinds.index(g) for g in groups], dtype=key.dtype)
        key = torch.cat([key, number[:, None]], dim=1)
    _, inverse, counts = key.unique(dim=0, return_inverse=True, return_counts=True)
    if not bool((counts > 1).any()):
        return None
    exact = sigma == 0
    certain = torch.zeros(len(counts), dtype=torch.bool).index_put((inverse[exact],), TRUE)
    weight = torch.where(certain[inverse], exact.double(), 1 / sigma.square().clamp_min(1e-300))
    total = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, inverse, weight)
    mean = torch.zeros_like(total).index_add_(0, inverse, weight * values) / total
    away = (values - mean[inverse]).abs()
    apart = exact & (away > EDGE * values.abs().max())
    if bool(apart.any()):
        last = int(apart.nonzero()[-1])
        first = int((exact & (inverse == inverse[last])).nonzero()[0])
        raise UsageError(
            f"{label(last)} is at the same place as {label(first)}, both exact, and they differ; "
            "give them a sigma, or keep one of them"
        )
    count = torch.arange(len(inverse)).flip(0)
    first = torch.zeros(len(counts), dtype=torch.int64).index_put((inverse.flip(0),), count)
    order = first.sort().indices
    own = torch.where(certain, torch.zeros_like(total), total.rsqrt())
    return first[order], mean[order], own[order]


def _folded(grid: Grid, points: Tensor) -> Tensor:
    """Return points with both ends of a periodic axis taken for one, rounded."""
    lower = points.new_tensor([a.lower for a in grid.axes.values()])
    length = points.new_tensor([a.upper - a.lower for a in grid.axes.values()])
    share = ((points - lower) / length / EDGE).round()
    whole = share.new_tensor(round(1 / EDGE))
    periodic = torch.tensor(grid.periodic)
    return torch.where(periodic, share % whole, share)
