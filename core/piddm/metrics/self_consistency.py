r"""Whether a sample's solution is the one that belongs to its own inputs.

.. math:: \frac{\|u - G(a)\|}{\|G(a)\|},

G the solver, each field over its deviation, over area on a sphere. It is what an engineer means by
"is this sample right"; whether the inputs are likely it does not see.
"""

from __future__ import annotations

import torch
from torch import Tensor

from piddm.grids.means import node_weights
from piddm.numerics.own_solution import OwnSolution
from piddm.residuals.residual import Fields

MEMBERS, FEW = 32, 4
"""Samples that are solved: with two axes, and on a sphere or with three, which cost more."""


def members(own: OwnSolution) -> int:
    """Return how many samples are solved on the grid of an equation."""
    return FEW if own.grid.spherical or len(own.grid.shape) > 2 else MEMBERS


def inconsistency(own: OwnSolution, fields: Fields, scale: dict[str, float]) -> Tensor:
    """Return each sample's relative distance to its own solution ``(batch,)``, float64.

    Fields that are inputs altogether do not count. A sample without a solution counts 1: it is no
    nearer to one than nothing is.
    """
    solved, found = own(fields)
    weights = node_weights(own.grid)
    weights = torch.ones(own.grid.shape, dtype=torch.float64) if weights is None else weights
    away, size = 0.0, 0.0
    for name, value in solved.items():
        if not own.given[name].all():
            dims = tuple(range(1, value.ndim))
            move = (fields[name].double() - value) / scale[name]
            away = away + (weights * move.square()).sum(dims)
            size = size + (weights * (value / scale[name]).square()).sum(dims)
    relative = (torch.as_tensor(away) / torch.as_tensor(size).clamp_min(1e-300)).sqrt()
    return torch.where(found, relative, 1.0)
