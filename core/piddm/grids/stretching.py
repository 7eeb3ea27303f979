"""Nodes at unequal distances: Chebyshev's, and others as unequally spread as those there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

AT_A_WALL = 0.25
"""Share of a spacing up to which a node counts as one at the wall."""

SAME = 1e-6
"""Share of the length within which nodes are those of Chebyshev."""


def chebyshev(lower: float, upper: float, size: int, centre: bool) -> tuple[float, ...]:
    """Return Chebyshev's nodes between two ends: Gauss', or with both ends, Lobatto's."""
    i = np.arange(size)
    angle = np.pi * ((i + 0.5) / size if centre else i / (size - 1))
    # Sines, whose arguments are symmetric about 0, and so are the nodes.
    at = (upper + lower) / 2 + (upper - lower) / 2 * np.sin(angle - np.pi / 2)
    if not centre:
        at[[0, -1]] = lower, upper
    return tuple(map(float, at))


def chebyshev_kind(nodes: Sequence[float], lower: float, upper: float) -> str:
    """Return where the walls of Chebyshev's nodes are, ``vertex`` or ``centre``; else nothing."""
    for centre in (False, True):
        own = chebyshev(lower, upper, len(nodes), centre)
        if np.abs(np.subtract(nodes, own)).max() <= SAME * (upper - lower):
            return "centre" if centre else "vertex"
    return ""


def stretched(nodes: Sequence[float], lower: float, upper: float, size: int) -> tuple[float, ...]:
    """Return so many nodes on the smooth map through those there are.

    Equal steps go over into coordinates by a cubic spline, or by a monotone cubic one where that
    would turn back. A wall that no node is at is half a step beyond the first.
    """
    from scipy.interpolate import CubicSpline, PchipInterpolator

    at = np.array(nodes)
    low = 0.0 if at[0] - lower <= AT_A_WALL * (at[1] - at[0]) else 0.5
    high = 0.0 if upper - at[-1] <= AT_A_WALL * (at[-1] - at[-2]) else 0.5

    def steps(count: int) -> np.ndarray:
        return (np.arange(count) + low) / (count - 1 + low + high)

    known, values, places = steps(len(at)), at, steps(size)
    if low:
        known, values = np.append(0.0, known), np.append(lower, values)
    if high:
        known, values = np.append(known, 1.0), np.append(values, upper)
    found = CubicSpline(known, values)(places)
    if (np.diff(found) <= 0).any() or found[0] < lower or found[-1] > upper:
        found = PchipInterpolator(known, values)(places)
    if not low:
        found[0] = at[0]
    if not high:
        found[-1] = at[-1]
    return tuple(map(float, found))
