r"""The student of a few calls: the teacher's own sampler at 2 or 4 steps, trained end to end.

On any schedule, :math:`y_t = x_t/\sqrt{\alpha^2+\sigma^2}` turns from data to noise by the angle
:math:`\theta = \arctan(\sigma/\alpha)`, and the teacher's probability flow is
:math:`dy/d\theta = -F(y, t)` (:meth:`piddm.teachers.teacher.Teacher.turn`). A student of k calls
makes k Euler steps of it,

.. math:: y_{j+1} = y_j + (\theta_j - \theta_{j+1})\,F(y_j, t_j), \qquad y_0 = S\xi,\quad
    d(\xi) = y_k,

with the same weights at every step and the teacher's times. It begins as the teacher sampled at k
steps, and nothing moves for Gaussian data. All steps are then trained at once, through the chain,
by what trains the one-step student: Eq. 8 of arXiv 2505.22391, with pairs of noise and the
teacher's sample, and with physics only on the last state, which is the only sample among them.

This is the plainest student of a few steps: a solver of few steps fitted to the teacher's finished
samples (Watson et al., arXiv 2202.05830, train a sampler through its chain; progressive
distillation, arXiv 2202.00512, halves the steps of one round by round instead). Each training step
costs k times that of one call.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from piddm.students.flow_student import FlowStudent
from piddm.teachers.teacher import Teacher
from piddm.tools.errors import UsageError
from piddm.training.context import TrainingContext
from piddm.training.losses import regression
from piddm.training.optimisation import Loss

CITATION = r"""
@misc{watson2022learning,
  title = {Learning Fast Samplers for Diffusion Models by Differentiating Through Sample
    Quality},
  author = {Watson, Daniel and Chan, William and Ho, Jonathan and Norouzi, Mohammad},
  year = {2022},
  eprint = {2202.05830},
  archivePrefix = {arXiv},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""


@final
class FewStepStudent(FlowStudent):
    """Euler's method along the teacher's flow, in as many steps as it has calls.

    Args:
        teacher: Where the weights, the normalisation, the colour and the times come from.
        calls: Network calls of a sample.

    Raises:
        UsageError: If that is less than 1.
    """

    def __init__(self, teacher: Teacher, calls: int = 2) -> None:
        if calls < 1:
            raise UsageError(f"few-step: calls is at least 1, not {calls}")
        super().__init__(teacher)
        self.calls = calls
        times = self.schedule.times(calls).double()
        angles = torch.atan2(self.schedule.sigma(times), self.schedule.alpha(times))
        self.steps = list(zip(times.tolist(), (-angles.diff()).tolist(), strict=False))

    def forward(self, noise: Tensor) -> Tensor:
        """Return packed samples x0 of the shape of ``noise``."""
        x = self.packing.colour(noise)
        for t, turn in self.steps:
            x = x + turn * self.turn(x, x.new_full((x.shape[0],), t))
        return x

    def objective(self, context: TrainingContext) -> Loss:
        """Return the regression to the teacher's samples with the physics, Eq. 8 of the paper."""
        return regression(context)
