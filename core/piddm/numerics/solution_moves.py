r"""The solution moves, its inputs stay: an inexact Newton step with a constant-coefficient inverse.

With :math:`J_u` the derivative by the unknown values of one field u,

.. math:: J_u\,\delta_u = R(a, u),

by generalised minimal residuals. The preconditioner is the inverse :math:`A_0^{-1}` at a state that
is constant in space, by products of small matrices (:mod:`piddm.numerics.algebra.separable`), of
rows that are divided by their own coefficient,

.. math:: P = A_0^{-1} D^{-1}, \qquad
    D_i = \frac{\partial R_i/\partial u_i}{\left(\partial R_i/\partial u_i\right)_0}.

Of a flux in a medium a, which is :math:`a\,\Delta u + \nabla a\cdot\nabla u`, that leaves
:math:`\Delta u + \nabla \log a\cdot\nabla u`. Measured on closed boxes with log-normal media, whose
coefficients differ by a factor of 60: 10 iterations instead of 40.

Where the equation leaves the mean open and a free param closes the balance, an integral and the
param stand in a border around the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from piddm.numerics.algebra.line_recursion import LineRecursion
from piddm.numerics.algebra.separable import SeparableInverse
from piddm.numerics.interior import Interior, Unsuited
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.moves import Derivatives, Moves
from piddm.numerics.own_derivative import own_colours, own_derivative
from piddm.numerics.solution_linear import SolutionLinearisation
from piddm.residuals.residual import Fields, Residual
from piddm.tools.devices import placed

EXACT, OTHER = 1e-8, 1.7
"""Rest over the right side at which an inverse counts as exact, and the params, over those of a
typical state, at which that is tried."""

LEAST = 0.05
"""Least coefficient of a row over the mean one: where a medium is not positive, nothing helps."""


class SolutionMoves(Moves):
    """Moves of the one field that is solved for.

    Args:
        residual: The residual.
        row_scale: Scale by name of row.
        fixed: Field name to boolean ``(*grid.shape)``: inputs.
        params: Free params that are inputs too; the others are unknown.
        mean: A typical state, fields ``(1, *grid.shape)`` and params ``(1,)``: its averages over
            space are what the preconditioner is made at.

    Attributes:
        name, params: The unknown field and params.
        interior: Its unknown nodes.

    Raises:
        Unsuited: If the equation has another structure.
    """

    iterations, cheap = 8, True

    def __init__(
        self,
        residual: Residual,
        row_scale: Mapping[str, float],
        fixed: Mapping[str, np.ndarray],
        params: tuple[str, ...],
        mean: Fields,
    ) -> None:
        self.residual, self.row_scale, grid = residual, dict(row_scale), residual.grid
        unknown = [k for k in residual.field_names if k not in fixed or not fixed[k].all()]
        if len(unknown) != 1 or len(grid.shape) != 2:
            raise Unsuited("not one unknown field on two axes")
        if any(r.dense for r in residual.rows.values()):
            raise Unsuited("rows that touch every node")
        (self.name,) = unknown
        self.params = tuple(k for k in residual.free_params if k not in params)
        state = _flattened(residual, mean)
        free = ~np.broadcast_to(fixed.get(self.name, False), grid.shape).ravel()
        self.interior = self._interior(state, free)
        periodic = grid.periodic[1] and self.interior.shape[1] == grid.shape[1]
        matrix = coo_array(self.interior.reduced)
        try:
            self._inverse = SeparableInverse(matrix, self.interior.shape, periodic)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise Unsuited(str(error)) from error
        self._border = None
        if self.params:
            column, row = self.interior.columns[:, 0], self.interior.sums[0]
            self._border = torch.from_numpy(column), torch.from_numpy(row)
        if not self.params and self._inverse.null is not None:
            raise Unsuited("a singular matrix")
        self._colours = own_colours(residual, self.name)
        if self._colours is not None:
            self._own = self.own(self._derivatives(state))
            draw = torch.Generator().manual_seed(0)
            other = {k: v + torch.randn(v.shape, generator=draw).to(v) for k, v in state.items()}
            if torch.allclose(self.own(self._derivatives(other)), self._own, rtol=1e-9):
                self._colours = None  # a constant coefficient: there is nothing to divide by
        self._lines = self._recursion(state, params)

    def _interior(self, state: Fields, free: np.ndarray) -> Interior:
        residual = self.residual
        jacobian = Jacobian(residual, (self.name,), self.params)
        _, found = jacobian.values(state, self.row_scale)
        moving = np.append(free, np.ones(len(self.params), dtype=bool))
        active = np.isin(np.arange(jacobian.rows), jacobian.row[moving[jacobian.column]])
        matrix = csr_array(
            (found[:, 0].cpu().numpy(), (jacobian.row, jacobian.column)),
            shape=(jacobian.rows, jacobian.columns),
        )
        boundary = np.repeat(
            [r.boundary for r in residual.rows.values()],
            [len(r.nodes) for r in residual.rows.values()],
        )
        at = np.asarray(np.ravel_multi_index(tuple(jacobian.row_nodes.T), residual.grid.shape))
        inner = np.flatnonzero(active & jacobian.local & ~boundary)
        inner = inner[np.argsort(at[inner], kind="stable")]
        rim = np.flatnonzero(active & jacobian.local & boundary)
        integrals = np.flatnonzero(active & ~jacobian.local)
        own = np.concatenate([at[inner], at[rim]])
        if not len(inner) or not np.array_equal(np.sort(own), np.flatnonzero(free)):
            raise Unsuited("no row of its own for each unknown")
        if len(integrals) != len(self.params) or len(self.params) > 1:
            raise Unsuited("more than one unknown param, or no integral for it")
        return Interior(matrix, residual.grid, inner, rim, integrals, at)

    def _recursion(self, state: Fields, params: tuple[str, ...]) -> LineRecursion | None:
        """Return what inverts at each state's own params, where that is exact."""
        if not params or self.params:
            return None
        try:
            lines = LineRecursion(self._inverse)
        except ValueError:
            return None
        draw = torch.Generator().manual_seed(0)
        other = {k: v + torch.randn(v.shape, generator=draw).to(v) for k, v in state.items()}
        here = self._by(lines, self._derivatives(other | {k: OTHER * state[k] for k in params}))
        rows = torch.randn(1, self.interior.reduced.shape[0], generator=draw).to(here.rows)
        left = here.product(here.inverse(rows, False)) - rows
        return lines if float(left.norm() / rows.norm()) < EXACT else None

    def _by(self, lines: LineRecursion, by: Derivatives) -> SolutionLinearisation:
        """Linearise where times follow from the ones before."""
        inner = self.interior
        inverse = lines.at(lambda v: inner.pick(by.push({self.name: inner.spread(v)})), by.rows)
        return SolutionLinearisation(self.name, self.params, inner, by, inverse.solve)

    def _derivatives(self, fields: Fields) -> Derivatives:
        residual = self.residual
        names = (*residual.field_names, *residual.free_params)
        return Derivatives(residual, self.row_scale, fields, names, backwards=False)

    def own(self, by: Derivatives) -> Tensor:
        """Return the derivative of each inner row by its own node, ``(batch, inner nodes)``."""
        inner = self.interior
        colours = self._colours
        assert colours is not None
        return own_derivative(
            lambda v: inner.pick(by.push({self.name: v}))[:, : inner.reduced.shape[0]],
            inner.inner,
            placed(colours, by.rows), len(by.rows),
        )  # fmt: skip

    def at(self, fields: Fields) -> SolutionLinearisation:
        """Linearise at fields ``(batch, *grid.shape)`` and params ``(batch,)``."""
        by, scale = self._derivatives(fields), None
        if self._lines is not None:
            return self._by(self._lines, by)
        if self._colours is not None:
            scale = 1 / (self.own(by) / placed(self._own, by.rows)).abs().clamp_min(LEAST)
        return SolutionLinearisation(
            self.name, self.params, self.interior, by,
            lambda rows, transposed: self.solve_mean(rows, scale, transposed),
        )  # fmt: skip

    def solve_mean(self, rows: Tensor, scale: Tensor | None, transposed: bool = False) -> Tensor:
        """Return P times ``(batch, inner rows and integrals)``, or its transpose times that.

        Args:
            rows: The right sides.
            scale: 1/D, ``(batch, inner rows)``; ones where None.
            transposed: Whether to apply the transpose.
        """
        count = self.interior.reduced.shape[0]
        own, beside = rows[:, :count], rows[:, count:]
        if scale is not None and not transposed:
            own = own * scale
        if self._border is None:
            own = self._inverse.solve(own, transposed)
        else:
            column, row = (placed(v, rows)[None] for v in self._border)
            column = column if scale is None else column * scale
            column, row = (row, column) if transposed else (column, row)
            own, beside = self._bordered(own, beside, column, row, transposed)
        if scale is not None and transposed:
            own = own * scale
        return own if self._border is None else torch.cat([own, beside], dim=1)

    def _bordered(
        self, own: Tensor, beside: Tensor, column: Tensor, row: Tensor, transposed: bool
    ) -> tuple[Tensor, Tensor]:
        """Solve with the mean matrix, a column and a row around it."""
        solve, null = self._inverse.solve, self._inverse.null
        if null is None:
            across, first = solve(column, transposed), solve(own, transposed)
            last = (_dot(first, row) - beside) / _dot(across, row)
            return first - last * across, last
        right, left = (placed(v, own)[None] for v in (reversed(null) if transposed else null))
        last = _dot(own, left) / _dot(column, left)
        first = solve(own - last * column, transposed)
        return first + (beside - _dot(first, row)) / _dot(right, row) * right, last


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum(1, keepdim=True)


def _flattened(residual: Residual, mean: Fields) -> dict[str, Tensor]:
    """Return a state averaged over space: over all axes but a first one that is time."""
    timed = next(iter(residual.grid.axes.values())).time
    axes = list(range(1 + timed, 1 + len(residual.grid.shape)))
    return {
        k: v.double().mean(axes, keepdim=True).expand_as(v).contiguous()
        if k in residual.field_names else v.double()
        for k, v in mean.items()
    }  # fmt: skip
