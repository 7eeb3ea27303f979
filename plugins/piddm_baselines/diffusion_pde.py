r"""DiffusionPDE: the teacher's flow, led by the gradient of its estimate's residual.

.. math:: x_{i+1} \leftarrow x_{i+1} - \zeta\,\nabla_{x_i} \|R(\hat x_0)\|, \qquad
    \hat x_0 \approx E[x_0 \mid x_i],

Huang, Yang, Wang, Park, DiffusionPDE: Generative PDE-Solving under Partial Observation, NeurIPS
2024, arXiv 2406.17763. As there: deterministic steps of Heun's method, the estimate of the second
evaluation, a gradient back through both, physics in the last fifth of the steps, the norm and not
its square (after DPS, Chung et al., arXiv 2209.14687). Nothing is observed here: samples are drawn
without a condition.

What differs: the steps are the teacher's (theirs are 2000 of EDM's), and with ``rule="relative"``
the weight is

.. math:: \zeta = w\,\frac{\|R\|}{\|\nabla_{\hat x_0}\|R\|\|^2},

by sample: Polyak's step, which at w = 1 would take away the norm if the estimate moved as the state
does and the norm fell at the slope's rate all the way. A fixed weight, ``rule="fixed"`` as theirs,
moves a state as far whatever is left to be done: it has to be found for each equation anew, and
overshoots where the residual is small.

On 32 x 32 nodes of Burgers, Darcy and Poisson w = 0.3 did as well as the best of the fixed weights
that were tried, one for each, or better; with the norm ``distance`` and w = 1 samples end at a
hundredth of the squared distance or less, for the same calls.
"""

from __future__ import annotations

import itertools

import torch
from torch import Generator, Tensor

from piddm.interfaces import Method
from piddm.tools.errors import UsageError
from piddm.training.context import TrainingContext
from piddm_baselines._guiding import heun, squares

TINY = 1e-30
"""Square below which a norm has no slope to follow."""


class DiffusionPDE(Method):
    r"""Samples the teacher's flow, led by physics at the end.

    Args:
        context: Teacher and residual.
        steps: Steps of the flow.
        weight: w, or, with a fixed rule, :math:`\zeta` times the dimension of a state, which makes
            it the root-mean-square move of a step where the norm is ``distance``.
        share: Share of the steps, the last ones, that are led.
        norm: ``strong`` or ``distance``, see :func:`piddm_baselines._guiding.squares`.
        rule: ``relative`` or ``fixed``.

    Raises:
        UsageError: If a number is out of its range, or a name is not one of these.
    """

    def __init__(
        self, context: TrainingContext, *, steps: int = 50, weight: float = 0.3, share: float = 0.2,
        norm: str = "strong", rule: str = "relative",
    ) -> None:  # fmt: skip
        if steps < 1 or weight < 0 or not 0 <= share <= 1:
            raise UsageError(
                "diffusion-pde: steps are at least 1, the weight at least 0, share from 0 to 1"
            )
        if rule not in ("relative", "fixed"):
            raise UsageError(f"diffusion-pde: rule is relative or fixed, not {rule}")
        self.teacher, self.steps, self.weight, self.share = context.teacher, steps, weight, share
        self.relative = rule == "relative"
        self._squares = squares(context, norm)

    def sample(self, noise: Tensor, generator: Generator) -> Tensor:
        """Return what the flow ends at."""
        teacher = self.teacher
        x = teacher.packing.colour(noise)
        times = teacher.schedule.times(self.steps).to(x)
        for step, (now, then) in enumerate(itertools.pairwise(times)):
            if step >= (1 - self.share) * self.steps:
                x = self._led(x, now, then)
            else:
                x = heun(teacher, x, now, then)[0]
        return x

    def _led(self, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        with torch.enable_grad():
            state = x.detach().requires_grad_()
            moved, estimate = heun(self.teacher, state, now, then)
            size = self._squares(estimate).clamp_min(TINY).sqrt()
            slope, own = torch.autograd.grad(size.sum(), (state, estimate))
        if self.relative:
            factor = size.detach() / own.square().flatten(1).sum(1).clamp_min(TINY)
        else:
            factor = size.new_full(size.shape, slope[0].numel())
        return moved.detach() - self.weight * factor[:, None, None, None] * slope
