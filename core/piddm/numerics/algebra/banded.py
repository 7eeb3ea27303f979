"""Matrices with entries only near the diagonal, once their rows are put into a good order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from scipy.linalg import LinAlgError, solve_banded, solveh_banded
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from threadpoolctl import ThreadpoolController

LIFT = 1e-13
"""Term added to the diagonal, relatively. Rows that follow from others, as sums of rows do on a
torus, make the matrix singular; along them the solution is arbitrary, and J^T takes it to zero."""


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks at every library that is loaded: once is enough


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep scipy's linear algebra from threads of its own.

    Its matrices are small here, and threads that wait for the next one by spinning take the
    processors from torch's: seen on two, a projection took four times as long.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield


def cuthill_mckee(row: np.ndarray, column: np.ndarray, size: int) -> np.ndarray:
    """Return an order of rows and columns that keeps neighbours near each other."""
    pattern = csr_matrix((np.ones(len(row)), (row, column)), shape=(size, size))
    return np.asarray(reverse_cuthill_mckee((pattern + pattern.T).tocsr(), symmetric_mode=True))


def line_order(nodes: np.ndarray, shape: tuple[int, ...], periodic: tuple[bool, ...]) -> np.ndarray:
    """Return the order of rows by their nodes, line by line.

    A periodic axis is folded, 0, n-1, 1, n-2, ..., so that the seam's neighbours are near too.
    """
    keys = []
    for d, (n, closed) in enumerate(zip(shape, periodic, strict=True)):
        at = nodes[:, d]
        keys.append(np.where(2 * at < n, 2 * at, 2 * (n - 1 - at) + 1) if closed else at)
    return np.lexsort((np.arange(len(nodes)), *reversed(keys)))


class BandedPositive:
    """Cholesky factorisation of symmetric positive definite matrices of one pattern.

    Args:
        row, column: ``(nonzeros,)`` positions, each pair once in both orders.
        size: Number of rows.
        order: Order of the rows in which neighbours are near.
    """

    def __init__(self, row: np.ndarray, column: np.ndarray, size: int, order: np.ndarray) -> None:
        self.order, self.size = order, size
        place = np.empty(size, dtype=int)
        place[order] = np.arange(size)
        below = place[row] - place[column]
        self.width = int(np.abs(below).max(initial=0))
        self.lower = below >= 0
        self._at = (below * size + place[column])[self.lower]

    def solve(self, values: np.ndarray, rhs: np.ndarray) -> np.ndarray:
        """Solve A x = b for one sample.

        Args:
            values: Entries of the lower triangle, float64, those that ``lower`` marks; entries of
                one position add up.
            rhs: ``(size, count)``.

        Raises:
            ArithmeticError: If the matrix is not positive definite.
        """
        length = (self.width + 1) * self.size
        band = np.bincount(self._at, values, minlength=length).reshape(self.width + 1, self.size)
        band[0] *= 1 + LIFT
        out = np.empty_like(rhs)
        try:
            out[self.order] = solveh_banded(
                band, rhs[self.order], overwrite_ab=True, lower=True, check_finite=False
            )
        except LinAlgError as error:
            raise ArithmeticError("not positive definite") from error
        return out


class BandedGeneral:
    """LU factorisation of matrices of one pattern, many samples as one long matrix.

    Args:
        row, column: ``(nonzeros,)`` positions.
        size: Number of rows and columns.
    """

    def __init__(self, row: np.ndarray, column: np.ndarray, size: int) -> None:
        self.size, self.order = size, cuthill_mckee(row, column, size)
        place = np.empty(size, dtype=int)
        place[self.order] = np.arange(size)
        below = place[row] - place[column]
        self.lower, self.upper = int(max(below.max(), 0)), int(max(-below.min(), 0))
        self._line, self._column = self.upper + below, place[column]

    def solve(self, values: np.ndarray, rhs: np.ndarray) -> np.ndarray:
        """Solve A x = b for many samples.

        Args:
            values: ``(batch, nonzeros)``.
            rhs: ``(batch, size)``.

        Raises:
            ArithmeticError: If a matrix is singular.
        """
        batch = len(rhs)
        band = np.zeros((self.lower + self.upper + 1, batch, self.size))
        band[self._line, :, self._column] = values.T
        try:
            solved = solve_banded(
                (self.lower, self.upper), band.reshape(len(band), -1), rhs[:, self.order].ravel(),
                overwrite_ab=True, overwrite_b=True, check_finite=False,
            )  # fmt: skip
        except LinAlgError as error:
            raise ArithmeticError("singular") from error
        out = np.empty_like(rhs)
        out[:, self.order] = solved.reshape(rhs.shape)
        return out
