"""Batched linear systems of one sparsity pattern: a band, dense blocks, or a sparse factorisation.

Which is fastest depends on the shape: a line of unknowns is a narrow band, a line whose rows touch
all of it small dense blocks, a plane neither. Matrices that are the same for every sample, and from
call to call, are factorised once: so it is for a linear equation with constant coefficients.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from scipy.sparse import csc_matrix, diags_array, eye_array
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

from piddm.numerics.algebra.banded import BandedGeneral, one_thread
from piddm.numerics.algebra.blocks import BlockLayout
from piddm.numerics.algebra.diagonal_pivots import SYMMETRIC, along_diagonal
from piddm.numerics.algebra.threaded_factor import Factorisation

SPARSE_ENTRY, DENSE_PRODUCT = 4e-7, 2.5e-10
"""Seconds for an entry of the pattern, and for a multiplication of a dense elimination, as measured
on one core: only their ratio matters."""

NARROW = 12
"""Entries beside the diagonal up to which a band is faster than everything else."""

AGREES = 1e-6
"""Relative error up to which a factorisation without pivoting counts as accurate: Newton's method
corrects it."""

KEPT = 20_000_000
"""Entries of factors that are kept for the case that the same matrices come again."""

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
        beside: For each column a row of its own node, so that the diagonal is not zero; such a
            matrix is factorised as a symmetric one where that is accurate, at half the cost.
    """

    def __init__(
        self,
        row: np.ndarray,
        column: np.ndarray,
        size: int,
        lines: tuple[np.ndarray, np.ndarray] | None,
        beside: np.ndarray | None = None,
    ) -> None:
        self.row, self.column, self.size = row, column, size
        self._symmetric = beside is not None
        self._rows = np.arange(size) if beside is None else beside
        place = np.empty(size, dtype=int)
        place[self._rows] = np.arange(size)
        self._index = place[row]
        self._order = np.lexsort((self._index, column))
        self._pointer = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=size))])
        banded = BandedGeneral(row, column, size)
        self._banded = banded if banded.lower + banded.upper <= NARROW else None
        self._blocks = None if self._banded else self._layout(lines)
        self._known: tuple[Tensor, list[Factorisation]] | None = None
        self.examined = False

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
        with one_thread():
            return self._solve(values, rhs)

    def _solve(self, values: Tensor, rhs: Tensor) -> Tensor:
        if not self.examined:
            self._examine(values[:, 0])
        if bool((values == values[:, :1]).all()):
            (factor,) = self._factors(values[:, :1], 1)
            solved = factor.solve(_numpy(rhs.mT)[self._rows]).result()
            return torch.from_numpy(solved.T.copy()).to(rhs)
        if self._banded is not None or self._blocks is not None:
            try:
                if self._banded is None:
                    return self._blocks.solve(values, rhs)  # pyright: ignore
                solved = self._banded.solve(_numpy(values.mT), _numpy(rhs))
                return torch.from_numpy(solved).to(rhs)
            except (ArithmeticError, RuntimeError) as error:  # torch's are RuntimeErrors
                raise Singular(np.zeros(0)) from error
        batch, workers = len(rhs), torch.get_num_threads()
        together = max(1, min(GROUP // len(self.row), -(-batch // workers)))
        factors = self._factors(values, together)
        sides = _numpy(rhs)[:, self._rows]
        parts = [
            factor.solve(sides[k * together : (k + 1) * together].ravel())
            for k, factor in enumerate(factors)
        ]
        solved = np.concatenate([part.result() for part in parts])
        if self._known is None:
            for factor in factors:
                factor.release()
        return torch.from_numpy(solved).view_as(rhs).to(rhs)

    def _factors(self, values: Tensor, together: int) -> list[Factorisation]:
        """Return factorisations, of so many samples each; those of before if they serve."""
        if self._known is not None and torch.equal(self._known[0], values):
            return self._known[1]
        found = [
            Factorisation(k, partial(self._factor, values[:, start : start + together]))
            for k, start in enumerate(range(0, values.shape[1], together))
        ]
        entries = [factor.entries() for factor in found]
        small = entries[0] * len(found) <= KEPT
        self._known = (values.clone(), found) if small else None
        return found

    def _factor(self, values: Tensor) -> SuperLU:
        """Factorise the samples' matrices as one, along its diagonal."""
        count, entries = values.shape[1], len(self.row)
        data = _numpy(values.mT)[:, self._order].ravel()
        shift = self.size * np.arange(count)[:, None]
        index = (self._index[self._order] + shift).ravel()
        pointer = (self._pointer[:-1] + entries * np.arange(count)[:, None]).ravel()
        pointer = np.append(pointer, entries * count)
        matrix = csc_matrix((data, index, pointer), shape=(self.size * count,) * 2)
        try:
            return splu(matrix, **SYMMETRIC) if self._symmetric else splu(matrix)
        except RuntimeError as error:  # exactly singular
            raise Singular(np.zeros(0)) from error

    def _examine(self, values: Tensor) -> None:
        """Look once whether the matrix is singular: rounding hides it from a factorisation."""
        if self._symmetric:
            square = (self.size,) * 2
            ordered = csc_matrix((_numpy(values), (self._index, self.column)), shape=square)
            self._symmetric = along_diagonal(ordered, AGREES) is not None
        # Units make rows and columns large or small, which says nothing of singularity.
        matrix = csc_matrix((_numpy(values), (self.row, self.column)), shape=(self.size,) * 2)
        rows = 1 / np.maximum(abs(matrix).max(axis=1).toarray().ravel(), 1e-300)
        matrix = csc_matrix(diags_array(rows) @ matrix)
        columns = 1 / np.maximum(abs(matrix).max(axis=0).toarray().ravel(), 1e-300)
        matrix = csc_matrix(matrix @ diags_array(columns))
        vector = np.random.default_rng(0).standard_normal(self.size)
        try:
            factor = splu(matrix)
        except RuntimeError:  # exactly singular: a nudge leaves its direction to be found
            factor = splu(csc_matrix(matrix + 1e-14 * eye_array(self.size)))
        pivots = np.abs(factor.U.diagonal())
        if pivots.min() < 1e-13 * pivots.max():
            for _ in range(2):  # inverse iteration: the smallest singular direction grows most
                vector = factor.solve(vector)
                vector /= np.abs(vector).max()
            vector = columns * vector
            raise Singular(vector / np.abs(vector).max())
        self.examined = True


def _numpy(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy())
