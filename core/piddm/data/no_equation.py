"""Data of which no equation is known: fields on a grid, and a residual without rows.

Every field satisfies it. What measures a residual has nothing to measure, and leaves its rows out
of tables; what needs an equation asks :func:`needed` first, which refuses in a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from piddm.data.dataset_record import Dataset
from piddm.equation import PDE
from piddm.grids.grid import Axis, Grid
from piddm.residuals.residual import Fields, Residual
from piddm.symbolic.operators import Field
from piddm.tools.about import NO_EQUATION
from piddm.tools.errors import UsageError, nearest

TIME = "t"
"""Name of the axis of time, where data have one."""

NODES = 8
"""Nodes of an axis that no data are placed on yet."""


class NoRows(Residual):
    """A residual without rows, which every field satisfies."""

    def __init__(self, grid: Grid, names: Sequence[str]) -> None:
        self.grid, self.field_names, self.rows = grid, tuple(names), {}

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return nothing."""
        return {}

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return nothing, and nothing of its derivatives."""
        return {}, {}


def no_equation(names: Sequence[str] = ("u",), grid: Grid | Sequence[str] = ("x",)) -> PDE:
    """Return fields on a grid as an equation that says nothing of them.

    Args:
        names: Names of the fields.
        grid: The grid, or the names of its axes, where the data are still to be read.

    Raises:
        UsageError: If a name cannot be one.
    """
    if not isinstance(grid, Grid):
        grid = Grid(**{name: Axis(0, 1, NODES, time=name == TIME) for name in grid})
    return PDE(
        name=NO_EQUATION,
        summary="data of which no equation is known",
        grid=grid,
        fields=[Field(name) for name in names],
        equations={},
        inputs={},
        simulate=_refuse,
        residual=_rows_of(tuple(names)),
    )


def without_equation(data: Dataset, names: Sequence[str], what: str) -> Dataset:
    """Return some fields of a data set as data of no equation.

    Args:
        data: The data set.
        names: The fields.
        what: What it is, for people: a path.

    Raises:
        UsageError: If it has no such field.
    """
    there = [k for k, v in data.fields.items() if v.ndim > 1]
    if missing := [name for name in names if name not in there]:
        raise UsageError(
            f"{what} has no field {missing[0]!r}{nearest(missing[0], there)}; it has "
            f"{', '.join(there)}"
        )
    fields = {k: data.fields[k] for k in names}
    origin = data.origin or data.pde
    return replace(data, pde=NO_EQUATION, fields=fields, scale={}, floor={}, params={},
                   origin=origin, computed={})  # fmt: skip


def needed(residual: Residual, what: str) -> None:
    """Refuse what takes an equation where there is none.

    Args:
        residual: The residual.
        what: What takes one, for people: ``"a projection"``.

    Raises:
        UsageError: If it has no rows.
    """
    if not residual.rows:
        raise UsageError(f"{what} takes an equation, and of these data none is known: leave it out")


def _rows_of(names: tuple[str, ...]) -> Callable[[Grid], Residual]:
    def rows(grid: Grid) -> Residual:
        return NoRows(grid, names)

    return rows


def _refuse(pde: PDE, grid: Grid, count: int, generator: Any) -> dict[str, Tensor]:
    raise UsageError(
        "without an equation nothing can be simulated, which this needs; what such a run can do: "
        "sample, evaluate, observe, solve (latent, hamiltonian, guided, gaussian)"
    )
