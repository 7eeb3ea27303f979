"""From coordinates that a file has to the arguments of the axis through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from piddm.tools.errors import UsageError


def arguments(
    coordinates: Sequence[float] | np.ndarray,
    lower: float | None,
    upper: float | None,
    periodic: bool,
    time: bool,
    tolerance: float,
) -> dict[str, Any]:
    """Return the arguments of :class:`piddm.Axis`; see its ``through``, whose these are.

    Raises:
        UsageError: If they do not go up, or the axis must have equal distances and has not.
    """
    at = np.asarray(coordinates, dtype=np.float64)
    if at.ndim != 1 or len(at) < 2 or not np.isfinite(at).all():
        raise UsageError("coordinates of an axis are a line of at least 2 finite numbers")
    steps = np.diff(at)
    if (steps <= 0).any():
        down = "; these go down: flip the data" if (steps < 0).all() else ""
        raise UsageError(f"coordinates of an axis go up, no two alike{down}")
    n, h = len(at), float(at[-1] - at[0]) / (len(at) - 1)
    even = np.abs(at - (at[0] + h * np.arange(n))).max() <= tolerance * h
    if not even and (periodic or time):
        raise UsageError(
            f"{'a periodic axis' if periodic else 'an axis of time'} has nodes at equal distances; "
            f"these are {steps.min():.4g} to {steps.max():.4g} apart"
        )
    first, last = float(at[0]), float(at[-1])
    if periodic:
        low = first if lower is None else float(lower)
        period = n * h if upper is None else float(upper) - low
        centred = abs((first - low) / h - 0.5) <= tolerance
        low = low if centred or abs(first - low) <= tolerance * h else first
        where = "centre" if centred else "vertex"
        return {"lower": low, "upper": low + period, "size": n, "periodic": True, "location": where}
    low, high = first if lower is None else float(lower), last if upper is None else float(upper)
    if time:
        return {"lower": low, "upper": high, "size": n, "time": True}
    if even:
        gaps = tuple(_halves(gap / h, tolerance) for gap in (first - low, high - last))
        return {"lower": low, "upper": high, "size": n, "location": gaps}
    at[0] = low if abs(first - low) <= tolerance * steps[0] else first
    at[-1] = high if abs(last - high) <= tolerance * steps[-1] else last
    return {"lower": low, "upper": high, "size": n, "nodes": tuple(map(float, at))}


def _halves(share: float, tolerance: float) -> float:
    """Return a share of a spacing, a whole number of halves where rounding may be all it lacks."""
    near = round(2 * share) / 2
    return near if abs(share - near) <= tolerance else share
