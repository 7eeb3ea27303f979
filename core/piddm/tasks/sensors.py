r"""From fields to what sensors see: interpolation between nodes, as one linear map.

.. math:: (Hx)_i = \sum_j w_{ij}\, x_j

with Lagrange's weights along each axis, 2 or 4 nodes around a point, taken at the nodes' own
coordinates, which need not be evenly spaced. At a node it is that node's value. Along periodic
axes the nodes go on across the seam; at walls those of the nearest interval inside are used.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from piddm.errors import UsageError
from piddm.grid import Axis
from piddm.interfaces import Fields
from piddm.tasks.observations import Observations

WIDTHS = {"linear": 2, "cubic": 4}
"""Nodes along each axis, by the name of the interpolation."""


class Sensors:
    """The linear map H of a set of observations.

    Args:
        observations: Where and what was seen.
        names: The fields, in order.
        interpolation: ``linear``, which never overshoots, or ``cubic``, for smooth fields.

    Attributes:
        values: What was seen, ``(n,)``, float64.
        sigma: Its noise, ``(n,)``.
        index: Nodes that each observation touches, ``(n, k)``, in the fields one after another,
            each row-major.
        weight: Their weights, ``(n, k)``.
        field: Which field each is of, ``(n,)``.
    """

    def __init__(
        self, observations: Observations, names: tuple[str, ...], interpolation: str = "linear"
    ) -> None:
        if interpolation not in WIDTHS:
            raise UsageError(f"no interpolation {interpolation!r}; choose linear or cubic")
        self.grid, self.names = observations.grid, names
        self.nodes = math.prod(self.grid.shape)
        present = [k for k in names if len(observations.values.get(k, ()))]
        self.values = torch.cat([observations.values[k] for k in present])
        self.sigma = torch.cat([observations.sigma[k] for k in present])
        found = [self._weights(observations.points[k], WIDTHS[interpolation]) for k in present]
        start = [self.nodes * names.index(k) for k in present]
        self.index = torch.cat([i + s for (i, _), s in zip(found, start, strict=True)])
        self.weight = torch.cat([w for _, w in found])
        self.field = torch.cat(
            [
                torch.full((len(i),), names.index(k))
                for (i, _), k in zip(found, present, strict=True)
            ]
        )

    def _weights(self, points: Tensor, width: int) -> tuple[Tensor, Tensor]:
        count = len(points)
        index = np.zeros((count, 1), dtype=np.int64)
        weight = np.ones((count, 1))
        for d, axis in enumerate(self.grid.axes.values()):
            nodes, w = _along(axis, points[:, d].numpy(), min(width, axis.size))
            index = (index[:, :, None] * axis.size + nodes[:, None, :]).reshape(count, -1)
            weight = (weight[:, :, None] * w[:, None, :]).reshape(count, -1)
        return torch.from_numpy(index), torch.from_numpy(weight)

    def __len__(self) -> int:
        return len(self.values)

    def __call__(self, fields: Fields) -> Tensor:
        """Return what the sensors see of fields ``(batch, *grid.shape)``: ``(batch, n)``."""
        flat = torch.cat([fields[k].flatten(1) for k in self.names], dim=1)
        weight = self.weight.to(flat)
        return (flat[:, self.index.to(flat.device)] * weight).sum(-1)

    def spread(self, at_sensors: Tensor) -> dict[str, Tensor]:
        r"""Return :math:`H^T r` of ``(batch, n)``: fields ``(batch, *grid.shape)``."""
        flat = at_sensors.new_zeros(len(at_sensors), self.nodes * len(self.names))
        parts = (at_sensors[..., None] * self.weight.to(at_sensors)).flatten(1)
        flat.index_add_(1, self.index.flatten().to(flat.device), parts)
        return self._fields(flat)

    def rows(self, chosen: Tensor) -> dict[str, Tensor]:
        """Return rows of H, float32, as fields ``(len(chosen), *grid.shape)``."""
        flat = torch.zeros(len(chosen), self.nodes * len(self.names))
        flat.scatter_add_(1, self.index[chosen], self.weight[chosen].to(flat))
        return self._fields(flat)

    def _fields(self, flat: Tensor) -> dict[str, Tensor]:
        parts = flat.split(self.nodes, dim=1)
        return {k: p.view(-1, *self.grid.shape) for k, p in zip(self.names, parts, strict=True)}

    @property
    def known(self) -> dict[str, np.ndarray]:
        """Field name to boolean ``(*grid.shape)``: nodes whose own value was seen."""
        single = (self.weight.abs() > 1 - 1e-9).nonzero()
        flat = np.zeros(self.nodes * len(self.names), dtype=bool)
        flat[self.index[single[:, 0], single[:, 1]].numpy()] = True
        parts = np.split(flat, len(self.names))
        return {k: part.reshape(self.grid.shape) for k, part in zip(self.names, parts, strict=True)}


def _along(axis: Axis, points: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes ``(n, width)`` around points on one axis and Lagrange's weights."""
    at, n, length = axis.coordinates(), axis.size, axis.upper - axis.lower
    if axis.periodic:
        points = axis.lower + (points - axis.lower) % length
    left = np.searchsorted(at, points, side="right") - 1
    first = left - (width // 2 - 1)
    if not axis.periodic:
        first = first.clip(0, n - width)
    nodes = first[:, None] + np.arange(width)
    turns, inside = np.divmod(nodes, n)
    places = at[inside] + turns * length
    weight = np.ones((len(points), width))
    for j in range(width):
        for k in range(width):
            if k != j:
                weight[:, j] *= (points - places[:, k]) / (places[:, j] - places[:, k])
    weight[np.abs(weight) < 1e-12] = 0.0
    return inside, weight
