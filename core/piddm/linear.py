"""Batched linear systems of one sparsity pattern: dense blocks, or a sparse factorisation.

Which is faster depends on the shape: a line of a hundred unknowns is a small dense matrix, a plane
of them is not. Matrices that are the same for every sample, and from call to call, are factorised
once: so it is for a linear equation with constant coefficients.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

from piddm.blocks import BlockLayout

# Seconds for an entry of the pattern, and for a multiplication of a dense elimination, as measured
# on one core: only their ratio matters.
SPARSE_ENTRY, DENSE_PRODUCT = 4e-7, 2.5e-10

GROUP = 20_000
"""Entries that are factorised together: calls cost more than small matrices do."""


class Singular(ArithmeticError):
    """A matrix is singular.

    Args:
        vector: A vector that it takes, nearly, to zero; empty where none is known.
    """

    def __init__(self, vector: np.ndarray) -> None:
        super().__init__("singular matrix")
        self.vector = vector


class LinearSystem:
    """Solves A x = b for many A of one pattern.

    Args:
        row, column: ``(nonzeros,)`` positions.
        size: Number of rows and of columns.
        lines: Line of nodes of each row and of each column, where neighbours couple only.
    """

    def __init__(
        self,
        row: np.ndarray,
        column: np.ndarray,
        size: int,
        lines: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        self.row, self.column, self.size = row, column, size
        self._order = np.lexsort((row, column))
        self._pointer = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=size))])
        self._blocks = self._layout(lines)
        self._known: tuple[Tensor, SuperLU] | None = None
        self._examined = False

    def _layout(self, lines: tuple[np.ndarray, np.ndarray] | None) -> BlockLayout | None:
        if lines is None:
            return None
        try:
            layout = BlockLayout(self.row, self.column, *lines)
        except ValueError:  # rows and unknowns do not pair up
            return None
        coupled = 1 if layout.upper_is_zero else 4
        dense = DENSE_PRODUCT * coupled * layout.lines * layout.width**3
        return layout if dense < SPARSE_ENTRY * len(self.row) else None

    def solve(self, values: Tensor, rhs: Tensor) -> Tensor:
        """Return x, ``(batch, size)``.

        Args:
            values: ``(nonzeros, batch)``.
            rhs: ``(batch, size)``.

        Raises:
            Singular: If a matrix is singular to rounding.
        """
        if not self._examined:
            self._examine(values[:, 0])
        if bool((values == values[:, :1]).all()):
            return self._solve_once(values[:, 0], rhs)
        if self._blocks is not None:
            try:
                return self._blocks.solve(values, rhs)
            except torch.linalg.LinAlgError as error:
                raise Singular(np.zeros(0)) from error
        batch = len(rhs)
        workers = torch.get_num_threads()
        together = max(1, min(GROUP // len(self.row), -(-batch // workers)))
        starts = range(0, batch, together)
        with ThreadPoolExecutor(workers) as pool:
            parts = pool.map(
                lambda s: self._solve_group(values[:, s : s + together], rhs[s : s + together]),
                starts,
            )
            return torch.cat(list(parts))

    def _solve_once(self, values: Tensor, rhs: Tensor) -> Tensor:
        if self._known is None or not torch.equal(self._known[0], values):
            self._known = (values.clone(), self._factor(values[:, None]))
        return torch.from_numpy(self._known[1].solve(_numpy(rhs.mT)).T.copy()).to(rhs)

    def _solve_group(self, values: Tensor, rhs: Tensor) -> Tensor:
        solution = self._factor(values).solve(_numpy(rhs).ravel())
        return torch.from_numpy(solution).view_as(rhs).to(rhs)

    def _factor(self, values: Tensor) -> SuperLU:
        """Factorise the samples' matrices as one, along its diagonal."""
        count, entries = values.shape[1], len(self.row)
        data = _numpy(values.mT)[:, self._order].ravel()
        shift = self.size * np.arange(count)[:, None]
        index = (self.row[self._order] + shift).ravel()
        pointer = (self._pointer[:-1] + entries * np.arange(count)[:, None]).ravel()
        pointer = np.append(pointer, entries * count)
        matrix = csc_matrix((data, index, pointer), shape=(self.size * count,) * 2)
        try:
            return splu(matrix)
        except RuntimeError as error:
            raise Singular(np.zeros(0)) from error

    def _examine(self, values: Tensor) -> None:
        """Look once whether the matrix is singular: rounding hides it from a factorisation."""
        factor = self._factor(values[:, None])
        pivots = np.abs(factor.U.diagonal())
        if pivots.min() < 1e-13 * pivots.max():
            vector = np.random.default_rng(0).standard_normal(self.size)
            for _ in range(2):  # inverse iteration: the smallest singular direction grows most
                vector = factor.solve(vector)
                vector /= np.abs(vector).max()
            raise Singular(vector)
        self._examined = True


def _numpy(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy())
