"""Many inputs to as many solutions, one that has none being lost by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.derived_solver import DerivedSolver
from piddm.numerics.marching import Given
from piddm.symbolic.operators import Param
from piddm.tools.errors import PiddmError, UsageError, labelled

TOGETHER = 16
"""Solutions that are looked for together."""


class Forward:
    """The derived solver with everything given that has a law, and what is known beside it.

    Args:
        pde: The equation.
        grid: The grid.
        given: What has a law.
        known: Values of params by name.
    """

    def __init__(
        self, pde: PDE, grid: Grid, given: list[Given], known: Mapping[str, float]
    ) -> None:
        params = {p.name: p for p in pde.params}
        self._known = {params[k]: v for k, v in known.items()}
        self._shape, self._names, self._label = grid.shape, pde.field_names, pde.name
        with labelled(pde.name):
            self._solver = DerivedSolver(pde, grid, [*given, *self._known])

    def chunks(self, given: Mapping[Given, Tensor]) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield how many solutions there are, and the newest; NaN where there is none."""
        count = len(next(iter(given.values())))
        for start in range(0, count, TOGETHER):
            part = {k: v[start : start + TOGETHER] for k, v in given.items()}
            yield min(start + TOGETHER, count), self.solve(part)

    def solve(self, given: Mapping[Given, Tensor]) -> dict[str, Tensor]:
        """Return fields ``(count, *grid.shape)`` and params ``(count,)``; NaN where none is."""
        count = len(next(iter(given.values())))
        whole = dict(given)
        whole |= {k: torch.full((count,), v, dtype=torch.float64) for k, v in self._known.items()}
        try:
            with labelled(self._label):
                return self._solver.solve(whole)
        except PiddmError as error:
            if isinstance(error, UsageError):
                raise
        if count == 1:
            lost = torch.full((1, *self._shape), torch.nan, dtype=torch.float64)
            alone = {str(k): v for k, v in whole.items() if isinstance(k, Param)}
            alone |= {k: lost.flatten()[:1] for k in self._solver.params}
            return {k: lost.clone() for k in self._names} | alone
        parts = [self.solve({k: v[i : i + 1] for k, v in given.items()}) for i in range(count)]
        return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
