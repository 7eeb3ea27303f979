"""One sparse matrix, factorised once, solved from either side for many right sides."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import SuperLU, splu

from piddm.numerics.algebra.diagonal_pivots import along_diagonal

TOGETHER = 16
"""Right sides that are solved together: SuperLU's columns then stay in the cache."""

AGREES = 1e-9
"""Relative error up to which a factorisation without pivoting counts as accurate."""


class Factor:
    """The LU factors of A, for A x = b and for A^T x = b.

    Args:
        matrix: A, square.
        paired: For each column a row of its own node, where every column has one: A is then
            factorised along that diagonal, at half the entries, if this is accurate.

    Raises:
        ArithmeticError: If A is singular.
    """

    def __init__(self, matrix: csc_matrix, paired: np.ndarray | None = None) -> None:
        self._order = np.arange(len(matrix.indptr) - 1)
        self._factor: SuperLU | None = None
        if paired is not None:
            self._factor = along_diagonal(csc_matrix(matrix[paired]), AGREES)
        if self._factor is None:
            try:
                self._factor = splu(matrix)
            except RuntimeError as error:
                raise ArithmeticError("singular matrix") from error
        else:
            assert paired is not None
            self._order = paired

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Return x of A x = b, b and x ``(size, count)``."""
        return self._many(right[self._order], "N")

    def adjoint(self, right: np.ndarray) -> np.ndarray:
        """Return x of A^T x = b, b and x ``(size, count)``."""
        found = np.empty_like(right)
        found[self._order] = self._many(right, "T")
        return found

    def _many(self, right: np.ndarray, side: str) -> np.ndarray:
        assert self._factor is not None
        found = np.empty(right.shape, order="F")
        for start in range(0, right.shape[1], TOGETHER):
            part = slice(start, start + TOGETHER)
            found[:, part] = self._factor.solve(np.asfortranarray(right[:, part]), side)
        return found
