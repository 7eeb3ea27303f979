"""Interface of what answers tasks: an equation on a grid, and models of its solutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.residuals.residual import Residual
from piddm.students.student import Student
from piddm.teachers.teacher import Teacher


class Model(Protocol):
    """An equation with models of its solutions; :class:`piddm.api.Run` is one.

    A solver takes what it needs: one without a network asks neither for a teacher nor for a
    student, and works where there is none.
    """

    @property
    def pde(self) -> PDE:
        """The equation."""
        ...

    @property
    def residual(self) -> Residual:
        """The equation's residual on the grid of the answers."""
        ...

    @property
    def soft_residual(self) -> Residual:
        """The residual that answers are brought to: of data that satisfy it nearly, no nearer."""
        ...

    @property
    def scale(self) -> Mapping[str, float]:
        """Scale of each row of the residual: its largest term's root mean square over data."""
        ...

    @property
    def packing(self) -> Packing:
        """Normalisation and colour of states."""
        ...

    @property
    def teacher(self) -> Teacher:
        """The trained teacher."""
        ...

    @property
    def student(self) -> Student:
        """The distilled student."""
        ...

    @property
    def model_error(self) -> float:
        r"""How far the student's samples are from solutions, over the fields' deviations.

        The root mean square :math:`\tau` of x - P(x), each field over its standard deviation.
        """
        ...
