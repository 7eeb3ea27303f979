"""Means over a grid, each node by its share of the area: on a sphere shares differ, else not."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tools.devices import placed


@lru_cache(maxsize=8)
def node_weights(grid: Grid) -> Tensor | None:
    """Return ``(*grid.shape)`` of mean 1 in float64, or nothing where all nodes count the same."""
    weights = torch.from_numpy(grid.weights())
    return None if bool((weights == 1).all()) else weights


def mean_square(values: Tensor, weights: Tensor | None, masked: bool = False) -> Tensor:
    """Return the mean square of ``(batch, *shape)``, given weights ``(*shape)`` of mean 1.

    Masked, the mean is over what is a number, and 0 where nothing is.
    """
    squares = values.square()
    if masked:
        known = ~squares.isnan()
        own = torch.ones_like(squares) if weights is None else placed(weights, squares)
        total = torch.where(known, squares * own, 0.0).sum()
        return total / (known * own).sum().clamp_min(torch.finfo(squares.dtype).tiny)
    return squares.mean() if weights is None else (squares * placed(weights, squares)).mean()
