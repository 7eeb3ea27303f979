"""Observed order of the residual in space, row by row, on manufactured fields."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.symbolic.operators import strict
from piddm.symbolic.specification import Order
from piddm.symbolic.winds import accuracy
from piddm.tools.errors import UsageError
from piddm.verification.coefficients import smooth
from piddm.verification.manufactured import VARIANTS, Manufactured, manufacture
from piddm.verification.result import Check, Line
from piddm.verification.slopes import checked, observed
from piddm.verification.truncation import (
    errors,
    rounding,
    space_of,
    twice_in_time,
    with_intervals,
    without_time_errors,
)

INTERVALS = {
    1: (12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128),
    2: (16, 24, 32, 48, 64, 96, 128),
    3: (16, 24, 32, 48),
}
"""Intervals along each axis of space, by the number of such axes."""


def methods(pde: PDE) -> dict[str, tuple[Order | Mapping[str, Order], int]]:
    """Return what :meth:`piddm.PDE.bind` offers with an order: label to argument, order."""
    if pde.residual is not None and len(inspect.signature(pde.residual).parameters) < 2:
        return {"order 2": (2, 2)}  # a residual of the author's own that has one order
    found: dict[str, Any] = {f"order {p}": (p, p) for p in (2, 4, 6)}
    periodic = [k for k, a in pde.grid.axes.items() if a.periodic]
    bounded = [k for k, a in pde.grid.axes.items() if a.bounded]
    if periodic and bounded:
        mixed = dict.fromkeys(periodic, "spectral") | dict.fromkeys(bounded, 4)
        found[f"spectral in {', '.join(periodic)}, order 4"] = (mixed, 4)
    return found


def order_of_residual(pde: PDE) -> Check:
    """Check each method's order in space: equations, conditions and integrals, every row."""
    if not space_of(pde.grid):
        return Check("order_of_residual", True, "there is no axis of space", applies=False)
    if pde.grid.spherical:
        return Check(
            "order_of_residual",
            True,
            "harmonics have no order: see the spectral accuracy",
            applies=False,
        )
    pde = smooth(pde)
    in_time = "quadratic" if twice_in_time(pde) else "linear"
    made = [manufacture(pde, in_time, variant=k) for k in range(VARIANTS)]
    lines: list[Line] = []
    for label, (order, nominal) in methods(pde).items():
        try:
            lines += _refine(made, label, order, nominal)
        except UsageError as error:
            if pde.residual is None:
                raise
            # A residual of the plugin's own offers what it offers.
            if nominal == 2:
                return Check("order_of_residual", False, str(error))
    return checked("order_of_residual", lines)


def _refine(made: Sequence[Manufactured], label: str, order: Any, nominal: int) -> list[Line]:
    pde = made[0].original
    sizes = INTERVALS[min(len(space_of(pde.grid)), 3)]
    times = without_time_errors(made[0])
    steps: list[float] = []
    largest: dict[str, list[float]] = {}
    rms: dict[str, list[float]] = {}
    noise: dict[str, list[float]] = {}
    kinds: dict[str, dict[str, list[float]]] = {}
    for n in sizes:
        grid = with_intervals(times, n)
        residual = pde.bind(grid, order)
        found = [errors(m, residual) for m in made]
        round_off = rounding(made[0], residual)
        steps.append(1 / n)
        for name, rows in residual.rows.items():
            every = np.stack([e[name].square().numpy() for e in found])
            square = np.mean(every, axis=0) if np.isfinite(every).all() else _seen(every)
            seen = square[~np.isnan(square)]
            most = np.where(np.isnan(every), 0.0, every).max() if len(seen) else np.nan
            largest.setdefault(name, []).append(float(most**0.5))
            rms.setdefault(name, []).append(float(seen.mean() ** 0.5) if len(seen) else np.nan)
            noise.setdefault(name, []).append(round_off[name])
            for kind, size in _by_kind(square, rows.nodes, grid, nominal).items():
                kinds.setdefault(name, {}).setdefault(kind, []).append(size)
    lines = []
    for name, of_name in kinds.items():
        slopes = {
            k: observed(steps, e, noise[name]) for k, e in of_name.items() if len(e) == len(steps)
        }
        known = {k: p for k, p in slopes.items() if p is not None}
        where = min(known, key=known.__getitem__, default="")
        upwind = accuracy(strict(pde.equations.get(name, 0))) or nominal
        lines.append(Line(name, label, min(nominal, upwind), steps, largest[name], rms[name],
                          noise[name], known.get(where), where))  # fmt: skip
    return lines


def _by_kind(square: np.ndarray, nodes: np.ndarray, grid: Grid, order: int) -> dict[str, float]:
    """Return the root mean square by kind of row: near an end of an axis, a corner, inside.

    A poor order next to a wall would hide in the mean over all rows, and does not show in the
    largest error before the grid is very fine.
    """
    near: dict[str, np.ndarray] = {}
    count = np.zeros(len(nodes), dtype=int)
    for d, (name, axis) in enumerate(grid.axes.items()):
        if axis.periodic or axis.time:
            continue
        for end, distance in (("lower", nodes[:, d]), ("upper", axis.size - 1 - nodes[:, d])):
            near[f"near the {end} end of {name}"] = distance < order // 2 + 2
            count += distance < order // 2 + 2
    near |= {"inside": count == 0, "near corners": count > 1}
    found = {}
    for kind, at in near.items():
        seen = square[at & ~np.isnan(square)]  # on a coarse grid all rows may see a jump
        if at.any():
            found[kind] = float(seen.mean() ** 0.5) if len(seen) else np.nan
    return found


def _seen(every: np.ndarray) -> np.ndarray:
    """Return the mean over those fields for which a row sees no jump; none where all see one."""
    count = (~np.isnan(every)).sum(0)
    return np.where(count, np.nansum(every, 0) / np.maximum(count, 1), np.nan)
