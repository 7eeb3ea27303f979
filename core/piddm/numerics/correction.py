r"""The correction: a few cheap steps that bring samples onto the equation.

.. math:: x \leftarrow x - t\,\delta, \qquad J\,\delta \approx R(x),

Newton steps whose linear equations are solved by a few iterations on whole batches, without a
matrix per sample. Two kinds of move:

* ``nearest``: all values move, as little as they can in the norm of the data;
* ``solution``: the inputs stay as they are, and the solution moves to theirs.

Steps are halved, sample by sample, until the error falls; a sample that is good enough stays as it
is, whatever its companions need. Where gradients pass on a device, all steps are made: nobody looks
whether they are needed. What comes back is never worse than what was given, and says
sample by sample whether it converged.

States are in the precision of what is given. The linear equations are always solved in float32:
their solutions are corrections, whose errors the next step corrects. In float64 that reaches
round-off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.implicit import Implicit
from piddm.numerics.interior import Unsuited
from piddm.numerics.marched import March
from piddm.numerics.moves import Move as Move
from piddm.numerics.moves import Moves, default_move
from piddm.numerics.nearest_moves import NearestMoves
from piddm.numerics.normal_equations import FieldScale
from piddm.numerics.solution_moves import SolutionMoves
from piddm.numerics.sphere_moves import SphereMoves
from piddm.residuals.norms import sample_errors
from piddm.residuals.residual import Fields, Residual
from piddm.tools.errors import UsageError

STEPS = 6
"""Newton steps at most."""

PARTS = 4
"""Samples drop out of the batch by quarters of it, as they become good."""

TRIES = 4
"""Lengths of a step that are tried, each half of the last."""

GOOD = {torch.float32: 1e-6, torch.float64: 1e-20}
"""Normalised PDE error of a sample that is corrected, by precision."""

SPARE = 0.1
"""Error that a step's linear equations may leave, over that of a sample that is good."""

BACKWARDS = 12
"""Iterations of the derivative's solve."""


@dataclass(frozen=True)
class Corrected:
    """Corrected samples.

    Args:
        fields: Fields ``(batch, *grid.shape)``, and free params ``(batch,)``.
        error: Normalised PDE error of each, summed over equations and conditions.
        before: The same of what was given.
        converged: Which of them reached the tolerance.
        steps: Newton steps made.
    """

    fields: dict[str, Tensor]
    error: Tensor
    before: Tensor
    converged: Tensor
    steps: int


def joined(parts: Sequence[Corrected]) -> Corrected:
    """Return several batches as one."""
    return Corrected(
        {k: torch.cat([p.fields[k] for p in parts]) for k in parts[0].fields},
        torch.cat([p.error for p in parts]),
        torch.cat([p.before for p in parts]),
        torch.cat([p.converged for p in parts]),
        max(p.steps for p in parts),
    )


class Correction:
    """Brings samples onto one equation.

    Args:
        residual: The residual.
        field_scale: The norm of the data: what a field's move is divided by.
        row_scale: Row scale by name.
        mean: A typical state of the data, ``(1, *grid.shape)`` each: what is inverted once is the
            equation there.
        inputs: Field name to boolean ``(*grid.shape)``: where values are inputs.
        params: Free params that are inputs.
        move: Which values move; by the kind of inputs where None is given, see
            :func:`~piddm.numerics.moves.default_move`.
        march: What goes through the times from a sample's own first one, where the solution moves
            and there is such a thing (:mod:`piddm.numerics.marched`); Newton steps have the rest.
        fallback: Whether all that is no input moves as little as it can where the solution alone
            has no inverse that is cheap.

    Attributes:
        move: Which values move.

    Raises:
        UsageError: If there is no such move.
        Unsuited: If there is no such inverse, and no fallback.
    """

    def __init__(
        self,
        residual: Residual,
        field_scale: FieldScale,
        row_scale: Mapping[str, float],
        mean: Fields,
        inputs: Mapping[str, np.ndarray],
        params: tuple[str, ...] = (),
        move: Move | None = None,
        fallback: bool = True,
        march: March | None = None,
    ) -> None:
        if move is not None and move not in get_args(Move):
            raise UsageError(f"no move {move!r}; choose {' or '.join(get_args(Move))}")
        self.residual, self.row_scale = residual, dict(row_scale)
        self.move: Move = move or default_move(inputs, params)
        self.march = march if self.move == "solution" else None
        self._about = field_scale, dict(mean), dict(inputs), params, fallback
        # Where there is a march they are for what it leaves, and of a film take long to make.
        if residual.rows and self.march is None:
            _ = self.moves

    @cached_property
    def moves(self) -> Moves:
        """How its linear equations are solved."""
        field_scale, typical, inputs, params, fallback = self._about
        residual, row_scale = self.residual, self.row_scale
        mean = residual.fit({k: v.double() for k, v in typical.items()})
        if self.move == "nearest":
            return NearestMoves(residual, field_scale, row_scale, {}, mean)
        kind = SphereMoves if residual.grid.spherical else SolutionMoves
        try:
            return kind(residual, row_scale, inputs, params, mean)
        except Unsuited:
            if not fallback:
                raise
            # As the shortest move of what is no input.
            return NearestMoves(residual, field_scale, row_scale, inputs, mean)

    @property
    def cheap(self) -> bool:
        """Whether a step costs less than a network call: that of a film does not."""
        return len(self.residual.grid.shape) == 2 and (not self.residual.rows or self.moves.cheap)

    def __call__(
        self, fields: Fields, tolerance: float | None = None, steps: int = STEPS,
        iterations: int | None = None,
    ) -> Corrected:  # fmt: skip
        """Return samples on the equation, or as near to it as the steps came.

        Gradients pass, by the implicit function theorem: of a solution exactly, of a nearest
        state to first order in its move.

        Args:
            fields: ``(batch, *grid.shape)`` each; free params that are missing are fitted.
            tolerance: Normalised PDE error at which a sample is good; by precision where None is
                given, see :data:`GOOD`.
            steps: Newton steps at most.
            iterations: Products with the matrix in each; as many as suit its kind where None.
        """
        start = self.residual.fit(fields)
        if not self.residual.rows:
            error = self.error(start)
            return Corrected(start, error, error, error == 0, 0)
        if not (torch.is_grad_enabled() and any(v.requires_grad for v in start.values())):
            return self._corrected(start, tolerance, steps, iterations)
        found: list[Corrected] = []

        looks = all(v.device.type == "cpu" for v in start.values())

        def run(values: Fields) -> dict[str, Tensor]:
            found.append(self._corrected(values, tolerance, steps, iterations, looks))
            return found[0].fields

        moved = Implicit.apply(run, self._pull_back, tuple(start), *start.values())
        made = found[0]
        fields = dict(zip(start, moved, strict=True))  # pyright: ignore
        return Corrected(fields, made.error, made.before, made.converged, made.steps)

    def error(self, fields: Fields) -> Tensor:
        """Return the normalised PDE error of each sample, ``(batch,)``; no NaN."""
        return sample_errors(self.residual, fields, self.row_scale).nan_to_num(torch.inf, torch.inf)

    @torch.no_grad()
    def _corrected(
        self, start: Fields, tolerance: float | None, steps: int, iterations: int | None,
        looks: bool = True,
    ) -> Corrected:  # fmt: skip
        x = {k: v.detach() for k, v in start.items()}
        error = before = self.error(x)
        enough = GOOD[error.dtype] if tolerance is None else tolerance
        made = 0
        if self.march is not None and steps and bool((error > enough).any()):
            x, error, made = *self._marched(x, error, enough, self.march), 1
        for step in range(made, steps):
            if looks and bool((error <= enough).all()):
                break
            some = self._left(error > enough) if looks else None
            part, own = (x, error) if some is None else (
                {k: v[some] for k, v in x.items()}, error[some]
            )  # fmt: skip
            moved, less = self._step(part, own, enough, iterations or self.moves.iterations, looks)
            if some is not None:
                moved = {k: x[k].index_copy(0, some, v) for k, v in moved.items()}
                less = error.index_copy(0, some, less)
            x, error, made = moved, less, step + 1
        return Corrected(x, error, before, error <= enough, made)

    def _marched(
        self, x: dict[str, Tensor], error: Tensor, enough: float, march: March
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return films from their own first times on where these are better, and their errors."""
        found = march(x, enough)
        new = self.error(found)
        better = (error > enough) & (new < error)
        kept = {k: torch.where(_like(better, v), found[k], v) for k, v in x.items()}
        return kept, torch.where(better, new, error)

    def _left(self, moving: Tensor) -> Tensor | None:
        """Return which samples to go on with, all where None: those that are left and few more.

        Their number is one of a few, since compiled residuals keep memory for each.
        """
        whole = len(moving)
        size = max(1, whole // PARTS)
        count = -(-int(moving.sum()) // size) * size
        if count >= whole:
            return None
        return moving.to(torch.uint8).argsort(descending=True, stable=True)[:count]

    def _step(
        self, x: dict[str, Tensor], error: Tensor, enough: float, iterations: int, looks: bool
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return states and errors after a Newton step of those that are not good enough."""
        rows = self._rows(x)
        # Scaled to one, no product of small numbers leaves float32.
        size = rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        here = self.moves.at({k: v.float() for k, v in x.items()})
        left = (SPARE * enough / error.clamp_min(torch.finfo(error.dtype).tiny)).sqrt().float()
        change = here.solve((rows / size).float(), iterations, left)
        change = {k: v.to(rows) * _like(size[:, 0], v) for k, v in change.items()}
        return self._search(x, change, error, error > enough, looks)

    def _search(
        self, x: dict[str, Tensor], change: Fields, error: Tensor, moving: Tensor, looks: bool
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the states after the longest steps that lower their errors, and these."""
        length = moving.to(error.dtype)
        best, left = x, moving
        for _ in range(TRIES):
            trial = {k: v - _like(length, v) * change[k] if k in change else v
                     for k, v in x.items()}  # fmt: skip
            new = self.error(trial)
            better = left & (new < error)
            best = {k: torch.where(_like(better, v), trial[k], v) for k, v in best.items()}
            error = torch.where(better, new, error)
            left = left & ~better
            length = length / 2
            if looks and not bool(left.any()):
                break
        return best, error

    def _rows(self, x: Fields) -> Tensor:
        rows = self.residual(x)
        return torch.cat([v.flatten(1) / self.row_scale[k] for k, v in rows.items()], dim=1)

    def _pull_back(self, fields: Fields, gradients: Fields) -> dict[str, Tensor]:
        return self.moves.at(fields).pull_back(gradients, BACKWARDS)


def _like(flag: Tensor, values: Tensor) -> Tensor:
    return flag.view(-1, *[1] * (values.ndim - 1))
