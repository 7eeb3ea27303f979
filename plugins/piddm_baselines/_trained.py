r"""What methods share that train the teacher further: a flow matching loss, and where it leads.

With D the denoiser and F its network, preconditioned, the flow matching loss is the teacher's own,

.. math:: \mathcal L_f = \Big\|\frac{\sqrt{\alpha^2+\sigma^2}}{\sigma}(D(x_t,t)-x_0)\Big\|^2
    = \|F-F^*\|^2,

and a **prediction** of x0 of ``unroll`` network calls goes from x_t to time 0 in as many equal
steps of DDIM (Song et al., arXiv 2010.02502),

.. math:: x_{t'} = \alpha' D + \sigma'\,(x_t - \alpha D)/\sigma,

which are Euler's steps in the time :math:`\sigma/\alpha`; with a linear schedule, Euler's in t. The
first call serves the flow matching loss too. One call's prediction is the mean, D itself.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from piddm.interfaces import Method
from piddm.teachers.sampling import last
from piddm.teachers.teacher import Teacher
from piddm.tools.devices import sent
from piddm.tools.errors import UsageError
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.physics import NORMS, PhysicsLoss

EARLIEST = 1e-4
"""Least time of training: the flow matching loss divides by the noise level."""


@dataclass(frozen=True)
class Batch:
    """Data, their noisy states, and the levels of signal and noise, which broadcast with them."""

    x0: Tensor
    xt: Tensor
    t: Tensor
    alpha: Tensor
    sigma: Tensor


class TrainedFlow(Method):
    """A flow that is the teacher trained further, with physics in its loss.

    Args:
        context: Teacher, data and residual; the student's budget.
        norm: How a residual is measured: ``strong`` or ``distance``.
        steps: Steps of the flow from noise to a sample; those of the run's pairs where None.

    Attributes:
        flow: The flow that is trained.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The method's name, for messages and random numbers."""

    def __init__(self, context: TrainingContext, norm: str, steps: int | None) -> None:
        if norm not in NORMS:
            raise UsageError(f"{self.name}: norm is {' or '.join(NORMS)}, not {norm!r}")
        if steps is not None and steps < 1:
            raise UsageError(f"{self.name}: steps is at least 1, not {steps}")
        self.context = context
        self.steps = context.config.pairs.steps if steps is None else steps
        self.physics = NORMS[norm](context.projection, context.packing)
        self.trained = self.flow = trainable(context.teacher)

    @abstractmethod
    def loss(self, module: nn.Module, step: int) -> dict[str, Tensor]:
        """Return the flow matching loss ``flow``, the residual ``physics`` and their ``loss``."""

    def sample(self, noise: Tensor, generator: Generator) -> Tensor:
        """Integrate the trained flow, as the teacher's is; there is no other chance in it."""
        return last(self.flow.sample(noise, self.steps))

    def networks(self) -> list[nn.Module]:
        """Return the network of the trained flow."""
        return [self.flow.network]

    def draw(self, step: int) -> Batch:
        """Return a batch of data under coloured noise, at stratified times."""
        context, schedule = self.context, self.context.teacher.schedule
        draw = generator(context.config.seed, self.name, step)
        index = torch.randint(len(context.data), (context.config.student.batch,), generator=draw)
        x0 = sent(context.data[index], context.device)
        t = sent(schedule.draw(len(x0), draw), x0).clamp_min(EARLIEST)
        noise = sent(torch.randn(x0.shape, generator=draw, dtype=x0.dtype), x0)
        a, s = schedule.alpha(t)[:, None, None, None], schedule.sigma(t)[:, None, None, None]
        return Batch(x0, a * x0 + s * context.packing.colour(noise), t, a, s)

    def predict(self, module: nn.Module, batch: Batch, unroll: int) -> tuple[Tensor, Tensor]:
        """Return the flow matching loss, and the prediction of x0 by ``unroll`` calls."""
        schedule, x, a, s = self.context.teacher.schedule, batch.xt, batch.alpha, batch.sigma
        size = (a**2 + s**2).sqrt()
        found = module(x, batch.t)
        flow = self.context.packing.weigh((found - batch.x0) * size / s).square().mean()
        for n in range(unroll - 1, 0, -1):
            t = batch.t * n / unroll
            noise = (x - a * found) / s
            a, s = schedule.alpha(t)[:, None, None, None], schedule.sigma(t)[:, None, None, None]
            x = a * found + s * noise
            found = module(x, t)
        return flow, found


def trainable(teacher: Teacher) -> Teacher:
    """Return a copy to be trained that denoises when called: wrappers of modules see calls only."""
    copied = copy.deepcopy(teacher).requires_grad_(True)
    setattr(copied, "forward", copied.denoise)  # noqa: B010  of one object, not of its class
    return copied


def weighted(physics: PhysicsLoss, x: Tensor, weights: Tensor) -> Tensor:
    """Return a mean over samples as it is, whose gradient is that of the weighted mean.

    A loss over a batch cannot be weighed sample by sample from outside, its gradient can.
    """
    return physics(torch.lerp(x.detach(), x, weights))
