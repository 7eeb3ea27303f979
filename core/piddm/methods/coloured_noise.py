r"""Samples without a network: the Gaussian law of the data's mean and covariance.

.. math:: x = \bar x + S\xi,

S being the colour (:mod:`piddm.data.colour`); fields of a few values are rounded to them. What a
network is worth is what it has over this row, projected or solved from its inputs too.
"""

from __future__ import annotations

from torch import Generator, Tensor

from piddm.methods.method import Method
from piddm.training.context import TrainingContext


class Gaussian(Method):
    """Colours the noise, and nothing else.

    Args:
        context: Teacher, data, pairs and residual.
    """

    def __init__(self, context: TrainingContext) -> None:
        self.packing = context.packing

    def sample(self, noise: Tensor, generator: Generator) -> Tensor:
        """Return coloured noise."""
        return self.packing.colour(noise)
