"""The derived solver: Newton's method on the residual's own discrete equations, inputs held."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from piddm.blocks import BlockLayout
from piddm.errors import PiddmError, UsageError
from piddm.interfaces import Residual
from piddm.jacobian import Jacobian

TOLERANCE = 1e-11
"""Largest residual of a converged row, over the equation's largest term."""


class NewtonSolver:
    """Solves R(x) = 0 for chosen nodes, all others held, a batch at a time.

    Args:
        residual: A local residual.
        held: Field name to boolean ``(*grid.shape)``: what is given rather than solved for.

    Raises:
        UsageError: If there are not as many rows as unknowns.
    """

    def __init__(self, residual: Residual, held: dict[str, np.ndarray]) -> None:
        self.residual, names = residual, residual.field_names
        free = {k: ~held.get(k, np.zeros(residual.grid.shape, dtype=bool)) for k in names}
        self.fields = tuple(k for k in names if free[k].any())
        self._jacobian = jacobian = Jacobian(residual, self.fields)
        unknown = np.concatenate([free[k].ravel() for k in self.fields])
        self._unknown = torch.from_numpy(np.flatnonzero(unknown))
        if jacobian.rows != len(self._unknown):
            rows = ", ".join(f"{k}: {len(r.nodes)}" for k, r in residual.rows.items())
            raise UsageError(
                f"ill-posed: {jacobian.rows} rows ({rows}) for {len(self._unknown)} unknown values "
                f"of {', '.join(self.fields)}; give another input or condition"
            )
        keep = unknown[jacobian.column]
        number = np.cumsum(unknown) - 1
        self._keep = torch.from_numpy(np.flatnonzero(keep))
        line = np.tile(np.indices(residual.grid.shape)[0].ravel(), len(self.fields))
        try:
            self._layout = BlockLayout(
                jacobian.row[keep],
                number[jacobian.column[keep]],
                jacobian.row_nodes[:, 0],
                line[unknown],
            )
        except ValueError as error:
            first = next(iter(residual.grid.axes))
            raise UsageError(
                f"{self._names()}: there are not as many rows as unknown values on each line of "
                f"nodes along {first}; put the axis that the equation steps along first"
            ) from error

    def solve(self, start: dict[str, Tensor], iterations: int = 30) -> dict[str, Tensor]:
        """Return the solution next to ``start``, float64.

        Each step is halved until the residual falls, sample by sample.

        Raises:
            PiddmError: If a sample's residual does not come down to round-off.
        """
        x = {k: v.double() for k, v in start.items()}
        error, size = self._error(x)
        for _ in range(iterations):
            if bool((error <= TOLERANCE * size).all()):
                break
            rows, values = self._jacobian.values(x)
            try:
                step = self._layout.solve(values[self._keep], rows)
            except RuntimeError as error:
                raise PiddmError(
                    f"the linearised equations {self._names()} are singular: something is not "
                    "determined (a pressure up to a constant?); give a condition or an input for it"
                ) from error
            x, new = self._search(x, step, error)
            stalled = bool((new >= 0.5 * error).all())
            error, size = new, self._error(x)[1]
            if stalled:
                break
        if not bool((error <= 1e3 * TOLERANCE * size).all()):
            worst = float((error / size).nan_to_num(torch.inf).max())
            raise PiddmError(
                f"Newton stopped at {worst:.1e} of the largest term of {self._names()}; "
                "refine the grid or check the equation"
            )
        return x

    def _names(self) -> str:
        return ", ".join(self.residual.rows)

    def _error(self, x: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return root-mean-square residual and size of the largest term, each ``(batch,)``."""
        rows = self._jacobian.residual_vector(x).square().mean(1).sqrt()
        terms = [v.flatten(1).square().mean(1).sqrt()
                 for name, parts in self.residual.terms(x).items()
                 if not self.residual.rows[name].boundary for v in parts.values()]  # fmt: skip
        return rows, torch.stack(terms).amax(0).clamp_min(1e-30)

    def _search(
        self, x: dict[str, Tensor], step: Tensor, error: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        length = torch.ones_like(error)
        while True:
            trial = self._moved(x, step * length[:, None])
            new = self._error(trial)[0]
            worse = ~(new < error)
            if not bool(worse.any()) or float(length.min()) < 1e-3:
                break
            length = torch.where(worse, length / 2, length)
        kept = {k: torch.where(_like(worse, v), x[k], v) for k, v in trial.items()}
        return kept, torch.where(worse, error, new)

    def _moved(self, x: dict[str, Tensor], step: Tensor) -> dict[str, Tensor]:
        flat = torch.cat([x[k].flatten(1) for k in self.fields], dim=1)
        flat = flat.index_add(1, self._unknown, -step)
        parts = flat.split(self._jacobian.nodes, dim=1)
        return x | {k: p.view_as(x[k]) for k, p in zip(self.fields, parts, strict=True)}


def _like(flag: Tensor, values: Tensor) -> Tensor:
    return flag.view(-1, *[1] * (values.ndim - 1))
