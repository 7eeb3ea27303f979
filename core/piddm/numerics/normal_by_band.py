r"""Normal equations of local rows, factorised: a band of lines along the grid's first axis.

Local rows make :math:`K = J W^2 J^T` block tridiagonal. Integrals touch everything, and free params
move at no cost: both stand in a border around it,

.. math:: \begin{pmatrix} K & C \\ C^T & E \end{pmatrix} \begin{pmatrix} m \\ n \end{pmatrix} =
    \begin{pmatrix} r \\ s \end{pmatrix}, \qquad
    (E - C^T K^{-1} C)\, n = s - C^T K^{-1} r.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.algebra.banded import BandedPositive, line_order, one_thread
from piddm.numerics.algebra.blocks import BlockLayout
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.normal_equations import Linearised, NormalEquations, Solved
from piddm.residuals.residual import Fields, Residual
from piddm.tools.devices import placed, solved
from piddm.tools.errors import UsageError


class BandedNormal(NormalEquations):
    """Direct solutions, for local rows.

    Args:
        residual: The residual.
        weights: W, see :func:`~piddm.numerics.normal_equations.move_weights`.
        row_scale: Row scale by name.
        slack: Sigma's diagonal, see :func:`~piddm.numerics.normal_equations.slack_vector`.

    Raises:
        UsageError: If nothing is left to move.
    """

    def __init__(
        self,
        residual: Residual,
        weights: np.ndarray,
        row_scale: Mapping[str, float],
        slack: np.ndarray,
    ) -> None:
        self.row_scale = row_scale
        self.jacobian = jacobian = Jacobian(residual, params=residual.free_params)
        self.fields = jacobian.nodes * len(jacobian.fields)
        self.weights = torch.from_numpy(weights)
        moves = np.append(weights > 0, np.zeros(len(jacobian.params), dtype=bool))
        entry = moves[jacobian.column]
        movable = np.isin(np.arange(jacobian.rows), jacobian.row[entry])
        if not movable.any():
            raise UsageError("nothing is left to project: every value that a row touches is held")
        local, border = np.flatnonzero(movable & jacobian.local), movable & ~jacobian.local
        number = np.cumsum(movable & jacobian.local) - 1
        inner = entry & jacobian.local[jacobian.row]
        self.inner = torch.from_numpy(np.flatnonzero(inner))
        self.row = torch.from_numpy(number[jacobian.row[inner]])
        self.column = torch.from_numpy(jacobian.column[inner])
        self.local = torch.from_numpy(local)
        outer = np.flatnonzero(border)
        self.border = _Border(jacobian, outer, number, self.fields, entry, slack[outer])
        left, right = _pairs(jacobian.column[inner])
        row, at = number[jacobian.row[inner]], jacobian.row_nodes[local]
        grid = residual.grid
        lines = line_order(at, grid.shape, grid.periodic)
        soft = np.flatnonzero(slack[local])
        self._slack = torch.from_numpy(slack[local][soft])
        self._pairs = np.append(row[left], soft), np.append(row[right], soft)
        self._band = BandedPositive(*self._pairs, len(local), lines)
        # A Cholesky factorisation reads the lower triangle only; slack is on the diagonal.
        lower = self._band.lower
        self._left, self._right = (torch.from_numpy(v[lower[: len(v)]]) for v in (left, right))
        self._pairs = self._pairs[0][lower], self._pairs[1][lower]
        self._blocks: BlockLayout | None = None
        self._line = at[:, 0]

    def at(self, fields: Fields) -> Linearised:
        """Linearise, in the precision of the fields."""
        rows, values = self.jacobian.values(fields, self.row_scale)
        column = placed(self.jacobian.column, values.device)
        ones = values.new_ones(len(self.jacobian.params))
        weight = torch.cat([placed(self.weights, values), ones])
        return _Linearised(self, rows, values * weight[column][:, None])

    def solve_local(self, inner: Tensor, rhs: Tensor) -> Tensor:
        """Solve K m = b of the local rows, ``(batch, rows, count)``.

        In float64: on a processor sample by sample in a band; elsewhere by blocks, which are more
        work, all samples at once.
        """
        left, right = (placed(v, inner.device) for v in (self._left, self._right))
        if inner.device.type == "cpu":
            exact, sides = inner.double().mT.contiguous(), rhs.double().numpy()
            with one_thread():
                parts = [
                    self._band.solve(
                        torch.cat([sample[left] * sample[right], self._slack]).numpy(), b
                    )
                    for sample, b in zip(exact, sides, strict=True)
                ]
            return torch.from_numpy(np.stack(parts)).to(rhs)
        if self._blocks is None:
            (one, two), line = self._pairs, self._line
            slot = BlockLayout(one, two, line, line).row_slot
            one, two = np.where(slot[one] >= slot[two], (one, two), (two, one))
            self._blocks = BlockLayout(one, two, line, line)
        # In single precision the squares of J have lost half of the digits that it has.
        exact = inner.double()
        slack = placed(self._slack, exact)[:, None].expand(-1, exact.shape[1])
        values = torch.cat([exact[left] * exact[right], slack])
        return self._blocks.solve_positive(values, rhs.double()).to(rhs)


class _Linearised(Linearised):
    """The sparse Jacobian's values at some states."""

    def __init__(self, normal: BandedNormal, rows: Tensor, values: Tensor) -> None:
        self._normal, self.rows, self._values = normal, rows, values

    def push(self, move: Tensor) -> Tensor:
        values, jacobian = self._values, self._normal.jacobian
        row, column = (placed(v, values.device) for v in (jacobian.row, jacobian.column))
        still = move.new_zeros(len(move), len(jacobian.params))
        contribution = values * torch.cat([move, still], dim=1).mT[column]
        out = values.new_zeros(jacobian.rows, values.shape[1])
        return out.index_add_(0, row, contribution).mT

    def solve(self, target: Tensor, tolerance: float, start: Tensor | None = None) -> Solved:
        normal, values = self._normal, self._values
        inner = values[placed(normal.inner, values.device)]
        own = target[:, placed(normal.local, target.device)]
        border = normal.border
        if not border.size:
            multipliers = normal.solve_local(inner, own[..., None])[..., 0]
            return Solved(self._pull(inner, multipliers), target[:, :0])
        coupling, corner, outer = border.assemble(values, inner, normal.row, normal.column)
        right_sides = torch.cat([own[..., None], coupling], dim=-1)
        found = normal.solve_local(inner, right_sides)
        first, rest = found[..., :1], found[..., 1:]
        beside = border.target(target)[..., None] - coupling.mT @ first
        last = solved(corner - coupling.mT @ rest, beside)
        moved = self._pull(inner, (first - rest @ last)[..., 0])
        moved = moved + (outer.mT @ last[:, : border.rows])[..., 0]
        return Solved(moved, last[:, border.rows :, 0])

    def _pull(self, inner: Tensor, multipliers: Tensor) -> Tensor:
        """Return W J^T m of the local rows as ``(batch, columns)``."""
        normal = self._normal
        row, column = (placed(v, inner.device) for v in (normal.row, normal.column))
        contribution = inner * multipliers.mT[row]
        out = inner.new_zeros(normal.fields, inner.shape[1])
        return out.index_add_(0, column, contribution).mT


class _Border:
    """Rows that are integrals, and free params: dense, and few."""

    def __init__(
        self,
        jacobian: Jacobian,
        rows: np.ndarray,
        number: np.ndarray,
        columns: int,
        moves: np.ndarray,
        slack: np.ndarray,
    ) -> None:
        self._slack = torch.from_numpy(slack)
        self._rows, self.rows, self.columns = torch.from_numpy(rows), len(rows), columns
        self.size = self.rows + len(jacobian.params)
        dense = np.isin(jacobian.row, rows) & moves
        self._dense = torch.from_numpy(np.flatnonzero(dense))
        place = np.cumsum(np.isin(np.arange(jacobian.rows), rows)) - 1
        self._dense_at = torch.from_numpy(
            place[jacobian.row[dense]] * columns + jacobian.column[dense]
        )
        param = (jacobian.column >= columns) & jacobian.local[jacobian.row]
        self._param = torch.from_numpy(np.flatnonzero(param))
        self._param_at = torch.from_numpy(
            number[jacobian.row[param]] * self.size + self.rows + jacobian.column[param] - columns
        )
        both = (jacobian.column >= columns) & np.isin(jacobian.row, rows)
        self._both = torch.from_numpy(np.flatnonzero(both))
        self._both_at = torch.from_numpy(
            place[jacobian.row[both]] * self.size + self.rows + jacobian.column[both] - columns
        )
        self._count = int(number[-1]) + 1

    def target(self, rows: Tensor) -> Tensor:
        """Return the right side of the border."""
        own = rows[:, placed(self._rows, rows.device)]
        return torch.cat([own, own.new_zeros(len(own), self.size - self.rows)], dim=1)

    def assemble(
        self, values: Tensor, inner: Tensor, row: Tensor, column: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return C ``(batch, local, size)``, E, and the integrals ``(batch, rows, columns)``."""
        batch, device = values.shape[1], values.device
        outer = values.new_zeros(batch, self.rows * self.columns)
        outer.index_add_(1, placed(self._dense_at, device), values[placed(self._dense, device)].mT)
        outer = outer.view(batch, self.rows, self.columns)
        coupling = values.new_zeros(self._count, batch, self.size)
        row, column = placed(row, device), placed(column, device)
        for k in range(self.rows):
            at = outer[:, k].mT[column]
            coupling[..., k].index_add_(0, row, inner * at)
        coupling = coupling.transpose(0, 1).reshape(batch, -1)
        own = values[placed(self._param, device)].mT
        coupling.index_add_(1, placed(self._param_at, device), own)
        corner = values.new_zeros(batch, self.size, self.size)
        corner[:, : self.rows, : self.rows] = outer @ outer.mT + placed(self._slack, corner).diag()
        flat = corner.view(batch, -1)
        flat.index_add_(1, placed(self._both_at, device), values[placed(self._both, device)].mT)
        corner[:, self.rows :, : self.rows] = corner[:, : self.rows, self.rows :].mT
        return coupling.view(batch, self._count, self.size), corner, outer


def _pairs(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all ordered pairs of entries that share a column: the products that make J J^T."""
    order = np.argsort(column, kind="stable")
    counts = np.bincount(column)
    starts = np.cumsum(counts) - counts
    left, right = [], []
    for width in np.unique(counts[counts > 0]):
        first = starts[counts == width]
        members = order[first[:, None] + np.arange(width)]
        left.append(np.repeat(members, width, axis=1).ravel())
        right.append(np.tile(members, (1, width)).ravel())
    return np.concatenate(left), np.concatenate(right)
