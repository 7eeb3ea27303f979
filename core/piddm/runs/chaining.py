"""Films longer than a student was trained on: windows of time, one after the other.

A student that maps inputs to states (:meth:`piddm.students.student.Student.solution`) takes the
last state of a window for the first of the next. Films of any length take
the memory of one window. Errors add up, and later states may be of another law than the data that
it has seen: ``benchmarks/chaining.py`` measures both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.marching import shifted
from piddm.residuals.residual import Fields
from piddm.symbolic.operators import Slice
from piddm.tools.errors import UsageError

Way = Callable[[Fields], Fields]
"""What makes states of states."""


def chained(
    pde: PDE, grid: Grid, first: Fields, count: int, predict: Way, move: Way | None = None
) -> dict[str, Tensor]:
    """Return films ``{name: (batch, times, *axes)}`` of so many windows.

    The state at which two windows meet is that of the earlier.

    Args:
        pde: The equation.
        grid: The grid of a window.
        first: The first window.
        count: How many windows, the first among them.
        predict: Returns states with the first state of what it is given.
        move: What brings each window onto the equation before the next begins, its first state as
            it is: that of the window before, to the bit.

    Raises:
        UsageError: If windows do not follow from one another.
    """
    refuse_unchained(pde, grid)
    if count < 1:
        raise UsageError("ask for at least 1 window")
    window = move(first) if move else first
    parts = {k: [v] for k, v in window.items()}
    for _ in range(count - 1):
        start = {k: v[:, -1:].expand_as(v) if v.ndim > 1 else v for k, v in window.items()}
        window = predict(start)
        if move:
            window = move({**window, **_begun(pde, window, start)})
        for k, value in window.items():
            parts[k].append(value[:, 1:] if value.ndim > 1 else value)
    return {k: torch.cat(v, 1) if v[0].ndim > 1 else v[0] for k, v in parts.items()}


def _begun(pde: PDE, window: Fields, start: Fields) -> dict[str, Tensor]:
    """Return fields of a window with the first states of another."""
    names = {item.field.name for item in pde.inputs if isinstance(item, Slice)}
    return {k: torch.cat([start[k][:, :1], window[k][:, 1:]], 1) for k in names}


def refuse_unchained(pde: PDE, grid: Grid) -> None:
    """Refuse an equation whose films do not go on from their last state.

    Raises:
        UsageError: If it has no time, changes with time, or takes more than a first state.
    """
    name, axis = next(iter(grid.axes.items()))
    if not axis.time:
        raise UsageError(f"{pde.name} has no axis of time along which windows could follow")
    other = [i for i in pde.inputs if not (isinstance(i, Slice) and i.axis == name)]
    if other or any(i.value != axis.lower for i in pde.inputs if isinstance(i, Slice)):
        raise UsageError(
            f"windows follow from their first state alone, and {pde.name} takes "
            f"{', '.join(map(str, other or pde.inputs))}, which nothing says for later times"
        )
    later = shifted(pde, name)
    parts = ("equations", "conditions", "integrals")
    if any(getattr(pde, part) != getattr(later, part) for part in parts):
        raise UsageError(
            f"{pde.name} changes with {name}: a student of its first window knows no other"
        )


def lengthened(grid: Grid, count: int) -> Grid:
    """Return the grid of so many windows."""
    name, axis = next(iter(grid.axes.items()))
    longer = dataclasses.replace(
        axis,
        upper=axis.lower + count * (axis.upper - axis.lower),
        size=count * (axis.size - 1) + 1,
    )
    return Grid(**{k: longer if k == name else a for k, a in grid.axes.items()})
