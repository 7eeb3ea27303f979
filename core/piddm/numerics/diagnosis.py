"""Diagnosis of a system that has no solution: which row, which unknown, where, what to do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from torch import Tensor

from piddm.numerics.algebra.linear_system import LinearSystem, Singular
from piddm.numerics.jacobian import Jacobian
from piddm.residuals.ranges import inside, text
from piddm.residuals.residual import Residual
from piddm.tools.errors import PiddmError

MATCHED = 3000
"""Unknowns for which a singular system is looked into; matching rows to them can take long."""


class Diagnosis:
    """Tells what is wrong with a system of chosen rows and unknowns.

    Attributes:
        residual: What gives the rows.
        fields: Names of the fields with unknown values.
    """

    residual: Residual
    fields: tuple[str, ...]
    _jacobian: Jacobian
    _system: LinearSystem
    _active: np.ndarray
    _which: np.ndarray
    _unknown: Tensor
    _rows: Tensor
    _keep: Tensor

    def _by_name(self, rows: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
        sizes = [len(r.nodes) for r in self.residual.rows.values()]
        return zip(self.residual.rows, np.split(rows, np.cumsum(sizes)[:-1]), strict=True)

    def _count_columns(self, columns: np.ndarray) -> dict[str, int]:
        nodes, names = self._jacobian.nodes, self._jacobian.fields
        counts = {k: int(columns[i * nodes : (i + 1) * nodes].sum()) for i, k in enumerate(names)}
        for i, k in enumerate(self._jacobian.params):
            counts[k] = int(columns[len(names) * nodes + i])
        return {k: v for k, v in counts.items() if v}

    def _unmatched(self) -> str:
        """Return the names of what no row is left for when every other unknown has one."""
        system = self._system
        if system.size > MATCHED:
            return ""
        pattern = csr_matrix((np.ones(len(system.row)), (system.row, system.column)))
        match = maximum_bipartite_matching(pattern, perm_type="row")[: len(self._unknown)]
        of = np.zeros(self._jacobian.columns, dtype=bool)
        of[self._unknown.numpy()[match < 0]] = True
        return ", ".join(self._count_columns(of))

    def _names(self) -> str:
        return ", ".join(name for name, part in self._by_name(self._active) if part.any())

    def _undetermined(self, vector: np.ndarray) -> str:
        """Say what a singular system leaves open: the direction in which it changes nothing."""
        if unmatched := self._unmatched():
            return (
                f"ill-posed: the rows {self._names()} do not determine {unmatched} everywhere, and "
                "determine something else twice; move a condition or an input to another place"
            )
        said = f"the equations {self._names()} are singular"
        if not len(vector):
            return f"{said}: something is not determined; give a condition or an input for it"
        full = np.zeros(self._jacobian.columns)
        full[self._unknown.numpy()] = vector[: len(self._unknown)]
        parts = full[: self._jacobian.nodes * len(self._jacobian.fields)]
        parts = parts.reshape(-1, self._jacobian.nodes)
        name = self._jacobian.fields[int(np.abs(parts).max(1).argmax())]
        part = parts[self._jacobian.fields.index(name)]
        part = part[part != 0]
        constant = np.ptp(part) < 1e-3 * np.abs(part).max()
        what = f"{name} is determined up to a constant" if constant else f"{name} is not determined"
        advice = "an Integral of it, with a free param to match," if constant else "a condition"
        return f"{said}: {what}; give {advice} or an input for it"

    def _refuse_infinite(self, x: dict[str, Tensor]) -> None:
        """Refuse a start at which a row is not finite."""
        rows = self._jacobian.vector(x)[:, self._rows]
        if bool(torch.isfinite(rows).all()):
            return
        sample, row = (int(i) for i in torch.nonzero(~torch.isfinite(rows))[0])
        value = float(rows[sample, row])
        raise PiddmError(self._not_finite(x, sample, int(self._rows[row]), f"is {value}"))

    def _refuse_steep(self, x: dict[str, Tensor], values: Tensor) -> None:
        """Refuse a point at which a row has an infinite slope, or none."""
        values = values[self._keep]
        if bool(torch.isfinite(values).all()):
            return
        entry, sample = (int(i) for i in torch.nonzero(~torch.isfinite(values))[0])
        row = int(self._jacobian.row[self._keep[entry]])
        column = int(self._jacobian.column[self._keep[entry]])
        names = self._jacobian.names
        by = names[min(column // self._jacobian.nodes, len(names) - 1)]
        said = f"has the slope {float(values[entry, sample])} in {by}"
        raise PiddmError(self._not_finite(x, sample, row, said))

    def _not_finite(self, x: dict[str, Tensor], sample: int, row: int, said: str) -> str:
        node = tuple(int(i) for i in self._jacobian.row_nodes[row])
        rows = list(self.residual.rows.items())
        name, touched = rows[self._which[row]]
        values = ", ".join(
            f"{k} = {float(x[k][(sample, *node)]):.3g}"
            for k in self.residual.field_names if k in touched.fields
        )  # fmt: skip
        free = next((k for k in self.fields if k in touched.fields), self.fields[0])
        return (
            f"{name} at node {node} {said}, where {values} (sample {sample}): start elsewhere, "
            f"such as start={{{free}: 1}} in the equation, or give solve a start for {free}"
        )

    def _open_without_integrals(self, x: dict[str, Tensor]) -> bool:
        """Return whether the equations leave something open that the integrals were to fix."""
        row, column = self._system.row[: len(self._keep)], self._system.column[: len(self._keep)]
        local = self._jacobian.local[self._rows.numpy()]
        kept = local[row]
        system = LinearSystem(
            (np.cumsum(local) - 1)[row[kept]], column[kept], len(self._unknown), None
        )
        _, values = self._jacobian.values(x)
        values = values[self._keep][torch.from_numpy(kept)]
        try:
            system.solve(values, values.new_zeros(values.shape[1], len(self._unknown)))
        except Singular:
            return True
        return False

    def _unbalanced(self, x: dict[str, Tensor], integrals: str) -> str:
        left = self.residual(x)
        means = {
            k: float(left[k].flatten(1).mean(1).abs().max())
            for k, r in self.residual.rows.items() if not r.boundary
        }  # fmt: skip
        name = max(means, key=means.__getitem__)
        return (
            f"{name} has no solution: what its sources bring and what flows through the walls "
            f"differ by {means[name]:.2g} on the mean over the domain, and must balance, since "
            f"{integrals} can fix nothing but the constant left open; change a source or a flux, "
            f"or add a free param to {name} that takes up the difference"
        )

    def _refuse_out_of_range(self, there: dict[str, Tensor], error: Tensor) -> None:
        """Refuse to go on where a whole step of the worst sample leaves the range of a field."""
        worst = int(error.nan_to_num(torch.inf).argmax())
        for name, bounds in self.residual.bounds.items():
            outside = ~inside(there[name][worst], bounds)
            if name in self.fields and bool(outside.any()):
                node = tuple(int(i) for i in outside.nonzero()[0])
                value = float(there[name][worst][node])
                raise PiddmError(
                    f"Newton's step leads to {name} = {value:.2e} at node {node} of sample "
                    f"{worst}, outside of the range {text(bounds)} that {name} is declared to "
                    "have: the scheme has no solution in it (one of higher order swings where "
                    "values jump), or starts far from it; take order=2, more nodes, more times or "
                    "smoother inputs"
                )

    def _diverged(self, x: dict[str, Tensor], error: Tensor, size: Tensor, pushed: bool) -> str:
        if pushed:
            integrals = ", ".join(k for k, r in self.residual.rows.items() if r.integral)
            if self._open_without_integrals(x):
                return self._unbalanced(x, integrals)
            return (
                f"the integrals {integrals} contradict the equations, which imply them already, "
                "with another value; change what is given, or the value"
            )
        worst = int(error.nan_to_num(torch.inf).argmax())
        relative = torch.zeros(self._jacobian.rows, dtype=torch.float64)
        rows = (self._jacobian.vector(x)[:, self._rows] / size)[worst].abs().cpu()
        relative[self._rows] = rows.nan_to_num(torch.inf)
        at = int(relative.argmax())
        node = tuple(int(i) for i in self._jacobian.row_nodes[at])
        name = list(self.residual.rows)[self._which[at]]
        return (
            f"Newton stopped at {float(error[worst]):.1e} of the largest term in sample {worst}, "
            f"in {name} at node {node}; start nearer to the solution, refine the grid or "
            "check the equation"
        )
