r"""A preconditioner of a state's own: the inverse of the part of the field that is solved for.

Of an equation that determines one field u where the others are given, the normal equations are

.. math:: K = J_u W_u^2 J_u^T + \sum_{a \ne u} J_a W_a^2 J_a^T, \qquad
    M = \left(J_u W_u^2 J_u^T\right)^{-1} = J_u^{-T} W_u^{-2} J_u^{-1},

with :math:`J_u` square, and factorised once for each state. The eigenvalues of M K are
:math:`1 + \sigma^2`, with :math:`\sigma` the singular values of the sensitivity
:math:`W_u^{-1} J_u^{-1} J_a W_a` of the solution to its medium: a smoothing operator, of which few
count, so that conjugate gradients take few iterations on any grid. On n x n nodes the factors have
about :math:`n^2 \log n` entries, where the band of K has :math:`n^3`. Where the coefficients are
constant they have no factors, and all share one inverse by products of small matrices
(:mod:`piddm.numerics.algebra.separable`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np
import torch
from scipy.sparse import csc_matrix
from torch import Tensor

from piddm.numerics.algebra.factor import Factor
from piddm.numerics.interior import Unsuited
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.solution_moves import SolutionMoves
from piddm.residuals.residual import Fields, Residual
from piddm.tools.devices import placed

EXACT = 1e-6
"""What an inverse at a mean state may leave of a move of 1 at which it counts as every state's."""


class OwnInverse:
    """Makes such preconditioners.

    Args:
        residual: The residual.
        weights: W, see :func:`~piddm.numerics.normal_equations.move_weights`.
        row_scale: Row scale by name.

    Raises:
        Unsuited: If no field has as many free values as there are rows, or rows are not local.
    """

    def __init__(
        self, residual: Residual, weights: np.ndarray, row_scale: Mapping[str, float]
    ) -> None:
        self._row_scale = row_scale
        self._residual, self._tried = residual, False
        self._moves: SolutionMoves | None = None
        local = not any(r.integral or r.dense for r in residual.rows.values())
        count = sum(len(r.nodes) for r in residual.rows.values())
        parts = np.split(weights, len(residual.field_names))
        fit = [i for i, part in enumerate(parts) if (part > 0).all() and len(part) == count]
        if residual.free_params or not local or not fit:
            raise Unsuited("no field of which the equation determines every value")
        self._name = residual.field_names[fit[-1]]
        self._weights = parts[fit[-1]]
        self._jacobian = Jacobian(residual, (self._name,))
        at = np.asarray(
            np.ravel_multi_index(tuple(self._jacobian.row_nodes.T), residual.grid.shape)
        )
        order = np.argsort(at, kind="stable")
        self._paired = order if np.array_equal(at[order], np.arange(count)) else None

    def __call__(self, fields: Fields) -> Callable[[Tensor], Tensor]:
        """Return M of states, which maps rows ``(batch, rows)`` each by its state's own.

        Raises:
            ArithmeticError: If a state's matrix is singular.
        """
        if (constant := self._constant(fields)) is not None:
            return constant
        exact = {k: v.detach().double().cpu() for k, v in fields.items()}
        with torch.no_grad():
            _, values = self._jacobian.values(exact, self._row_scale)
        place = self._jacobian.row, self._jacobian.column
        size = self._jacobian.rows, self._jacobian.columns
        factors = [Factor(csc_matrix((own, place), size), self._paired)
                   for own in values.mT.contiguous().numpy()]  # fmt: skip
        squares = self._weights[:, None] ** 2

        def apply(rows: Tensor) -> Tensor:
            found = [
                factor.adjoint(factor.solve(own[:, None]) / squares)[:, 0]
                for factor, own in zip(factors, rows.double().cpu().numpy(), strict=True)
            ]
            return torch.from_numpy(np.stack(found)).to(rows)

        return apply

    def _constant(self, fields: Fields) -> Callable[[Tensor], Tensor] | None:
        """Return M where all states have one matrix, whose inverse is a product of small ones."""
        if not self._tried:
            self._tried, shape = True, self._residual.grid.shape
            every = np.ones(shape, dtype=bool)
            held = {k: every for k in self._residual.field_names if k != self._name}
            mean = {k: v.detach().double().mean(0, keepdim=True) for k, v in fields.items()}
            with suppress(Unsuited):
                moves = SolutionMoves(self._residual, self._row_scale, held, (), mean)
                first = {k: v[:1].detach().double() for k, v in fields.items()}
                draw = torch.Generator().manual_seed(0)
                move = torch.randn((1, *shape), generator=draw).to(mean[self._name])
                here = moves.at(first)
                left = here.mean_inverse(here.push(move)) - move
                self._moves = moves if float(left.abs().max()) < EXACT else None
        if self._moves is None:
            return None
        here = self._moves.at(fields)
        shape = self._residual.grid.shape
        return lambda rows: here.mean_adjoint(
            here.mean_inverse(rows) / placed(self._weights, rows).square().view(shape)
        )
