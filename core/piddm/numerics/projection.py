r"""Projection onto the set where the residual vanishes, and the squared distance to it.

The nearest state to x with R = 0 is found by Gauss-Newton, in a weighted norm (each field divided
by its standard deviation, say):

.. math:: x_{k+1} = x - J_k^T (J_k J_k^T)^{-1} (R(x_k) + J_k (x - x_k)).

One step from x moves by :math:`J^T(JJ^T)^{-1}R`, whose square :math:`R^T (JJ^T)^{-1} R` is the
squared distance to first order. As a loss, with J held fixed, its gradient is 2(x - P(x)): a
regression to the nearest solution, well conditioned whatever the equation, where the plain mean
square of R is ruled by the finest wiggles.

The matrix is factorised in a band where rows are local and the band is narrow
(:mod:`piddm.numerics.normal_by_band`); else conjugate gradients do without a matrix
(:mod:`piddm.numerics.normal_by_gradients`), between walls with the inverse of what the equation
determines (:mod:`piddm.numerics.own_inverse`). Where held values leave one solution only, it is
solved for (:mod:`piddm.numerics.normal_by_solution`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.normal_choice import Algebra, normal_equations
from piddm.numerics.normal_equations import (
    FieldScale,
    Linearised,
    Solved,
    move_weights,
    slack_vector,
)
from piddm.residuals.norms import sample_errors
from piddm.residuals.residual import Fields, Residual
from piddm.residuals.wrappers import Part
from piddm.tools.devices import placed
from piddm.tools.errors import PiddmError, UsageError, nearest

VANISHED = 1e-12
"""Normalised residual, mean square, up to which fields satisfy the equation."""

SETTLED = 1e-5
"""Relative move of the nearest point from step to step at which it counts as found."""

TIGHT, MEASURED, LOOSE = 1e-5, 1e-2, 0.2
"""Relative error of an iterative solver's moves: of a projection's, whose steps correct the
last; of a distance, whose square is then right to 1e-4; and of a loss, whose gradient they are.

Measured on samples of a Kolmogorov flow: the cosine of the last with the exact move is 0.98, for a
seventh of the iterations that 1e-3 takes."""

UNFELT = 1e-5
"""Mean square of normalised hard rows, over the least slack, from which soft rows are left out:
what is still to be moved is far within what may stay of them, and their iterations are saved."""

TOGETHER = 1 << 21
"""Nodes of states whose factors, or derivatives, are kept together."""


class Projection:
    """Nearest solutions of a residual.

    Args:
        residual: The residual.
        field_scale: The norm in which "nearest" is meant: what a field's move is divided by.
        row_scale: Row scale by name: what makes rows of different units comparable.
        held: Field name to boolean ``(*grid.shape)``: values that must not move.
        slack: Row name to the variance of what may stay of its rows, ``(rows,)``, in the units of
            scaled moves: those are not constraints but measurements, see
            :mod:`piddm.numerics.normal_equations`.
        algebra: How its equations are solved; what suits the grid and the rows where left out.
        typical: A typical state, ``(1, *grid.shape)`` each: what is inverted once is the equation
            there. Of runs that must end with the same bits it is the same, whatever came first.

    Raises:
        UsageError: If nothing is left to move.
    """

    def __init__(
        self,
        residual: Residual,
        field_scale: FieldScale,
        row_scale: Mapping[str, float],
        held: Mapping[str, np.ndarray] | None = None,
        slack: Mapping[str, np.ndarray] | None = None,
        algebra: Algebra | None = None,
        typical: Fields | None = None,
    ) -> None:
        self.residual, self.row_scale = residual, dict(row_scale)
        names = residual.field_names
        if strange := [k for k in (*field_scale, *(held or {})) if k not in names]:
            raise UsageError(f"there is no field {strange[0]}{nearest(strange[0], names)}")
        if missing := [k for k in names if k not in field_scale]:
            raise UsageError(f"field_scale lacks {missing[0]}: what its moves are divided by")
        weights = move_weights(residual, field_scale, held or {})
        self._nodes, self._weights = math.prod(residual.grid.shape), torch.from_numpy(weights)
        self._rest: Projection | None = None
        if not residual.rows:  # every state is a solution, its own nearest one
            return
        soft = slack_vector(residual, slack or {})
        self._hard = torch.from_numpy(soft == 0)
        self.normal = normal_equations(residual, weights, self.row_scale, soft, algebra, typical)
        if slack:
            part = Part(residual, [k for k in residual.rows if k not in slack])
            self._rest = Projection(
                part, field_scale, row_scale, held, algebra=algebra, typical=typical
            )
            self._unfelt = UNFELT * float(soft[soft > 0].min())

    @torch.no_grad()
    def __call__(
        self,
        fields: Fields,
        steps: int = 20,
        tolerance: float = 1e-20,
        strict: bool = True,
        nearest: int = 4,
    ) -> dict[str, Tensor]:
        """Return the nearest fields with a residual of zero, in the precision of the given ones.

        Free params that are missing are fitted first, and returned beside the fields.

        Args:
            fields: ``(batch, *grid.shape)`` each, and params ``(batch,)``.
            steps: Gauss-Newton steps at the most.
            tolerance: Mean-square normalised residual of hard rows at which to stop.
            nearest: Steps in search of the nearest point at the most; what is left of the residual
                is then taken away by the shortest steps from there. Measured on a Darcy student, 4
                move a sample by 0.01 % more than the nearest point.
            strict: Raise where a residual stays, rather than return what was reached.

        Raises:
            PiddmError: If rows say the same, or, ``strict``, the residual does not vanish.
        """
        start = self.residual.fit(fields)
        if not self.residual.rows:
            return start
        x, moved, settled = start, torch.zeros(()), False
        guess: Tensor | None = None
        for k in range(steps):
            here = self.normal.at(x)
            rows = here.rows
            hard = placed(self._hard, rows)
            if settled:
                error = float((rows * hard).square().mean(1).max())
                if error <= tolerance:
                    break
                if self._rest is not None and error <= self._unfelt:
                    x = self._rest(x, steps - k, tolerance, strict, nearest=1)
                    break
            # While the foot still moves, step to it from the start; this gains a digit or so a
            # time. Once it has settled, only the rest is left, and each step squares that; soft
            # rows are then as they should be.
            from_start = k > 0 and not settled
            target = rows + here.push(moved) if from_start else rows * hard if settled else rows
            # Soft rows take many iterations, and the first steps only need the direction.
            last_try = settled or k + 1 >= nearest
            rough = 0.0 if last_try or self._rest is None else MEASURED ** (k + 1)
            guess = None if settled else guess
            step, change, guess = self._solve(here, target, max(TIGHT, rough), guess)
            last, moved = moved, step + moved if settled else step
            x = self._moved(start, moved) | {
                name: x[name] - change[:, k] for k, name in enumerate(self.residual.free_params)
            }
            if not settled:
                away = (moved - last).norm(dim=1) / moved.norm(dim=1).clamp_min(1e-30)
                settled = last_try or bool((away <= SETTLED).all() and rough <= TIGHT)
        if strict:
            self._check(x)
        return x

    def _check(self, x: Fields) -> None:
        """Refuse what is not on the set, by the rounding of the fields' precision."""
        error = self.error(x)
        precise = error.dtype == torch.float64
        if bool((error > (1e-12 if precise else 1e-4)).any()):
            raise PiddmError(
                f"no nearest solution of {', '.join(self.row_scale)} was found: sample "
                f"{int(error.argmax())} stays at a normalised residual of {float(error.max()):.1e};"
                " start nearer to the equation, or hold less"
            )

    def error(self, fields: Fields) -> Tensor:
        """Return the mean square of all rows, soft ones as zero, ``(batch,)``; no NaN."""
        if not self.residual.rows:
            return sample_errors(self.residual, fields, {})
        rows = self.vector(fields)
        return (rows * placed(self._hard, rows)).square().mean(1).nan_to_num(torch.inf)

    def vector(self, fields: Fields) -> Tensor:
        """Return all rows as ``(batch, rows)``, each divided by its equation's scale."""
        rows = self.residual(fields)
        return torch.cat([v.flatten(1) / self.row_scale[k] for k, v in rows.items()], dim=1)

    def distance(self, fields: Fields) -> Tensor:
        """Return the mean squared distance per value of the scaled fields, ``(batch,)``.

        To first order, see :meth:`correction`, and in float64.
        """
        exact = {k: v.double() for k, v in fields.items()}
        several = max(1, TOGETHER // self._nodes)
        parts = zip(*(v.split(several) for v in exact.values()), strict=True)
        moved = [self._first(dict(zip(exact, part, strict=True)), MEASURED) for part in parts]
        return torch.cat([v.square().mean(1) for v in moved])

    def correction(self, fields: Fields, tolerance: float = LOOSE) -> dict[str, Tensor]:
        """Return x - P(x) to first order, scaled, without gradient, in the given precision.

        That is one Gauss-Newton step, or two where there are free params to find: what least
        squares make of them on a rough field is not what the nearest solution has (differences of
        noise tell them that every term with a derivative is large).

        Args:
            fields: ``(batch, *grid.shape)`` each.
            tolerance: Relative error that will do where the solver is an iterative one.
        """
        moved = self._first(fields, tolerance)
        names, parts = self.residual.field_names, moved.split(self._nodes, dim=1)
        return {k: p.view_as(fields[k]) for k, p in zip(names, parts, strict=True)}

    @torch.no_grad()
    def _first(self, fields: Fields, tolerance: float) -> Tensor:
        """Return the scaled move to the nearest solution to first order, ``(batch, columns)``."""
        start = self.residual.fit(fields)
        if not self.residual.rows:
            first = start[self.residual.field_names[0]]
            return first.new_zeros(len(first), self._nodes * len(self.residual.field_names))
        here = self.normal.at(start)
        found = self._solve(here, here.rows, tolerance)
        if names := self.residual.free_params:
            params = {k: start[k] - found.params[:, i] for i, k in enumerate(names)}
            here = self.normal.at(self._moved(start, found.move) | params)
            target = here.rows + here.push(found.move)
            found = self._solve(here, target, tolerance, found.multipliers)
        return found.move

    def _solve(
        self, here: Linearised, target: Tensor, tolerance: float, start: Tensor | None = None
    ) -> Solved:
        try:
            return here.solve(target, tolerance, start)
        except (ArithmeticError, RuntimeError) as error:
            raise PiddmError(
                f"no nearest solution of {', '.join(self.row_scale)}: two of their rows say the "
                "same, or the fields are too far off; student.physics_norm=strong needs none"
            ) from error

    def _moved(self, start: Fields, moved: Tensor) -> dict[str, Tensor]:
        steps = (placed(self._weights, moved) * moved).split(self._nodes, dim=1)
        return dict(start) | {
            name: start[name] - step.view_as(start[name])
            for name, step in zip(self.residual.field_names, steps, strict=True)
        }
