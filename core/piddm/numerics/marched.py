r"""From a sample's own first time through all others: the correction of films that go round.

Where every axis but time is periodic, or on a sphere, each time is solved for from the one before
it by the modes of :mod:`piddm.numerics.periodic_marching` or the harmonics of
:mod:`piddm.numerics.sphere_marching`,

.. math:: x_k \leftarrow x_k - L^{-1} R(x_{k-1}, x_k), \qquad L = \partial R/\partial x_k
    \text{ at rest},

which starts from what the sample's own times and those before foretell
(:mod:`piddm.numerics.film_starts`): few products do. What waves do is followed in time and not
undone by iterations over all times at once, which do not converge where waves run (Korteweg-de
Vries) or a phase grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.numerics.film_starts import Pace, Starts
from piddm.numerics.interior import Unsuited
from piddm.numerics.marching import SHIFT
from piddm.numerics.periodic_marching import PeriodicMarching
from piddm.numerics.sphere_marching import SphereMarching
from piddm.residuals.residual import Fields, Residual
from piddm.symbolic.operators import Slice

if TYPE_CHECKING:
    from piddm.grids.grid import Grid
    from piddm.symbolic.specification import Specification

LIMIT = {torch.float32: 24, torch.float64: 40}
"""Limit of the products at a time, by precision; a sample that needs more is given up."""

UNSEEN = 6
"""Products at a time on a device where looking at a result would mean to wait for it."""

ALIKE = 1e-9
"""Relative difference up to which rows between two times are those of the whole film."""


class March:
    """Corrects films from their own first time on.

    Args:
        marching: What goes from time to time.
        row_scale: Scale by name of row.
    """

    def __init__(
        self, marching: PeriodicMarching | SphereMarching, row_scale: Mapping[str, float]
    ) -> None:
        self._by, self._scale = marching, dict(row_scale)
        self._names = marching.residual.field_names
        self._lacking = tuple(k for k in self._names if k not in marching.started)
        self._unmet = self._means() if self._lacking else None

    @staticmethod
    def fits(pde: Specification, grid: Grid) -> bool:
        """Return whether an equation may have a march, from given first times on periodic axes."""
        given = all(isinstance(one, Slice) for one in pde.inputs)
        return _kind(grid).fits(pde, grid) and bool(pde.inputs) and given

    @classmethod
    def of(
        cls, pde: Specification, residual: Residual, row_scale: Mapping[str, float]
    ) -> March | None:
        """Return the march of an equation; None where it has none, or the residual is another's."""
        if not cls.fits(pde, residual.grid):
            return None
        kind = _kind(residual.grid)
        started = [given.field.name for given in pde.inputs if isinstance(given, Slice)]
        try:
            marching = kind(pde, residual.grid, started, {})
        except Unsuited:
            return None
        return cls(marching, row_scale) if _alike(marching, residual) else None

    @torch.no_grad()
    def __call__(self, fields: Fields, enough: float) -> dict[str, Tensor]:
        """Return films from the first times of ``(batch, *grid.shape)``, in their precision.

        Args:
            fields: The films; nothing but the first time of what is given there has to be right.
            enough: Normalised error at which a time is good.
        """
        fields = {**fields, **{k: self._without_mean(fields[k]) for k in self._by.open()}}
        film = {k: fields[k].clone() for k in self._names}
        first = film[self._names[0]]
        lost = torch.zeros(len(first), dtype=torch.bool, device=first.device)
        at = {k: v.to(first) for k, v in self._by.at(len(first)).items()}
        if self._lacking:
            few = {k: v[:, :2].clone() for k, v in film.items()} | at
            self._settle_means(few, film)
            self._settle(few, self._lacking, self._by.first, 0, enough, lost)
            film |= {k: torch.cat([few[k][:, :1], film[k][:, 1:]], 1) for k in self._lacking}
        starts = {k: Starts(fields[k], film[k]) for k in self._names}
        pace = Pace(len(first), first)
        for now in range(1, first.shape[1]):
            at[SHIFT.name] = torch.full_like(at[SHIFT.name], (now - 1) * self._by.step)
            few = dict(at)
            for k, start in starts.items():
                few[k] = torch.stack([film[k][:, now - 1], start.at(now)], 1)
            self._settle(few, self._names, self._by.rows, 1, enough, lost, pace)
            for k in self._names:
                film[k][:, now] = few[k][:, 1]
        return dict(fields) | film

    def _means(self) -> tuple[list[str], list[str], Tensor]:
        """Return rows of the first time whose mean none of the fields that it lacks can change.

        Of Poisson's equation on a torus the mean of the right side is one: where a given field
        is that side, its mean must be zero, and a network's is so but for its rounding.

        Returns:
            The rows, the given fields, and the rows' means by those of the fields ``(row, field)``.
        """
        by, draw = self._by, torch.Generator().manual_seed(0)
        shape = (1, 2, *by.residual.grid.shape[1:])

        def random() -> dict[str, Tensor]:
            return {
                k: torch.randn(shape, generator=draw, dtype=torch.float64) for k in self._names
            } | by.at(1)

        def means(fields: Fields) -> dict[str, float]:
            found = by.residual(fields)
            return {k: float(found[k][:, 0].mean()) for k in by.first}

        one = random()
        other = one | {k: v for k, v in random().items() if k in self._lacking}
        here, there = means(one), means(other)
        rows = [k for k in by.first if abs(here[k] - there[k]) <= ALIKE * (1 + abs(here[k]))]
        given = list(by.started)
        moved = [means(one | {k: one[k] + 1}) for k in given]
        slopes = torch.tensor(
            [[m[k] - here[k] for m in moved] for k in rows], dtype=torch.float64
        ).reshape(len(rows), len(given))
        return rows, given, torch.linalg.pinv(slopes, rtol=1e-6)

    def _settle_means(self, few: dict[str, Tensor], film: dict[str, Tensor]) -> None:
        """Take from the given fields the means at the first time that no solution has."""
        assert self._unmet is not None
        rows, given, inverse = self._unmet
        if not rows:
            return
        found = self._by.residual(few)
        left = torch.stack([found[k][:, 0].flatten(1).mean(1) for k in rows], 1)
        moves = left @ inverse.to(left).mT
        for i, k in enumerate(given):
            move = moves[:, i].view(-1, *[1] * (few[k].ndim - 2))
            few[k][:, 0] -= move
            film[k][:, 0] -= move

    @staticmethod
    def _without_mean(values: Tensor) -> Tensor:
        return values - values.mean(tuple(range(2, values.ndim)), keepdim=True)

    def _settle(
        self, few: dict[str, Tensor], names: tuple[str, ...], rows: list[str], time: int,
        enough: float, lost: Tensor, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        """Correct fields at one of two times until their rows are good; mark what never is."""
        errors: list[Tensor] = []
        values = few[names[0]]
        seen, open_ = values.device.type == "cpu", ~lost
        for _ in range(LIMIT[values.dtype] if seen else UNSEEN):
            found = self._by.residual(few)
            left = [found[r][:, -1 if time else 0] for r in rows]
            if seen:
                each = zip(left, rows, strict=True)
                means = [(v / self._scale[r]).square().flatten(1).mean(1) for v, r in each]
                error = torch.stack(means).sum(0) if len(means) > 1 else means[0]
                errors.append(error)
                open_ = ~(error <= enough) & ~lost
                if not bool(open_.any()):
                    if pace is not None:
                        pace.seen(errors)
                    return
            move = self._by.moves(torch.stack(left, 1), first=time == 0)
            for i, k in enumerate(names):
                few[k][:, time] -= move[:, i]
            if pace is not None and errors and pace.sure(errors[-1], open_, enough):
                return
        if seen:
            lost |= open_


def _kind(grid: Grid) -> type[PeriodicMarching] | type[SphereMarching]:
    return SphereMarching if grid.spherical else PeriodicMarching


def _alike(marching: PeriodicMarching | SphereMarching, residual: Residual) -> bool:
    """Return whether rows of two times are those of a film: not of another residual."""
    shape, names = residual.grid.shape, residual.field_names
    if residual.free_params or names != marching.residual.field_names:
        return False
    draw = torch.Generator().manual_seed(0)
    film = {k: torch.randn(1, *shape, generator=draw, dtype=torch.float64) for k in names}
    two = {k: v[:, -2:] for k, v in film.items()} | marching.at(1, shape[0] - 2)
    whole, part = residual(film), marching.residual(two)
    for k in marching.rows:
        if k not in whole or whole[k].ndim != part[k].ndim or whole[k].shape[1] < shape[0] - 1:
            return False
        off = (whole[k][:, -1] - part[k][:, -1]).abs().max()
        if not float(off) <= ALIKE * float(part[k][:, -1].abs().max()):
            return False
    return True
