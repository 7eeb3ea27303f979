r"""The unknowns of one field that an equation determines, its conditions' nodes eliminated.

Unknown nodes are inner ones, I, each with a row of the equation, and the rim's, B, each with a row
of a condition. With the derivatives E of the equation's rows and C of the conditions',

.. math:: \begin{pmatrix} E_I & E_B \\ C_I & C_B \end{pmatrix}
    \begin{pmatrix} \delta_I \\ \delta_B \end{pmatrix} =
    \begin{pmatrix} r_E \\ r_C \end{pmatrix}
    \quad\Rightarrow\quad \delta_B = C_B^{-1} (r_C - C_I\,\delta_I),

the conditions being linear with the same coefficients everywhere; what is left is the matrix
:math:`E_I - E_B C_B^{-1} C_I` of the inner nodes. Integrals are rows beside the inner ones.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tools.devices import placed

NEGLIGIBLE = 1e-12
"""Entries of the elimination that rounding left, over the largest."""


class Unsuited(ValueError):
    """The unknowns are not one field's on a product of two axes, or their matrix is not separable.

    Nothing is wrong then: another algebra has to do it.
    """


class Interior:
    """Where the unknowns and their rows are, and how the rim's follow from the inner ones.

    Args:
        matrix: The derivative of all rows by all nodes of the field, params after them.
        grid: The grid.
        inner: Row of each inner node, in their order.
        rim: Rows of conditions.
        integrals: Rows of integrals.
        nodes: Flat node of each row.

    Attributes:
        shape: Number of inner nodes along each axis.
        reduced: The matrix of the inner nodes.
        columns, sums: Columns of params at the inner rows, and the integrals' rows by inner nodes.

    Raises:
        Unsuited: If the inner nodes are no product of two ranges.
    """

    def __init__(
        self, matrix: csr_array, grid: Grid, inner: np.ndarray, rim: np.ndarray,
        integrals: np.ndarray, nodes: np.ndarray,
    ) -> None:  # fmt: skip
        self._grid, self._count = grid.shape, len(nodes)
        at, edge, size = nodes[inner], nodes[rim], math.prod(grid.shape)
        box = [np.unique(v) for v in np.unravel_index(at, grid.shape)]
        self.shape = len(box[0]), len(box[1])
        ranges = [_range(v) for v in box]
        if math.prod(self.shape) != len(inner) or not all(isinstance(v, slice) for v in ranges):
            raise Unsuited("unknowns that are no product of two ranges")
        self._box = (slice(None), *ranges)
        self._remaining = _range(np.append(inner, integrals))
        self._rim, self._edge = torch.from_numpy(rim), torch.from_numpy(edge)
        rows, sums = matrix[inner], matrix[integrals]
        self.columns, self.sums = rows[:, size:].toarray(), sums[:, at]
        self.reduced = rows[:, at]
        self._corner = torch.zeros(0, 0, dtype=torch.float64)
        self._follow = torch.zeros(3, 0, dtype=torch.float64)
        if len(rim):
            corner = np.linalg.inv(matrix[rim][:, edge].toarray())
            near = coo_array(matrix[rim][:, at])
            felt = np.unique(near.col)  # few of the inner nodes: the product with all is too large
            follow = corner @ csr_array(near)[:, felt].toarray()
            follow[np.abs(follow) < NEGLIGIBLE * np.abs(follow).max(initial=0)] = 0
            found = coo_array(follow)
            follow = coo_array((found.data, (found.row, felt[found.col])), near.shape)
            self.reduced = self.reduced - rows[:, edge] @ follow
            self.sums = self.sums - sums[:, edge] @ follow
            self._corner = torch.from_numpy(corner)
            self._follow = torch.from_numpy(
                np.stack([follow.row.astype(float), follow.col.astype(float), follow.data])
            )
        self.sums = self.sums.toarray()

    @property
    def conditions(self) -> bool:
        """Whether conditions determine some of the unknowns."""
        return len(self._rim) > 0

    def spread(self, inner: Tensor) -> Tensor:
        """Return a move of all nodes, ``(batch, *grid.shape)``, that keeps to the conditions."""
        out = inner.new_zeros(len(inner), *self._grid)
        out[self._box] = inner.reshape(-1, *self.shape)
        if self._follow.shape[1]:
            rim, at, value = placed(self._follow, inner)
            moved = inner.new_zeros(len(inner), len(self._edge))
            moved.index_add_(1, rim.long(), -value * inner[:, at.long()])
            out.flatten(1)[:, placed(self._edge, inner.device)] = moved
        return out

    def inner(self, values: Tensor) -> Tensor:
        """Return of ``(batch, *grid.shape)`` the inner nodes' values, ``(batch, inner nodes)``."""
        return values[self._box].flatten(1)

    def gather(self, gradient: Tensor) -> Tensor:
        """Apply the transpose of :meth:`spread`: ``(batch, *grid.shape)`` to inner nodes."""
        out = self.inner(gradient)
        if self._follow.shape[1]:
            rim, at, value = placed(self._follow, gradient)
            own = gradient.flatten(1)[:, placed(self._edge, gradient.device)]
            out = out.index_add(1, at.long(), -value * own[:, rim.long()])
        return out

    def by_conditions(self, rows: Tensor) -> Tensor:
        """Return the move of the rim that meets conditions' rows, ``(batch, *grid.shape)``."""
        out = rows.new_zeros(len(rows), math.prod(self._grid))
        solved = rows[:, placed(self._rim, rows.device)] @ placed(self._corner, rows).mT
        out[:, placed(self._edge, rows.device)] = solved
        return out.view(-1, *self._grid)

    def from_conditions(self, gradient: Tensor) -> Tensor:
        """Apply the transpose of :meth:`by_conditions`."""
        out = gradient.new_zeros(len(gradient), self._count)
        own = gradient.flatten(1)[:, placed(self._edge, gradient.device)]
        out[:, placed(self._rim, gradient.device)] = own @ placed(self._corner, gradient)
        return out

    def pick(self, rows: Tensor) -> Tensor:
        """Return the rows that remain: of inner nodes, then integrals."""
        return rows[:, self._left(rows.device)]

    def place(self, rows: Tensor) -> Tensor:
        """Apply the transpose of :meth:`pick`."""
        out = rows.new_zeros(len(rows), self._count)
        out[:, self._left(rows.device)] = rows
        return out

    def _left(self, device: torch.device) -> slice | Tensor:
        left = self._remaining
        return left if isinstance(left, slice) else placed(left, device)

    def without(self, gradient: Tensor) -> Tensor:
        """Return values ``(batch, *grid.shape)`` that are zero at the unknowns."""
        out = gradient.clone()
        out[self._box] = 0.0
        out.flatten(1)[:, placed(self._edge, out.device)] = 0.0
        return out


def _range(numbers: np.ndarray) -> slice | Tensor:
    """Return numbers as a slice if they follow one another: that is far cheaper to index by."""
    first, count = int(numbers[0]), len(numbers)
    whole = np.array_equal(numbers, np.arange(first, first + count))
    return slice(first, first + count) if whole else torch.from_numpy(numbers)
