r"""Distribution matching distillation: a student that is pulled towards the teacher's law.

For samples :math:`x = d(\xi)`, diffused to :math:`x_t = \alpha x + \sigma S\epsilon`, the gradient
of the Kullback-Leibler divergence of the two diffused laws is the difference of their scores. With
noise of the colour S a score is :math:`(SS^T)^{-1}(\alpha D(x_t, t) - x_t)/\sigma^2`, hence in the
metric of that noise

.. math:: g = \frac{\sigma^2}{\alpha}\,SS^T\,(s_\text{fake} - s_\text{teacher})
    = D_\text{fake}(x_t, t) - D_\text{teacher}(x_t, t),

and the student is moved along :math:`g / \overline{|x - D_\text{teacher}|}` (mean over one sample),
which is the paper's weight of noise levels. The fake denoiser is a copy of the teacher that is
trained, beside the student and only on its samples, by the teacher's own loss.

* ``dmd``: with a regression to the teacher's pairs, of weight 1/4 as in the paper (Yin et al.,
  One-step Diffusion with Distribution Matching Distillation, arXiv 2311.18828).
* ``diff-instruct``: without it (Luo et al., arXiv 2305.18455); with physics this is Phys-Instruct.

As in the papers: a gradient without a derivative of either denoiser, noise levels uniform between
0.02 and 0.98, weights from the teacher, one step of the fake for one of the student. What differs:
coloured noise, and with it the metric; the regression is the squared distance rather than a
perceptual one; Diff-Instruct gets DMD's weight of noise levels; one AdamW with one clipping trains
both networks; and physics and the energy score are added, which every student here has.

The fake is part of the module, since that is what is trained and resumed; it takes no part in
sampling, and a stored student is a network larger for it.
"""

from __future__ import annotations

import copy
from typing import final

import torch
from torch import Tensor, nn

from piddm.students.flow_student import FlowStudent
from piddm.teachers.teacher import Teacher
from piddm.tools.devices import sent
from piddm.tools.errors import UsageError
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.losses import fresh, total
from piddm.training.optimisation import Loss

CITATION = r"""
@misc{yin2024onestep,
  title = {One-step Diffusion with Distribution Matching Distillation},
  author = {Yin, Tianwei and Gharbi, Micha{\"e}l and Zhang, Richard and Shechtman, Eli and
    Durand, Fr{\'e}do and Freeman, William T. and Park, Taesung},
  year = {2024},
  eprint = {2311.18828},
  archivePrefix = {arXiv},
}
@misc{luo2023diffinstruct,
  title = {{Diff-Instruct}: A Universal Approach for Transferring Knowledge From Pre-trained
    Diffusion Models},
  author = {Luo, Weijian and Hu, Tianyang and Zhang, Shifeng and Sun, Jiacheng and Li, Zhenguo
    and Zhang, Zhihua},
  year = {2023},
  eprint = {2305.18455},
  archivePrefix = {arXiv},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""

MARGIN = 0.02
"""Distance of the times at which the laws are compared from 0, the data, and from 1, noise."""


@final
class DistributionMatchingStudent(FlowStudent):
    """A student of one call, moved by the difference of two denoisers.

    Args:
        teacher: Where the weights, the normalisation and the colour come from.
        regression: Weight of the squared distance to the teacher's samples.

    Raises:
        UsageError: If that is negative.
    """

    def __init__(self, teacher: Teacher, regression: float = 0.25) -> None:
        if regression < 0:
            raise UsageError(f"dmd: regression is at least 0, not {regression}")
        super().__init__(teacher)
        self.regression = regression
        self.fake = copy.deepcopy(teacher.network)

    def forward(self, noise: Tensor) -> Tensor:
        """Return packed samples x0 of the shape of ``noise``."""
        x = self.packing.colour(noise)
        return x + self.turn(x, x.new_ones(x.shape[0]))

    def objective(self, context: TrainingContext) -> Loss:
        """Return the student's loss and the fake's, of which neither moves the other's weights."""
        settings, packing, teacher = context.config.student, context.packing, context.teacher
        fake = self.with_network(self.fake)

        def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
            draw = generator(context.config.seed, "student", step)
            pairs, more = context.pairs.draw(settings.batch, draw), fresh(context, draw)
            counts = [len(pairs[0]), len(more)]
            noise, target = map(context.share, pairs)
            x = module(torch.cat([noise, context.share(more)]))
            drawn = torch.rand(sum(counts), generator=draw)
            t = MARGIN + (1 - 2 * MARGIN) * sent(context.share(*drawn.split(counts)), x)
            drawn = torch.randn((sum(counts), *x.shape[1:]), generator=draw, dtype=x.dtype)
            white = sent(context.share(*drawn.split(counts)), x)
            slope = difference(teacher, fake, x, packing.colour(white), t)
            # In one order whoever made them, since the fake adds its noise to the whole of them.
            made = torch.cat([context.every(p) for p in x.split([len(noise), len(x) - len(noise)])])
            parts = {
                "matching": packing.weigh(x - x.detach() + slope).square().mean() / 2,
                "fake": fake.loss(context.share(made), draw),
            }
            if self.regression:
                away = packing.weigh(x[: len(target)] - target)
                parts["pair"] = self.regression * away.square().mean()
            return total(context, parts, x[len(target) :], x, draw, shared=True)

        return loss


def diff_instruct(teacher: Teacher) -> DistributionMatchingStudent:
    """Return the student without pairs."""
    return DistributionMatchingStudent(teacher, regression=0.0)


@torch.no_grad()
def difference(teacher: Teacher, fake: Teacher, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return the gradient of the divergence in the samples, up to the noise level's weight.

    Args:
        teacher: The law to match.
        fake: The law of the samples.
        x: Samples.
        noise: Noise of the data's colour, of their shape.
        t: Noise levels, ``(batch,)``.
    """
    a, s = (v(t)[:, None, None, None] for v in (teacher.schedule.alpha, teacher.schedule.sigma))
    xt = a * x + s * noise
    real = teacher.denoise(xt, t)
    size = teacher.packing.weigh((x - real).abs(), 1).mean((1, 2, 3), keepdim=True)
    return (fake.denoise(xt, t) - real) / size
