r"""Times one after another where every other axis goes round: Fourier modes instead of a factor.

Each time is the solution of the residual's own rows R between it and the one before, by

.. math:: x \leftarrow x - L^{-1} R(x^{k-1}, x), \qquad L = \partial R/\partial x \text{ at rest}.

Fourier modes decouple L whatever its stencils: what is left of it for each of them is a small
matrix over the fields, read off the responses to values of 1 at a single node. What differs from
rest must be weak beside the step in time, which is tried, not proven. Where the rows leave a mean
open, as on a torus they leave that of a stream function, it stays what it was.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.fft import irfftn, rfftn

from piddm.grids.grid import Grid
from piddm.numerics.marching import SHIFT, shifted
from piddm.residuals.binding import bind
from piddm.tools.errors import PiddmError

if TYPE_CHECKING:
    from piddm.symbolic.specification import Specification

LIMIT, ENOUGH = 100, 1e-13
"""Corrections of a step at most, and the size of the last one over that of the fields."""

OPEN = 1e-10
"""Share of the largest singular value of a mode's matrix below which the rows leave it open."""


class PeriodicMarching:
    """Marches from a first time.

    Args:
        pde: The equation.
        grid: Time first, all other axes periodic.
        started: Names of the fields that are given at the first time.
        params: Values of the params.

    Attributes:
        started: Names of the fields that are given at the first time.
        residual: Between two neighbouring times.
        rows: Names of the rows that the later of them solves, as many as there are fields.
        first: Those that the first time solves for fields that are not given there.
        inverse, inverse_first: Inverses of L, for each mode ``(fields, rows)``.
    """

    def __init__(
        self, pde: Specification, grid: Grid, started: Iterable[str], params: Mapping[str, float]
    ) -> None:
        name, axis = next(iter(grid.axes.items()))
        self.grid, self.step = grid, axis.spacing
        two = dataclasses.replace(axis, upper=axis.lower + axis.spacing, size=2)
        self.residual = bind(shifted(pde, name), Grid(**{**grid.axes, name: two}), None)
        self._params, self.started = dict(params), tuple(started)
        self._names = self.residual.field_names
        self._lacking = tuple(k for k in self._names if k not in self.started)
        self._space = grid.shape[1:]
        self._ready: dict[tuple[bool, torch.dtype, torch.device], Tensor] = {}
        rows = [k for k, r in self.residual.rows.items() if not r.integral]
        self.rows, self.first = rows, [k for k in rows if self._alike(k) == 2]
        self.inverse = self._inverted(self._names, rows, 1)
        self.inverse_first = self._inverted(self._lacking, self.first, 0)

    @classmethod
    def fits(cls, pde: Specification, grid: Grid) -> bool:
        """Return whether an equation on a grid is one for it: as many whole rows as fields."""
        (_, axis), *others = grid.axes.items()
        if not (axis.time and others and all(a.periodic for _, a in others)):
            return False
        return not (
            pde.residual is not None or pde.conditions or pde.free_params
            or pde.time_scheme in ("bdf2", "centred") or len(pde.equations) != len(pde.fields)
            or any(b is not None for f in pde.fields for b in f.bounds)
        )  # fmt: skip

    def open(self) -> list[str]:
        """Return the fields whose mean no row determines."""
        mean = self.inverse[(0,) * (self.inverse.ndim - 2)]
        return [k for k, by in zip(self._names, mean, strict=True) if not bool(by.abs().any())]

    def moves(self, left: Tensor, first: bool = False) -> Tensor:
        """Return L^-1 times rows ``(batch, rows, *space)``: moves of the fields.

        Args:
            left: What the rows have left.
            first: Whether they are those that the first time solves.
        """
        key = first, left.dtype, left.device
        if key not in self._ready:
            wide = torch.promote_types(left.dtype, torch.complex64)
            inverse = self.inverse_first if first else self.inverse
            self._ready[key] = inverse.to(left.device, wide)
        axes = tuple(range(-len(self._space), 0))
        modes = rfftn(left, dim=axes).movedim(1, -1)[..., None]
        return irfftn((self._ready[key] @ modes)[..., 0].movedim(-1, 1), self._space, dim=axes)

    def _alike(self, row: str) -> int:
        return len(self.residual.rows[row].nodes) // math.prod(self._space)

    def at(self, batch: int = 1, before: int = 0) -> dict[str, Tensor]:
        """Return the params of a step from one time, by its number, to the next."""
        given = {**self._params, SHIFT.name: before * self.step}
        return {k: torch.full((batch,), v, dtype=torch.float64) for k, v in given.items()}

    def _inverted(self, names: Iterable[str], rows: list[str], time: int) -> Tensor:
        """Return the inverse of L for each mode, ``(*modes, fields, rows)``."""
        shape = (1, 2, *self._space)
        rest = {k: torch.zeros(shape, dtype=torch.float64) for k in self._names} | self.at()
        still, columns = self.residual(rest), []
        for k in names:
            node = torch.zeros(shape, dtype=torch.float64)
            node[(0, time, *[0] * len(self._space))] = 1.0
            moved = self.residual(rest | {k: node})
            columns.append([moved[r][0, -1 if time else 0] - still[r][0, -1 if time else 0]
                            for r in rows])  # fmt: skip
        if not columns:
            return torch.zeros(0)
        every = torch.stack([torch.stack(c) for c in columns])  # (fields, rows, *space)
        modes = rfftn(every, dim=tuple(range(2, every.ndim)))
        return torch.linalg.pinv(modes.movedim((0, 1), (-1, -2)), rtol=OPEN)

    def solve(self, first: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return fields ``(batch, *grid.shape)`` from those given at the first time.

        Raises:
            PiddmError: If a step is too long for it.
        """
        batch = len(next(iter(first.values())))
        film = {k: first[k].new_zeros(batch, *self.grid.shape) if k in first else
                torch.zeros(batch, *self.grid.shape).double() for k in self._names}  # fmt: skip
        for k, v in first.items():
            film[k][:, 0] = v
        if self._lacking:
            few = {k: v[:, :2].clone() for k, v in film.items()} | self.at(batch)
            self._settle(few, self._lacking, self.first, 0)
            for k in self._lacking:
                film[k][:, 0] = few[k][:, 0]
        for now in range(1, self.grid.shape[0]):
            few = {k: v[:, now - 1 : now + 1].clone() for k, v in film.items()}
            for k in self._names:  # straight on from the two times before
                few[k][:, 1] = film[k][:, now - 1]
                if now > 1:
                    few[k][:, 1] += film[k][:, now - 1] - film[k][:, now - 2]
            few |= self.at(batch, now - 1)
            self._settle(few, self._names, self.rows, 1)
            for k in self._names:
                film[k][:, now] = few[k][:, 1]
        return film

    def _settle(
        self, few: dict[str, Tensor], names: Iterable[str], rows: list[str], time: int
    ) -> None:
        """Correct fields at one of two times until their rows vanish."""
        before = torch.inf
        for _ in range(LIMIT):
            found = self.residual(few)
            left = torch.stack([found[r][:, -1 if time else 0] for r in rows], 1)
            move = self.moves(left, first=time == 0)
            sizes = []
            for i, k in enumerate(names):
                few[k][:, time] -= move[:, i]
                whole = float(few[k][:, time].square().mean().sqrt())
                sizes.append(float(move[:, i].square().mean().sqrt()) / max(whole, 1e-300))
            size = max(sizes)
            if size <= ENOUGH or (size <= 100 * ENOUGH and size >= before):
                return
            if not size < 1e3:
                break
            before = size
        raise PiddmError(f"a step of {self.step:.2g} is too long for the flow; ask for more times")
