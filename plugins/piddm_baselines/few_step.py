"""The student of a few calls under names of its own, so that tables can tell two from four."""

from __future__ import annotations

from piddm.students.euler_steps import FewStepStudent
from piddm.teachers.teacher import Teacher


def two_step(teacher: Teacher) -> FewStepStudent:
    """Return a student of two calls."""
    return FewStepStudent(teacher, calls=2)


def four_step(teacher: Teacher) -> FewStepStudent:
    """Return a student of four calls."""
    return FewStepStudent(teacher, calls=4)
