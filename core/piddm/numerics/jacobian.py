"""Sparse Jacobian of any local residual: a few coloured probes instead of a column at a time.

Every row of a local residual touches only a few nodes around it (:class:`~piddm.interfaces.Rows`).
Nodes far enough apart share a colour: no row touches two of them, so that one forward derivative
along their sum gives all their columns at once. An integral touches every node at its time; its
rows come from one backward derivative. Values come per sample, the pattern once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from piddm.residuals.residual import Fields, Residual, Rows
from piddm.tools.devices import placed
from piddm.tools.errors import UsageError

LARGEST = 50_000_000
"""Entries that a Jacobian may have: a pattern takes about 40 bytes for each, once."""


class Jacobian:
    """Pattern and values of dR/dx for chosen fields and params.

    Columns are numbered field by field, nodes in row-major order, params after them; rows equation
    by equation.

    Args:
        residual: A residual.
        fields: Names of the fields to differentiate by; all where none is given.
        params: Names of free params to differentiate by.

    Attributes:
        row, column: ``(nonzeros,)`` integer positions.
        row_nodes: ``(rows, axes)`` node of each row.
        names: Fields and params, in the order of the columns.
        columns: Number of columns.
        local: ``(rows,)`` whether a row is a local one, no integral.

    Raises:
        UsageError: If there are no rows, or they touch so many nodes that the matrix is dense.
    """

    def __init__(
        self, residual: Residual, fields: tuple[str, ...] = (), params: tuple[str, ...] = ()
    ) -> None:
        self.residual, self.fields = residual, fields or residual.field_names
        self.params, grid = params, residual.grid
        self.names = (*self.fields, *params)
        self.nodes = int(np.prod(grid.shape))
        self.columns = self.nodes * len(self.fields) + len(params)
        every = list(residual.rows.values())
        if not every:
            raise UsageError("what solves takes an equation, and of these data none is known")
        self.row_nodes = np.concatenate([r.nodes for r in every])
        self.rows = len(self.row_nodes)
        self.local = np.concatenate([np.full(len(r.nodes), not r.integral) for r in every])
        starts = np.cumsum([0, *(len(r.nodes) for r in every)])[:-1]
        _refuse_dense(residual)
        entries: list[tuple[Any, ...]] = []
        self._seeds: list[tuple[str, np.ndarray | None]] = []
        for index, name in enumerate(self.fields):
            touching = [(s, r) for s, r in zip(starts, every, strict=True)
                        if name in r.fields and not r.integral]  # fmt: skip
            if not touching:
                continue
            colour = _colours(residual, name, [r for _, r in touching])
            first = len(self._seeds)
            self._seeds += [(name, colour == c) for c in range(int(colour.max()) + 1)]
            for start, rows in touching:
                for row, node in _touched(rows, name, grid.shape, grid.periodic):
                    column = node + index * self.nodes
                    entries.append((row + start, column, first + colour.ravel()[node]))
        for index, name in enumerate(params):
            for start, rows in zip(starts, every, strict=True):
                if name in rows.params:
                    row = start + np.arange(len(rows.nodes))
                    column = np.full(len(row), self.nodes * len(self.fields) + index)
                    entries.append((row, column, np.full(len(row), len(self._seeds))))
            self._seeds.append((name, None))
        row, column, probe = _joined(entries, 3)
        self._gather = torch.from_numpy(probe * self.rows + row)
        self._integrals = [
            (name, start, rows) for (name, rows), start in
            zip(residual.rows.items(), starts, strict=True) if rows.integral
        ]  # fmt: skip
        dense = [self._dense(start, rows) for _, start, rows in self._integrals]
        self.row = np.concatenate([row, *(d[0] for d in dense)])
        self.column = np.concatenate([column, *(d[1] for d in dense)])

    def _dense(self, start: int, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the pattern of integrals, in the order of :meth:`_backward`."""
        found = []
        node = np.arange(self.nodes).reshape(self.residual.grid.shape)
        for index, name in enumerate(self.fields):
            if name in rows.fields:
                for k, at in enumerate(rows.nodes[:, 0]):
                    touched = node[at - rows.lag : at + 1] if self._timed(rows) else node
                    column = touched.ravel() + index * self.nodes
                    found.append((np.full(len(column), start + k), column))
        row, column = _joined(found, 2)
        return row, column

    def _timed(self, rows: Rows) -> bool:
        return next(iter(self.residual.grid.axes.values())).time and not rows.whole

    def vector(self, fields: Fields, scale: Mapping[str, float] | None = None) -> Tensor:
        """Return all rows as ``(batch, rows)``, each divided by its equation's scale."""
        out = self.residual(fields)
        return torch.cat([out[k].flatten(1) / (scale[k] if scale else 1.0) for k in out], dim=1)

    def values(
        self, fields: Fields, scale: Mapping[str, float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the rows ``(batch, rows)`` and the Jacobian's values ``(nonzeros, batch)``."""
        first = fields[self.fields[0]]
        batch, probes = first.shape[0], len(self._seeds)
        seeds: dict[str, Tensor] = {}
        for p, (name, mask) in enumerate(self._seeds):
            if name not in seeds:
                seeds[name] = first.new_zeros(probes, *fields[name].shape[1:])
            seeds[name][p] = 1.0 if mask is None else placed(mask, first)
        directions = {k: v[:, None].expand(probes, batch, *v.shape[1:]) for k, v in seeds.items()}
        rows, change = self.residual.tangent(fields, directions)
        value = torch.cat([v.flatten(1) / (scale[k] if scale else 1.0) for k, v in rows.items()], 1)
        moved = torch.cat(
            [v.flatten(2) / (scale[k] if scale else 1.0) for k, v in change.items()], 2
        )
        moved = moved.permute(0, 2, 1).reshape(-1, batch)
        found = moved.index_select(0, placed(self._gather, moved.device))
        dense = [self._backward(fields, name, rows, scale) for name, _, rows in self._integrals]
        return value, torch.cat([found, *dense]) if dense else found

    def _backward(
        self, fields: Fields, name: str, rows: Rows, scale: Mapping[str, float] | None
    ) -> Tensor:
        """Return an integral's derivatives, ``(entries, batch)``."""
        touched = [k for k in self.fields if k in rows.fields]
        if not touched:
            return fields[self.fields[0]].new_zeros(0, len(fields[self.fields[0]]))

        def total(chosen: dict[str, Tensor], parity: int) -> Tensor:
            out = self.residual({**fields, **chosen})[name]
            # Rows that share a time are told apart by taking every second.
            return out[:, parity :: 1 + rows.lag].sum() / (scale[name] if scale else 1.0)

        gradients = [
            torch.func.grad(total)({k: fields[k] for k in touched}, parity)
            for parity in range(1 + rows.lag)
        ]
        found = []
        for k in touched:
            for index, at in enumerate(rows.nodes[:, 0]):
                of = gradients[index % (1 + rows.lag)][k]
                of = of[:, at - rows.lag : at + 1] if self._timed(rows) else of
                found.append(of.flatten(1).mT)
        return torch.cat(found)


def _joined(entries: list[tuple[Any, ...]], width: int) -> tuple[Any, ...]:
    if not entries:
        return tuple(np.zeros(0, dtype=int) for _ in range(width))
    return tuple(np.concatenate(e) for e in zip(*entries, strict=True))


def _refuse_dense(residual: Residual) -> None:
    for name, rows in residual.rows.items():
        if rows.dense:
            raise UsageError(f"{name}: its rows touch every node, too many for a sparse solve")
        entries = sum(len(r.rows) * sum(map(len, r.offsets.values())) for r in rows.reaches)
        if entries > LARGEST:
            raise UsageError(
                f"{name}: its rows touch {entries // len(rows.nodes)} nodes each, too many for a "
                "sparse solve; bind a lower order of finite differences, or a smaller grid"
            )


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
        width = min(1 + max((max(a) - min(a) for a in along), default=0), axis.size)
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
