"""Corrections in the norm of a data set, about its mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from piddm.data.packing import Packing
from piddm.data.simulate import held_inputs
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.correction import Corrected, Correction, joined
from piddm.numerics.interior import Unsuited
from piddm.numerics.marched import March
from piddm.numerics.moves import Move
from piddm.numerics.own_solution import OwnSolution
from piddm.numerics.projection import Projection
from piddm.residuals.residual import Fields, Residual
from piddm.symbolic.operators import Param
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress, follow

TOGETHER, FACTORISED = 32, 16
"""Samples that are corrected, or projected with matrices, together: what they need fits into a
cache."""

MARCHED = 128
"""The same of planes that are gone through time by time: what a time of few samples takes is mostly
the start of each operation."""

STEPS = 16
"""Newton steps of a projection at most."""


def correction(
    pde: PDE,
    residual: Residual,
    packing: Packing,
    scale: Mapping[str, float],
    move: Move | None = None,
    fallback: bool = True,
    marched: bool = False,
) -> Correction:
    """Return what brings samples of a data set's law onto the equation.

    Args:
        pde: The equation, whose inputs say what ``solution`` leaves as it is.
        residual: Its residual on the grid of the data, or a variation of it.
        packing: Mean and deviations of the data.
        scale: Scale of each row of the residual.
        move: Which values move; what suits the equation where None is given.
        fallback: See :class:`~piddm.numerics.correction.Correction`.
        marched: Whether to go through the times where there is such a thing: from an initial state,
            with which the solution then moves, see :mod:`piddm.numerics.marched`.
    """
    centre = torch.zeros_like(packing.mean)[None]
    mean = {k: v.double() for k, v in packing.unpack(centre).items()}
    params = tuple(str(given) for given in pde.inputs if isinstance(given, Param))
    inputs = held_inputs(pde, residual.grid)
    march = March.of(pde, residual, scale) if marched and move != "nearest" else None
    if march is not None:
        move = "solution"
    return Correction(residual, packing.norm(), scale, mean, inputs, params, move, fallback, march)


def nearest_solutions(
    residual: Residual, packing: Packing, scale: Mapping[str, float],
    held: Mapping[str, np.ndarray] | None = None,
) -> Projection:  # fmt: skip
    """Return nearest solutions in the norm of a data set, about its mean."""
    return Projection(residual, packing.norm(), scale, held, typical=packing.middle())


def own_solutions(
    pde: PDE, residual: Residual, packing: Packing, scale: Mapping[str, float]
) -> OwnSolution | None:
    """Return what solves for all but a state's inputs; None where nothing does.

    On a sphere, where no solver is derived, it is the correction in float64 that keeps inputs.
    """
    try:
        return OwnSolution(pde, residual)
    except UsageError:
        if not residual.grid.spherical or not pde.inputs:
            return None
    with suppress(Unsuited):
        made = correction(pde, residual, packing, scale, "solution", fallback=False, marched=True)
        return OwnSolution(pde, residual, made)
    return None


def goes_by_time(pde: PDE, grid: Grid) -> bool:
    """Return whether a film's correction goes on from its own first time."""
    return len(grid.shape) > 2 and March.fits(pde, grid)


class Corrections:
    """Corrections and projections of samples of one law, by whichever move, made when asked for.

    Args:
        pde: The equation.
        residual: Its residual on the grid of the data.
        packing: Mean and deviations of the data.
        scale: Scale of each row of the residual.
    """

    def __init__(
        self, pde: PDE, residual: Residual, packing: Packing, scale: Mapping[str, float]
    ) -> None:
        self._about = pde, residual, packing, scale
        self._made: dict[tuple[Move | None, bool], Correction] = {}
        self._projections: dict[Move, Projection] = {}

    def of(self, move: Move | None, marched: bool = False) -> Correction:
        """Return the correction that moves these values, see :func:`correction`."""
        if (move, marched) not in self._made:
            self._made[move, marched] = correction(*self._about, move, marched=marched)
        return self._made[move, marched]

    @property
    def cheap(self) -> bool:
        """Whether a step costs less than a network call, see :class:`Correction`."""
        return len(self._about[1].grid.shape) == 2 and self.of(None).cheap

    @torch.no_grad()
    def correct(
        self, fields: Fields, move: Move | None = None, tolerance: float | None = None,
        marched: bool = True,
    ) -> Corrected:  # fmt: skip
        """Correct any number of samples, some at a time; see :func:`correction`."""
        self._check(fields)
        by, count = self.of(move, marched), len(next(iter(fields.values())))
        lines = len(self._about[1].grid.shape) == 2  # times of one axis each
        some = MARCHED if by.march is not None and lines else TOGETHER
        return joined([
            by({k: v[i : i + some] for k, v in fields.items()}, tolerance)
            for i in range(0, count, some)
        ])  # fmt: skip

    def project(
        self, fields: Fields, move: Move | None = None, progress: bool = False
    ) -> dict[str, Tensor]:
        """Return solutions to round-off near any number of samples, in float64.

        What the correction does not bring there is projected with factorised matrices, the same
        values moving.
        """
        self._check(fields)
        parts, count = list[dict[str, Tensor]](), len(next(iter(fields.values())))

        def work() -> Iterator[Progress]:
            for start in range(0, count, TOGETHER):
                chunk = {k: v[start : start + TOGETHER].double() for k, v in fields.items()}
                parts.append(self._projected(chunk, move))
                yield Progress("project", min(start + TOGETHER, count), count, {})

        follow(work(), quiet=not progress)
        return {k: torch.cat([part[k] for part in parts]) for k in parts[0]}

    def _check(self, fields: Fields) -> None:
        names = self._about[0].field_names
        if not fields or fields.keys() < set(names):
            raise UsageError(f"give all of {', '.join(names)}, (count, *grid) each")

    @torch.no_grad()
    def _projected(self, exact: Fields, move: Move | None) -> dict[str, Tensor]:
        made = self.of(move)(exact, steps=STEPS)
        found, left = made.fields, (~made.converged).nonzero()[:, 0]
        if not len(left):
            return found
        if (kind := self.of(move).move) not in self._projections:
            pde, residual, packing, scale = self._about
            held = held_inputs(pde, residual.grid) if kind == "solution" else None
            self._projections[kind] = nearest_solutions(residual, packing, scale, held)
        for some in left.split(FACTORISED):
            near = self._projections[kind]({k: v[some] for k, v in exact.items()}, strict=False)
            better = self._projections[kind].error(near) < made.error[some]
            for k, v in near.items():
                found[k][some[better]] = v[better].to(found[k])
        return found
