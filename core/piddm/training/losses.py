r"""Eq. 8 of arXiv 2505.22391, and an energy score: how the paper's student is trained.

.. math:: \|d(\xi)-x_0\|^2 + \lambda\,\|R(d(\xi))\|^2 + \mu\,E(d(\xi), \text{data}).

The first term is over random pairs of noise and the teacher's sample from it. The second needs no
teacher, and is taken on fresh noise: on the pairs' own noise the student satisfies the equation
better than elsewhere. The third compares the law of the samples with that of the data
(:mod:`piddm.metrics.energy`).

Of several processes each takes its share of a batch, which is the same whatever their number.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from piddm.metrics.energy import energy_score
from piddm.tools import ranks
from piddm.tools.devices import sent
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.optimisation import Loss

DATA = 4
"""Data that each sample is compared with, over the samples: they cost no network call."""

GOOD = 1e-4
"""Normalised PDE error to which samples are corrected in training: finer is not seen by losses."""


def regression(context: TrainingContext) -> Loss:
    """Return the loss of a student that regresses to the teacher's samples."""
    settings = context.config.student

    def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
        draw = generator(context.config.seed, "student", step)
        noise, target = map(ranks.share, context.pairs.draw(settings.batch, draw))
        more = ranks.share(fresh(context, draw))
        x = module(torch.cat([noise, more]))
        # Physics is for what comes out of the network: the nearer, the less to be corrected.
        drawn = context.correct(x, GOOD) if settings.train_through else x
        away = context.packing.weigh(drawn[: len(target)] - target)
        return total(context, {"pair": away.square().mean()}, x[len(target) :], drawn, draw, True)

    return loss


def fresh(context: TrainingContext, draw: Generator) -> Tensor:
    """Return new white noise, as many samples as the physics term takes."""
    count = context.config.student.physics_batch
    return sent(torch.randn((count, *context.shape), generator=draw), context.packing.mean)


def total(
    context: TrainingContext, parts: dict[str, Tensor], new: Tensor, every: Tensor, draw: Generator,
    shared: bool = False, chosen: Tensor | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Return a student's own terms, the physics and the energy score, and ``loss``, their sum.

    Args:
        context: What gives the terms and their weights; a weight of 0 leaves a term out.
        parts: The student's own terms, each of weight 1.
        new: Samples from fresh noise, for the physics.
        every: Samples whose law is compared with that of data.
        draw: Chooses the data.
        shared: Whether each process has samples of its own, and not all of them the same.
        chosen: Which of ``every`` the law is of, boolean ``(batch,)`` on the CPU, where it
            makes no device wait; all where None. Each process may have another number of them.
    """
    settings, packing = context.config.student, context.packing
    parts = dict(parts)
    loss = torch.stack(list(parts.values())).sum()
    if settings.physics_weight:
        parts["physics"] = context.physics(new)
        loss = loss + settings.physics_weight * parts["physics"]
    if settings.energy_weight:
        own = packing.weigh(every)
        whole, part = ranks.every(own) if shared else own, 1.0
        if chosen is not None:
            others = ranks.every(chosen.byte()).bool() if shared else chosen
            own, whole = (_picked(v, at) for v, at in ((own, chosen), (whole, others)))
            part = len(own) * len(others) / len(chosen) / len(whole)
        index = torch.randint(len(context.data), (DATA * len(whole),), generator=draw)
        other = sent(context.data[index], every)
        parts["energy"] = part * energy_score(own, packing.weigh(other), whole)
        loss = loss + settings.energy_weight * parts["energy"]
    return {"loss": loss, **parts}


def _picked(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the chosen samples, by a mask on the CPU."""
    return values.index_select(0, sent(chosen.nonzero()[:, 0], values.device))
