r"""How observations of a film change with its first time, by the adjoint from the last one back.

.. math:: J_k^T\lambda_k = g_k, \qquad g_{k-1} = H_{k-1}^T - E_k^T\lambda_k, \qquad
    J_k = \partial R_k/\partial x_k, \quad E_k = \partial R_k/\partial x_{k-1},

for all observations at once, each equation by the modes that march
(:mod:`piddm.numerics.periodic_marching`), transposed. Slopes need not be those of the finest grid,
for what they point to is judged by its own solution there: every second node of long axes, and of
times where nothing is seen at the others, is what they are taken of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft as fft
from scipy.sparse import csr_matrix, eye_array, kron
from torch import Tensor

from piddm.numerics.jacobian import Jacobian
from piddm.numerics.periodic_marching import PeriodicMarching
from piddm.tools.errors import PiddmError

if TYPE_CHECKING:
    from piddm.grids.grid import Grid
    from piddm.symbolic.specification import Specification

LONG, TIMES = 64, 9
"""Nodes of an axis in space, and times, above which slopes are taken of every second one."""

LIMIT, ENOUGH = 60, 1e-5
"""Corrections of an adjoint step at most, and the size of the last one over that of the adjoint."""


class FilmSlopes:
    """The adjoint of a march.

    Args:
        pde: The equation.
        grid: The film's.
        started: Names of the fields that are given at the first time.
        params: Values of the params.
        seen: Observations as linear functionals of all fields, ``(n, fields * nodes)``.
    """

    def __init__(
        self, pde: Specification, grid: Grid, started: tuple[str, ...], params: Mapping[str, float],
        seen: csr_matrix,
    ) -> None:  # fmt: skip
        self._strides, self._seen = _strides(grid, seen, len(pde.fields))
        sizes = {k: -(-a.size // s) for (k, a), s in
                 zip(grid.axes.items(), self._strides, strict=True)}  # fmt: skip
        self.grid, self._fine = grid.resized(sizes), grid
        self._march = PeriodicMarching(pde, self.grid, started, params)
        self._jacobian = Jacobian(self._march.residual)
        self._space = self.grid.shape[1:]
        self._nodes = int(np.prod(self._space))
        self._names, self._started = self._march.residual.field_names, started
        self._lacking = tuple(k for k in self._names if k not in started)

    def __call__(self, film: Mapping[str, Tensor]) -> np.ndarray:
        """Return the derivative by each started field's first time, ``(n, started, *space)``.

        Args:
            film: One film on its own grid, ``(*grid.shape)`` by field.
        """
        every = tuple(slice(None, None, s) for s in self._strides)
        coarse = {k: v[every] for k, v in film.items() if k in self._names}
        left = self._at(self.grid.shape[0] - 1)
        for now in range(self.grid.shape[0] - 1, 0, -1):
            whole = self._step({k: v[now - 1 : now + 1][None] for k, v in coarse.items()}, now - 1)
            late = self._rows(self._march.rows, 1)
            own = whole[late][:, self._columns(self._names, 1)]
            adjoint = self._solved(own, left, self._march.inverse)
            left = self._at(now - 1) - whole[late][:, self._columns(self._names, 0)].T @ adjoint
            if now == 1 and self._lacking:
                self._first(whole, left)
        at = [self._names.index(k) for k in self._started]
        parts = left.reshape(len(self._names), *self._space, -1)[at]
        found = np.zeros((len(at), *self._fine.shape[1:], parts.shape[-1]), parts.dtype)
        found[(slice(None), *every[1:])] = parts
        return np.moveaxis(found, -1, 0)

    def _first(self, whole: csr_matrix, left: np.ndarray) -> None:
        """Hand what hangs on fields that the first time lacks to those that it is given."""
        early = self._rows(self._march.first, 0)
        mine = self._columns(self._lacking, 0)
        where = np.searchsorted(self._columns(self._names, 0), mine)
        adjoint = self._solved(whole[early][:, mine], left[where], self._march.inverse_first)
        left -= whole[early][:, self._columns(self._names, 0)].T @ adjoint

    def _at(self, time: int) -> np.ndarray:
        """Return what is seen at a time, ``(fields * space, n)``."""
        n, t = self._nodes, self.grid.shape[0]
        columns = np.concatenate([np.arange(n) + (f * t + time) * n
                                  for f in range(len(self._names))])  # fmt: skip
        return self._seen[:, columns].toarray().T.astype(np.float32)

    def _columns(self, names: tuple[str, ...], time: int) -> np.ndarray:
        n = self._nodes
        return np.concatenate([np.arange(n) + (2 * self._names.index(k) + time) * n for k in names])

    def _rows(self, names: list[str], time: int) -> np.ndarray:
        """Return the rows of some equations at one of two times."""
        rows, start, found = self._march.residual.rows, 0, {}
        for k, r in rows.items():
            found[k] = start + np.flatnonzero(r.nodes[:, 0] == time)
            start += len(r.nodes)
        return np.concatenate([found[k] for k in names])

    def _step(self, few: dict[str, Tensor], before: int) -> csr_matrix:
        jacobian = self._jacobian
        _, values = jacobian.values(few | self._march.at(1, before))
        entries = values[:, 0].numpy().astype(np.float32)
        return csr_matrix((entries, (jacobian.row, jacobian.column)),
                          (jacobian.rows, jacobian.columns))  # fmt: skip

    def _solved(self, matrix: csr_matrix, right: np.ndarray, inverse: Tensor) -> np.ndarray:
        """Return x of A^T x = b, ``(rows, n)``, by the modes' inverse of A at rest."""
        turned = np.conj(inverse.numpy()).astype(np.complex64)  # (*modes, fields, rows)
        fields, rows = turned.shape[-2:]
        size_of = (len(matrix.indptr) - 1, right.shape[1])
        across, found = csr_matrix(matrix.T), np.zeros(size_of, np.float32)
        axes, left = tuple(range(1, 1 + len(self._space))), right
        if not right.any():
            return found
        for _ in range(LIMIT):
            modes = np.asarray(fft.rfftn(left.reshape(fields, *self._space, -1), axes=axes))
            move = np.empty((rows, *modes.shape[1:]), modes.dtype)
            for i in range(rows):
                move[i] = sum(turned[..., j, i, None] * modes[j] for j in range(fields))
            step = np.asarray(fft.irfftn(move, self._space, axes=axes)).reshape(found.shape)
            found += step
            size = float(np.linalg.norm(step)) / max(float(np.linalg.norm(found)), 1e-30)
            if size <= ENOUGH:
                return found
            if not size < 1e3:
                break
            left = right - across @ found
        raise PiddmError("the adjoint of a step does not settle: ask for more times")


def _strides(grid: Grid, seen: csr_matrix, fields: int) -> tuple[tuple[int, ...], csr_matrix]:
    """Return every how many nodes slopes are taken, and the observations of those."""
    shape, strides = list(grid.shape), [1] * len(grid.shape)
    every = seen
    while not (shape[0] - 1) % 2 and shape[0] > TIMES:
        nodes = int(np.prod(shape))
        times = every.indices % nodes // int(np.prod(shape[1:]))
        if (times % 2).any():
            break
        keep = csr_matrix(eye_array(shape[0], format="csr"))[:, ::2]
        every = csr_matrix(every @ _along(0, csr_matrix(keep), shape, fields))
        shape[0], strides[0] = shape[0] // 2 + 1, 2 * strides[0]
    for d in range(1, len(shape)):
        while shape[d] > LONG and not shape[d] % 2:
            every = csr_matrix(every @ _along(d, _between(shape[d]), shape, fields))
            shape[d], strides[d] = shape[d] // 2, 2 * strides[d]
    return tuple(strides), every


def _along(dim: int, matrix: csr_matrix, shape: list[int], fields: int) -> csr_matrix:
    outer = eye_array(fields * int(np.prod(shape[:dim])))
    rest = eye_array(int(np.prod(shape[dim + 1 :])))
    return csr_matrix(kron(kron(outer, matrix), rest, format="csr"))


def _between(size: int) -> csr_matrix:
    """Return cubic interpolation round a ring from every second node to all."""
    half = size // 2
    node = np.arange(half)
    rows = np.concatenate([2 * node, *[2 * node + 1] * 4])
    columns = np.concatenate([node, *[(node + k) % half for k in (-1, 0, 1, 2)]])
    weights = np.repeat([1.0, -1 / 16, 9 / 16, 9 / 16, -1 / 16], half)
    return csr_matrix((weights, (rows, columns)), (size, half))
