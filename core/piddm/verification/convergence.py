"""Observed order of solutions: the manufactured problem solved by the derived solver."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.recursion import instability
from piddm.symbolic.operators import Field, Param, Slice, strict
from piddm.symbolic.winds import accuracy
from piddm.tools.errors import PiddmError
from piddm.verification.accuracy import TIME_ORDERS
from piddm.verification.coefficients import smooth
from piddm.verification.jumps import changes_side
from piddm.verification.manufactured import Manufactured, manufacture
from piddm.verification.result import Check, Line
from piddm.verification.slopes import checked, observed
from piddm.verification.truncation import with_intervals, with_times

NAME = "order_of_solution"
"""Name of the check."""

STATIC = {1: (16, 24, 32, 48, 64), 2: (12, 16, 24, 32), 3: (8, 12, 16)}
"""Intervals along each axis of an equation without time, by the number of axes."""

LINE = (32, 128, 512, 1024)
"""The same of one axis and order 2: the error of walls off the nodes, which is large and of one
order more, is then small beside that of the nodes inside."""

MARCHED = {1: (8, 12, 16), 2: (12, 16, 24, 32), 3: (8, 12, 16)}
"""Intervals along each axis of space, by the number of axes of all kinds."""

VARIANTS = 3
"""Exact solutions, of different phases, over which errors are averaged."""

ROUNDING = 1e-13
"""Relative rounding of a solution."""


def order_of_solution(pde: PDE) -> Check:
    """Check that solutions converge to the exact fields at the nominal order.

    With order 2 in space, the step in time shrinks with the spacing; with order 4, with its
    square, over a tenth of the time. With upwind derivatives the nominal order is theirs.
    """
    if pde.residual is not None:
        return Check(
            NAME, True, "the residual is the equation's own and takes no source", applies=False
        )
    if pde.grid.spherical:
        return Check(NAME, True, "there is no derived solver on a sphere", applies=False)
    pde = smooth(pde)
    timed = any(a.time for a in pde.grid.axes.values())
    # Rows that already imply a mean imply that of the step, not of the exact fields: the two agree
    # where steps in time are exact.
    in_time = "linear" if timed and pde.integrals else "smooth"
    made = [manufacture(pde, in_time, variant=2 * k) for k in range(1 if timed else VARIANTS)]
    if switching := changes_side(made):
        detail = f"what is differenced switches where {switching} = 0: no order to observe there"
        return Check(NAME, True, detail, applies=False)
    lines = []
    upwind = min((accuracy(strict(e)) or 4 for e in pde.equations.values()), default=4)
    # Errors of the second order and of upwind's third cancel in part on grids that are coarse.
    for order in {1: (2,), 3: (4,)}.get(upwind, (2, 4)):
        try:
            lines += _refine(made, order, timed, min(order, upwind))
        except PiddmError as error:
            return Check(NAME, False, f"order {order}: {error}")
    return checked(NAME, lines)


def given_values(pde: PDE, fields: Mapping[str, Tensor], grid: Grid) -> dict[Any, Tensor]:
    """Return the values of an equation's inputs among those of all fields."""
    found = {}
    for item in pde.inputs:
        if isinstance(item, Slice):
            dim, node = pde.slice_index(item, grid)
            found[item] = fields[item.field.name].select(dim + 1, node)
        else:
            found[item] = fields[item.name]
    return found


def _refine(made: Sequence[Manufactured], order: int, timed: bool, nominal: int) -> list[Line]:
    pde = made[0].pde
    steps: list[float] = []
    rms: dict[str, list[float]] = {}
    largest: dict[str, list[float]] = {}
    sizes = MARCHED if timed else STATIC
    finer = _times_a_step(made[0], order) if pde.time_scheme == "centred" and timed else 1
    fine = not timed and len(pde.grid.axes) == 1 and nominal == 2
    for n in LINE if fine else sizes[min(len(pde.grid.axes), 3)]:
        grid = with_intervals(pde.grid, n)
        if timed:
            # The step shrinks with the spacing as the order in time needs it to.
            power = max(nominal / TIME_ORDERS[pde.time_scheme], 1)
            times = 1 + finer * round(8 * (n / 8 if power == 1 else (n / 12) ** power))
            grid = with_times(grid, times, 1.0 if power == 1 else 0.1)
        steps.append(1 / n)
        errors = [_errors(m, grid, order) for m in made]
        for name in errors[0]:
            square = sum(float(e[name].square().mean()) for e in errors) / len(errors)
            rms.setdefault(name, []).append(math.sqrt(square))
            largest.setdefault(name, []).append(max(float(e[name].abs().max()) for e in errors))
    rounding = [ROUNDING] * len(steps)
    label = f"order {order}" + (f", upwind of order {nominal}" if nominal < order else "")
    return [
        Line(name, label, nominal, steps, largest[name], rms[name], rounding,
             observed(steps, rms[name], rounding))
        for name in rms
    ]  # fmt: skip


def _times_a_step(made: Manufactured, order: int) -> int:
    """Return by how much an explicit scheme's step must be shorter to be stable."""
    pde, n = made.pde, MARCHED[min(len(made.pde.grid.axes), 3)][0]
    for finer in (1, 2, 4, 8, 16):
        grid = with_times(with_intervals(pde.grid, n), 1 + finer * n, 1.0)
        if instability(pde, grid, made.fields(grid), pde.inputs, order) is None:
            return finer
    return 1


def _errors(made: Manufactured, grid: Grid, order: int) -> dict[str, Tensor]:
    """Solve one problem; return the relative error of everything that was solved for."""
    pde = made.pde
    given = {str(i) for i in pde.inputs}
    unknown: list[Field | Param] = [f for f in pde.fields if f.name not in given]
    unknown += [p for p in pde.params if p.free and p.name not in given]
    exact = made.fields(grid)
    # Where no row says anything, such as in a corner, values stay where they start.
    start = {k: exact[k.name] for k in unknown}
    found = pde.solve(given_values(pde, exact, grid), grid, order, start)
    out = {}
    for name in (k.name for k in unknown):
        size = float(exact[name].square().mean().sqrt()) or 1.0
        error = (found[name] - exact[name]) / size
        if pde.time_scheme == "bdf2" and error.ndim > 1 and grid.axes[grid.names[0]].time:
            # The first step is of the first order; where a reaction is stiff, it takes some more
            # until that is forgotten.
            error = error[:, error.shape[1] // 2 :]
        out[name] = error
    return out
