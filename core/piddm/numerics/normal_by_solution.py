r"""Nearest solutions where the rows leave nothing to choose: the solution itself.

Where one field moves, and there are as many rows as values of it that move,
:math:`J W` is square and

.. math:: W J^T \left(J W^2 J^T\right)^{-1} r = (J W)^{-1} r

whatever the norm: a solve with J, which squares no condition number, makes no matrix, and takes a
few iterations with the inverse of the equation at constant coefficients
(:mod:`piddm.numerics.solution_moves`). So it is where the other fields are held, as a medium of two
phases is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.interior import Unsuited
from piddm.numerics.normal_equations import Linearised, NormalEquations, Solved
from piddm.numerics.solution_linear import SolutionLinearisation
from piddm.numerics.solution_moves import SolutionMoves
from piddm.residuals.residual import Fields, Residual
from piddm.tools.devices import placed

LIMIT = 40
"""Iterations at most on a processor, which looks whether they do; what they leave unsolved goes to
the other way."""

DIGIT = 2
"""Iterations a decimal digit, and one more, where looking costs.

Measured on Darcy flow with a medium of 3 and 12, on 64 x 64 and 128 x 128 nodes: after 2 the
relative error is 0.12, after 4 0.9 %, after 8 1e-4."""

ENOUGH = 1e-2
"""Largest relative error that is asked for, of losses too: a digit costs two iterations."""

FINEST = {torch.float32: 1e-4, torch.float64: 1e-12}
"""Least relative error that is asked for, by precision."""


class SolutionNormal(NormalEquations):
    """The solution as the nearest one.

    Args:
        residual: The residual, on two axes.
        weights: W, see :func:`~piddm.numerics.normal_equations.move_weights`.
        row_scale: Row scale by name.
        other: Makes another way, for what this one cannot solve.
        typical: The state whose inverse is made, ``(1, *grid.shape)`` each; the mean of the first
            states of all where None is given, which then are what the last bits depend on.
    """

    def __init__(
        self, residual: Residual, weights: np.ndarray, row_scale: Mapping[str, float],
        other: Callable[[], NormalEquations], typical: Fields | None = None,
    ) -> None:  # fmt: skip
        self.residual, self.row_scale, self.weights = residual, row_scale, weights
        self.name = residual.field_names[int(_moving(residual, weights)[0])]
        self._make_other, self._other, self._typical = other, None, typical
        self._moves: SolutionMoves | None = None

    @staticmethod
    def suits(residual: Residual, weights: np.ndarray) -> bool:
        """Return whether only one field moves, by as many values as rows of it, on two axes."""
        moving = _moving(residual, weights)
        if len(moving) != 1 or len(residual.grid.shape) != 2 or residual.free_params:
            return False
        name, local, count = residual.field_names[int(moving[0])], True, 0
        for rows in residual.rows.values():
            if any(reach.offsets.get(name) for reach in rows.reaches):
                count += len(rows.nodes)
                local = local and not rows.integral and not rows.dense
        return local and count == int((weights > 0).sum())

    @property
    def other(self) -> NormalEquations:
        """The other way."""
        if self._other is None:
            self._other = self._make_other()
        return self._other

    def at(self, fields: Fields) -> Linearised:
        """Linearise; the typical state has the inverse."""
        if self._moves is None:
            shape, held, names = self.residual.grid.shape, {}, self.residual.field_names
            for name, part in zip(names, np.split(self.weights, len(names)), strict=True):
                if not (part > 0).all():
                    held[name] = (part == 0).reshape(shape)
            some = self._typical or fields
            mean = {k: some[k].detach().double().mean(0, keepdim=True) for k in names}
            try:
                self._moves = SolutionMoves(self.residual, self.row_scale, held, (), mean)
            except Unsuited:
                return self.other.at(fields)
        return _Linearised(self, self._moves.at(fields), fields)


def _moving(residual: Residual, weights: np.ndarray) -> np.ndarray:
    """Return the numbers of the fields of which values move."""
    parts = weights.reshape(len(residual.field_names), -1)
    return np.flatnonzero((parts > 0).any(1))


class _Linearised(Linearised):
    def __init__(
        self, normal: SolutionNormal, linear: SolutionLinearisation, fields: Fields
    ) -> None:
        self._normal, self._linear, self._fields = normal, linear, fields
        self.rows = linear.rows
        nodes, names = math.prod(normal.residual.grid.shape), normal.residual.field_names
        start = names.index(normal.name) * nodes
        self._own = slice(start, start + nodes)
        self._size = nodes * len(names)
        self._weights = placed(normal.weights, self.rows)[self._own]

    def push(self, move: Tensor) -> Tensor:
        own = move[:, self._own] * self._weights
        return self._linear.push(own.view(-1, *self._normal.residual.grid.shape))

    def solve(self, target: Tensor, tolerance: float, start: Tensor | None = None) -> Solved:
        wanted = max(min(tolerance, ENOUGH), FINEST[target.dtype])
        looked = target.device.type == "cpu"
        most = LIMIT if looked else math.ceil(1 - DIGIT * math.log10(wanted))
        found, left = self._linear.solve_field(target, most, wanted)
        move = target.new_zeros(len(target), self._size)
        # What is held has no weight, and stays.
        inverse = torch.where(self._weights > 0, 1 / self._weights, 0.0)
        move[:, self._own] = found.flatten(1) * inverse
        if looked and bool((missed := ~(left <= 2 * wanted)).any()):
            some = {k: v[missed] for k, v in self._fields.items()}
            solved = self._normal.other.at(some).solve(target[missed], tolerance)
            move[missed] = solved.move
        return Solved(move, target[:, :0])
