r"""Fields that data lack and an equation gives in closed form: an unknown source, a flux, a load.

In an equation that is linear in a field f without differentiating it,

.. math:: R(u, f) = R(u, 0) + A(u)\,f = 0,

the data u say what f is. Where each row touches one value of f, that is a division. A step in time
touches two, and nodes without a row, such as those of a wall, none: of all f that satisfy the rows,
by least squares where equations say more, such as that f is steady, the smoothest one is taken,

.. math:: \min_f \|S f\|^2 \quad\text{among the minima of}\quad \|A f + R(u, 0)\|^2,

S being the third differences along each axis: to the order of the scheme that is f, where f is
smooth. It is found by iterated Tikhonov regularisation, which converges to this f (Engl, Hanke and
Neubauer, Regularization of Inverse Problems, 1996, section 5.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sparse
import sympy
import torch
from scipy.sparse.linalg import splu
from sympy import Symbol
from torch import Tensor

from piddm.equation import PDE
from piddm.numerics.jacobian import Jacobian
from piddm.residuals.wrappers import Part
from piddm.symbolic.operators import D, Field, strict
from piddm.symbolic.spherical import SphereOperator
from piddm.tools.errors import PiddmError, UsageError

WEIGHT, ROUNDS = 1e-8, 5
"""Of smoothness in each round of the regularisation, over that of the rows, and rounds."""

SMOOTH = 3
"""Differences that are small where a field is smooth."""

MOST = 100_000
"""Nodes up to which such a system is factorised."""

ZERO = 1e-12
"""Coefficient over the largest one below which a row says nothing of a field."""


def recoverable(pde: PDE) -> tuple[str, ...]:
    """Return the fields that an equation gives in closed form where data have all others.

    It is linear in them, and differentiates them in no equation that has other fields.
    """
    if pde.residual is not None:
        return ()
    return tuple(f.name for f in pde.fields if _giving(pde, f) and _plain(pde, f))


def giving(pde: PDE, name: str) -> tuple[str, ...]:
    """Return the names of the equations that give a field."""
    (field,) = (f for f in pde.fields if f.name == name)
    return tuple(_giving(pde, field))


def _giving(pde: PDE, field: Field) -> list[str]:
    found = []
    for name, expression in pde.equations.items():
        own = strict(expression)
        others = {s for s in own.free_symbols if isinstance(s, Field)} - {field}
        if field in own.free_symbols and others and not _differentiated(own, field):
            rate, own_stand_in, _ = _rate(own, field)
            if rate != 0 and own_stand_in not in rate.free_symbols:
                found.append(name)
    return found


def _rate(expression: sympy.Expr, field: Field) -> tuple[sympy.Expr, Symbol, set[Symbol]]:
    """Return what multiplies a field, the symbol that stands for it there, those for the others.

    Symbols stand for derivatives, fields and params, which refuse to be differentiated by sympy.
    """
    parts = {*expression.atoms(D, SphereOperator), *expression.free_symbols}
    symbols = {part: sympy.Dummy() for part in parts}
    others = {symbols[p] for p in parts - {field}
              if any(isinstance(s, Field) for s in p.free_symbols)}  # fmt: skip
    own = symbols[field]
    rate = sympy.diff(expression.xreplace(symbols), own)
    return rate, own, others  # pyright: ignore


def _differentiated(expression: object, field: Field) -> bool:
    operators = strict(expression).atoms(D, SphereOperator)
    return any(field in operator.free_symbols for operator in operators)


def _plain(pde: PDE, field: Field) -> bool:
    """Return whether all other equations that have a field are about it alone: it is steady."""
    given = _giving(pde, field)
    others = [strict(e) for k, e in pde.equations.items() if k not in given]
    return all(
        {s for s in own.free_symbols if isinstance(s, Field)} == {field}
        for own in others if field in own.free_symbols
    )  # fmt: skip


class Recovery:
    """Finds fields that samples lack.

    Args:
        pde: The equation, placed on the grid of the samples.
        missing: The fields.

    Attributes:
        rows: By field, the names of the equations that give it.

    Raises:
        UsageError: If the equations do not give them, or not apart.
    """

    def __init__(self, pde: PDE, missing: Sequence[str]) -> None:
        self.rows = {name: giving(pde, name) for name in missing}
        able = recoverable(pde)
        for name in missing:
            if name not in able:
                raise UsageError(f"{pde.name}: the data must have {name}: no equation is linear in "
                                 "it without differentiating it")  # fmt: skip
            own = [set(rows) for k, rows in self.rows.items() if k != name]
            if any(own_rows & set(self.rows[name]) for own_rows in own):
                raise UsageError(f"{pde.name}: one equation cannot tell {' and '.join(missing)} "
                                 "apart; bring all but one")  # fmt: skip
        residual = pde.bind(pde.grid)
        about = [k for k, r in residual.rows.items() if r.fields & set(missing)]
        self._missing, self._residual = tuple(missing), Part(residual, about)
        self._free = {p for k in about for p in residual.rows[k].params} & {*residual.free_params}
        self._jacobian = Jacobian(self._residual, self._missing)
        rates = [_rate(strict(pde.equations[k]), f) for f in pde.fields if f.name in missing
                 for k in self.rows[f.name]]  # fmt: skip
        self._same = not any(rate.free_symbols & others for rate, _, others in rates) and (
            not self._free
        )
        self._solve: _Solve | None = None

    @torch.no_grad()
    def __call__(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the missing fields of samples, float64.

        Raises:
            UsageError: If the equation has an unknown param beside them.
            PiddmError: If the rows say nothing of some values.
        """
        if unknown := sorted(self._free - fields.keys()):
            raise UsageError(
                f"{', '.join(self._missing)} and the param {unknown[0]} are both unknown, and one "
                "equation cannot tell them apart; give one of them"
            )
        first = next(v for v in fields.values() if v.ndim > 1)
        known = {k: v.double() for k, v in fields.items()}
        zero = torch.zeros(first.shape, dtype=torch.float64)
        known |= dict.fromkeys(self._missing, zero)
        rows, values = self._jacobian.values(known)
        found = []
        for i, row in enumerate(rows.numpy()):
            if self._solve is None or not self._same:
                self._solve = _Solve(self._jacobian, values[:, i].numpy())
            found.append(self._solve(-row))
        parts = np.stack(found).reshape(len(found), len(self._missing), *first.shape[1:])
        return {k: torch.from_numpy(parts[:, i].copy()) for i, k in enumerate(self._missing)}


class _Solve:
    """The smoothest solution of A f = b, by least squares."""

    def __init__(self, jacobian: Jacobian, values: np.ndarray) -> None:
        shape = jacobian.rows, jacobian.columns
        self._columns = jacobian.columns
        matrix = sparse.csr_matrix((values, (jacobian.row, jacobian.column)), shape)
        matrix.data[abs(matrix.data) < ZERO * abs(matrix.data).max(initial=0.0)] = 0.0
        matrix.eliminate_zeros()
        self._size = 1 / np.sqrt(
            np.maximum(np.asarray(matrix.multiply(matrix).sum(1)), 1e-300)
        ).reshape(-1)
        self._matrix = sparse.csr_matrix(sparse.diags(self._size) @ matrix)
        entries, there = np.diff(self._matrix.indptr), np.diff(self._matrix.tocsc().indptr)
        self._divides = bool((entries == 1).all() and (there == 1).all())
        if self._divides:
            return
        if jacobian.columns > MOST:
            raise UsageError(
                f"{jacobian.columns} unknown values of {', '.join(jacobian.fields)} are more than "
                f"{MOST}; take fewer nodes (every, in the map)"
            )
        grid = jacobian.residual.grid
        periodic = grid.periodic
        one = sparse.csr_matrix((jacobian.nodes, jacobian.nodes))
        for d in range(len(grid.shape)):
            one = one + _differences(grid.shape, d, periodic[d])
        smooth = sparse.block_diag([one] * len(jacobian.fields))
        normal = sparse.csc_matrix(self._matrix.T @ self._matrix + WEIGHT * smooth)
        try:
            self._factors = splu(normal)
        except RuntimeError as error:
            raise PiddmError(f"the equation says nothing of some values of "
                             f"{', '.join(jacobian.fields)}; bring them") from error  # fmt: skip

    def __call__(self, target: np.ndarray) -> np.ndarray:
        target = self._size * target
        if self._divides:
            return self._matrix.T @ target  # its entries are 1 or -1
        found = np.zeros(self._columns)
        for _ in range(ROUNDS):
            found += self._factors.solve(self._matrix.T @ (target - self._matrix @ found))
        return found


def _differences(shape: Sequence[int], dim: int, periodic: bool) -> sparse.csr_matrix:
    """Return S^T S of the differences along one axis."""
    n = shape[dim]
    one = np.eye(n)
    for _ in range(min(SMOOTH, n - 1)):
        one = np.roll(one, -1, 0) - one if periodic else np.diff(one, axis=0)
    one = sparse.csr_matrix(one)
    parts = [one.T @ one if d == dim else sparse.identity(m) for d, m in enumerate(shape)]
    found = parts[0]
    for part in parts[1:]:
        found = sparse.kron(found, part)
    return sparse.csr_matrix(found)
