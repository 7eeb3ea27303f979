"""Teachers, one method per file."""

from piddm.teachers.flow import FlowTeacher

TEACHERS = {"flow": FlowTeacher}
"""Teachers by the name that a configuration uses."""
