r"""A residual with observations among its rows, kept by a projection to within their noise.

Values at points touch the nodes around them. What else is read has a row of its own each, which
may touch every node, as an integral does.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from piddm.residuals.residual import Fields, Reach, Residual, Rows
from piddm.tasks.sensors import Sensors

SEEN = "observations"
"""Name of the rows, and of the values that stand beside the fields, ``(batch, n)``."""


class Observed(Residual):
    r"""Adds rows :math:`(Hx - y)/\varsigma`, with :math:`\varsigma` the deviation of the field.

    The observed values y come with the fields, under the rows' own name, so that each state of a
    batch can have its own.

    Args:
        base: The residual.
        sensors: The map H.
        unit: Deviation of the field that each observation is of, ``(n,)``.
    """

    def __init__(self, base: Residual, sensors: Sensors, unit: Tensor) -> None:
        self.base, self.sensors, self._unit = base, sensors, unit
        self.grid, self.field_names = base.grid, base.field_names
        self.free_params = base.free_params
        self.names = seen_names(sensors)
        own = [_rows(sensors)] if sensors.points else []
        own += [_row(sensors, k) for k in range(len(sensors) - sensors.points)]
        self.rows = {**base.rows, **dict(zip(self.names, own, strict=True))}

    def _parts(self, seen: Tensor) -> dict[str, Tensor]:
        """Return what is seen, ``(..., n)``, by the names of its rows."""
        n = self.sensors.points
        parts = ([seen[..., :n]] if n else []) + list(seen[..., n:].split(1, dim=-1))
        return dict(zip(self.names, parts[: len(self.names)], strict=True))

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return a tensor ``(batch, ...)`` of each equation and condition, and of observations."""
        missing = self.sensors(fields) - fields[SEEN].to(fields[self.field_names[0]])
        return {**self.base(_without(fields)), **self._parts(missing / self._unit.to(missing))}

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms whose sum each row is."""
        seen = {"seen": self.sensors(fields), "observed": -fields[SEEN]}
        parts = {k: self._parts(v / self._unit.to(v)) for k, v in seen.items()}
        scaled = {name: {k: v[name] for k, v in parts.items()} for name in self.names}
        return {**self.base.terms(_without(fields)), **scaled}

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows, and their derivatives along several directions."""
        rows, change = self.base.tangent(_without(fields), directions)
        first = fields[self.field_names[0]]
        count = len(next(iter(directions.values())))
        still = first.new_zeros(1).expand(count, *first.shape)
        moving = {k: directions.get(k, still).flatten(0, 1) for k in self.field_names}
        if self.sensors.curved:
            many = {k: fields[k].repeat(count, *[1] * (first.ndim - 1)) for k in moving}
            more = {k: v.repeat(count) for k, v in fields.items() if k in self.free_params}
            moved = torch.func.jvp(lambda x: self.sensors(more | x), (many,), (moving,))[1]
        else:
            moved = self.sensors(moving)
        seen = moved.unflatten(0, (count, len(first)))
        missing = self.sensors(fields) - fields[SEEN].to(first)
        unit = self._unit.to(first)
        own = self._parts(missing / unit), self._parts(seen / unit)
        return {**rows, **own[0]}, {**change, **own[1]}

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack."""
        return {**self.base.fit(_without(fields)), SEEN: fields[SEEN]}


def _without(fields: Fields) -> dict[str, Tensor]:
    return {k: v for k, v in fields.items() if k != SEEN}


def seen_names(sensors: Sensors) -> list[str]:
    """Return the names of the rows of observations: of all points, and of each other reading."""
    others = range(len(sensors) - sensors.points)
    return ([SEEN] if sensors.points else []) + [f"{SEEN} {k}" for k in others]


def _row(sensors: Sensors, k: int) -> Rows:
    """Return the row of a reading that is no point."""
    shape = sensors.grid.shape
    names = {name: [(0,) * len(shape)] for name in sensors.other.fields(k)}
    at = np.zeros((1, len(shape)), dtype=int)
    return Rows(at, [Reach(np.arange(1), names)], integral=True, whole=True)


def _rows(sensors: Sensors) -> Rows:
    """Return where observations live: at the first of the nodes that each touches."""
    shape, periodic = sensors.grid.shape, np.array(sensors.grid.periodic)
    at = np.stack(np.unravel_index(sensors.index.numpy() % sensors.nodes, shape), axis=-1)
    base = at[:, 0]
    apart = at - base[:, None]
    # Across a seam the offsets go on.
    apart = np.where(periodic & (apart < 0), apart + np.array(shape), apart)
    field = sensors.field.numpy()
    keys = np.concatenate([field[:, None], apart.reshape(len(field), -1)], axis=1)
    kinds, which = np.unique(keys, axis=0, return_inverse=True)
    reaches = [
        Reach(
            np.flatnonzero(which.ravel() == k),
            {sensors.names[kind[0]]: [tuple(o) for o in kind[1:].reshape(-1, len(shape)).tolist()]},
        )
        for k, kind in enumerate(kinds)
    ]
    return Rows(base, reaches)
