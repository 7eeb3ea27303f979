"""The order that errors show under refinement."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from piddm.verification.result import Check, Line

ABOVE_ROUNDING = 20.0
"""An error counts towards the order only where it is this many times as large as round-off."""

APART = 1.4
"""Least ratio of the two spacings between which an order is observed."""


def observed(
    steps: Sequence[float], size: Sequence[float], rounding: Sequence[float]
) -> float | None:
    r"""Return the order that errors show, or none where they are exact to round-off.

    The slope at the finest grids, or, with :math:`e = C h^p \exp(c h)` through the finest five,
    its limit p, whichever is larger: where the slope has not settled yet, its limit has; a
    method of a lower order has neither.
    """
    kept = [(h, e) for h, e, q in zip(steps, size, rounding, strict=True) if e > ABOVE_ROUNDING * q]
    if len(kept) < 2:
        return None
    h, e = np.array(kept).T
    # Of grids too near each other the slope is mostly round-off.
    apart = max((k for k in range(len(h) - 1) if h[k] >= APART * h[-1]), default=0)
    last = float(np.log(e[apart] / e[-1]) / np.log(h[apart] / h[-1]))
    if len(h) < 4:
        return last
    h, e = h[-5:], e[-5:]
    matrix = np.stack([np.ones(len(h)), np.log(h), h / h[-1]], axis=1)
    return max(last, float(np.linalg.lstsq(matrix, np.log(e), rcond=None)[0][1]))


def checked(name: str, lines: Sequence[Line]) -> Check:
    """Return the check that every line has its nominal order."""
    failed = [line for line in lines if not line.passed]
    by_method: dict[str, list[Line]] = {}
    for line in failed or lines:
        by_method.setdefault(line.method, []).append(line)
    parts = []
    for method, group in by_method.items():
        least = min((li.order for li in group if li.order is not None), default=None)
        if failed:
            parts.append(f"{method}: {', '.join(li.text for li in group)}")
        else:
            parts.append(f"{method}: {'exact' if least is None else f'{least:.2f}'}")
    text = ("observed " if not failed else "too low: ") + "; ".join(parts)
    return Check(name, not failed, text, {"lines": [dataclasses.asdict(li) for li in lines]})
