r"""Ways from a state towards the set where a residual vanishes, and their derivative.

A :class:`Moves` says which values move and solves the linear equations of one Newton step,

.. math:: J\,\delta = R(x),

approximately, for a whole batch: for the shortest move of all values
(:mod:`piddm.numerics.nearest_moves`), or for the solution with its inputs fixed
(:mod:`piddm.numerics.solution_moves`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from piddm.residuals.residual import Fields, Residual

Move = Literal["nearest", "solution"]
"""Which values move: all, or the solution only."""


class Linearisation(ABC):
    """A residual's linear part at some states.

    Attributes:
        rows: The residual there, scaled, ``(batch, rows)``.
    """

    rows: Tensor

    @abstractmethod
    def solve(
        self, target: Tensor, iterations: int, enough: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return what to subtract from fields and params so that ``target`` goes.

        Args:
            target: Scaled rows, ``(batch, rows)``.
            iterations: How many products with the matrix, at most.
            enough: Length of the rows that may be left, over theirs, ``(batch,)``; none where None.
        """

    @abstractmethod
    def pull_back(self, gradients: Fields, iterations: int) -> dict[str, Tensor]:
        """Return gradients by a state from gradients by the corrected state that it leads to.

        By the implicit function theorem, at this state taken as the corrected one: a solve with
        the transposed equations.

        Args:
            gradients: By name, zero where one is missing.
            iterations: As in :meth:`solve`.
        """


class Moves(ABC):
    """A choice of values that move.

    Attributes:
        iterations: Products with the matrix that one Newton step is worth.
        cheap: Whether a step costs less than a network call, by how it is made.
        shifts: By how much each input is shifted for a change of 1 of the rows' mean; empty where
            inputs stay.
    """

    iterations: int
    cheap: bool
    shifts: Mapping[str, Tensor] = MappingProxyType({})

    @abstractmethod
    def at(self, fields: Fields) -> Linearisation:
        """Linearise at fields ``(batch, *grid.shape)`` and params ``(batch,)``."""


class Derivatives:
    """The derivative of scaled rows at some states, along directions and backwards.

    Args:
        residual: The residual.
        row_scale: Scale by name of row.
        fields: The states.
        by: Names of the fields and params to differentiate by.
        backwards: Whether backwards is sure to be asked for: at once is then cheaper.

    Attributes:
        rows: The scaled rows, ``(batch, rows)``.
    """

    def __init__(
        self, residual: Residual, row_scale: Mapping[str, float], fields: Fields,
        by: tuple[str, ...], backwards: bool = True,
    ) -> None:  # fmt: skip
        self._residual, self._scale, self._by = residual, row_scale, by
        self.fields = {k: v.detach() for k, v in fields.items()}
        self._graph = self._recorded() if backwards else None
        with torch.no_grad():
            self.rows = self._graph[1].detach() if self._graph else (
                self._flat(residual(self.fields), 1)
            )  # fmt: skip

    def _recorded(self) -> tuple[dict[str, Tensor], Tensor]:
        """Return what is differentiated by, and the rows with their graph."""
        with torch.inference_mode(False), torch.enable_grad():
            leaves = {k: self.fields[k].clone().requires_grad_() for k in self._by}
            others = {k: v.clone() for k, v in self.fields.items() if k not in self._by}
            return leaves, self._flat(self._residual({**others, **leaves}), 1)

    def push(self, directions: Fields) -> Tensor:
        """Return the change of the rows along a direction, ``(batch, rows)``."""
        several = {k: v[None] for k, v in directions.items()}
        return self._flat(self._residual.tangent(self.fields, several)[1], 2)[0]

    def pull(self, multipliers: Tensor) -> dict[str, Tensor]:
        """Return the transposed product with ``(batch, rows)``, by name."""
        if self._graph is None:
            self._graph = self._recorded()
        leaves, rows = self._graph
        found = torch.autograd.grad(
            rows, list(leaves.values()), multipliers,
            retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return dict(zip(leaves, found, strict=True))

    def _flat(self, rows: Mapping[str, Tensor], lead: int) -> Tensor:
        parts = [v.flatten(lead) / self._scale[k] for k, v in rows.items()]
        return torch.cat(parts, dim=lead) if len(parts) > 1 else parts[0]


def default_move(inputs: Mapping[str, np.ndarray], params: tuple[str, ...] = ()) -> Move:
    """Return what suits an equation, by the kind of its inputs.

    From an initial state all values move: a sample is then hardly changed, and the mean state tells
    the way, which it does not tell a march from the given state far enough. Where a whole field is
    an input, such as a medium, or a param, the solution moves alone: that converges where a medium
    jumps, and takes half the time. Measured on students of 32 x 32, samples that converged and
    energy distance, nearest / solution: Darcy 277 / 512 of 512, 6.3e-3 / 6.0e-3 (before 6.0e-3);
    Allen-Cahn 512 / 114; Poisson and Burgers all, and alike.

    Args:
        inputs: Where values are inputs.
        params: Free params that are inputs.
    """
    whole = any(at.all() for at in inputs.values())
    return "solution" if whole or params else "nearest"
