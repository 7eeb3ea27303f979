"""What the members of an ensemble are made of, and its regression on what they see.

By the inputs' laws it is what :meth:`piddm.priors.prior.Prior.latent` draws; by a student its
noise, of which it makes inputs whose law is known by samples only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from piddm.numerics.algebra.damping import damping
from piddm.numerics.marching import Given
from piddm.priors.prior import Prior
from piddm.symbolic.operators import Param, Slice
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.grids.grid import Grid
    from piddm.tasks.model import Model

Made = Given | str
"""An input, or the name of what several are made of."""

NOISE = "noise"
"""That of a student."""

TOGETHER = 64
"""Samples that a student draws at once."""


def of_law(laws: dict[Given, Prior], grid: Grid, count: int, generator: Generator) -> Latent:
    """Return what inputs are made of by their laws."""

    def on(given: Given) -> Grid:
        return grid.without(given.axis) if isinstance(given, Slice) else grid

    def made(parts: Mapping[Made, Tensor]) -> dict[Given, Tensor]:
        return {
            g: p.param_from_white(parts[g])
            if isinstance(g, Param)
            else p.from_latent(on(g), parts[g])
            for g, p in laws.items()
        }

    parts: dict[Made, Tensor] = {
        g: p.latent_param(count, generator)
        if isinstance(g, Param)
        else p.latent(on(g), count, generator)
        for g, p in laws.items()
    }
    return Latent(parts, made, any(p.softened(1.0) is not p for p in laws.values()))


def of_student(run: Model, laws: dict[Given, Prior], count: int, generator: Generator) -> Latent:
    """Return the noise of which a student makes inputs; its solutions are left aside."""
    packing, student = run.packing, run.student
    if any(isinstance(g, Param) for g in laws):
        raise UsageError(
            f"{run.pde.name}: ensemble-kalman takes no param from the student; leave student out"
        )
    shape = (packing.channels, *packing.image)

    def made(parts: Mapping[Made, Tensor]) -> dict[Given, Tensor]:
        found: dict[Given, list[Tensor]] = {g: [] for g in laws}
        for part in parts[NOISE].split(TOGETHER):
            fields = packing.unpack(student(part.to(packing.scale).view(-1, *shape)))
            for g in laws:
                if isinstance(g, Slice):
                    dim, at = run.pde.slice_index(g, run.residual.grid)
                    found[g].append(fields[g.field.name].double().cpu().select(dim + 1, at))
                else:
                    found[g].append(fields[str(g)].double().cpu())
        return {g: torch.cat(v) for g, v in found.items()}

    noise = torch.randn(count, math.prod(shape), generator=generator, dtype=torch.float64)
    return Latent({NOISE: noise}, made, False)


class Latent:
    """What the inputs of an ensemble are made of.

    Args:
        parts: That of all members, ``(count, ...)`` each.
        made: Makes inputs of it.
        jumps: Whether one of the laws does.

    Attributes:
        count: Members.
    """

    def __init__(
        self, parts: dict[Made, Tensor],
        made: Callable[[Mapping[Made, Tensor]], dict[Given, Tensor]], jumps: bool,
    ) -> None:  # fmt: skip
        self._parts, self._made, self.jumps = parts, made, jumps
        self.count = len(next(iter(parts.values())))

    def inputs(self, parts: Mapping[Made, Tensor] | None = None) -> dict[Given, Tensor]:
        """Return the inputs that they make, or those that others make."""
        return self._made(self._parts if parts is None else parts)

    def first(self, count: int) -> dict[Made, Tensor]:
        """Return what the first members are made of."""
        return {g: v[:count] for g, v in self._parts.items()}

    def replaced(
        self, lost: Tensor, misfit: Tensor, x: dict[str, Tensor], generator: Generator
    ) -> Tensor:
        """Put others in the place of members that have no solution; return misfits without them."""
        there = (~lost).nonzero()[:, 0]
        pick = there[torch.randint(len(there), (int(lost.sum()),), generator=generator)]
        for values in (*self._parts.values(), *x.values()):
            values[lost] = values[pick]
        misfit[lost] = misfit[pick]
        return misfit

    def update(self, misfit: Tensor, share: float, noise: Tensor) -> None:
        """Let a share of the likelihood in.

        Args:
            misfit: (g(m) - y)/s, ``(count, n)``.
            share: 1/alpha.
            noise: xi, ``(count, n)``.
        """
        moves = self._moves(misfit, share**-0.5 * noise - misfit, 1 / share)
        for given, move in moves.items():
            self._parts[given] += move

    def towards(self, misfit: Tensor, chosen: Tensor) -> dict[Made, Tensor]:
        """Return what some members would be made of as near to the observations as noise is."""
        own, n = misfit[chosen], misfit.shape[1]
        too_far = 1 - (n / own.square().sum(1, keepdim=True)).sqrt()
        moves = self._moves(misfit, -too_far * own, 1.0)
        return {g: self._parts[g][chosen] + move for g, move in moves.items()}

    def take(self, at: Tensor, parts: Mapping[Made, Tensor]) -> None:
        """Put others in their places."""
        for given, value in parts.items():
            self._parts[given][at] = value

    def _moves(self, misfit: Tensor, target: Tensor, noise: float) -> dict[Made, Tensor]:
        """Return the regression of what they are made of on the misfit, at targets ``(m, n)``."""
        n = self.count
        away = misfit - misfit.mean(0)
        inner = away.mT @ away / (n - 1)
        inner.diagonal().add_(noise)
        weights = torch.linalg.solve(inner, target.mT)
        seen, found = away.square().mean(0) * n / (n - 1), {}
        for given, value in self._parts.items():
            flat = value.reshape(n, -1)
            moved = flat - flat.mean(0)
            cross = moved.mT @ away / (n - 1)
            own = moved.square().mean(0) * n / (n - 1)
            cross = cross * damping(cross, own, seen, n)
            found[given] = (cross @ weights).mT.reshape(len(target), *value.shape[1:])
        return found
