r"""Projection onto the set where the residual vanishes, and the squared distance to it.

The nearest state to x with R = 0 is found by Gauss-Newton, in normalised fields
(each divided by its standard deviation):

.. math:: x_{k+1} = x - J_k^T (J_k J_k^T)^{-1} (R(x_k) + J_k (x - x_k)).

One step from x moves by :math:`J^T(JJ^T)^{-1}R`, whose square :math:`R^T (JJ^T)^{-1} R` is the
squared distance to first order. As a loss, with J held fixed, its gradient is 2(x - P(x)): a
regression to the nearest solution, well conditioned whatever the equation, where the plain mean
square of R is ruled by the finest wiggles.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.blocks import BlockLayout
from piddm.errors import PiddmError
from piddm.interfaces import Fields, Residual
from piddm.jacobian import Jacobian


class Projection:
    """Nearest solutions of a local residual.

    Args:
        residual: The residual.
        field_scale: Field name to standard deviation: the norm in which "nearest" is meant.
        row_scale: Row scale by name; affects rounding only.
    """

    def __init__(
        self,
        residual: Residual,
        field_scale: Mapping[str, float],
        row_scale: Mapping[str, float],
    ) -> None:
        self.jacobian = jacobian = Jacobian(residual)
        self.row_scale = dict(row_scale)
        self._weights = torch.tensor([float(field_scale[k]) for k in jacobian.fields]).double()
        left, right = _pairs(jacobian.column)
        line = jacobian.row_nodes[:, 0]
        slot = BlockLayout(jacobian.row[left], jacobian.row[right], line, line).row_slot
        # A Cholesky factorisation reads the lower triangle only.
        lower = slot[jacobian.row[left]] >= slot[jacobian.row[right]]
        left, right = left[lower], right[lower]
        self._left, self._right = torch.from_numpy(left), torch.from_numpy(right)
        self._layout = BlockLayout(jacobian.row[left], jacobian.row[right], line, line)
        self._row = torch.from_numpy(jacobian.row)
        self._column = torch.from_numpy(jacobian.column)

    def _linearise(self, fields: Fields) -> tuple[Tensor, Tensor]:
        rows, values = self.jacobian.values(fields, self.row_scale)
        column = self._column.to(values.device)
        weight = self._weights.to(values)[column // self.jacobian.nodes]
        return rows, values * weight[:, None]

    def _multipliers(self, values: Tensor, rows: Tensor) -> Tensor:
        left, right = (v.to(values.device) for v in (self._left, self._right))
        products = values[left] * values[right]
        try:
            return self._layout.solve_positive(products, rows)
        except RuntimeError as error:
            raise PiddmError(
                f"no nearest solution of {', '.join(self.row_scale)}: two of their rows say the "
                "same, or the fields are too far off; student.physics_norm=strong needs none"
            ) from error

    def _pull(self, values: Tensor, multipliers: Tensor) -> Tensor:
        """Return J^T m as ``(batch, columns)``."""
        row, column = self._row.to(values.device), self._column.to(values.device)
        contribution = values * multipliers.mT[row]
        size = self.jacobian.nodes * len(self.jacobian.fields)
        out = values.new_zeros(size, values.shape[1])
        return out.index_add_(0, column, contribution).mT

    def _push(self, values: Tensor, move: Tensor) -> Tensor:
        """Return J v as ``(batch, rows)``."""
        row, column = self._row.to(values.device), self._column.to(values.device)
        contribution = values * move.mT[column]
        out = values.new_zeros(self.jacobian.rows, values.shape[1])
        return out.index_add_(0, row, contribution).mT

    def __call__(self, fields: Fields, steps: int = 3) -> dict[str, Tensor]:
        """Return the projected fields, in the precision of the given ones."""
        weight = self._weights.to(next(iter(fields.values())))
        x, moved = dict(fields), torch.zeros(())
        for k in range(steps):
            rows, values = self._linearise(x)
            target = rows + self._push(values, moved) if k else rows
            moved = self._pull(values, self._multipliers(values, target))
            parts = moved.split(self.jacobian.nodes, dim=1)
            x = dict(fields) | {
                name: fields[name] - (w * part).view_as(fields[name])
                for name, w, part in zip(self.jacobian.fields, weight, parts, strict=True)
            }
        return x

    def distance(self, fields: Fields) -> Tensor:
        """Return the mean squared distance per value of the normalised fields, ``(batch,)``.

        To first order, which is one Gauss-Newton step, and in float64.
        """
        rows, values = self._linearise({k: v.detach().double() for k, v in fields.items()})
        columns = self.jacobian.nodes * len(self.jacobian.fields)
        return (rows * self._multipliers(values, rows)).sum(1) / columns

    def correction(self, fields: Fields) -> dict[str, Tensor]:
        """Return x - P(x) after one step, normalised, without gradient, in the given precision."""
        with torch.no_grad():
            rows, values = self._linearise(fields)
            moved = self._pull(values, self._multipliers(values, rows))
        parts = moved.split(self.jacobian.nodes, dim=1)
        return {k: p.view_as(fields[k]) for k, p in zip(self.jacobian.fields, parts, strict=True)}


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
