"""Where the rows of equations and conditions are on a grid, and which nodes they touch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from piddm.grids.grid import Grid
from piddm.residuals.compiler import Builder
from piddm.residuals.programs import SPECTRAL, Load, Place, Scalar, Span
from piddm.residuals.residual import Reach
from piddm.symbolic.analysis import derivative_order, leading_fields
from piddm.symbolic.conditions import Dirichlet
from piddm.symbolic.operators import D, Slice
from piddm.symbolic.specification import ORDERS
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    import sympy

    from piddm.symbolic.specification import Order, Specification


def orders(grid: Grid, order: Order | Mapping[str, Order]) -> tuple[int, ...]:
    """Return the order of accuracy along each axis, 0 for spectral.

    Raises:
        UsageError: If an axis is unknown or cannot have the order.
    """
    named = isinstance(order, Mapping)
    wanted = dict(order) if isinstance(order, Mapping) else dict.fromkeys(grid.names, order)
    for name, value in wanted.items():
        axis = grid.axes[grid.names[grid.index(name)]]
        if value not in ORDERS:
            raise UsageError(f"order {value!r} along {name}: choose 2, 4, 6 or 'spectral'")
        if axis.time and named:
            raise UsageError(f"{name} is time: its order is that of the time scheme")
        if value == "spectral" and not (axis.periodic or axis.time or axis.chebyshev_kind):
            raise UsageError(
                f"the axis {name} is not periodic and its nodes are not Chebyshev's, as spectral "
                f"derivatives ask for: give an order by axis, such as {{{name!r}: 4}}"
            )
    return tuple(
        2 if axis.time else SPECTRAL if wanted.get(name, 2) == "spectral" else wanted.get(name, 2)
        for name, axis in grid.axes.items()
    )  # pyright: ignore


def steps_in_time(expression: sympy.Expr, pde: Specification, grid: Grid) -> int | None:
    """Return the dimension of time where the equation is a one-step relation between two times."""
    if pde.time_scheme == "centred":
        return None
    time = next((name for name, axis in grid.axes.items() if axis.time), None)
    first = any(d.parts[1].name == time and d.parts[2] == 1 for d in expression.atoms(D))  # pyright: ignore
    if time and derivative_order(expression, time) > 1:
        if pde.time_scheme == "newmark":
            return None
        if first:
            raise UsageError("second derivatives in time need time_scheme='newmark' or 'centred'")
    for d in expression.atoms(D):
        _, axis, order = d.parts  # pyright: ignore
        if grid.axes[axis.name].time and order == 1:
            return grid.index(axis.name)
    return None


def interior(
    expression: sympy.Expr, pde: Specification, grid: Grid, accuracy: tuple[int, ...]
) -> Place:
    """Return where an equation holds: conditions take the place of rows at the ends of axes.

    A derivative of order m leaves m rows to conditions, half of them at each end. Of an odd order,
    the end with more conditions has one more, the lower one where there is no telling.
    """
    half = steps_in_time(expression, pde, grid)
    spans = []
    for d, (name, axis) in enumerate(grid.axes.items()):
        if d == half:
            spans.append(Span(0, axis.size - 1, half=True))
            continue
        rim = 0 if axis.periodic else derivative_order(expression, name)
        low, high = (rim + 1) // 2, rim // 2
        leading = leading_fields(expression, name)
        ends = [
            end
            for c in pde.conditions.values()
            if c.field in leading
            for along, end in c.ends(grid)
            if along == name
        ]
        if not axis.time and ends.count(1) > ends.count(-1):
            low, high = high, low
        if low + high >= axis.size:
            raise UsageError(
                f"the stencil needs {rim + 1} nodes along {name}, the grid has {axis.size}"
            )
        averaged = axis.time and rim > 1 and pde.time_scheme == "newmark"
        spans.append(Span(low, axis.size - high, order=accuracy[d], averaged=averaged))
    return tuple(spans)


def faces(
    name: str, pde: Specification, grid: Grid, accuracy: tuple[int, ...]
) -> list[tuple[Any, Place]]:
    """Return where a condition holds: the end of an axis, and the range of its rows.

    Every node of a corner has one row: of a Dirichlet condition, else of the one named first.
    """
    condition = pde.conditions[name]
    # A state that is given, at the first time or the last, must not be determined once more.
    given = {
        (i.field, i.value == grid.axes[i.axis].lower)
        for i in pde.inputs
        if isinstance(i, Slice) and grid.axes[i.axis].time
    }
    rival = sorted(pde.conditions.items(), key=lambda c: not isinstance(c[1], Dirichlet))
    taken: list[tuple[str, int]] = []
    for other, c in rival:
        if other == name:
            break
        if c.field == condition.field:
            taken += c.ends(grid)
    found = []
    for axis, end in condition.ends(grid):
        spans = []
        for d, (along, a) in enumerate(grid.axes.items()):
            low, high = int((along, -1) in taken), int((along, 1) in taken)
            if a.time and along != axis:
                low = low or int((condition.field, True) in given)
                high = high or int((condition.field, False) in given)
            span = (0, 1) if end < 0 else (a.size - 1, a.size)
            if along != axis:
                spans.append(Span(low, a.size - high, order=accuracy[d]))
            else:
                beyond = a.gaps[end > 0] > 0
                spans.append(Span(*span, order=accuracy[d], wall=end if beyond else 0))
        found.append(((axis, end), tuple(spans)))
        taken.append((axis, end))
    return found


def reaches(
    expression: sympy.Expr, place: Place, pde: Specification, grid: Grid
) -> tuple[list[Reach], frozenset[str]]:
    """Return which nodes of each field the rows at a place touch, and which params they use.

    Found by compiling the expression at one row of each kind: the rows along an axis that have the
    central stencil are of one kind, each row near an end is one of its own.
    """
    kinds = []
    for d, span in enumerate(place):
        rim = Builder(grid, pde.time_scheme).margin(expression, d, span.half, span.order)
        size = grid.shape[d] - span.half
        alone = sorted({i for i in range(span.start, span.stop) if i < rim or i >= size - rim})
        middle = [i for i in range(span.start, span.stop) if rim <= i < size - rim]
        kinds.append([[i] for i in alone] + ([middle] if middle else []))
    index = np.arange(int(np.prod([s.length for s in place]))).reshape([s.length for s in place])
    found, params = [], frozenset()
    for kind in itertools.product(*kinds):
        probe = Builder(grid, pde.time_scheme, frozenset(p.name for p in pde.params))
        first = [rows[0] for rows in kind]
        probe.value(
            expression,
            tuple(replace(s, start=i, stop=i + 1) for i, s in zip(first, place, strict=True)),
        )
        touched: dict[str, set[tuple[int, ...]]] = {}
        loads = [s for s in probe.steps if isinstance(s, Load)]
        _refuse_small(grid, loads)
        around = _around(grid, loads)
        for load in loads:
            # Of a row between two times, the node is the later one.
            spans = (
                [j % n - i if n else j - i - of.half for j in range(s.start, s.stop)]
                for s, i, of, n in zip(load.place, first, place, around, strict=True)
            )
            touched.setdefault(load.name, set()).update(itertools.product(*spans))
        rows = index[np.ix_(*([i - s.start for i in r] for r, s in zip(kind, place, strict=True)))]
        found.append(Reach(rows.ravel(), {k: sorted(v) for k, v in touched.items()}))
        params |= {s.name for s in probe.steps if isinstance(s, Scalar)}
    return found, params


def _around(grid: Grid, loads: list[Load]) -> list[int]:
    """Return the size of those axes all around which a row reaches, and across the seam; else 0.

    Beside a spectral derivative an upwind one reaches nodes once more.
    """
    found = []
    for d, axis in enumerate(grid.axes.values()):
        spans = [load.place[d] for load in loads]
        beyond = bool(spans) and min(s.start for s in spans) < 0
        whole = any(s.length == axis.size for s in spans)
        found.append(axis.size if axis.periodic and whole and beyond else 0)
    return found


def _refuse_small(grid: Grid, loads: list[Load]) -> None:
    """Refuse a periodic axis around which a stencil would meet itself."""
    for name in {load.name for load in loads}:
        for d, (along, axis) in enumerate(grid.axes.items()):
            spans = [load.place[d] for load in loads if load.name == name]
            width = max(s.stop for s in spans) - min(s.start for s in spans)
            if axis.periodic and width > axis.size and not _around(grid, loads)[d]:
                raise UsageError(
                    f"the stencil needs {width} nodes along {along}, the grid has {axis.size}"
                )


def nodes(place: Place) -> np.ndarray:
    """Return the node of each row at a place, ``(rows, axes)``."""
    at = np.indices([s.length for s in place]).reshape(len(place), -1).T
    return at + np.array([s.start + s.half for s in place])
