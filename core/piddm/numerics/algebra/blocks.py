"""Batched solves of block tridiagonal systems: the shape that a local equation gives on a grid.

Unknowns are grouped into lines along the grid's first axis. Neighbouring lines couple, others do
not, so that a direct solve is a sweep of small dense factorisations, each a batched call over all
samples.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.algebra.banded import LIFT
from piddm.tools.devices import placed, solved


class BlockLayout:
    """Where the entries of a sparse square matrix go in its block tridiagonal form.

    Args:
        row, column: ``(nonzeros,)`` positions of the entries.
        row_line, column_line: Line of each row and of each column; equally many in each line.

    Raises:
        ValueError: If lines differ in number or size, so that the system has no square blocks.
    """

    def __init__(
        self, row: np.ndarray, column: np.ndarray, row_line: np.ndarray, column_line: np.ndarray
    ) -> None:
        _, row_line = np.unique(row_line, return_inverse=True)
        _, column_line = np.unique(column_line, return_inverse=True)
        sizes = np.bincount(row_line)
        if not np.array_equal(sizes, np.bincount(column_line)):
            raise ValueError("rows and unknowns do not pair up line by line")
        reach = int(np.abs(row_line[row] - column_line[column]).max(initial=1))
        row_line, column_line = row_line // reach, column_line // reach
        self.lines, counts = len(np.unique(row_line)), np.bincount(row_line)
        self.width = int(counts.max())
        self.row_slot = row_line * self.width + _rank(row_line)
        self.column_slot = column_line * self.width + _rank(column_line)
        above = column_line[column] - row_line[row]
        within = self.width * (self.row_slot[row] % self.width)
        within += self.column_slot[column] % self.width
        self.lower_is_zero = not np.any(above < 0)
        self.upper_is_zero = not np.any(above > 0)
        cells = self.lines * self.width**2
        # Blocks are stored as (kind, line of the row, width, width), diagonal first; a kind that is
        # zero throughout takes no room.
        slots = {0: 0, -1: 1, 1: 1 + (not self.lower_is_zero)}
        kind = np.vectorize(slots.get)(above)
        self._kinds = 1 + (not self.lower_is_zero) + (not self.upper_is_zero)
        self._cell = torch.from_numpy(kind * cells + row_line[row] * self.width**2 + within)
        short = np.repeat(np.arange(self.lines), self.width - counts)
        slot = np.concatenate([np.arange(c, self.width) for c in counts]).astype(int)
        self._pad = torch.from_numpy(short * self.width**2 + slot * (self.width + 1))

    def assemble(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return diagonal, lower and upper blocks, each ``(lines, batch, width, width)`` or empty.

        Args:
            values: ``(nonzeros, batch)``; entries of one position add up.
        """
        batch = values.shape[1]
        cells = self.lines * self.width**2
        flat = values.new_zeros(self._kinds * cells, batch)
        flat.index_add_(0, placed(self._cell, values.device), values)
        flat.index_fill_(0, placed(self._pad, values.device), 1.0)
        shape = (self._kinds, self.lines, self.width, self.width, batch)
        blocks = list(flat.view(shape).permute(0, 1, 4, 2, 3).contiguous())
        empty = flat.new_zeros(0)
        diagonal = blocks.pop(0)
        lower = empty if self.lower_is_zero else blocks.pop(0)
        return diagonal, lower, empty if self.upper_is_zero else blocks.pop(0)

    def spread(self, vector: Tensor, slots: np.ndarray) -> Tensor:
        """Put ``(batch, n)`` into ``(lines, batch, width, 1)``."""
        out = vector.new_zeros(vector.shape[0], self.lines * self.width)
        out[:, placed(slots, vector.device)] = vector
        return out.view(-1, self.lines, self.width, 1).transpose(0, 1)

    def gather(self, lines: Tensor, slots: np.ndarray) -> Tensor:
        """Inverse of :meth:`spread`."""
        flat = lines.transpose(0, 1).reshape(lines.shape[1], -1)
        return flat[:, placed(slots, flat.device)]

    def solve(self, values: Tensor, rhs: Tensor) -> Tensor:
        """Solve A x = b by block elimination; ``rhs`` is ``(batch, rows)``."""
        diagonal, lower, upper = self.assemble(values)
        b = self.spread(rhs, self.row_slot)
        factors, y = [], []
        for k in range(self.lines):
            block, right = diagonal[k], b[k]
            if k and not self.lower_is_zero:
                right = right - lower[k] @ y[k - 1]
                if not self.upper_is_zero:
                    block = block - lower[k] @ factors[k - 1]
            if self.upper_is_zero:
                y.append(solved(block, right))
                continue
            both = solved(block, torch.cat([upper[k], right], dim=-1))
            factors.append(both[..., :-1])
            y.append(both[..., -1:])
        x = y
        if not self.upper_is_zero:
            for k in range(self.lines - 2, -1, -1):
                x[k] = x[k] - factors[k] @ x[k + 1]
        return self.gather(torch.stack(x), self.column_slot)

    def solve_positive(self, values: Tensor, rhs: Tensor) -> Tensor:
        """Solve A x = b by block Cholesky for a symmetric positive definite A, in float64.

        Only the diagonal and the lower blocks are read. The diagonal is lifted as a band's is.
        A sample whose matrix is not positive definite gets NaN: to ask would be to wait for it.

        Args:
            values: ``(nonzeros, batch)``.
            rhs: ``(batch, rows, count)``: several right sides.
        """
        diagonal, lower, _ = self.assemble(values)
        diagonal.diagonal(dim1=-2, dim2=-1).mul_(1 + LIFT)
        count = rhs.shape[-1]
        b = rhs.new_zeros(len(rhs), self.lines * self.width, count)
        slots = placed(self.row_slot, rhs.device)
        b[:, slots] = rhs
        b = b.view(-1, self.lines, self.width, count).transpose(0, 1)
        roots, couplings, y = [], [], []
        failed = torch.zeros(len(rhs), dtype=torch.bool, device=rhs.device)
        for k in range(self.lines):
            block, right = diagonal[k], b[k]
            if k:
                coupling = torch.linalg.solve_triangular(roots[-1], lower[k].mT, upper=False).mT
                couplings.append(coupling)
                block = block - coupling @ coupling.mT
                right = right - coupling @ y[-1]
            root, info = torch.linalg.cholesky_ex(block)
            failed = failed | (info > 0)
            roots.append(root)
            y.append(torch.linalg.solve_triangular(root, right, upper=False))
        x: list[Tensor] = [y[-1]] * self.lines
        for k in range(self.lines - 1, -1, -1):
            right = y[k] if k == self.lines - 1 else y[k] - couplings[k].mT @ x[k + 1]
            x[k] = torch.linalg.solve_triangular(roots[k].mT, right, upper=True)
        found = torch.stack(x).transpose(0, 1).reshape(len(rhs), -1, count)[:, slots]
        return found.masked_fill(failed[:, None, None], torch.nan)


def _rank(line: np.ndarray) -> np.ndarray:
    """Position of each entry within its line, in order."""
    order = np.argsort(line, kind="stable")
    counts = np.bincount(line)
    rank = np.empty(len(line), dtype=int)
    rank[order] = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
