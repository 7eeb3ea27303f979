"""Base of the students that call a network of the teacher's, each at times of its own."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from piddm.students.student import Student
from piddm.teachers.teacher import Teacher


class FlowStudent(Student):
    """A student whose network begins as the teacher's, and is asked as the teacher asks it.

    Args:
        teacher: Where the weights, the normalisation, the colour and the schedule come from.
        network: A network to begin with; a copy of the teacher's where none is given.
    """

    def __init__(self, teacher: Teacher, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = copy.deepcopy(teacher.network) if network is None else network
        self.packing, self.schedule = teacher.packing, teacher.schedule
        # In a tuple, which is no submodule: its modules are those above, kept once in a state.
        self._flow = (teacher.with_network(self.network),)

    def with_network(self, network: nn.Module) -> Teacher:
        """Return a teacher of the same kind by another network, such as an average of this one."""
        return self._flow[0].with_network(network)

    def turn(self, y: Tensor, t: Tensor) -> Tensor:
        """Return F(y, t) by the student's network, see :meth:`piddm.interfaces.Teacher.turn`."""
        return self._flow[0].turn(y, t)
