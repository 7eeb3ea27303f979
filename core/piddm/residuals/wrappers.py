"""Residuals made from another one: with some params known, or some of its rows only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.residuals.residual import Fields, Residual, Rows


class GivenParams(Residual):
    """A residual with values of params filled in; free ones among them are free no more.

    Args:
        residual: The residual.
        params: Values by name.
    """

    def __init__(self, residual: Residual, params: Mapping[str, float]) -> None:
        self._inner, self._params = residual, dict(params)
        self.grid, self.field_names, self.rows = residual.grid, residual.field_names, residual.rows
        self.free_params = tuple(p for p in residual.free_params if p not in params)

    def _whole(self, fields: Fields) -> dict[str, Tensor]:
        like = fields[self.field_names[0]]
        return dict(fields) | {k: like.new_full((len(like),), v) for k, v in self._params.items()}

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return a tensor ``(batch, ...)`` for each equation and boundary condition, by name."""
        return self._inner(self._whole(fields))

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms whose sum each equation is."""
        return self._inner.terms(self._whole(fields))

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows, and their derivatives along several directions."""
        return self._inner.tangent(self._whole(fields), directions)

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted by least squares."""
        whole = self._inner.fit(self._whole(fields))
        return {k: v for k, v in whole.items() if k not in self._params}


def with_params(residual: Residual, params: Mapping[str, float]) -> Residual:
    """Return the residual with these params known, itself where there are none."""
    return GivenParams(residual, params) if params else residual


class Part(Residual):
    """Some rows of a residual.

    Args:
        whole: The residual.
        names: Which rows.
    """

    def __init__(self, whole: Residual, names: Iterable[str]) -> None:
        self._whole = whole
        self.grid, self.field_names = whole.grid, whole.field_names
        self.free_params = whole.free_params
        self.rows = {k: whole.rows[k] for k in names}

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return these rows."""
        found = self._whole(fields)
        return {k: found[k] for k in self.rows}

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms of these rows."""
        found = self._whole.terms(fields)
        return {k: found[k] for k in self.rows}

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return these rows, and their derivatives along several directions."""
        rows, change = self._whole.tangent(fields, directions)
        return {k: rows[k] for k in self.rows}, {k: change[k] for k in self.rows}

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack."""
        return self._whole.fit(fields)


class Restricted(Residual):
    """Some of the rows of a residual.

    Args:
        residual: The residual.
        index: Row name to the indices of the rows that are kept; names that are missing are not.
    """

    def __init__(self, residual: Residual, index: Mapping[str, np.ndarray]) -> None:
        self._inner = residual
        self._index = {k: torch.from_numpy(v) for k, v in index.items()}
        self.grid, self.field_names = residual.grid, residual.field_names
        self.free_params = residual.free_params
        self.rows = {k: _kept(residual.rows[k], v) for k, v in index.items()}

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return the kept rows, ``(batch, rows)`` each."""
        return self._cut(self._inner(fields))

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms of the equations, at all nodes."""
        return {k: v for k, v in self._inner.terms(fields).items() if k in self._index}

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the kept rows, and their derivatives along several directions."""
        rows, changes = self._inner.tangent(fields, directions)
        return self._cut(rows), self._cut(changes, 2)

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted to all rows."""
        return self._inner.fit(fields)

    def _cut(self, rows: Mapping[str, Tensor], start: int = 1) -> dict[str, Tensor]:
        return {
            k: rows[k].flatten(start)[..., index.to(rows[k].device)]
            for k, index in self._index.items()
        }


def _kept(rows: Rows, index: np.ndarray) -> Rows:
    place = np.full(len(rows.nodes), -1)
    place[index] = np.arange(len(index))
    reaches = []
    for reach in rows.reaches:
        new = place[reach.rows]
        if (new >= 0).any():
            reaches.append(dataclasses.replace(reach, rows=new[new >= 0]))
    return dataclasses.replace(rows, nodes=rows.nodes[index], reaches=reaches)
