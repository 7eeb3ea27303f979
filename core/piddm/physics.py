r"""How a residual becomes a loss: the physics term of Eq. 8, and the error that metrics report.

* ``strong``: the sum over equations and conditions of the mean square of R/scale. The plain choice;
  it is ruled by the finest wiggles of a field.
* ``distance``: the squared distance to the nearest solution, per value of the normalised fields
  (:mod:`piddm.projection`). Its gradient is 2(x - P(x)), a regression to the nearest solution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from piddm.interfaces import Fields, Residual
from piddm.packing import Packing
from piddm.projection import Projection
from piddm.weighting import mean_square, node_weights

PhysicsLoss = Callable[[Tensor], Tensor]
"""Packed samples to a scalar."""


def mean_squares(
    residual: Residual, fields: Fields, scale: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """Return the mean square of each equation's and condition's residual over its scale.

    The mean is over area on a sphere: each row weighs what its node does.
    """
    return {
        k: mean_square(r / scale[k] if scale else r, _row_weights(residual, k, r))
        for k, r in residual(fields).items()
    }


def term_scale(residual: Residual, fields: Fields) -> dict[str, float]:
    """Return, for each equation, the root mean square of its largest term over data.

    For a boundary condition the term is the field itself, over the whole grid.
    """
    return {
        name: max(
            float(mean_square(v, _row_weights(residual, name, v)).sqrt()) for v in parts.values()
        )
        for name, parts in residual.terms(fields).items()
    }


def _row_weights(residual: Residual, name: str, values: Tensor) -> Tensor | None:
    """Return the weights of rows, or of terms, which may be there on the whole grid instead."""
    every, shape = node_weights(residual.grid), values.shape[1:]
    if every is None or shape == every.shape:
        return every
    own = every[tuple(torch.from_numpy(residual.rows[name].nodes.T))].reshape(shape)
    return own / own.mean()  # some nodes only, such as one band, have another mean than 1


def strong(projection: Projection, packing: Packing) -> PhysicsLoss:
    """Return the mean-square loss of the normalised residual."""
    residual, scale = projection.residual, projection.row_scale

    def loss(x: Tensor) -> Tensor:
        return torch.stack(list(mean_squares(residual, packing.unpack(x), scale).values())).sum()

    return loss


def distance(projection: Projection, packing: Packing) -> PhysicsLoss:
    """Return the squared distance to the constraint set, to first order, J held fixed."""

    def loss(x: Tensor) -> Tensor:
        correction = projection.correction(packing.unpack(x.detach()))
        move = packing.weigh(packing.stack(correction), -0.5)
        return packing.weigh(x - (x.detach() - move)).square().mean()

    return loss


NORMS = {"strong": strong, "distance": distance}
"""Ways to measure a residual, by name."""
