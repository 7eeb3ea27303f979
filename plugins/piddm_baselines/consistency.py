r"""Consistency distillation: every state along the teacher's flow is sent to where the flow ends.

.. math:: f(x, t) = \frac{x}{n(t)} + \frac{\sigma(t)}{n(t)}\,F\!\left(\frac{x}{n(t)}, t\right),
    \qquad n = \sqrt{\alpha^2+\sigma^2}, \qquad f(x, 0) = x,

.. math:: \min\; E\,\|f(x_{t_{j+1}}, t_{j+1}) - \mathrm{sg}\,f^-(\hat x_{t_j}, t_j)\|^2,

with noisy data :math:`x_{t_{j+1}}`, the state :math:`\hat x_{t_j}` one step of the teacher's solver
further on, sg no gradient, and :math:`f^-` with an average of the weights. One call at the noise
end generates: :math:`d(\xi) = f(S\xi, 1) = S\xi + F(S\xi, 1)`. From Song, Dhariwal, Chen and
Sutskever (Consistency Models, arXiv 2303.01469, Algorithm 2).

As in the paper: data with fresh noise rather than pairs, Heun's method (Euler's for the step to
t = 0, as the teacher itself does), uniform levels, the squared distance. What differs: noise has
the data's colour; the skip is the flow's own map for Gaussian data of that colour, with the
boundary condition exactly at t = 0; there are fewer levels, and the average follows sooner
(:data:`LEVELS`, :data:`KEEP`), since each level hands on what the one before it has learnt and a
student's budget here is some hundred steps; and physics and the energy score are added, which
every student here has, where the student samples, at the noise end. Beside them the levels' errors
are summed rather than averaged: what holds a sample in its place then weighs at the noise end what
the pairs' term does in other students. (Averaged, physics was ten times as strong beside it, and on
Burgers the spread fell by a quarter.)

The average is part of the module, so that an interrupted training goes on exactly; a stored student
is a network larger for it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from piddm.students.flow_student import FlowStudent
from piddm.teachers.schedules import SCHEDULES, Schedule
from piddm.teachers.teacher import Teacher
from piddm.tools.devices import sent
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.losses import fresh, total
from piddm.training.optimisation import Loss

CITATION = r"""
@misc{song2023consistency,
  title = {Consistency Models},
  author = {Song, Yang and Dhariwal, Prafulla and Chen, Mark and Sutskever, Ilya},
  year = {2023},
  eprint = {2303.01469},
  archivePrefix = {arXiv},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""

Turn = Callable[[Tensor, Tensor], Tensor]

LEVELS = 10
"""Steps from noise to data."""

KEEP = 0.7
"""Share of the old weights that the average keeps at each step; the paper's 0.95 was slower.

On Burgers after 350 steps the energy distance was 9.9e-3 with 0.95 and 7.2e-3 with 0.7, the
distance to solutions 8.1e-3 and 8.9e-3.
"""


@final
class ConsistencyStudent(FlowStudent):
    """A map from any noise level to the flow's end; called once, at the noise end.

    Args:
        teacher: Where the weights, the normalisation, the colour and the schedule come from.
    """

    def __init__(self, teacher: Teacher) -> None:
        super().__init__(teacher)
        self.target = copy.deepcopy(teacher.network)

    def forward(self, noise: Tensor, t: Tensor | None = None) -> Tensor:
        """Return samples of white noise; given times, the flow's ends from states ``noise``."""
        if t is None:
            x = self.packing.colour(noise)
            return self(x, x.new_ones(x.shape[0]))
        return ends(self.turn, self.schedule, noise, t)

    def objective(self, context: TrainingContext) -> Loss:
        """Return the error of consistency along the teacher's flow, and what every student has."""
        settings, packing, teacher = context.config.student, context.packing, context.teacher
        schedule, count = teacher.schedule, settings.batch
        times = schedule.times(LEVELS).flip(0)
        self.target.requires_grad_(False)
        average = self.with_network(self.target)

        def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
            with torch.no_grad():
                for mean, own in zip(
                    self.target.parameters(), self.network.parameters(), strict=True
                ):
                    mean.lerp_(own, 1 - KEEP)
            draw = generator(context.config.seed, "student", step)
            data = context.data[torch.randint(len(context.data), (count,), generator=draw)]
            level = (LEVELS * SCHEDULES["linear"].draw(count, draw)).long().clamp(max=LEVELS - 1)
            level[0] = LEVELS - 1  # the energy score takes two samples, in the smallest batch too
            now, then = (sent(times[at], packing.mean) for at in (level + 1, level))
            white = sent(torch.randn(data.shape, generator=draw, dtype=data.dtype), now)
            more = packing.colour(context.share(fresh(context, draw)))
            data, now, then, white = map(context.share, (data, now, then, white))
            last, own = context.share(level) == LEVELS - 1, len(data)
            with torch.no_grad():
                a, s = _image(schedule.alpha(now)), _image(schedule.sigma(now))
                x = a * sent(data, now) + s * packing.colour(white)
                further = heun(teacher, x, now, then)
                goal = ends(average.turn, schedule, further, then)
            x = module(torch.cat([x, more]), torch.cat([now, now.new_ones(len(more))]))
            away = LEVELS * packing.weigh(x[:own] - goal).square().mean()
            chosen = torch.cat([last, last.new_ones(len(more))])
            parts = {"consistency": away}
            return total(context, parts, x[own:], x, draw, shared=True, chosen=chosen)

        return loss


def ends(turn: Turn, schedule: Schedule, x: Tensor, t: Tensor) -> Tensor:
    """Return f(x, t), the estimated end of the flow from states x; F is ``turn``."""
    s = _image(schedule.sigma(t))
    size = (_image(schedule.alpha(t)) ** 2 + s**2).sqrt()
    return x / size + s / size * turn(x / size, t)


def heun(teacher: Teacher, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """Return the states that one step of the teacher's sampler makes, each from its own time."""
    step = _image(then - now)
    v = teacher.velocity(x, now)
    ahead = teacher.velocity(x + step * v, then)
    return x + step * torch.where(_image(then) > 0, (v + ahead) / 2, v)


def _image(v: Tensor) -> Tensor:
    return v[:, None, None, None]
