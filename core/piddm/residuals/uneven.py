"""Weights at any places: between nodes at unequal distances, at walls beyond them, of all nodes."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

from piddm.grids.axis import Axis


def weights_at(at: float, nodes: np.ndarray, derivative: int) -> np.ndarray:
    """Return the weights ``(nodes,)`` of a derivative at a place, of the polynomial through them.

    By the recursion of B. Fornberg, Generation of Finite Difference Formulas on Arbitrarily Spaced
    Grids, Mathematics of Computation 51 (1988).
    """
    count = len(nodes)
    table = np.zeros((derivative + 1, count))
    table[0, 0] = product = 1.0
    here = nodes[0] - at
    for i in range(1, count):
        before, here = here, nodes[i] - at
        own = 1.0
        for j in range(i):
            apart = nodes[i] - nodes[j]
            own *= apart
            if j == i - 1:
                for m in range(min(i, derivative), -1, -1):
                    lower = m * table[m - 1, i - 1] if m else 0.0
                    table[m, i] = product * (lower - before * table[m, i - 1]) / own
            for m in range(min(i, derivative), -1, -1):
                lower = m * table[m - 1, j] if m else 0.0
                table[m, j] = (here * table[m, j] - lower) / apart
        product = own
    return table[derivative]


def windows(
    targets: np.ndarray, sources: np.ndarray, starts: np.ndarray, width: int, derivative: int
) -> tuple[int, np.ndarray]:
    """Return the weights of rows, each on its own window of sources.

    Args:
        targets: ``(rows,)`` where the derivative is taken.
        sources: ``(count,)`` where values are known.
        starts: ``(rows,)`` the first source of each row.
        width: Sources of a row.
        derivative: Its order; 0 interpolates.

    Returns:
        The first source in use, and the weights ``(rows, sources in use)``.
    """
    low, high = int(starts.min()), int(starts.max()) + width
    matrix = np.zeros((len(targets), high - low))
    for row, (at, start) in enumerate(zip(targets, starts, strict=True)):
        own = sources[start : start + width]
        step = own[-1] - own[0]  # weights of unit length: no power of a spacing over- or underflows
        found = weights_at(0.0, (own - at) / step, derivative) / step**derivative
        matrix[row, start - low : start - low + width] = found
    return low, matrix


def nearest_windows(
    targets: np.ndarray, sources: np.ndarray, width: int, derivative: int
) -> tuple[int, np.ndarray]:
    """Return the weights of rows on the sources around each, as near to its middle as there are.

    Raises:
        ValueError: With the number of sources it takes, if there are fewer.
    """
    if width > len(sources):
        raise ValueError(width)
    place = np.searchsorted(sources, targets)
    starts = np.clip(place - (width + 1) // 2, 0, len(sources) - width)
    for row, at in enumerate(targets):  # of two windows, the one whose ends are as far away
        for start in (starts[row] - 1, starts[row] + 1):
            if 0 <= start <= len(sources) - width and _lopsided(
                sources, start, width, at
            ) < _lopsided(sources, starts[row], width, at):
                starts[row] = start
    return windows(targets, sources, starts, width, derivative)


def _lopsided(sources: np.ndarray, start: int, width: int, at: float) -> float:
    return max(at - sources[start], sources[start + width - 1] - at)


def flux_difference(nodes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the weights of a first derivative that conserves, ``(rows, rows + 2)``.

    That of the means between nodes, over the cell: what leaves one cell arrives at the next, at
    unequal distances too, for an error of the second order where these change smoothly.
    """
    matrix = np.zeros((len(rows), len(rows) + 2))
    cells = nodes[rows + 1] - nodes[rows - 1]
    matrix[np.arange(len(rows)), np.arange(len(rows))] = -1 / cells
    matrix[np.arange(len(rows)), np.arange(len(rows)) + 2] = 1 / cells
    return matrix


@lru_cache(maxsize=64)
def places(axis: Axis, half: bool) -> np.ndarray:
    """Return the coordinates of nodes, or of the middles between them."""
    nodes = axis.coordinates()
    return (nodes[1:] + nodes[:-1]) / 2 if half else nodes


def wall(axis: Axis, end: int, derivative: int, order: int) -> tuple[int, np.ndarray]:
    """Return the weights of a derivative at an end of an axis, beyond its nodes or not.

    Args:
        axis: The axis.
        end: -1 or 1.
        derivative: Its order; 0 is the value.
        order: Order of accuracy inside; here it is one more, since the error beyond the nodes would
            else be larger than all others. 0 takes all nodes: the spectral interpolant.

    Returns:
        The first node in use, and the weights ``(1, nodes in use)``.

    Raises:
        ValueError: With the number of nodes it takes, if there are fewer.
    """
    nodes = places(axis, False)
    width = derivative + order + 1 if order else len(nodes)
    if width > len(nodes):
        raise ValueError(width)
    start = 0 if end < 0 else len(nodes) - width
    at = np.array([axis.lower if end < 0 else axis.upper])
    return windows(at, nodes, np.array([start]), width, derivative)


@lru_cache(maxsize=32)
def polynomial(axis: Axis, derivative: int) -> np.ndarray:
    r"""Return the matrix ``(size, size)`` that differentiates the polynomial through all nodes.

    .. math:: D^{(m)}_{ij} = \frac{m}{x_i - x_j}
        \left(\frac{w_j}{w_i} D^{(m-1)}_{ii} - D^{(m-1)}_{ij}\right),
        \qquad D^{(m)}_{ii} = -\sum_{j \ne i} D^{(m)}_{ij},

    with the weights w of barycentric interpolation: B. D. Welfert, Generation of Pseudospectral
    Differentiation Matrices I, SIAM Journal on Numerical Analysis 34 (1997).
    """
    nodes = places(axis, False)
    n, length = len(nodes), axis.upper - axis.lower
    apart = (nodes[:, None] - nodes) * 4 / length  # of capacity 1: products stay near 1
    np.fill_diagonal(apart, 1.0)
    size, sign = np.log(np.abs(apart)).sum(1), np.sign(apart).prod(1)
    ratio = sign[:, None] * sign * np.exp(size[:, None] - size)  # w_j / w_i
    matrix = np.eye(n)
    for m in range(1, derivative + 1):
        matrix = m / apart * (ratio * np.diag(matrix)[:, None] - matrix)
        np.fill_diagonal(matrix, 0.0)
        np.fill_diagonal(matrix, -matrix.sum(1))
    return matrix * (4 / length) ** derivative


@lru_cache(maxsize=64)
def quadrature(axis: Axis, order: int) -> np.ndarray:
    """Return the weights ``(size,)`` of an integral from wall to wall.

    That of the polynomial through the nodes around each interval, exact up to a degree of
    ``order - 1``; of order 0, through all nodes (C. W. Clenshaw and A. R. Curtis, Numerische
    Mathematik 2, 1960, where they are Chebyshev's).

    Raises:
        ValueError: With the number of nodes it takes, if there are fewer.
    """
    nodes = places(axis, False)
    n = len(nodes)
    if axis.uniform and axis.location == "centre" and order == 2:
        return np.full(n, axis.spacing)  # the midpoint rule is of this order, and even
    if order > n:
        raise ValueError(order)
    width, half = order or n, (axis.upper - axis.lower) / 2
    points, weights = np.polynomial.legendre.leggauss(width // 2 + 1)
    if not order:  # global: one interval, moments in polynomials that are alike in size
        moments = np.polynomial.chebyshev.chebvander(points, n - 1).T @ weights
        values = np.polynomial.chebyshev.chebvander((nodes - axis.lower) / half - 1, n - 1)
        return np.linalg.solve(values.T, moments) * half
    total = np.zeros(n)
    edges = np.unique(np.concatenate([[axis.lower], nodes, [axis.upper]]))
    for low, high in pairwise(edges):
        at = (low + high) / 2 + (high - low) / 2 * points
        middle = np.full(1, (low + high) / 2)
        place = int(np.searchsorted(nodes, middle[0]))
        start = int(np.clip(place - width // 2, 0, n - width))
        _, rows = windows(at, nodes, np.full(len(at), start), width, 0)
        total[start : start + width] += (high - low) / 2 * weights @ rows
    return total
