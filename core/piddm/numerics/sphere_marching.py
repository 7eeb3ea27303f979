r"""Times one after another on a sphere: spherical harmonics in the place of Fourier modes.

As :mod:`piddm.numerics.periodic_marching`, with

.. math:: x \leftarrow x - L^{-1} R(x^{k-1}, x), \qquad L = \partial R/\partial x \text{ at rest},

of which the part is taken that keeps each degree of harmonics by itself, a small matrix over the
fields, read off the responses to zonal harmonics; what is no harmonic has a matrix of its own. All
of L where nothing depends on the place; beside that it is rotation, weak as advection is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.grids.harmonics import Operator, harmonics_of
from piddm.numerics.interior import Unsuited
from piddm.numerics.marching import SHIFT, shifted
from piddm.residuals.binding import bind

if TYPE_CHECKING:
    from piddm.symbolic.specification import Specification

OPEN = 1e-10
"""Share of the largest singular value of a degree's matrix below which the rows leave it open."""

TRACE = 1e-12
"""Largest factor from a row to a field, over that from any row, which is rounding and left out."""


class SphereMarching:
    """What a step from a time to the next takes; all fields are given at the first.

    Args:
        pde: The equation, on a sphere.
        grid: Time, latitude, longitude.
        started: Names of the fields that are given at the first time.
        params: Values of the params.

    Attributes:
        started: Names of the fields that are given at the first time.
        residual: Between two neighbouring times.
        rows: Names of the rows that the later of them solves, as many as there are fields.
        first: Those that the first time solves: none.
        step: From time to time.

    Raises:
        Unsuited: If the rows leave a degree of harmonics open.
    """

    def __init__(
        self, pde: Specification, grid: Grid, started: Iterable[str], params: Mapping[str, float]
    ) -> None:
        name, axis = next(iter(grid.axes.items()))
        self.grid, self.step, self.started = grid, axis.spacing, tuple(started)
        two = dataclasses.replace(axis, upper=axis.lower + axis.spacing, size=2)
        self.residual = bind(shifted(pde, name), Grid(**{**grid.axes, name: two}), None)
        self._params, self._names = dict(params), self.residual.field_names
        self.rows = [k for k, r in self.residual.rows.items() if not r.integral]
        self.first: list[str] = []
        self._inverse = self._inverted()

    @classmethod
    def fits(cls, pde: Specification, grid: Grid) -> bool:
        """Return whether an equation on a grid is one for it: as many rows as fields, in steps."""
        timed = len(grid.shape) == 3 and next(iter(grid.axes.values())).time
        return bool(
            grid.spherical and timed and pde.residual is None and not pde.free_params
            and len(pde.equations) == len(pde.fields) == len(pde.inputs)
            and not any(b is not None for f in pde.fields for b in f.bounds)
        )  # fmt: skip

    def at(self, batch: int = 1, before: int = 0) -> dict[str, Tensor]:
        """Return the params of a step from one time, by its number, to the next."""
        given = {**self._params, SHIFT.name: before * self.step}
        return {k: torch.full((batch,), v, dtype=torch.float64) for k, v in given.items()}

    def open(self) -> list[str]:
        """Return the fields whose mean no row determines."""
        return []

    def moves(self, left: Tensor, first: bool = False) -> Tensor:
        """Return L^-1 times rows ``(batch, rows, lat, lon)``: moves of the fields."""
        assert not first
        return torch.stack(
            [sum((by(left[:, j]) for j, by in every.items()), torch.zeros(()).to(left))
             for every in self._inverse], 1,
        )  # fmt: skip

    def _inverted(self) -> list[dict[int, Operator]]:
        """Return for each field the operators from the rows that it follows from, by number."""
        harmonics, space = harmonics_of(self.grid), self.grid.shape[1:]
        count = harmonics.count
        zonal = harmonics.basis()[0][:count]
        noise = torch.randn(space, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        other = noise - harmonics.diagonal(torch.ones(count, dtype=torch.float64))(noise)
        probes = torch.cat([zonal, other[None]])
        weights = torch.from_numpy(self.grid.axes["lat"].weights())[:, None]
        weights = weights.expand(space) / weights.expand(space).sum()
        rest = {k: torch.zeros(len(probes), 2, *space, dtype=torch.float64) for k in self._names}
        rest |= self.at(len(probes))
        still, columns = self.residual(rest), []
        sizes = (probes.square() * weights).sum((1, 2))
        for k in self._names:
            moved = self.residual(rest | {k: torch.stack([torch.zeros_like(probes), probes], 1)})
            columns.append([
                ((moved[r] - still[r])[:, 0] * probes * weights).sum((1, 2)) / sizes
                for r in self.rows
            ])  # fmt: skip
        every = torch.stack([torch.stack(c) for c in columns]).movedim(2, 0)  # by degree
        if not bool((torch.linalg.matrix_rank(every, rtol=OPEN) == len(self._names)).all()):
            raise Unsuited("rows that leave a degree of harmonics open")
        # From fields by rows to rows by fields, inverted.
        found = torch.linalg.inv(every.mT)
        sizes = found.abs().amax(0)
        used = sizes > TRACE * sizes.amax(1, keepdim=True)
        return [
            {j: harmonics.diagonal(found[:-1, i, j], float(found[-1, i, j]))
             for j in range(len(self.rows)) if bool(used[i, j])}
            for i in range(len(self._names))
        ]  # fmt: skip
