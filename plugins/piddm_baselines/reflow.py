r"""Reflow: a student whose path from noise to sample is a straight line.

Between the two ends of each of the teacher's pairs, noise :math:`S\xi` and sample :math:`x_0`, a
network learns the velocity of the line at all times,

.. math:: x_t = (1-t)\,x_0 + t\,S\xi, \qquad
    \min_v E_t\,\|v(x_t, t) - (S\xi - x_0)\|^2,

and where lines do not cross, one Euler step from t = 1 is the whole path:
:math:`d(\xi) = S\xi - v(S\xi, 1)`. This is the second rectified flow of Liu, Gong and Liu (Flow
Straight and Fast, arXiv 2209.03003), the teacher being the first.

As in the paper: coupled ends, straight lines, weights from the teacher, and its two stages for a
single step, reflow at uniform times and then distillation at t = 1; here they go together, half of
a batch each. What differs: noise has the data's colour S; the velocity is the network's answer with
a minus, without the teacher's factors of its noise level, since coupled ends of Gaussian data are
the same state and nothing moves; and physics and the energy score are added, which every student
here has, where the student samples, one step from noise. (With uniform times alone hardly a pair
holds those samples in place against physics: on Burgers the student lost two fifths of the spread.)
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from piddm.students.flow_student import FlowStudent
from piddm.teachers.schedules import SCHEDULES
from piddm.tools.devices import sent
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.losses import fresh, total
from piddm.training.optimisation import Loss

CITATION = r"""
@misc{liu2023flow,
  title = {Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow},
  author = {Liu, Xingchao and Gong, Chengyue and Liu, Qiang},
  year = {2023},
  eprint = {2209.03003},
  archivePrefix = {arXiv},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""


@final
class ReflowStudent(FlowStudent):
    """A straight flow; one Euler step generates."""

    def forward(self, noise: Tensor, t: Tensor | None = None) -> Tensor:
        """Return samples of white noise; given times, the velocity at states ``noise`` instead."""
        if t is None:
            x = self.packing.colour(noise)
            return x - self(x, x.new_ones(x.shape[0]))
        return -self.turn(noise, t)

    def objective(self, context: TrainingContext) -> Loss:
        """Return the error of the velocity along lines, and what every student has."""
        settings, packing, line = context.config.student, context.packing, SCHEDULES["linear"]

        def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
            draw = generator(context.config.seed, "student", step)
            pairs, white = context.pairs.draw(settings.batch, draw), fresh(context, draw)
            count, half = len(pairs[0]), len(pairs[0]) // 2
            noise, target = map(context.share, pairs)
            end, more = packing.colour(noise), packing.colour(context.share(white))
            whole = torch.cat([line.draw(half, draw), torch.ones(count + len(white) - half)])
            t = sent(context.share(whole[:count], whole[count:]), end)
            number = torch.arange(len(whole))
            chosen = context.share(number[:count], number[count:]) >= half
            at = t[:, None, None, None]
            x = torch.cat([target.lerp(end, at[: len(end)]), more])
            v = module(x, t)
            away = packing.weigh(v[: len(end)] - (end - target))
            x = x - at * v
            parts = {"velocity": away.square().mean()}
            return total(context, parts, x[len(end) :], x, draw, shared=True, chosen=chosen)

        return loss
