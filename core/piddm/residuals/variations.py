"""A residual other than the equation's own, to train and sample by: what if it is wrong, or less?

Scores are always by the equation's own residual; these say how much hangs on it.
"""

from __future__ import annotations

import numpy as np

from piddm.config import PhysicsConfig
from piddm.grids.grid import Grid
from piddm.residuals.binding import bind
from piddm.residuals.residual import Residual
from piddm.residuals.wrappers import Restricted, with_params
from piddm.symbolic.specification import Specification
from piddm.tools.errors import UsageError


def varied(pde: Specification, grid: Grid, settings: PhysicsConfig) -> Residual:
    """Return an equation's residual as the settings alter it.

    Raises:
        UsageError: If the equation has nothing that they speak of.
    """
    residual = bind(pde, grid, settings.order)
    if settings.factor != 1:
        own = {p.name: p.value for p in pde.params if p.name not in pde.free_params}
        if not own:
            raise UsageError(f"{pde.name} has no param for physics.factor to change")
        residual = with_params(residual, {k: v * settings.factor for k, v in own.items()})
    if settings.rows != "all":
        residual = Restricted(residual, chosen(residual, settings.rows))
    return residual


def chosen(residual: Residual, which: str) -> dict[str, np.ndarray]:
    """Return the indices of an equation's rows at the ends of time, or on the boundary of space.

    Rows between two times belong to the later one: the ends are the first step and the last.
    Conditions are on the boundary. Along a periodic axis the seam counts as one.

    Raises:
        UsageError: If there is no such place.
    """
    axes = list(residual.grid.axes.values())
    along = [i for i, axis in enumerate(axes) if axis.time == (which == "ends")]
    if not along:
        raise UsageError(f"physics.rows={which}: the grid has no axis of that kind; use all")
    found = {}
    for name, rows in residual.rows.items():
        ends = [
            np.isin(rows.nodes[:, i], [rows.nodes[:, i].min(), rows.nodes[:, i].max()])
            for i in along
        ]
        kept = np.any(ends, axis=0) | (rows.boundary and which == "boundary")
        found[name] = np.flatnonzero(kept)
    return {name: index for name, index in found.items() if len(index)}
