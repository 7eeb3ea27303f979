"""The solution that belongs to a state's own inputs: its medium, its first time, its forcing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.numerics.correction import Correction
from piddm.numerics.derived_solver import DerivedSolver, held
from piddm.residuals.residual import Fields, Residual
from piddm.symbolic.operators import Field, Param, Slice
from piddm.tools.errors import PiddmError, UsageError

if TYPE_CHECKING:
    from piddm.symbolic.specification import Specification

TOGETHER = 16
"""States that are solved together."""

STEPS, FOUND = 16, 1e-14
"""Newton steps of a correction at most, and the normalised PDE error of a solution."""


class OwnSolution:
    """Keeps the inputs of states and solves the equation for everything else.

    Args:
        pde: The equation; it declares inputs.
        residual: Its residual on the grid.
        correction: What moves the solution to a state's inputs, where no solver is derived from
            the equation, as on a sphere.

    Raises:
        UsageError: If the equation declares no inputs, or no solver is derived from it and there
            is no correction.
    """

    def __init__(
        self, pde: Specification, residual: Residual, correction: Correction | None = None
    ) -> None:
        if not pde.inputs:
            raise UsageError(f"{pde.name} declares no inputs: no state has a solution of its own")
        self.pde, self.residual, self.grid = pde, residual, residual.grid
        self.given = held(pde, self.grid, pde.inputs)
        self._correction = correction
        if correction is None:
            # Inputs of samples meet no condition on their mean to the last digit.
            self._solver = DerivedSolver(pde, self.grid, pde.inputs, relaxed=True)

    @torch.no_grad()
    def __call__(self, fields: Fields) -> tuple[dict[str, Tensor], Tensor]:
        """Return solutions ``(batch, *axes)``, float64, and which of them were found ``(batch,)``.

        What has no solution, or none that Newton's method finds, is returned as it came.
        """
        parts, found = [], []
        fields = self.residual.fit({k: v.double() for k, v in fields.items()})
        for start in range(0, len(next(iter(fields.values()))), TOGETHER):
            part = {k: v[start : start + TOGETHER] for k, v in fields.items()}
            solved, good = self._some(part)
            parts.append(solved)
            found.append(good)
        names = self.residual.field_names
        return {k: torch.cat([p[k] for p in parts]) for k in names}, torch.cat(found)

    def _some(self, fields: Fields) -> tuple[dict[str, Tensor], Tensor]:
        if self._correction is not None:
            # A march has no Newton steps to go on with on a sphere.
            steps = STEPS if self._correction.march is None else 1
            made = self._correction(fields, tolerance=FOUND, steps=steps)
            return made.fields, made.converged
        count = len(next(iter(fields.values())))
        try:
            solved = self._solver.solve({k: self._value(k, fields) for k in self.pde.inputs})
            return solved, torch.ones(count, dtype=torch.bool)
        except PiddmError:
            if count == 1:
                return dict(fields), torch.zeros(1, dtype=torch.bool)
        # One bad state spoils a batch: halves find it.
        halves = [self._some({k: v[part] for k, v in fields.items()})
                  for part in (slice(0, count // 2), slice(count // 2, count))]  # fmt: skip
        names = self.residual.field_names
        joined = {k: torch.cat([solved[k] for solved, _ in halves]) for k in names}
        return joined, torch.cat([good for _, good in halves])

    def _value(self, item: Field | Slice | Param, fields: Fields) -> Tensor:
        if isinstance(item, Slice):
            dimension, node = self.pde.slice_index(item, self.grid)
            return fields[item.field.name].select(dimension + 1, node)
        return fields[item.name]
