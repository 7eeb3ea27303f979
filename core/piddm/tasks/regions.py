r"""Weights of nodes for means and integrals over regions, from the interpolant between nodes.

.. math:: \frac{1}{|\Omega|}\int_\Omega u\,d\Omega \approx \sum_j w_j u_j,

exactly of the interpolant (Gauss's rule in each interval between nodes), axis by axis; on a sphere
by area. A region that is a point along every axis has the weights of a point.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from piddm.grids.grid import Axis, Grid

WIDTHS = {"linear": 2, "cubic": 4}
"""Nodes along each axis, by the name of the interpolation."""

_GAUSS = np.polynomial.legendre.leggauss(2)


def region_weights(
    grid: Grid, ends: Sequence[tuple[float, float]], interpolation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes ``(n,)``, row-major, and weights ``(n,)`` of the mean over a region.

    Args:
        grid: The grid.
        ends: Lower and upper end along each axis.
        interpolation: ``linear`` or ``cubic``.
    """
    index, weight = np.zeros(1, dtype=np.int64), np.ones(1)
    for axis, (low, high) in zip(grid.axes.values(), ends, strict=True):
        nodes, own = _mean_along(axis, low, high, min(WIDTHS[interpolation], axis.size))
        index = (index[:, None] * axis.size + nodes).ravel()
        weight = (weight[:, None] * own).ravel()
    kept = weight != 0
    return index[kept], weight[kept]


def _mean_along(axis: Axis, low: float, high: float, width: int) -> tuple[np.ndarray, np.ndarray]:
    length = axis.upper - axis.lower
    if high < low:
        high += length
    if high == low:
        nodes, weight = along(axis, np.array([low]), width)
        return nodes[0], weight[0]
    at = axis.coordinates()
    every = np.concatenate([at, at + length]) if axis.periodic else at
    inside = every[(every > low) & (every < high)]
    edges = np.concatenate([[low], inside, [high]])
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    points = (middle[:, None] + half[:, None] * _GAUSS[0]).ravel()
    share = (half[:, None] * _GAUSS[1]).ravel()
    if axis.latitude:
        share = share * np.cos(points)
    nodes, weight = along(axis, points, width)
    total = np.zeros(axis.size)
    np.add.at(total, nodes.ravel(), (weight * (share / share.sum())[:, None]).ravel())
    touched = np.flatnonzero(total)
    return touched, total[touched]


def along(axis: Axis, points: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
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


def point_weights(
    grid: Grid, points: np.ndarray, interpolation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes ``(n, k)``, row-major, and weights ``(n, k)`` of points ``(n, axes)``."""
    count = len(points)
    index, weight = np.zeros((count, 1), dtype=np.int64), np.ones((count, 1))
    for d, axis in enumerate(grid.axes.values()):
        nodes, own = along(axis, points[:, d], min(WIDTHS[interpolation], axis.size))
        index = (index[:, :, None] * axis.size + nodes[:, None, :]).reshape(count, -1)
        weight = (weight[:, :, None] * own[:, None, :]).reshape(count, -1)
    return index, weight
