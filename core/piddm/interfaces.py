"""The interfaces of the house, for authors of plugins: each lives in the room of its kind."""

from piddm.data.readers.named_arrays import Arrays, Described, Held
from piddm.data.readers.reader import Reader
from piddm.data.readers.said import AxisSaid, Said
from piddm.methods.method import Method
from piddm.metrics.comparison import Comparison
from piddm.residuals.residual import Fields, Reach, Residual, Rows
from piddm.runs.tracking import Tracker
from piddm.students.student import Student
from piddm.tasks.model import Model
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.teachers.teacher import Teacher
from piddm.tools.progress import Progress
from piddm.training.context import TrainingContext
from piddm.training.losses import regression
from piddm.training.optimisation import Loss

Shared = TrainingContext
"""Earlier name of :class:`TrainingContext`, which stays."""

__all__ = [
    "Arrays", "AxisSaid", "Comparison", "Described", "Fields", "Held", "Loss", "Members", "Method",
    "Model", "Progress", "Reach", "Reader", "Residual", "Rows", "Said", "Shared", "Solver",
    "Student", "Task", "Teacher", "Tracker", "TrainingContext", "regression",
]  # fmt: skip
