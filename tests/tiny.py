"""The smallest configuration that passes through every stage: nothing is learnt by it."""

from collections.abc import Mapping
from typing import Any

TINY = {
    "data.size": 16, "data.train": 16, "data.held_out": 8, "network.widths": [8, 8],
    "teacher.steps": 4, "teacher.batch": 4, "pairs.count": 8, "pairs.steps": 2, "pairs.batch": 4,
    "student.steps": 4, "student.batch": 4, "student.physics_batch": 2,
    "student.operator.widths": [8],
    "evaluation.count": 8, "evaluation.distance_count": 2,
}  # fmt: skip


def tiny(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return overrides of the quick preset, with a test's own changes on top."""
    return TINY | dict(changes or {})
