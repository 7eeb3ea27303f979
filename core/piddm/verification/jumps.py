"""Rows that see a jump or a kink, where no scheme has an order to observe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from piddm.grids.grid import Grid
from piddm.residuals.residual import Rows
from piddm.symbolic.operators import D
from piddm.symbolic.switches import switches
from piddm.symbolic.winds import split
from piddm.verification.evaluate import on_grid

if TYPE_CHECKING:
    from piddm.verification.manufactured import Manufactured


def differenced_switches(expression: Any) -> list[Any]:
    """Return what decides between branches within derivatives: elsewhere a kink costs nothing."""
    found = [s for d in split(expression).atoms(D) for s in switches(d.parts[0])]
    return list(dict.fromkeys(found))


def changes_side(made: Sequence[Manufactured]) -> str:
    """Return what switches within derivatives for the chosen fields; empty if nothing does."""
    for chosen in made:
        pde = chosen.original
        for switch in (s for e in pde.equations.values() for s in differenced_switches(e)):
            side = np.sign(on_grid(chosen.value(switch), pde.grid).numpy())
            if side.min() != side.max():
                return str(switch)
    return ""


def smooth_rows(made: Manufactured, grid: Grid, equation: Any, rows: Rows) -> np.ndarray | None:
    """Return which rows see one branch only, ``(rows,)``; nothing where all do."""
    found = differenced_switches(equation)
    if not found:
        return None
    offsets = [o for reach in rows.reaches for at in reach.offsets.values() for o in at]
    reach = np.abs(np.array(offsets)).max(0)
    keep = np.ones(grid.shape, dtype=bool)
    mode = ["wrap" if p else "nearest" for p in grid.periodic]
    for switch in found:
        side = np.sign(on_grid(made.value(switch), grid).numpy())
        size = tuple(2 * int(r) + 1 for r in reach)
        highest = maximum_filter(side, size, mode=mode)  # pyright: ignore
        keep &= highest == minimum_filter(side, size, mode=mode)  # pyright: ignore
    return keep[tuple(rows.nodes.T)]
