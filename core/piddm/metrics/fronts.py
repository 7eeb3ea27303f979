"""Methods side by side: those that none beats in both errors, and the best where there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

ROUND_OFF = 1e-8
"""Normalised PDE errors up to this are rounding: samples are drawn and scored in float32, whose
rounding a stencil multiplies by the inverse square of its step. On 64 x 64 it comes to 1e-9."""


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points that no other beats, by rising first coordinate.

    Smaller is better in both. A point is beaten by one that is no worse in either coordinate and
    better in one; equal points stand or fall together. What is not finite is on no front.
    """
    finite = [(p, i) for i, p in enumerate(points) if all(map(math.isfinite, p))]
    front: list[tuple[tuple[float, float], int]] = []
    for point, index in sorted(finite):
        if not front or point[1] < front[-1][0][1] or point == front[-1][0]:
            front.append((point, index))
    return [index for _, index in front]


def best_two(
    values: Mapping[str, tuple[float, float]],
) -> dict[str, Literal["best", "second"]]:
    r"""Mark the smallest mean and the next, where each is told apart from what comes after it.

    That is where the difference exceeds :math:`\sqrt{e_1^2 + e_2^2}`, the standard errors being
    those of the two. The second is marked only where there is a best: a tie has no second.

    Args:
        values: Mean and standard error by name; means that are not finite are passed over, and an
            error that is not finite (one seed tells none) parts nothing.
    """
    order = sorted((v for v in values.items() if math.isfinite(v[1][0])), key=lambda v: v[1][0])
    marks: dict[str, Literal["best", "second"]] = {}
    for place, mark in enumerate(("best", "second")):
        rest = order[place:]
        if len(rest) == 1 and marks:
            marks[rest[0][0]] = mark  # nothing comes after it
        elif len(rest) < 2 or not _apart(rest[0][1], rest[1][1]):
            break
        else:
            marks[rest[0][0]] = mark
    return marks


def _apart(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return b[0] - a[0] > math.hypot(a[1], b[1])  # never more than what is not a number
