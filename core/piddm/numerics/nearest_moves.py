r"""All values move, as little as they can in the norm of the data: an inexact Gauss-Newton step.

.. math:: \delta = W^2 J^T m, \qquad J W^2 J^T m + B\,p = R(x), \qquad B^T m = 0,

W what a unit of a value's move is, B the columns of free params, which move at no cost
(:mod:`piddm.numerics.normal_equations`). By conjugate gradients, preconditioned by the inverse M at
a state without waves (:mod:`piddm.numerics.mode_preconditioner`); with params by the constraint
preconditioner

.. math:: \tilde M r = M\,(r - B\,(B^T M B)^{-1} B^T M r),

which keeps to :math:`B^T m = 0`. Source: Gould, Hribar and Nocedal, SIAM Journal on Scientific
Computing 23, 2001.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.algebra.conjugate_gradients import conjugate_gradients
from piddm.numerics.mode_preconditioner import preconditioner
from piddm.numerics.moves import Derivatives, Linearisation, Moves
from piddm.numerics.normal_equations import FieldScale, move_weights
from piddm.residuals.residual import Fields, Residual
from piddm.tools.devices import placed, solved


class NearestMoves(Moves):
    """Moves of all values that are not fixed.

    Args:
        residual: The residual.
        field_scale: The norm: what a field's move is divided by.
        row_scale: Scale by name of row.
        fixed: Field name to boolean ``(*grid.shape)``: values that do not move.
        mean: A typical state, at which the preconditioner is made.
    """

    iterations = 5

    def __init__(self, residual: Residual, field_scale: FieldScale, row_scale: Mapping[str, float],
        fixed: Mapping[str, np.ndarray], mean: Fields,
    ) -> None:  # fmt: skip
        self.residual, self.row_scale = residual, dict(row_scale)
        self.names = residual.field_names
        self.cheap = len(residual.grid.shape) == 2 and not residual.grid.spherical
        self.weights = torch.from_numpy(move_weights(residual, field_scale, fixed))
        exact = {k: v.detach().double() for k, v in mean.items()}
        self.precondition = preconditioner(residual, exact, self.weights, self.row_scale)
        self.movable: Tensor | None = None
        if not bool((self.weights > 0).all()):
            self.movable = self._movable(exact)

    def _movable(self, mean: Fields) -> Tensor:
        """Return which rows anything may move: the others stay, whatever is done."""
        by = Derivatives(self.residual, self.row_scale, mean, self.names)
        draw = torch.Generator().manual_seed(0)
        probe = torch.randn(len(self.weights), generator=draw).to(self.weights) * self.weights
        return (by.push(self.named(probe[None].to(by.rows))) != 0).any(0)

    def named(self, values: Tensor) -> dict[str, Tensor]:
        """Return ``(batch, columns)`` as fields."""
        shape = self.residual.grid.shape
        parts = values.split(math.prod(shape), dim=1)
        return {k: p.reshape(-1, *shape) for k, p in zip(self.names, parts, strict=True)}

    def at(self, fields: Fields) -> Linearisation:
        """Linearise at fields ``(batch, *grid.shape)`` and params ``(batch,)``."""
        return _Linearisation(self, fields)


class _Linearisation(Linearisation):
    def __init__(self, moves: NearestMoves, fields: Fields) -> None:
        self._moves, self._params = moves, moves.residual.free_params
        self._by = Derivatives(moves.residual, moves.row_scale, fields, moves.names)
        self.rows = self._by.rows
        self._squares = placed(moves.weights, self.rows).square()
        self._movable = None if moves.movable is None else placed(moves.movable, self.rows)
        if self._params:
            columns = [self._by.push({k: torch.ones_like(fields[k])}) for k in self._params]
            better = [moves.precondition(self._only(c)) for c in columns]
            self._better = torch.stack(better, dim=2)
            self._columns = torch.stack(columns, dim=2)
            self._small = self._columns.mT @ self._better

    def solve(
        self, target: Tensor, iterations: int, enough: Tensor | None = None
    ) -> dict[str, Tensor]:
        multipliers, params = self._saddle(self._only(target), None, iterations, enough)
        return self._moves.named(self._squares * self._pull(multipliers)) | params

    def pull_back(self, gradients: Fields, iterations: int) -> dict[str, Tensor]:
        # To first order in the move, for which the set is taken as flat. The saddle's matrix is
        # symmetric: the same solve, gradients by params on its lower right side.
        given = torch.cat([gradients[k].flatten(1) for k in self._moves.names], dim=1)
        lower = None
        if self._params:
            none = given.new_zeros(len(given))
            lower = torch.stack([gradients.get(k, none) for k in self._params], dim=1)
        target = self._push(self._squares * given)
        multipliers, _ = self._saddle(target, lower, iterations)
        unused = {k: given.new_zeros(len(given)) for k in self._params}
        return self._moves.named(given - self._pull(multipliers)) | unused

    def _saddle(
        self, target: Tensor, lower: Tensor | None, iterations: int,
        enough: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """Return m with K m + B p = target and B^T m = lower, zero where none; and p by name."""
        inverse = self._moves.precondition
        if not self._params:
            return conjugate_gradients(self._matrix, inverse, target, iterations, enough), {}

        def by_params(rows: Tensor) -> Tensor:
            return solved(self._small, self._better.mT @ rows[..., None])

        def without(rows: Tensor) -> Tensor:
            """Take off what params can do: else the rest grows along B, and rounding with it."""
            return rows - (self._columns @ by_params(rows))[..., 0]

        def constrained(rows: Tensor) -> Tensor:
            return inverse(rows) - (self._better @ by_params(rows))[..., 0]

        start, rest = torch.zeros_like(target), target
        if lower is not None:
            start = (self._better @ solved(self._small, lower[..., None]))[..., 0]
            rest = target - self._matrix(start)
        found = start + conjugate_gradients(
            lambda v: without(self._matrix(v)), constrained, without(rest), iterations, enough
        )
        params = by_params(target - self._matrix(found))[..., 0]
        return found, {k: params[:, i] for i, k in enumerate(self._params)}

    def _matrix(self, rows: Tensor) -> Tensor:
        return self._push(self._squares * self._pull(rows))

    def _push(self, move: Tensor) -> Tensor:
        return self._only(self._by.push(self._moves.named(move)))

    def _pull(self, rows: Tensor) -> Tensor:
        found = self._by.pull(rows)
        if len(found) == 1:
            return found[self._moves.names[0]].flatten(1)
        return torch.cat([found[k].flatten(1) for k in self._moves.names], dim=1)

    def _only(self, rows: Tensor) -> Tensor:
        return rows if self._movable is None else rows * self._movable
