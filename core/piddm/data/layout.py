"""Fields as channels of an image, and the share that each node has of a mean."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from piddm.grids.grid import Grid
from piddm.grids.means import node_weights
from piddm.tools.errors import UsageError


class Layout(nn.Module):
    """Turns fields ``(batch, *axes)`` into ``(batch, channel, *image)`` and back.

    With two axes each field is a channel; with three the first axis folds into channels. A field on
    a line is an image one node high, alike above and below: periodic there.

    Args:
        grid: The grid of the fields.
        names: The fields, in order.

    Raises:
        UsageError: If the grid has more than three axes.
    """

    weights: Tensor | None

    def __init__(self, grid: Grid, names: tuple[str, ...]) -> None:
        super().__init__()
        if len(grid.shape) > 3:
            raise UsageError(f"networks take grids of at most 3 axes, not {len(grid.shape)}")
        self.grid, self.names = grid, names
        self.folded = grid.shape[0] if len(grid.shape) == 3 else 1
        height, width = (1, *grid.shape)[-2:]
        self.channels, self.image = self.folded * len(names), (height, width)
        self.image_periodic = (True, *grid.periodic)[-2], grid.periodic[-1]
        shares = node_weights(grid)
        if shares is not None:
            shares = self.stack({name: shares[None] for name in names})[0]
        self.register_buffer("weights", shares, persistent=False)  # the grid tells them

    @property
    def dimension(self) -> int:
        """Number of values of one state."""
        return self.channels * math.prod(self.image)

    def stack(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Return fields as channels, in their own units."""
        return torch.cat([fields[k].reshape(-1, self.folded, *self.image) for k in self.names], 1)

    def unstack(self, x: Tensor) -> dict[str, Tensor]:
        """Return channels as fields, one tensor ``(batch, *axes)`` each."""
        parts = x.split(self.folded, dim=1)
        return {k: p.reshape(-1, *self.grid.shape) for k, p in zip(self.names, parts, strict=True)}

    def weigh(self, x: Tensor, power: float = 0.5) -> Tensor:
        """Return packed values times a power of their nodes' shares; as they are on a plane.

        After the root, a plain mean square is that over the area, and a plain distance too.
        """
        return x if self.weights is None else x * self.weights.to(x) ** power
