r"""The normal equations of a nearest solution, :math:`J W^2 J^T m = r`, and ways to solve them.

W is the field's change for a unit move of a value: its scale, zero for fixed values. The shortest
move that takes r away is :math:`W J^T m`. Free params move at no cost: with their columns B the
multipliers must not depend on them,

.. math:: J W^2 J^T m + B\,p = r, \qquad B^T m = 0.

Rows may be **soft**: something of them may stay, at a price. With its variance in units of moves,
their **slack**, on the diagonal of :math:`\Sigma`, the matrix is :math:`J W^2 J^T + \Sigma`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from piddm.residuals.residual import Fields, Residual

FieldScale = Mapping[str, float | np.ndarray]
"""Field name to the length of a unit in the norm: one for all nodes, or ``(*grid.shape)``."""


class Solved(NamedTuple):
    """A shortest move.

    Attributes:
        move: What to subtract from the scaled fields, ``(batch, columns)``.
        params: What to subtract from the free params, ``(batch, params)``.
        multipliers: What an iterative solver may start from another time.
    """

    move: Tensor
    params: Tensor
    multipliers: Tensor | None = None


class Linearised(ABC):
    """A residual's linear part at the given states.

    Attributes:
        rows: The residual there, scaled, ``(batch, rows)``.
    """

    rows: Tensor

    @abstractmethod
    def push(self, move: Tensor) -> Tensor:
        """Return J W v of moves ``(batch, columns)`` as ``(batch, rows)``; params stand still."""

    @abstractmethod
    def solve(self, target: Tensor, tolerance: float, start: Tensor | None = None) -> Solved:
        """Return the shortest move that takes linearised rows away.

        Args:
            target: What is to be taken away, ``(batch, rows)``.
            tolerance: Relative error of the move that will do; a direct solver knows none.
            start: Multipliers to begin with.

        Raises:
            ArithmeticError, RuntimeError: If rows say the same.
        """


class NormalEquations(ABC):
    """A way to solve the normal equations of one residual."""

    @abstractmethod
    def at(self, fields: Fields) -> Linearised:
        """Linearise at fields ``(batch, *grid.shape)`` and params ``(batch,)``."""


def move_weights(
    residual: Residual, scale: FieldScale, held: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return W, field by field: each value's change for a unit move, zero for fixed values."""
    parts = []
    for name in residual.field_names:
        part = np.broadcast_to(np.asarray(scale[name], dtype=float), residual.grid.shape).copy()
        if name in held:
            part[held[name]] = 0.0
        parts.append(part.ravel())
    return np.concatenate(parts)


def slack_vector(residual: Residual, slack: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the diagonal of Sigma, all rows one after another: zero where a row is hard."""
    parts = [np.broadcast_to(slack.get(k, 0.0), len(r.nodes)) for k, r in residual.rows.items()]
    return np.concatenate(parts).astype(float)
