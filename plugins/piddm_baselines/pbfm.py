r"""PBFM: flow matching and the residual of its unrolled prediction, joined without conflict.

.. math:: \mathcal L_p = \mathbb E\,(1-t)^p\,\|R(\hat x_0(x_t))\|^2

where :math:`\hat x_0` is reached from x_t by a few steps (:mod:`piddm_baselines._trained`):
one in the first quarter of training, two in the second, up to four. Time is 0 at the data here. The
gradients :math:`g_f` of flow matching and :math:`g_p` of the residual are not added, with some
weight, but combined by ConFIG. With :math:`o(a,b)=b-\frac{a\cdot b}{|a|^2}a`,

.. math:: g=(g_f\cdot u+g_p\cdot u)\,u,\qquad
    u=\widehat{\;\widehat{o(g_f,g_p)}+\widehat{o(g_p,g_f)}\;}=\widehat{\;\hat g_f+\hat g_p\;}.

A step along u lowers both, as far as its slopes go, with the same cosine; there is no weight to
tune. The second form is the first: in the plane of two vectors only their bisector is at equal
angles to both. It does not divide by what is left when they are parallel.

Source: G. Baldan, Q. Liu, A. Guardone and N. Thuerey, Flow Matching Meets PDEs, arXiv 2506.08604;
ConFIG: Q. Liu, M. Chu and N. Thuerey, arXiv 2408.11104. As there: unrolling that grows in quarters
of the training, a weight that falls as a power of t, ConFIG over all parameters. Different here:
any schedule (DDIM's steps, which are Euler's on straight lines), coloured noise, training from the
teacher's weights within the student's budget, Heun's sampler of the flow with no restarts. And p is
8, not the paper's 1. At the teacher's weights flow matching is near its minimum, its gradient is
mostly noise, and a step of equal cosines mostly follows the residual; with p = 1 that was lowered
at high noise too, where a few steps from x_t are still a mean, and samples lost their spread.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piddm.tools.errors import UsageError
from piddm.training.context import TrainingContext
from piddm_baselines._trained import TrainedFlow, weighted

TINY = 1e-30
"""Keeps a gradient of zero from being divided by its length."""


class Pbfm(TrainedFlow):
    """The teacher trained further with the residual of unrolled predictions.

    Args:
        context: Teacher, data and residual; the student's budget.
        unroll: Network calls of a prediction in the last part of training; it begins with 1.
        power: p, how fast a residual's weight falls with the noise.
        norm: ``strong``, the mean square, or ``distance``, that to the nearest solution.
        steps: Steps of the flow from noise to a sample; those of the run's pairs where None.
    """

    @property
    def name(self) -> str:
        """The method's name."""
        return "pbfm"

    def __init__(
        self, context: TrainingContext, *, unroll: int = 4, power: float = 8.0,
        norm: str = "strong", steps: int | None = None,
    ) -> None:  # fmt: skip
        if unroll < 1 or power < 0:
            raise UsageError(
                f"{self.name}: unroll is at least 1 and power at least 0, not {unroll} and {power}"
            )
        super().__init__(context, norm, steps)
        self.unroll, self.power = unroll, power

    def loss(self, module: nn.Module, step: int) -> dict[str, Tensor]:
        """Return ``flow``, ``physics``, the plain residual of predictions, and ``loss``, their sum.

        The gradient of ``loss`` is ConFIG's, not that of the sum.
        """
        batch = self.draw(step)
        grown = 1 + step * self.unroll // self.context.config.student.steps
        flow, found = self.predict(module, batch, min(grown, self.unroll))
        weights = (1 - batch.t[:, None, None, None]) ** self.power
        physics = weighted(self.physics, found, weights)
        loss = joined(flow, physics, [p for p in module.parameters() if p.requires_grad])
        return {"loss": loss, "flow": flow.detach(), "physics": physics.detach()}


def joined(one: Tensor, other: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return the value of a sum of two losses, whose gradient is theirs combined by ConFIG."""
    flat = []
    for loss in (one, other):
        # What one of them does not touch has the slope 0.
        slopes = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
        flat.append(torch.cat([g.flatten() for g in slopes]))
    weights = torch.cat([p.flatten() for p in parameters])
    slope = config(*flat) @ weights
    return slope - slope.detach() + (one + other).detach()


def config(a: Tensor, b: Tensor) -> Tensor:
    """Return the conflict-free combination of two gradients; zero where they are opposed."""
    u = _unit(_unit(a) + _unit(b))
    return (a @ u + b @ u) * u


def _unit(v: Tensor) -> Tensor:
    return v / v.norm().clamp_min(TINY)
