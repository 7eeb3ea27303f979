"""Sparse Jacobian of any local residual: a few coloured probes instead of a column at a time.

Every row of a local residual touches only a few nodes around it (:class:`~piddm.interfaces.Rows`).
Nodes far enough apart share a colour: no row touches two of them, so that one forward derivative
along their sum gives all their columns at once. Values come per sample, the pattern once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from piddm.interfaces import Fields, Residual, Rows


class Jacobian:
    """Pattern and values of dR/dx for chosen fields.

    Columns are numbered field by field, nodes in row-major order; rows equation by equation.

    Args:
        residual: A local residual.
        fields: Names of the fields to differentiate by; all where none is given.

    Attributes:
        row, column: ``(nonzeros,)`` integer positions.
        row_nodes: ``(rows, axes)`` node of each row.
    """

    def __init__(self, residual: Residual, fields: tuple[str, ...] = ()) -> None:
        self.residual, self.fields = residual, fields or residual.field_names
        shape = residual.grid.shape
        self.nodes = int(np.prod(shape))
        self.row_nodes = np.concatenate([r.nodes for r in residual.rows.values()])
        offset = np.cumsum([0, *(len(r.nodes) for r in residual.rows.values())])
        entries: list[tuple[np.ndarray, ...]] = []
        self._seeds: list[tuple[str, np.ndarray]] = []
        for index, name in enumerate(self.fields):
            touching = [(o, r) for o, r in zip(offset, residual.rows.values(), strict=False)
                        if name in r.fields]  # fmt: skip
            colour = _colours(residual, name, [r for _, r in touching])
            first = len(self._seeds)
            self._seeds += [(name, colour == c) for c in range(int(colour.max()) + 1)]
            for start, rows in touching:
                for row, node in _touched(rows, name, residual.grid.shape, residual.grid.periodic):
                    column = node + index * self.nodes
                    entries.append((row + start, column, first + colour.ravel()[node]))
        self.row, self.column, probe = (np.concatenate(e) for e in zip(*entries, strict=True))
        self.rows = len(self.row_nodes)
        self._gather = torch.from_numpy(probe * self.rows + self.row)

    def residual_vector(self, fields: Fields, scale: dict[str, float] | None = None) -> Tensor:
        """Return all rows as ``(batch, rows)``, each divided by its equation's scale."""
        out = self.residual(fields)
        return torch.cat([out[k].flatten(1) / (scale[k] if scale else 1.0) for k in out], dim=1)

    def values(
        self, fields: Fields, scale: dict[str, float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the rows ``(batch, rows)`` and the Jacobian's values ``(nonzeros, batch)``."""
        first = fields[self.fields[0]]
        batch, probes = first.shape[0], len(self._seeds)
        base = {k: v.repeat(probes, *[1] * (v.ndim - 1)) for k, v in fields.items()}
        tangents = {k: torch.zeros_like(v) for k, v in base.items()}
        for p, (name, mask) in enumerate(self._seeds):
            seed = torch.from_numpy(mask).to(first)
            tangents[name][p * batch : (p + 1) * batch] = seed

        def rows(f: dict[str, Tensor]) -> Tensor:
            return self.residual_vector(f, scale)

        value, change = torch.func.jvp(rows, (base,), (tangents,))[:2]
        change = change.view(probes, batch, self.rows).permute(0, 2, 1).reshape(-1, batch)
        return value[:batch], change.index_select(0, self._gather.to(change.device))


def _colours(residual: Residual, field: str, rows: list[Rows]) -> np.ndarray:
    """Colour the nodes of a field so that no row touches two of one colour; shape of the grid."""
    total = np.zeros((), dtype=int)
    for d, axis in enumerate(residual.grid.axes.values()):
        along = [
            [offset[d] for offset in reach.offsets[field]]
            for r in rows
            for reach in r.reaches
            if field in reach.offsets
        ]
        width = 1 + max((max(a) - min(a) for a in along), default=0)
        node = np.arange(axis.size)
        colour = node % width
        if axis.periodic and (rest := axis.size % width):  # the seam needs colours of its own
            tail = node >= axis.size - rest
            colour = np.where(tail, width + node - (axis.size - rest), colour)
            width += rest
        total = total[..., None] * width + colour
    _, dense = np.unique(total, return_inverse=True)
    return dense.reshape(total.shape)


def _touched(
    rows: Rows, field: str, shape: tuple[int, ...], periodic: tuple[bool, ...]
) -> Iterator[tuple[Any, Any]]:
    """Yield, for each offset of the rows' reach, the rows and the flat nodes they touch there."""
    for reach in rows.reaches:
        for shift in reach.offsets.get(field, ()):
            node = rows.nodes[reach.rows] + np.array(shift)
            node = np.where(periodic, node % np.array(shape), node)
            yield reach.rows, np.ravel_multi_index(tuple(node.T), shape)
