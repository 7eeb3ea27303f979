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

PhysicsLoss = Callable[[Tensor], Tensor]
"""Packed samples to a scalar."""


def mean_squares(
    residual: Residual, fields: Fields, scale: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """Return the mean square of each equation's and condition's residual over its scale."""
    rows = residual(fields)
    return {k: (r / scale[k] if scale else r).square().mean() for k, r in rows.items()}


def term_scale(residual: Residual, fields: Fields) -> dict[str, float]:
    """Return, for each equation, the root mean square of its largest term over data.

    For a boundary condition the term is the field itself, over the whole grid.
    """
    return {
        name: max(float(v.square().mean().sqrt()) for v in parts.values())
        for name, parts in residual.terms(fields).items()
    }


def strong(residual: Residual, packing: Packing, scale: Mapping[str, float]) -> PhysicsLoss:
    """Return the mean-square loss of the normalised residual."""

    def loss(x: Tensor) -> Tensor:
        return torch.stack(list(mean_squares(residual, packing.unpack(x), scale).values())).sum()

    return loss


def distance(residual: Residual, packing: Packing, scale: Mapping[str, float]) -> PhysicsLoss:
    """Return the squared distance to the constraint set, one Gauss-Newton step, J held fixed."""
    projection = Projection(residual, packing.field_scale(), scale)

    def loss(x: Tensor) -> Tensor:
        correction = projection.correction(packing.unpack(x.detach()))
        move = packing.stack(correction)
        return (x - (x.detach() - move)).square().mean()

    return loss


NORMS = {"strong": strong, "distance": distance}
"""Ways to measure a residual, by name."""
