"""States with nothing but their inputs: what an operator is shown."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.numerics.derived_solver import held
from piddm.symbolic.operators import Field, Slice


class Extension(nn.Module):
    """Packed states with their inputs only, a slice extended along its whole axis.

    Args:
        pde: The equation, none of whose inputs is a param.
        packing: How fields are packed.

    Attributes:
        mask: Which packed values are inputs, ``(channel, *image)``.
        whole: Which channels are, ``(channel, 1, 1)``.
    """

    whole: Tensor

    def __init__(self, pde: PDE, packing: Packing) -> None:
        super().__init__()
        grid, count = packing.grid, packing.channels // len(packing.names)
        known = held(pde, grid, pde.inputs)
        self.mask = packing.stack({k: torch.from_numpy(v)[None] for k, v in known.items()})[0]
        fields = [given.name for given in pde.inputs if isinstance(given, Field)]
        whole = torch.zeros(packing.channels, 1, 1, dtype=torch.bool)
        for name in fields:
            first = packing.names.index(name) * count
            whole[first : first + count] = True
        self.register_buffer("whole", whole, persistent=False)
        self.slices: list[tuple[int, int, int, int]] = []
        done = set(fields)
        for given in pde.inputs:
            if not isinstance(given, Slice) or given.field.name in done:
                continue
            done.add(given.field.name)
            dimension, node = pde.slice_index(given, grid)
            # Negative: counted from the image's last axis; -3 is the one folded into channels.
            first = packing.names.index(given.field.name) * count
            self.slices.append((first, count, dimension - len(grid.shape), node))

    def forward(self, x: Tensor) -> Tensor:
        """Return states ``(batch, channel, *image)`` like ``x``."""
        known = x * self.whole
        for first, count, dim, node in self.slices:
            own = x[:, first : first + count]
            known[:, first : first + count] = own.narrow(dim, node, 1).expand_as(own)
        return known
