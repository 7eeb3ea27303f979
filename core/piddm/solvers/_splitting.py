r"""The linear system of an equation for what its inputs leave open.

.. math:: J_u\,\delta u = -J_a\,\delta a,

J_u being square: rows that say something of the unknowns, which are all nodes that are no input,
free params that have no law, and a multiplier for each integral that the equations imply already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, hstack

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.algebra.factor import Factor
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.marching import Given
from piddm.numerics.multipliers import multipliers
from piddm.residuals.residual import Residual
from piddm.symbolic.operators import Param, Slice
from piddm.tools.errors import PiddmError, UsageError

LARGEST = 20_000_000
"""Unknowns times those of a line across the longest axis: numbers that a factor may have."""


def too_large(residual: Residual) -> bool:
    """Return whether a domain has too many unknowns to be factorised as a whole."""
    shape = residual.grid.shape
    nodes = len(residual.field_names) * math.prod(shape)
    return nodes * math.prod(shape) // max(shape) > LARGEST * len(residual.field_names)


class Splitting:
    """Which columns of a Jacobian are inputs, which are unknown, and which rows determine these.

    Args:
        pde: The equation.
        jacobian: The Jacobian of its residual by every field, unknown inputs and free params.
        given: The inputs.
        solver: Name of the solver that asks, for messages.

    Attributes:
        given: Columns of the inputs, in their order.
        unknown: Columns of the unknowns.

    Raises:
        UsageError: If rows and unknowns are not as many, or too many to factorise.
    """

    def __init__(self, pde: PDE, jacobian: Jacobian, given: Sequence[Given], solver: str) -> None:
        grid = jacobian.residual.grid
        self._jacobian, self._name = jacobian, pde.name
        self.given = np.concatenate([_columns(pde, grid, jacobian, g) for g in given])
        wanted = np.ones(jacobian.columns, dtype=bool)
        wanted[self.given] = False
        entry = wanted[jacobian.column]
        self._rows = np.unique(jacobian.row[entry])
        self.unknown = np.unique(jacobian.column[entry])
        if len(self.unknown) * jacobian.nodes // max(grid.shape) > LARGEST:
            raise UsageError(
                f"{pde.name}: {solver} factorises the whole domain, here {len(self.unknown)} "
                f"unknowns on {' x '.join(map(str, grid.shape))}: too many; take a smaller grid or "
                "the solver ensemble-kalman, which solves step by step"
            )
        active = np.isin(np.arange(jacobian.rows), self._rows)
        self._extra = multipliers(jacobian, active, len(self.unknown))
        if len(self._rows) != len(self.unknown) + self._extra[3]:
            raise UsageError(
                f"{pde.name}: {solver} cannot differentiate {len(self._rows)} rows by "
                f"{len(self.unknown)} unknowns; choose another solver, such as ensemble-kalman"
            )
        self._paired = self._pairs()

    def _pairs(self) -> np.ndarray | None:
        """Return, for each unknown, a row at its node, where every one has a row of its own."""
        jacobian, grid = self._jacobian, self._jacobian.residual.grid
        if self._extra[3] or len(np.unique(self.unknown // jacobian.nodes)) != 1:
            return None
        at = np.asarray(np.ravel_multi_index(tuple(jacobian.row_nodes[self._rows].T), grid.shape))
        order = np.argsort(at, kind="stable")
        return order if np.array_equal(at[order], self.unknown % jacobian.nodes) else None

    def matrices(self, entries: np.ndarray) -> tuple[csc_matrix, csr_matrix]:
        """Return J by the unknowns and their multipliers, square, and J by the inputs.

        Args:
            entries: Values of the Jacobian at one state, ``(nonzeros,)``.
        """
        jacobian = self._jacobian
        shape = (jacobian.rows, jacobian.columns)
        whole = csr_matrix((entries, (jacobian.row, jacobian.column)), shape)
        square = whole[self._rows][:, self.unknown]
        row, column, weight, count = self._extra
        if count:
            place = np.searchsorted(self._rows, row)
            beside = csr_matrix((weight, (place, column)), (len(self._rows), count))
            square = hstack([square, beside])
        return csc_matrix(square), csr_matrix(whole[self._rows][:, self.given])

    def rows_of(self, values: np.ndarray) -> np.ndarray:
        """Return the system's rows of all rows ``(batch, rows)``."""
        return values[:, self._rows]

    def factor(self, square: csc_matrix) -> Factor:
        """Factorise the square matrix.

        Raises:
            PiddmError: If it is singular.
        """
        try:
            return Factor(square, self._paired)
        except ArithmeticError as error:
            raise PiddmError(
                f"{self._name}: the equation is singular at a solution: its inputs do not "
                "determine the rest"
            ) from error

    def with_multipliers(self, sides: np.ndarray) -> np.ndarray:
        """Return right sides of the adjoint ``(unknowns, count)`` with zeros for multipliers."""
        return np.pad(sides, ((0, self._extra[3]), (0, 0)))


def _columns(pde: PDE, grid: Grid, jacobian: Jacobian, given: Given) -> np.ndarray:
    """Return the Jacobian's columns of an input's values, in their order."""
    if isinstance(given, Param):
        start = jacobian.nodes * len(jacobian.fields)
        return np.array([start + jacobian.params.index(given.name)])
    name = given.field.name if isinstance(given, Slice) else given.name
    start = jacobian.nodes * jacobian.fields.index(name)
    node = start + np.arange(math.prod(grid.shape)).reshape(grid.shape)
    if isinstance(given, Slice):
        dim, at = pde.slice_index(given, grid)
        node = np.take(node, at, axis=dim)
    return node.ravel()
