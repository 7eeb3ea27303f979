r"""The one-step student: the teacher's network, called once, at the noise end.

.. math:: d(\xi) = S\xi + F(S\xi, 1)

with S the colour of the data, F the teacher's network with its offset and gate
(:meth:`piddm.packing.Packing.respond`). The first term is the probability flow's own map for
Gaussian data of that colour, noise and data being then alike at every time; the network learns
what the data have beyond it. A student without it must learn to copy its input first.
"""

from __future__ import annotations

import copy

from torch import Tensor

from piddm.interfaces import Student
from piddm.teachers.flow import FlowTeacher


class OneStepStudent(Student):
    """Maps white noise to samples in one network call.

    Args:
        teacher: Where the weights, the normalisation and the colour come from.
    """

    def __init__(self, teacher: FlowTeacher) -> None:
        super().__init__()
        self.network = copy.deepcopy(teacher.network)
        self.packing = teacher.packing

    def forward(self, noise: Tensor) -> Tensor:
        """Return packed samples x0 of the shape of ``noise``."""
        x = self.packing.colour(noise)
        return x + self.packing.respond(self.network, x, x.new_ones(x.shape[0]))
