r"""Eq. 8 of arXiv 2505.22391, and an energy score: how the paper's student is trained.

.. math:: \|d(\xi)-x_0\|^2 + \lambda\,\|R(d(\xi))\|^2 + \mu\,E(d(\xi), \text{data}).

The first term is over random pairs of noise and the teacher's sample from it. The second needs no
teacher, and is taken on fresh noise: on the pairs' own noise the student satisfies the equation
better than elsewhere. The third compares the law of the samples with that of the data
(:mod:`piddm.energy`).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from piddm.energy import energy_score
from piddm.randomness import generator
from piddm.shared import Shared
from piddm.training import Loss

DATA = 4
"""Data that each sample is compared with, over the samples: they cost no network call."""


def regression(shared: Shared) -> Loss:
    """Return the loss of a student that regresses to the teacher's samples."""
    settings = shared.config.student

    def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
        draw = generator(shared.config.seed, "student", step)
        noise, target = shared.pairs.draw(settings.batch, draw)
        more = fresh(shared, draw)
        x = module(torch.cat([noise, more]))
        away = shared.packing.weigh(x[: len(target)] - target)
        return total(shared, {"pair": away.square().mean()}, x[len(target) :], x, draw)

    return loss


def fresh(shared: Shared, draw: Generator) -> Tensor:
    """Return new white noise, as many samples as the physics term takes."""
    count = shared.config.student.physics_batch
    return torch.randn((count, *shared.shape), generator=draw).to(shared.packing.mean)


def total(
    shared: Shared, parts: dict[str, Tensor], new: Tensor, every: Tensor, draw: Generator
) -> dict[str, Tensor]:
    """Return a student's own terms, the physics and the energy score, and ``loss``, their sum.

    Args:
        shared: What gives the terms and their weights; a weight of 0 leaves a term out.
        parts: The student's own terms, each of weight 1.
        new: Samples from fresh noise, for the physics.
        every: Samples whose law is compared with that of data.
        draw: Chooses the data.
    """
    settings, packing = shared.config.student, shared.packing
    parts = dict(parts)
    loss = torch.stack(list(parts.values())).sum()
    if settings.physics_weight:
        parts["physics"] = shared.physics(new)
        loss = loss + settings.physics_weight * parts["physics"]
    if settings.energy_weight:
        index = torch.randint(len(shared.data), (DATA * len(every),), generator=draw)
        other = shared.data[index].to(every.device)
        parts["energy"] = energy_score(packing.weigh(every), packing.weigh(other))
        loss = loss + settings.energy_weight * parts["energy"]
    return {"loss": loss, **parts}
