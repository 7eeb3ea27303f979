"""Weights of integrals over space, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from piddm.grids.grid import Grid
from piddm.residuals import uneven
from piddm.residuals.stencils import quadrature
from piddm.tools.errors import UsageError


def weights_of_space(grid: Grid, orders: Sequence[int]) -> dict[int, np.ndarray]:
    """Return the weights of the quadrature along each axis of space, by dimension.

    Args:
        grid: The grid.
        orders: Order of accuracy along each axis, 0 for spectral.

    Raises:
        UsageError: If an axis has too few nodes for its order.
    """
    found = {}
    for d, (name, axis) in enumerate(grid.axes.items()):
        if axis.time:
            continue
        order = orders[d]
        try:
            if axis.periodic or (axis.location == "vertex" and axis.uniform):
                along = quadrature(axis.size, order or 2, axis.periodic) * axis.spacing
            else:
                along = uneven.quadrature(axis, order)
        except ValueError as error:
            raise UsageError(
                f"the integral needs {error.args[0]} nodes along {name}, the grid has {axis.size}"
            ) from error
        found[d] = along
    return found
