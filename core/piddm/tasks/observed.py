r"""A residual with observations among its rows, kept by a projection to within their noise."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from piddm.interfaces import Fields, Reach, Residual, Rows
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
        self.rows = {**base.rows, SEEN: _rows(sensors)}

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return a tensor ``(batch, ...)`` of each equation and condition, and of observations."""
        missing = self.sensors(fields) - fields[SEEN].to(fields[self.field_names[0]])
        return {**self.base(_without(fields)), SEEN: missing / self._unit.to(missing)}

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms whose sum each row is."""
        seen = {"seen": self.sensors(fields), "observed": -fields[SEEN]}
        scaled = {k: v / self._unit.to(v) for k, v in seen.items()}
        return {**self.base.terms(_without(fields)), SEEN: scaled}

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows, and their derivatives along several directions."""
        rows, change = self.base.tangent(_without(fields), directions)
        first = fields[self.field_names[0]]
        count = len(next(iter(directions.values())))
        still = first.new_zeros(1).expand(count, *first.shape)
        moving = {k: directions.get(k, still).flatten(0, 1) for k in self.field_names}
        seen = self.sensors(moving).unflatten(0, (count, len(first)))
        missing = self.sensors(fields) - fields[SEEN].to(first)
        unit = self._unit.to(first)
        return {**rows, SEEN: missing / unit}, {**change, SEEN: seen / unit}

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack."""
        return {**self.base.fit(_without(fields)), SEEN: fields[SEEN]}


def _without(fields: Fields) -> dict[str, Tensor]:
    return {k: v for k, v in fields.items() if k != SEEN}


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
