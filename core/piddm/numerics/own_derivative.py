"""Each row's derivative by the value at its own node: the diagonal of a Jacobian, in few probes.

Nodes are coloured so that no row's own node has a neighbour of its colour within the row's reach; a
row then sees of its own colour its own node only. Five-point stencils take two colours, a
checkerboard.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from piddm.residuals.residual import Residual

MOST = 12
"""Colours at most: more probes cost more than their scaling is worth."""


def own_colours(residual: Residual, field: str) -> Tensor | None:
    """Return a mask of the nodes of each colour, ``(colours, *grid.shape)``; None if too many.

    Args:
        residual: The residual; its conditions and integrals do not count.
        field: The field by which is differentiated.
    """
    grid, offsets = residual.grid, set()
    for rows in residual.rows.values():
        if not rows.boundary and not rows.integral:
            offsets |= {tuple(o) for reach in rows.reaches for o in reach.offsets.get(field, ())}
    offsets = [o for o in offsets if any(o)]
    for count in range(1, MOST + 1):
        for steps in product(range(count), repeat=len(grid.shape)):
            apart = all(sum(s * o for s, o in zip(steps, shift, strict=True)) % count
                        for shift in offsets)  # fmt: skip
            closed = all(
                not (periodic and step * n % count)
                for step, n, periodic in zip(steps, grid.shape, grid.periodic, strict=True)
            )
            if apart and closed:
                at = [torch.arange(n) * s for n, s in zip(grid.shape, steps, strict=True)]
                total = sum(torch.meshgrid(*at, indexing="ij"), torch.zeros(()))
                return torch.stack([total % count == c for c in range(count)])
    return None


def own_derivative(
    push: Callable[[Tensor], Tensor], pick: Callable[[Tensor], Tensor], colours: Tensor, batch: int
) -> Tensor:
    """Return the derivatives of rows by their own nodes' values, ``(batch, rows)``.

    Args:
        push: Returns the change of these rows along a direction ``(batch, *grid.shape)``.
        pick: Returns of ``(batch, *grid.shape)`` the values at these rows' nodes.
        colours: See :func:`own_colours`, in the precision of the states.
        batch: Number of states.
    """
    total: Tensor | float = 0.0
    for colour in colours:
        direction = colour.expand(batch, *colour.shape)
        total = total + push(direction) * pick(direction)
    assert isinstance(total, Tensor)
    return total
