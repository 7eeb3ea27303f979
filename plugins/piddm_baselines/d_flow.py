r"""D-Flow: the noise is optimised through the whole of the teacher's flow, until physics holds.

.. math:: \min_z \|R(x(z))\|^2, \qquad x(z) = \text{the flow's end from noise } z.

Ben-Hamu, Puny, Gat, Karrer, Singer, Lipman, D-Flow: Differentiating through Flows for Controlled
Generation, ICML 2024, arXiv 2402.14017. As there: L-BFGS with a line search from the noise that the
sample would have been drawn with, gradients through every step of the solver, and nothing that
holds the noise to its prior but the flow itself: a gradient by z is one by x times the flow's
Jacobian, large only along directions in which data vary (their implicit regularisation).

What differs: the solver is the teacher's own, Heun's with few steps; the line search is a
backtracking one on a batch of independent problems (:mod:`piddm.numerics.algebra.lbfgs`), so that
an iteration is one pass forward and one backward; and the cost may be the squared distance to the
nearest solution instead of the residual's mean square.

Measured on 32 x 32 nodes of Burgers and Darcy, that regularisation is not enough: with every
iteration samples satisfy the equation better and their law is further from the data's (fields get
flat, where an equation is easily satisfied). By the distance the law suffers less, so that is what
stands here; by the strong norm, as in the paper, the residual falls further.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from piddm.interfaces import Method
from piddm.numerics.algebra.lbfgs import minimise
from piddm.teachers.sampling import last
from piddm.tools.errors import UsageError
from piddm.training.context import TrainingContext
from piddm_baselines._guiding import squares

TOGETHER = 16
"""Samples whose passes through the flow are kept at once: they fill the memory."""


class DFlow(Method):
    """Optimises noise through the teacher's flow.

    Args:
        context: Teacher and residual.
        iterations: Evaluations of the cost and its gradient, those of line searches among them:
            each is a pass through the flow and one back.
        steps: Steps of the flow; as many as the student's pairs have where left out.
        norm: ``strong`` or ``distance``, see :func:`piddm_baselines._guiding.squares`.

    Raises:
        UsageError: If a number is less than 1, or there is no such norm.
    """

    def __init__(
        self, context: TrainingContext, *, iterations: int = 20, steps: int | None = None,
        norm: str = "distance",
    ) -> None:  # fmt: skip
        steps = context.config.pairs.steps if steps is None else steps
        if iterations < 1 or steps < 1:
            raise UsageError("d-flow: iterations and steps are at least 1")
        self.teacher, self.iterations, self.steps = context.teacher, iterations, steps
        self._squares = squares(context, norm)

    def sample(self, noise: Tensor, generator: Generator) -> Tensor:
        """Return where the flow ends from the noise that was found."""
        return torch.cat([self._optimise(part) for part in noise.split(TOGETHER)])

    def _optimise(self, noise: Tensor) -> Tensor:
        def cost(z: Tensor) -> Tensor:
            # By the dimension, so that the first step, down the slope, has a length that tells.
            return z.shape[1] * self._squares(self._end(z.view_as(noise)))

        *_, (found, _) = minimise(cost, noise.flatten(1), self.iterations)
        return self._end(found.view_as(noise))

    def _end(self, noise: Tensor) -> Tensor:
        return last(self.teacher.sample(noise, self.steps))
