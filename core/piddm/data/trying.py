"""How well samples satisfy an equation on a grid, in one number, by which choices are tried."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from piddm.data.sample_source import Samples
from piddm.equation import PDE
from piddm.residuals.norms import term_scale
from piddm.residuals.residual import Fields, Residual
from piddm.tools.errors import PiddmError

FEW, NUMBERS = 3, 1 << 21
"""Samples that a choice is tried on, and numbers of their fields at most."""

LOOKED = 4
"""How many times as many are read, of which some may not be finite."""

SMALL = 1e-30
"""What stands in for a scale of zero."""


@dataclass(frozen=True)
class Trial:
    """A choice and what the equation says of it.

    Args:
        choice: What was chosen, for people, by what it is about.
        score: Sum over equations of the median of abs(R)/scale and over conditions of its root mean
            square; infinite where it cannot be.
        why: Why it cannot be, where it cannot.
        distance: Of frames that are far apart, the relative distance to what is solved from the
            first one's inputs; None where that was not tried.
    """

    choice: dict[str, str]
    score: float
    why: str = ""
    distance: float | None = None


def whole(residual: Residual, fields: Fields) -> dict[str, Tensor]:
    """Return samples in float64 with free params that they lack fitted."""
    return residual.fit({k: v.double() for k, v in fields.items()})


def score(pde: PDE, samples: Samples) -> float:
    """Return the size of the residual of a few samples.

    Median, not root mean square, over the rows of an equation: a medium that jumps satisfies a
    stencil nearly everywhere, and at the jumps not at all.

    Raises:
        PiddmError: If the equation cannot be bound to their grid.
    """
    own = samples.place(pde)
    residual = own.bind(samples.grid)
    size = math.prod(samples.grid.shape) * len(samples.names)
    count = max(1, min(FEW, samples.count, NUMBERS // size))
    fields = samples.read(0, min(LOOKED * count, samples.count))
    sound = finite(fields)
    if not bool(sound.any()):  # such as a sea with land: by the rows that touch no hole
        fields, sound = holed(fields)
    if not bool(sound.any()):
        raise PiddmError("none of the first samples has finite values of all fields")
    return of(residual, {k: v[sound][:count] for k, v in fields.items()})


def finite(fields: Fields) -> Tensor:
    """Return which samples have only finite values, ``(count,)``."""
    return torch.stack([torch.isfinite(v).flatten(1).all(1) for v in fields.values()]).all(0)


def holed(fields: Fields) -> tuple[dict[str, Tensor], Tensor]:
    """Return samples with NaN for all that is not finite, and which have some value of each field.

    A param has no holes: a sample without it is none.
    """
    found = {k: torch.where(torch.isfinite(v), v, torch.nan) for k, v in fields.items()}
    there = torch.stack([(~v.isnan()).flatten(1).any(1) for v in found.values()]).all(0)
    return found, there


@torch.no_grad()
def of(residual: Residual, fields: Fields) -> float:
    """Return the size of the residual of fields; infinite where it is not finite.

    Rows that touch a missing value, NaN, do not count.
    """
    if missing := [k for k in residual.field_names if k not in fields]:
        raise PiddmError(f"no values of {', '.join(missing)}")
    masked = any(bool(v.isnan().any()) for v in fields.values())
    full = whole(residual, fields)
    scale = term_scale(residual, full, masked)
    total, seen = 0.0, False
    for name, rows in residual(full).items():
        size = (rows / (scale[name] or SMALL)).abs().flatten()
        size = size[~size.isnan()] if masked else size
        if not bool(torch.isfinite(size).all()):
            return math.inf
        if not len(size):
            continue
        own = size.square().mean().sqrt() if residual.rows[name].boundary else size.median()
        total, seen = total + float(own), True
    return total if seen else math.inf
