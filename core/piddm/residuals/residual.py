"""The interface of a residual, and where its rows are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.symbolic.operators import Bounds

if TYPE_CHECKING:
    pass


Fields = Mapping[str, Tensor]
"""One tensor per field, ``(batch, *axes)`` in the grid's order."""


@dataclass(frozen=True)
class Reach:
    """Rows that touch the same nodes, seen from their own.

    Args:
        rows: ``(count,)`` which rows of the equation.
        offsets: Field name to the offsets from a row's node, one integer per axis, that it touches;
            across the seam of a periodic axis they go on.
    """

    rows: np.ndarray
    offsets: Mapping[str, Sequence[tuple[int, ...]]]


@dataclass(frozen=True)
class Rows:
    """Where the rows of one equation or condition live, and what they touch.

    Args:
        nodes: ``(rows, axes)`` integer node of each row, in the row-major order of the residual's
            tensor; of a row between two times, the later one, which it determines.
        reaches: Every row in one of them.
        boundary: Whether this is a condition rather than an equation.
        integral: Whether a row is an integral over space, which touches every node at its time
            (and at the time before, where ``lag`` says so).
        lag: See ``integral`` and ``dense``.
        params: Names of the params that it depends on.
        whole: Of an integral, whether it is over time as well: it touches every node at all times.
        dense: Whether a row touches every node at its time (and at the time before, where ``lag``
            says so) though it is no integral, as on a sphere; offsets name only the fields.
    """

    nodes: np.ndarray
    reaches: Sequence[Reach]
    boundary: bool = False
    integral: bool = False
    lag: bool = False
    params: frozenset[str] = frozenset()
    dense: bool = False
    whole: bool = False

    @property
    def fields(self) -> set[str]:
        """Names of the fields that it touches."""
        return {name for reach in self.reaches for name in reach.offsets}


class Residual(ABC):
    """How far fields are from satisfying the discrete equations: zero on a solution.

    Batched, differentiable, and free of random or global state.

    Attributes:
        grid: The grid it is bound to.
        field_names: Names of its fields, in order.
        rows: Where its rows are, by name of equation or condition, in the order of its results.
        free_params: Params whose value a state may leave out: it is then fitted to the fields.
        bounds: Ranges of those fields that have one.
    """

    grid: Grid
    field_names: tuple[str, ...]
    rows: Mapping[str, Rows]
    free_params: tuple[str, ...] = ()
    bounds: Mapping[str, Bounds] = MappingProxyType({})

    @abstractmethod
    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return a tensor ``(batch, ...)`` for each equation and boundary condition, by name."""

    @abstractmethod
    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms whose sum each equation is, for its scale and for diagnosis.

        By name of the equation and of the term, each of the shape of the equation's rows.

        Args:
            fields: ``(batch, *axes)`` by name, params ``(batch,)``.
        """

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows, and their derivatives along several directions.

        Args:
            fields: ``(batch, ...)``, params ``(batch,)``.
            directions: ``(count, batch, ...)`` by name; what is missing stands still.
        """
        count = len(next(iter(directions.values())))
        batch = len(fields[self.field_names[0]])
        many = {k: v.repeat(count, *[1] * (v.ndim - 1)) for k, v in fields.items()}
        moving = {k: v.flatten(0, 1) for k, v in directions.items()}
        still = {k: v for k, v in many.items() if k not in moving}
        rows, change = torch.func.jvp(
            lambda moved: dict(self(still | moved)), ({k: many[k] for k in moving},), (moving,)
        )[:2]
        return (
            {k: v[:batch] for k, v in rows.items()},
            {k: v.unflatten(0, (count, batch)) for k, v in change.items()},
        )

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted by least squares."""
        return dict(fields)
