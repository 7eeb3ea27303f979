r"""The one-step student: the teacher's network, called once, at the noise end.

.. math:: d(\xi) = S\xi + F(S\xi, 1)

with S the colour of the data, F how the teacher's flow turns
(:meth:`piddm.teachers.teacher.Teacher.turn`). The first term is the probability flow's own map for
Gaussian data of that colour, noise and data being then alike at every time; the network learns
what the data have beyond it. A student without it must learn to copy its input first.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from piddm.students.flow_student import FlowStudent
from piddm.training.context import TrainingContext
from piddm.training.losses import regression
from piddm.training.optimisation import Loss


@final
class OneStepStudent(FlowStudent):
    """Maps white noise to samples in one network call."""

    def forward(self, noise: Tensor) -> Tensor:
        """Return packed samples x0 of the shape of ``noise``."""
        x = self.packing.colour(noise)
        return x + self.turn(x, x.new_ones(x.shape[0]))

    def objective(self, context: TrainingContext) -> Loss:
        """Return the regression to the teacher's samples with the physics, Eq. 8 of the paper."""
        return regression(context)
