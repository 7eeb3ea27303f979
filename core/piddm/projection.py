r"""Projection onto the set where the residual vanishes, and the squared distance to it.

The nearest state to x with R = 0 is found by Gauss-Newton, in a weighted norm (each field divided
by its standard deviation, say):

.. math:: x_{k+1} = x - J_k^T (J_k J_k^T)^{-1} (R(x_k) + J_k (x - x_k)).

One step from x moves by :math:`J^T(JJ^T)^{-1}R`, whose square :math:`R^T (JJ^T)^{-1} R` is the
squared distance to first order. As a loss, with J held fixed, its gradient is 2(x - P(x)): a
regression to the nearest solution, well conditioned whatever the equation, where the plain mean
square of R is ruled by the finest wiggles.

Local rows make :math:`JJ^T` block tridiagonal. Integrals touch everything, and free params move
at no cost: both stand in a border around it,

.. math:: \begin{pmatrix} K & C \\ C^T & E \end{pmatrix} \begin{pmatrix} m \\ n \end{pmatrix} =
    \begin{pmatrix} r \\ s \end{pmatrix}, \qquad
    (E - C^T K^{-1} C)\, n = s - C^T K^{-1} r.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.banded import BandedPositive, line_order, one_thread
from piddm.blocks import BlockLayout
from piddm.errors import PiddmError, UsageError, nearest
from piddm.interfaces import Fields, Residual
from piddm.jacobian import Jacobian

SETTLED = 1e-5
"""Relative move of the nearest point from step to step at which it counts as found."""

FieldScale = Mapping[str, float | np.ndarray]
"""Field name to the length of a unit in the norm: one for all nodes, or ``(*grid.shape)``."""


class Projection:
    """Nearest solutions of a residual.

    Args:
        residual: The residual.
        field_scale: The norm in which "nearest" is meant: what a field's move is divided by.
        row_scale: Row scale by name: what makes rows of different units comparable.
        held: Field name to boolean ``(*grid.shape)``: values that must not move.

    Raises:
        UsageError: If nothing is left to move.
    """

    def __init__(
        self,
        residual: Residual,
        field_scale: FieldScale,
        row_scale: Mapping[str, float],
        held: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.residual, self.row_scale = residual, dict(row_scale)
        names = residual.field_names
        if strange := [k for k in (*field_scale, *(held or {})) if k not in names]:
            raise UsageError(f"there is no field {strange[0]}{nearest(strange[0], names)}")
        if missing := [k for k in names if k not in field_scale]:
            raise UsageError(f"field_scale lacks {missing[0]}: what its moves are divided by")
        self.jacobian = jacobian = Jacobian(residual, params=residual.free_params)
        self._fields = jacobian.nodes * len(jacobian.fields)
        weights = _weights(residual, jacobian.fields, field_scale, held or {})
        self._weights = torch.from_numpy(weights)
        moves = np.append(weights > 0, np.zeros(len(jacobian.params), dtype=bool))
        entry = moves[jacobian.column]
        movable = np.isin(np.arange(jacobian.rows), jacobian.row[entry])
        if not movable.any():
            raise UsageError("nothing is left to project: every value that a row touches is held")
        local, border = np.flatnonzero(movable & jacobian.local), movable & ~jacobian.local
        number = np.cumsum(movable & jacobian.local) - 1
        inner = entry & jacobian.local[jacobian.row]
        self._inner = torch.from_numpy(np.flatnonzero(inner))
        self._row = torch.from_numpy(number[jacobian.row[inner]])
        self._column = torch.from_numpy(jacobian.column[inner])
        self._local = torch.from_numpy(local)
        self._border = _Border(jacobian, np.flatnonzero(border), number, self._fields, entry)
        left, right = _pairs(jacobian.column[inner])
        row, at = number[jacobian.row[inner]], jacobian.row_nodes[local]
        grid = residual.grid
        lines = line_order(at, grid.shape, grid.periodic)
        self._band = BandedPositive(row[left], row[right], len(local), lines)
        # A Cholesky factorisation reads the lower triangle only.
        left, right = left[self._band.lower], right[self._band.lower]
        self._left, self._right = torch.from_numpy(left), torch.from_numpy(right)
        self._blocks: BlockLayout | None = None
        self._block_lines = (row, at[:, 0])

    @torch.no_grad()
    def __call__(
        self,
        fields: Fields,
        steps: int = 20,
        tolerance: float = 1e-20,
        strict: bool = True,
        nearest: int = 4,
    ) -> dict[str, Tensor]:
        """Return the nearest fields with a residual of zero, in the precision of the given ones.

        Free params that are missing are fitted first, and returned beside the fields.

        Args:
            fields: ``(batch, *grid.shape)`` each, and params ``(batch,)``.
            steps: Gauss-Newton steps at the most.
            tolerance: Mean-square normalised residual at which to stop.
            nearest: Steps in search of the nearest point at the most; what is left of the residual
                is then taken away by the shortest steps from there. Measured on a Darcy student, 4
                move a sample by 0.01 % more than the nearest point.
            strict: Raise where a residual stays, rather than return what was reached.

        Raises:
            PiddmError: If rows say the same, or, ``strict``, the residual does not vanish.
        """
        start = self.residual.fit(fields)
        x, moved, settled = start, torch.zeros(()), False
        for k in range(steps):
            rows, values = self._linearise(x)
            if settled and float(rows.square().mean(1).max()) <= tolerance:
                break
            # While the foot still moves, step to it from the start; this gains a digit or so a
            # time. Once it has settled, only the rest is left, and each step squares that.
            from_start = k > 0 and not settled
            target = rows + self._push(values, moved) if from_start else rows
            step, change = self._solve(values, target)
            last, moved = moved, step + moved if settled else step
            x = self._moved(start, moved) | {
                name: x[name] - change[:, k] for k, name in enumerate(self.jacobian.params)
            }
            if not settled:
                away = (moved - last).norm(dim=1) / moved.norm(dim=1).clamp_min(1e-30)
                settled = bool((away <= SETTLED).all()) or k + 1 >= nearest
        if strict:
            self._check(x)
        return x

    def _check(self, x: Fields) -> None:
        """Refuse what is not on the set, by the rounding of the fields' precision."""
        rows = self.jacobian.vector(x, self.row_scale)
        error = rows.square().mean(1).nan_to_num(torch.inf)
        precise = rows.dtype == torch.float64
        if bool((error > (1e-12 if precise else 1e-4)).any()):
            raise PiddmError(
                f"no nearest solution of {', '.join(self.row_scale)} was found: sample "
                f"{int(error.argmax())} stays at a normalised residual of {float(error.max()):.1e};"
                " start nearer to the equation, or hold less"
            )

    def distance(self, fields: Fields) -> Tensor:
        """Return the mean squared distance per value of the scaled fields, ``(batch,)``.

        To first order, which is one Gauss-Newton step, and in float64.
        """
        with torch.no_grad():
            exact = self.residual.fit({k: v.double() for k, v in fields.items()})
            rows, values = self._linearise(exact)
            moved, _ = self._solve(values, rows)
        return moved.square().sum(1) / self._fields

    def correction(self, fields: Fields) -> dict[str, Tensor]:
        """Return x - P(x) after one step, scaled, without gradient, in the given precision."""
        with torch.no_grad():
            rows, values = self._linearise(self.residual.fit(fields))
            moved, _ = self._solve(values, rows)
        parts = moved.split(self.jacobian.nodes, dim=1)
        return {k: p.view_as(fields[k]) for k, p in zip(self.jacobian.fields, parts, strict=True)}

    def _linearise(self, fields: Fields) -> tuple[Tensor, Tensor]:
        """Return the rows ``(batch, rows)`` and the Jacobian's values by scaled fields."""
        rows, values = self.jacobian.values(fields, self.row_scale)
        column = torch.from_numpy(self.jacobian.column).to(values.device)
        ones = torch.ones(len(self.jacobian.params)).to(values)
        weight = torch.cat([self._weights.to(values), ones])
        return rows, values * weight[column][:, None]

    def _solve(self, values: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shortest move that takes the linearised rows to zero.

        Returns:
            What to subtract from the scaled fields ``(batch, columns)`` and from the free params.
        """
        inner = values[self._inner.to(values.device)]
        target = rows[:, self._local.to(rows.device)]
        border = self._border
        try:
            if not border.size:
                multipliers = self._solve_local(inner, target[..., None])[..., 0]
                return self._pull(inner, multipliers), rows[:, :0]
            coupling, corner, outer = border.assemble(values, inner, self._row, self._column)
            right_sides = torch.cat([target[..., None], coupling], dim=-1)
            solved = self._solve_local(inner, right_sides)
            first, rest = solved[..., :1], solved[..., 1:]
            beside = border.target(rows)[..., None] - coupling.mT @ first
            last = torch.linalg.solve(corner - coupling.mT @ rest, beside)
        except (ArithmeticError, RuntimeError) as error:
            raise PiddmError(
                f"no nearest solution of {', '.join(self.row_scale)}: two of their rows say the "
                "same, or the fields are too far off; student.physics_norm=strong needs none"
            ) from error
        moved = self._pull(inner, (first - rest @ last)[..., 0])
        moved = moved + (outer.mT @ last[:, : border.rows])[..., 0]
        return moved, last[:, border.rows :, 0]

    def _solve_local(self, inner: Tensor, rhs: Tensor) -> Tensor:
        """Solve J J^T m = b of the local rows, ``(batch, rows, count)``.

        On a processor sample by sample in a band, in float64; elsewhere by blocks, which are more
        work, all samples at once.
        """
        left, right = (v.to(inner.device) for v in (self._left, self._right))
        if inner.device.type == "cpu":
            exact, sides = inner.double().mT.contiguous(), rhs.double().numpy()
            with one_thread():
                solved = [
                    self._band.solve((sample[left] * sample[right]).numpy(), b)
                    for sample, b in zip(exact, sides, strict=True)
                ]
            return torch.from_numpy(np.stack(solved)).to(rhs)
        if self._blocks is None:
            row, line = self._block_lines
            one, two = row[self._left.numpy()], row[self._right.numpy()]
            slot = BlockLayout(one, two, line, line).row_slot
            one, two = np.where(slot[one] >= slot[two], (one, two), (two, one))
            self._blocks = BlockLayout(one, two, line, line)
        return self._blocks.solve_positive(inner[left] * inner[right], rhs)

    def _pull(self, inner: Tensor, multipliers: Tensor) -> Tensor:
        """Return J^T m of the local rows as ``(batch, columns)``."""
        row, column = self._row.to(inner.device), self._column.to(inner.device)
        contribution = inner * multipliers.mT[row]
        out = inner.new_zeros(self._fields, inner.shape[1])
        return out.index_add_(0, column, contribution).mT

    def _push(self, values: Tensor, move: Tensor) -> Tensor:
        """Return J v of all rows as ``(batch, rows)``."""
        row = torch.from_numpy(self.jacobian.row).to(values.device)
        column = torch.from_numpy(self.jacobian.column).to(values.device)
        still = move.new_zeros(len(move), len(self.jacobian.params))
        contribution = values * torch.cat([move, still], dim=1).mT[column]
        out = values.new_zeros(self.jacobian.rows, values.shape[1])
        return out.index_add_(0, row, contribution).mT

    def _moved(self, start: Fields, moved: Tensor) -> dict[str, Tensor]:
        steps = (self._weights.to(moved) * moved).split(self.jacobian.nodes, dim=1)
        return dict(start) | {
            name: start[name] - step.view_as(start[name])
            for name, step in zip(self.jacobian.fields, steps, strict=True)
        }


class _Border:
    """Rows that are integrals, and free params: dense, and few."""

    def __init__(
        self,
        jacobian: Jacobian,
        rows: np.ndarray,
        number: np.ndarray,
        columns: int,
        moves: np.ndarray,
    ) -> None:
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
        own = rows[:, self._rows.to(rows.device)]
        return torch.cat([own, own.new_zeros(len(own), self.size - self.rows)], dim=1)

    def assemble(
        self, values: Tensor, inner: Tensor, row: Tensor, column: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return C ``(batch, local, size)``, E, and the integrals ``(batch, rows, columns)``."""
        batch, device = values.shape[1], values.device
        outer = values.new_zeros(batch, self.rows * self.columns)
        outer.index_add_(1, self._dense_at.to(device), values[self._dense.to(device)].mT)
        outer = outer.view(batch, self.rows, self.columns)
        coupling = values.new_zeros(self._count, batch, self.size)
        row, column = row.to(device), column.to(device)
        for k in range(self.rows):
            at = outer[:, k].mT[column]
            coupling[..., k].index_add_(0, row, inner * at)
        coupling = coupling.transpose(0, 1).reshape(batch, -1)
        coupling.index_add_(1, self._param_at.to(device), values[self._param.to(device)].mT)
        corner = values.new_zeros(batch, self.size, self.size)
        corner[:, : self.rows, : self.rows] = outer @ outer.mT
        flat = corner.view(batch, -1)
        flat.index_add_(1, self._both_at.to(device), values[self._both.to(device)].mT)
        corner[:, self.rows :, : self.rows] = corner[:, : self.rows, self.rows :].mT
        return coupling.view(batch, self._count, self.size), corner, outer


def _weights(
    residual: Residual,
    names: tuple[str, ...],
    scale: FieldScale,
    held: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return what a unit of each column's move is in the field, zero where it is held."""
    parts = []
    for name in names:
        part = np.broadcast_to(np.asarray(scale[name], dtype=float), residual.grid.shape).copy()
        if name in held:
            part[held[name]] = 0.0
        parts.append(part.ravel())
    return np.concatenate(parts)


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
