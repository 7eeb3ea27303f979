"""Newton's method on a residual's own discrete equations, for any choice of unknowns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.algebra.linear_system import LinearSystem, Singular
from piddm.numerics.diagnosis import Diagnosis
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.multipliers import multipliers
from piddm.residuals.ranges import inside
from piddm.residuals.residual import Residual
from piddm.tools.errors import PiddmError, UsageError

TOLERANCE = 1e-11
"""Root mean square of the rows of a converged equation, over its largest term."""

ROUNDING = 1e-3
"""Factor on :data:`TOLERANCE` for rows whose terms cancel: 1e-14 of what is added up."""


class Undetermined(PiddmError):
    """The rows leave something open: their matrix is singular."""


class NewtonSolver(Diagnosis):
    """Solves R(x) = 0 for chosen nodes and params, all others held, a batch at a time.

    Rows that depend on no unknown are left out: they constrain fixed values only.

    Args:
        residual: A residual.
        held: Field name to boolean ``(*grid.shape)``: fixed values, which are not solved for.
        params: Free params to solve for.
        rows: Name to boolean ``(rows,)``: which rows to solve; all where none is given.
        relaxed: Whether an integral that the equations imply with another value, as what is given
            may do, is met all the same by a constant that is added to the equations of its time;
            else this is refused.

    Attributes:
        idle: Field name to the number of nodes that are not held and that no row touches; they
            stay as they are.
        idle_rows: Name to the positions of rows that no unknown touches.

    Raises:
        UsageError: If there are not as many rows as unknowns.
    """

    def __init__(
        self,
        residual: Residual,
        held: Mapping[str, np.ndarray],
        params: tuple[str, ...] = (),
        rows: Mapping[str, np.ndarray] | None = None,
        relaxed: bool = False,
    ) -> None:
        self.residual, names, self._relaxed = residual, residual.field_names, relaxed
        nowhere = np.zeros(residual.grid.shape, dtype=bool)
        free = {k: ~held.get(k, nowhere) for k in names}
        self.fields = tuple(k for k in names if free[k].any())
        if not self.fields and not params:
            raise UsageError("nothing is left to solve for: every field is given")
        self._jacobian = jacobian = Jacobian(residual, self.fields or names, params)
        wanted = np.concatenate(
            [*(free[k].ravel() for k in jacobian.fields), np.ones(len(params), dtype=bool)]
        )
        chosen = np.ones(jacobian.rows, dtype=bool)
        if rows is not None:
            chosen = np.concatenate([rows[name] for name in residual.rows])
        entry = wanted[jacobian.column] & chosen[jacobian.row]
        touched = np.isin(np.arange(jacobian.columns), jacobian.column[entry])
        self._active = np.isin(np.arange(jacobian.rows), jacobian.row[entry])
        self.idle = self._count_columns(wanted & ~touched)
        self.idle_rows = {
            name: np.flatnonzero(part) for name, part in self._by_name(chosen & ~self._active)
        }
        if not touched.any():
            raise UsageError(f"no row says anything of {', '.join(map(str, self.idle))}")
        self._unknown = torch.from_numpy(np.flatnonzero(touched))
        self._rows = torch.from_numpy(np.flatnonzero(self._active))
        self._keep = torch.from_numpy(np.flatnonzero(entry))
        every = residual.rows.values()
        self._which = np.repeat(np.arange(len(every)), [len(r.nodes) for r in every])
        self._equation = torch.from_numpy(self._which[self._active])
        row = (np.cumsum(self._active) - 1)[jacobian.row[entry]]
        column = (np.cumsum(touched) - 1)[jacobian.column[entry]]
        row, column = self._with_multipliers(row, column)
        self._check_square()
        lines = None
        if not params and jacobian.local.all():
            line = np.tile(np.indices(residual.grid.shape)[0].ravel(), len(jacobian.fields))
            lines = (jacobian.row_nodes[self._active, 0], line[touched])
        self._system = LinearSystem(row, column, len(self._rows), lines, self._beside(touched))

    @torch.no_grad()
    def solve(self, start: Mapping[str, Tensor], iterations: int = 30) -> dict[str, Tensor]:
        """Return the solution next to ``start``, float64.

        Each step is halved until the residual falls, sample by sample.

        Raises:
            PiddmError: If a sample's residual does not come down to round-off.
        """
        x = {k: v.detach().double() for k, v in start.items()}
        x = self.residual.fit(x)
        self._refuse_infinite(x)
        size = self._size(x)
        push = x[next(iter(x))].new_zeros(len(size), self._multipliers)
        error = self._error(x, size, push)
        there = x
        for _ in range(iterations):
            if bool((error <= TOLERANCE).all()) and self._system.examined:
                break
            # Where nothing is left to solve at the start, the matrix is looked at all the same:
            # that zero satisfies the rows does not say that nothing else does.
            rows, values = self._jacobian.values(x)
            self._refuse_steep(x, values)
            try:
                beside = self._weights[:, None].expand(-1, len(rows))
                values = torch.cat([values[self._keep], beside])
                step = self._system.solve(values, rows[:, self._rows])
                push, step = step[:, len(self._unknown) :], step[:, : len(self._unknown)]
            except Singular as singular:
                raise Undetermined(self._undetermined(singular.vector)) from singular
            # A term that is zero where it starts has a size only where it goes; one that is zero
            # there too has its rounding.
            there = self._moved(x, step)
            size = torch.maximum(size, self._size(there))
            size = torch.maximum(size, ROUNDING * self._magnitude(values, there))
            x, before, after = self._search(x, step, size, push)
            size = torch.maximum(self._size(x), ROUNDING * self._magnitude(values, x))
            error = self._error(x, size, push)
            # At round-off nothing halves any more; before that, a small step is still a step.
            slow = 0.5 if bool((error <= 1e3 * TOLERANCE).all()) else 0.9999
            if bool((after >= slow * before).all()):
                break
        if not bool((error <= 1e3 * TOLERANCE).all()):
            pushed = bool(self._multipliers) and float((push.abs().amax(1) / size.amin(1)).max())
            contradicted = bool(pushed and pushed > 1e-6) and not self._relaxed
            if not contradicted:
                self._refuse_out_of_range(there, error)
            raise PiddmError(self._diverged(x, error, size, contradicted))
        return x

    def _size(self, x: dict[str, Tensor]) -> Tensor:
        """Return the size of each row's equation, its largest term, ``(batch, rows)``."""
        parts = []
        for name, terms in self.residual.terms(x).items():
            sizes = [v.flatten(1).square().mean(1).sqrt() for v in terms.values()]
            size = torch.stack(sizes).amax(0).clamp_min(1e-30)
            parts.append(size[:, None].expand(-1, len(self.residual.rows[name].nodes)))
        return torch.cat(parts, dim=1)[:, self._rows]

    def _magnitude(self, values: Tensor, x: dict[str, Tensor]) -> Tensor:
        """Return the root mean square of |J||x| over each equation's rows, ``(batch, rows)``."""
        entries = len(self._keep)
        row = torch.from_numpy(self._system.row[:entries])
        column = torch.from_numpy(self._system.column[:entries])
        unknown = self._flat(x)[:, self._unknown].abs().mT
        out = values.new_zeros(len(self._rows), values.shape[1])
        out.index_add_(0, row, values[:entries].abs() * unknown[column])
        square = values.new_zeros(len(self.residual.rows), values.shape[1])
        count = torch.bincount(self._equation, minlength=len(square)).clamp_min(1)
        square.index_add_(0, self._equation, out.square())
        return (square / count[:, None]).sqrt()[self._equation].mT

    def _error(self, x: dict[str, Tensor], size: Tensor, push: Tensor) -> Tensor:
        """Return the root mean square of the rows over their sizes, ``(batch,)``."""
        rows = self._jacobian.vector(x)[:, self._rows]
        if self._relaxed and self._multipliers:
            row, which = self._pushes
            rows = rows.index_add(1, row, -self._weights * push[:, which])
        return (rows / size).square().mean(1).sqrt()

    def _search(
        self, x: dict[str, Tensor], step: Tensor, size: Tensor, push: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the state after the longest step that lowers the error, and both errors."""
        error = self._error(x, size, push)
        length = torch.ones_like(error)
        while True:
            trial = self._moved(x, step * length[:, None])
            new = self._error(trial, size, push)
            worse = ~(new < error) | self._outside(trial)
            if not bool(worse.any()) or float(length.min()) < 1e-3:
                break
            length = torch.where(worse, length / 2, length)
        kept = {k: torch.where(_like(worse, v), x[k], v) for k, v in trial.items()}
        return kept, error, torch.where(worse, error, new)

    def _outside(self, x: dict[str, Tensor]) -> Tensor:
        """Return which samples have left the range of a field, ``(batch,)``."""
        found = torch.zeros(len(x[next(iter(x))]), dtype=torch.bool)
        for name, bounds in self.residual.bounds.items():
            if name in self.fields:
                found |= ~inside(x[name], bounds).flatten(1).all(1)
        return found

    def _moved(self, x: dict[str, Tensor], step: Tensor) -> dict[str, Tensor]:
        names = self._jacobian.names
        flat = self._flat(x).index_add(1, self._unknown, -step)
        parts = flat.split([x[k][0].numel() for k in names], dim=1)
        return x | {k: p.reshape(x[k].shape) for k, p in zip(names, parts, strict=True)}

    def _flat(self, x: dict[str, Tensor]) -> Tensor:
        """Return fields and params as ``(batch, columns)``."""
        names = self._jacobian.names
        return torch.cat([x[k].flatten(1) if x[k].ndim > 1 else x[k][:, None] for k in names], 1)

    def _beside(self, unknown: np.ndarray) -> np.ndarray | None:
        """Return, for each unknown, a row at its node, where every one has a row of its own."""
        jacobian = self._jacobian
        if len(self.fields) != 1 or jacobian.params or self._multipliers:
            return None
        shape = self.residual.grid.shape
        at = np.asarray(np.ravel_multi_index(tuple(jacobian.row_nodes[self._active].T), shape))
        order = np.argsort(at, kind="stable")
        return order if np.array_equal(at[order], np.flatnonzero(unknown)) else None

    def _with_multipliers(
        self, row: np.ndarray, column: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give each integral that is a row too many a multiplier, added to the equations.

        So it is on a torus, where the equations already imply a mean that they leave open. If the
        integral agrees with them, the multiplier is zero; if not, there is no solution to reach.
        """
        unknowns, number = len(self._unknown), np.cumsum(self._active) - 1
        extra, which, weights, count = multipliers(self._jacobian, self._active, unknowns)
        self._multipliers, self._weights = count, torch.from_numpy(weights)
        self._pushes = torch.from_numpy(number[extra]), torch.from_numpy(which)
        return np.append(row, number[extra]), np.append(column, unknowns + which)

    def _check_square(self) -> None:
        rows, unknowns = len(self._rows), len(self._unknown) + self._multipliers
        if rows != unknowns:
            of = np.zeros(self._jacobian.columns, dtype=bool)
            of[self._unknown.numpy()] = True
            counts = ", ".join(f"{k}: {v}" for k, v in self._count_columns(of).items())
            found = ((k, int(v.sum())) for k, v in self._by_name(self._active))
            parts = ", ".join(f"{k}: {count}" for k, count in found if count)
            advice = (
                "give another input or condition" if rows < unknowns
                else "drop a condition, or give less"
            )  # fmt: skip
            raise UsageError(
                f"ill-posed: {rows} rows ({parts}) for {unknowns} unknown values ({counts}); "
                f"{advice}"
            )


def _like(flag: Tensor, values: Tensor) -> Tensor:
    return flag.view(-1, *[1] * (values.ndim - 1))
