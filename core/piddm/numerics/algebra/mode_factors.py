r"""Cholesky factors of small Hermitian systems, one for each Fourier mode, over lines of nodes.

Lines that are near are taken together, so that the matrix of a mode is block tridiagonal. For what
the matrices are see :mod:`piddm.numerics.mode_preconditioner`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LIFT, SINGULAR, SINGLE = 1e-10, 1e-8, 1e-5
"""Term added to the diagonal, relatively, since rows that follow from others make it singular;
the pivot up to which it counts as that; and the one from which factors are kept in float32."""

LINES = 16
"""Lines are taken together until blocks are as wide as this: fewer and larger products."""


class ModeFactors:
    """Block Cholesky factors of J W^2 J^H for some modes, and solutions by them.

    Args:
        response: J, ``(modes, rows, columns)``.
        row_line: Line of each row.
        felt: Column line by row line and colour, -1 where there is none.
        squares: W^2 of each column line, ``(lines, columns of a colour)``.
    """

    def __init__(
        self, response: Tensor, row_line: np.ndarray, felt: np.ndarray, squares: Tensor
    ) -> None:
        modes, rows, _ = response.shape
        lines, colours = felt.shape
        of = [np.flatnonzero(row_line == line) for line in range(lines)]
        near = _coupling(felt)
        most = max(1, max(map(len, of)))
        together = max(near, math.ceil(LINES / most))
        groups = [np.concatenate(of[i : i + together]) for i in range(0, lines, together)]
        width = max(map(len, groups))
        self._slots = torch.zeros(rows, dtype=torch.long, device=response.device)
        for k, group in enumerate(groups):
            self._slots[torch.from_numpy(group)] = k * width + torch.arange(len(group)).to(
                response.device)  # fmt: skip
        diagonal = response.new_zeros(len(groups), modes, width, width)
        lower = response.new_zeros(len(groups), modes, width, width)
        parts = response.view(modes, rows, colours, -1)
        for a in range(lines):
            for b in range(max(0, a - near), a + 1):
                block = response.new_zeros(modes, len(of[a]), len(of[b]))
                for c, column in enumerate(felt[a]):
                    for d in np.flatnonzero(felt[b] == column) if column >= 0 else ():
                        left = parts[:, of[a], c] * squares[column]
                        block += left @ parts[:, of[b], d].mH
                if not block.numel():
                    continue
                group, before = a // together, b // together
                i = self._slots[torch.from_numpy(of[a])] % width
                j = self._slots[torch.from_numpy(of[b])] % width
                into = diagonal if group == before else lower
                into[group][:, i[:, None], j[None]] = block
                if a != b and group == before:
                    into[group][:, j[:, None], i[None]] = block.mH
        entries = diagonal.diagonal(dim1=2, dim2=3)
        size = entries.real.sum((0, 2)) / rows
        for k, group in enumerate(groups):
            entries[k, :, len(group) :] = size[:, None]
        entries += LIFT * size[:, None]
        self._width, self._size = width, size[:, None, None]
        self._roots, self._couplings, least = _cholesky(diagonal, lower)
        self._singular = torch.nonzero(least < SINGULAR * size)[:, 0]
        if bool((least > SINGLE * size).all()):  # what is applied is still one positive matrix
            self._roots = [v.to(torch.complex64) for v in self._roots]
            self._couplings = [v.to(torch.complex64) for v in self._couplings]

    def __call__(self, rows: Tensor) -> Tensor:
        """Solve for ``(modes, rows, batch)``."""
        solved = self._solve(rows, slice(None))
        if len(some := self._singular):
            # The lifted inverse M blows up what no row can be moved along: M - lift M^2, which is
            # M K M, takes that away; a little of it stays, for states that depend on it.
            size, first = self._size[some], solved[some]
            solved[some] = first - LIFT * size * self._solve(first, some) + rows[some] / size
        return solved

    def inverse(self) -> Tensor:
        """Return the inverses ``(modes, rows, rows)``, in the precision of the factors."""
        modes, rows = self._roots[0].shape[0], len(self._slots)
        eye = torch.eye(rows).to(self._roots[0])
        return self(eye.expand(modes, rows, rows)).contiguous()

    def _solve(self, rows: Tensor, some: Tensor | slice) -> Tensor:
        modes, _, batch = rows.shape
        roots, couplings = ([v[some] for v in part] for part in (self._roots, self._couplings))
        b = roots[0].new_zeros(modes, len(roots) * self._width, batch)
        b[:, self._slots] = rows.to(b)
        parts = list(b.view(modes, len(roots), self._width, batch).unbind(1))
        for k, root in enumerate(roots):
            if k:
                parts[k] = parts[k] - couplings[k] @ parts[k - 1]
            parts[k] = root @ parts[k]
        for k in reversed(range(len(roots))):
            if k + 1 < len(roots):
                parts[k] = parts[k] - couplings[k + 1].mH @ parts[k + 1]
            parts[k] = roots[k].mH @ parts[k]
        return torch.stack(parts, dim=1).view(modes, -1, batch)[:, self._slots]


def _coupling(felt: np.ndarray) -> int:
    """Return the distance between lines of rows that depend on one line of columns, 1 at least."""
    far = 1
    for column in range(felt.max(initial=-1) + 1):
        rows = np.flatnonzero((felt == column).any(1))
        far = max(far, int(np.ptp(rows))) if len(rows) else far
    return far


def _cholesky(diagonal: Tensor, lower: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return the inverses of the diagonal blocks' roots, the couplings C = K L^-H, least pivots."""
    roots: list[Tensor] = []
    couplings: list[Tensor] = []
    least = diagonal.real.new_full(diagonal.shape[1:2], torch.inf)
    eye = torch.eye(diagonal.shape[-1]).to(diagonal)
    for k, block in enumerate(diagonal):
        coupling = lower[k] @ roots[-1].mH if k else lower[k]
        block = block - coupling @ coupling.mH if k else block
        root = torch.linalg.cholesky(block)
        least = torch.minimum(least, root.diagonal(dim1=1, dim2=2).real.square().amin(1))
        roots.append(torch.linalg.solve_triangular(root, eye.expand_as(root), upper=False))
        couplings.append(coupling)
    return roots, couplings, least
