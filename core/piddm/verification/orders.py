"""Observed order of the residual in space, row by row, on manufactured fields."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.symbolic.conditions import Condition
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


OFF = 1e-9
"""Share of a spacing from which a wall lies off the node next to it."""


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
    """Check each method's order in space: equations, conditions and integrals, every row.

    A condition at a wall that is a node has the method's order p in the spacing there; at a wall
    off the nodes, where the field itself is extrapolated, it has p + 1.
    """
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


@dataclass
class _Kind:
    """Errors of one kind of row under refinement: what is promised, spacings, and mean errors."""

    nominal: float
    steps: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)


def _refine(made: Sequence[Manufactured], label: str, order: Any, nominal: int) -> list[Line]:
    pde = made[0].original
    sizes = INTERVALS[min(len(space_of(pde.grid)), 3)]
    times = without_time_errors(made[0])
    steps: list[float] = []
    largest: dict[str, list[float]] = {}
    rms: dict[str, list[float]] = {}
    noise: dict[str, list[float]] = {}
    kinds: dict[str, dict[str, _Kind]] = {}
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
            upwind = accuracy(strict(pde.equations.get(name, 0))) or nominal
            for kind, at in _by_kind(rows.nodes, grid, nominal).items():
                if not at.any():
                    continue
                promised, step = min(nominal, upwind), 1 / n
                if name in pde.conditions and (end := _end(pde.conditions[name], kind, grid)):
                    promised, step = nominal + (end[0] > 0), end[1]
                own = square[at & ~np.isnan(square)]  # on a coarse grid all rows may see a jump
                one = kinds.setdefault(name, {}).setdefault(kind, _Kind(promised))
                one.steps.append(step)
                one.sizes.append(float(own.mean() ** 0.5) if len(own) else np.nan)
    return [
        _line(name, label, kinds[name], (steps, largest[name], rms[name], noise[name]))
        for name in kinds
    ]


def _line(
    name: str, label: str, kinds: Mapping[str, _Kind],
    errors: tuple[list[float], list[float], list[float], list[float]],
) -> Line:  # fmt: skip
    """Return what was found of an equation or a condition: the kind of row that misses most."""
    steps, *_, noise = errors
    whole = {k: own for k, own in kinds.items() if len(own.steps) == len(steps)}
    seen = {k: p for k, own in whole.items()
            if (p := observed(own.steps, own.sizes, noise)) is not None}  # fmt: skip
    where = min(seen, key=lambda k: seen[k] - whole[k].nominal, default="")
    nominal = whole[where].nominal if where else min(k.nominal for k in kinds.values())
    return Line(name, label, nominal, *errors, seen.get(where), where)


def _end(condition: Condition, kind: str, grid: Grid) -> tuple[float, float] | None:
    """Return how far a wall is from the node next to it, and the spacing there, of a kind of row.

    None where rows of that kind are at several walls.
    """
    ends = condition.ends(grid)
    for axis, end in ends:
        if not grid.axes[axis].bounded or (kind != near_end(axis, end) and len(ends) > 1):
            continue
        at, gap = grid.axes[axis].coordinates(), grid.axes[axis].gaps[end > 0]
        step = float(at[1] - at[0] if end < 0 else at[-1] - at[-2])
        return gap if gap > OFF * step else 0.0, step
    return None


def near_end(axis: str, end: int) -> str:
    """Return the kind of rows near an end of an axis."""
    return f"near the {'upper' if end > 0 else 'lower'} end of {axis}"


def _by_kind(nodes: np.ndarray, grid: Grid, order: int) -> dict[str, np.ndarray]:
    """Return which rows are of which kind: near an end of an axis, a corner, inside.

    A poor order next to a wall would hide in the mean over all rows, and does not show in the
    largest error before the grid is very fine.
    """
    near: dict[str, np.ndarray] = {}
    count = np.zeros(len(nodes), dtype=int)
    for d, (name, axis) in enumerate(grid.axes.items()):
        if axis.periodic or axis.time:
            continue
        for end, distance in ((-1, nodes[:, d]), (1, axis.size - 1 - nodes[:, d])):
            near[near_end(name, end)] = distance < order // 2 + 2
            count += distance < order // 2 + 2
    return near | {"inside": count == 0, "near corners": count > 1}


def _seen(every: np.ndarray) -> np.ndarray:
    """Return the mean over those fields for which a row sees no jump; none where all see one."""
    count = (~np.isnan(every)).sum(0)
    return np.where(count, np.nansum(every, 0) / np.maximum(count, 1), np.nan)
