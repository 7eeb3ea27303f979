"""Students, one method per file."""

from piddm.students.one_step import OneStepStudent

STUDENTS = {"one-step": OneStepStudent}
"""Students by the name that a configuration uses."""
