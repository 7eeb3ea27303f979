r"""How a residual becomes a loss: the physics term of Eq. 8, and the error that metrics report.

* ``strong``: the sum over equations and conditions of the mean square of R/scale. The plain choice;
  it is ruled by the finest wiggles of a field.
* ``distance``: the squared distance to the nearest solution, per value of the normalised fields
  (:mod:`piddm.numerics.projection`). Its gradient is 2(x - P(x)), a regression to the nearest
  solution.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from piddm.data.packing import Packing
from piddm.numerics.projection import Projection
from piddm.residuals.norms import mean_squares

PhysicsLoss = Callable[[Tensor], Tensor]
"""Packed samples to a scalar."""


def strong(projection: Projection, packing: Packing) -> PhysicsLoss:
    """Return the mean-square loss of the normalised residual."""
    residual, scale = projection.residual, projection.row_scale

    def loss(x: Tensor) -> Tensor:
        return torch.stack(list(mean_squares(residual, packing.unpack(x), scale).values())).sum()

    return loss


def distance(projection: Projection, packing: Packing) -> PhysicsLoss:
    """Return the squared distance to solutions, to first order, J held fixed."""

    def loss(x: Tensor) -> Tensor:
        correction = projection.correction(packing.unpack(x.detach()))
        move = packing.weigh(packing.moves(x, correction), -0.5)
        return packing.weigh(x - (x.detach() - move)).square().mean()

    return loss


NORMS = {"strong": strong, "distance": distance}
"""Ways to measure a residual, by name."""
