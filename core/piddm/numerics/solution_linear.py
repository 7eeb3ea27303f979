"""The linear equations of a field that is solved for, at some states.

What :mod:`piddm.numerics.solution_moves` iterates with, and the nearest solution where nothing but
that field moves (:mod:`piddm.numerics.normal_by_solution`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from piddm.numerics.algebra.minimal_residual import minimal_error, minimal_residual
from piddm.numerics.interior import Interior
from piddm.numerics.moves import Derivatives, Linearisation
from piddm.residuals.residual import Fields


class SolutionLinearisation(Linearisation):
    """The linear part at some states; see :class:`~piddm.numerics.moves.Linearisation`.

    Args:
        name, params: The unknown field and params.
        interior: Its unknown nodes.
        by: Derivatives at the states.
        inverse: Applies P to ``(batch, inner rows and integrals)``, or its transpose.

    Attributes:
        inverse: The same.
    """

    def __init__(
        self, name: str, params: tuple[str, ...], interior: Interior, by: Derivatives,
        inverse: Callable[[Tensor, bool], Tensor],
    ) -> None:  # fmt: skip
        self._name, self._params, self._interior, self._by = name, params, interior, by
        self.inverse = inverse
        self.rows = by.rows

    def solve(
        self, target: Tensor, iterations: int, enough: Tensor | None = None
    ) -> dict[str, Tensor]:
        """See :meth:`piddm.numerics.moves.Linearisation.solve`."""
        name, interior, rest, first = self._name, self._interior, target, None
        if interior.conditions:
            first = interior.by_conditions(target)
            rest = target - self._by.push({name: first})
        solved = minimal_residual(
            self.product, lambda v: self.inverse(v, False),
            interior.pick(rest), iterations, enough,
        )  # fmt: skip
        inner, params = self._split(solved)
        move = interior.spread(inner)
        return {name: move if first is None else move + first} | params

    def solve_field(
        self, target: Tensor, iterations: int, tolerance: float
    ) -> tuple[Tensor, Tensor]:
        """Return the field's move ``(batch, *grid.shape)`` and its relative error, ``(batch,)``.

        Other than of :meth:`solve`, it is the error of the move itself that is made small.

        Args:
            target: Scaled rows, ``(batch, rows)``.
            iterations: How many products with the matrix, at most.
            tolerance: Relative error that will do, looked at on a processor.
        """
        interior, first, rest = self._interior, None, target
        if interior.conditions:
            first = interior.by_conditions(target)
            rest = target - self.push(first)
        enough = target.new_full((len(target),), tolerance)
        inner, left = minimal_error(
            self.product, lambda v: self.inverse(v, False),
            interior.pick(rest), iterations, enough,
        )  # fmt: skip
        move = interior.spread(inner)
        return (move if first is None else move + first), left

    def push(self, move: Tensor) -> Tensor:
        """Return the rows' change along a move of the field ``(batch, *grid.shape)``."""
        return self._by.push({self._name: move})

    def pull(self, multipliers: Tensor) -> Tensor:
        """Return the transposed product with ``(batch, rows)``, ``(batch, *grid.shape)``."""
        return self._by.pull(multipliers)[self._name]

    def mean_inverse(self, rows: Tensor) -> Tensor:
        """Return about the field's move that takes rows away: no iterations, one product with P."""
        interior, first = self._interior, None
        if interior.conditions:
            first = interior.by_conditions(rows)
            rows = rows - self.push(first)
        move = interior.spread(self.inverse(interior.pick(rows), False))
        return move if first is None else move + first

    def mean_adjoint(self, gradient: Tensor) -> Tensor:
        """Apply the transpose of :meth:`mean_inverse` to ``(batch, *grid.shape)``."""
        interior = self._interior
        solved = self.inverse(interior.gather(gradient), True)
        multipliers = interior.place(solved)
        if interior.conditions:
            left = gradient - self.pull(multipliers)
            multipliers = multipliers + interior.from_conditions(left)
        return multipliers

    def pull_back(self, gradients: Fields, iterations: int) -> dict[str, Tensor]:
        """See :meth:`piddm.numerics.moves.Linearisation.pull_back`."""
        interior, given = self._interior, gradients[self._name]
        none = given.new_zeros(len(given))
        own = [interior.gather(given), *(gradients.get(k, none)[:, None] for k in self._params)]
        solved = minimal_residual(
            self._transposed, lambda v: self.inverse(v, True),
            torch.cat(own, dim=1), iterations,
        )  # fmt: skip
        multipliers = interior.place(solved)
        if interior.conditions:
            # The rest of the gradient there goes to the conditions' nodes.
            pulled = self._by.pull(multipliers)[self._name]
            multipliers = multipliers + interior.from_conditions(given - pulled)
        found = self._by.pull(multipliers)
        # What is solved for does not depend on what it was.
        return (
            {k: gradients[k] - v if k in gradients else -v for k, v in found.items()}
            | {k: none for k in self._params}
            | {self._name: interior.without(given - found[self._name])}
        )

    def _split(self, solved: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        params = self._params
        inner = solved[:, : solved.shape[1] - len(params)]
        return inner, {k: solved[:, inner.shape[1] + i] for i, k in enumerate(params)}

    def product(self, solved: Tensor) -> Tensor:
        """Return the rows' change by ``(batch, inner nodes and params)``."""
        inner, params = self._split(solved)
        move = {self._name: self._interior.spread(inner)}
        return self._interior.pick(self._by.push(move | params))

    def _transposed(self, multipliers: Tensor) -> Tensor:
        found = self._by.pull(self._interior.place(multipliers))
        inner = self._interior.gather(found[self._name])
        return torch.cat([inner, *(found[k][:, None] for k in self._params)], dim=1)
