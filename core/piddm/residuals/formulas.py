"""Expressions of fields as fields: what formulas are at every node of a grid.

Derivatives are central differences of second order inside and one-sided ones of the same order at
walls, on a sphere those of harmonics: what an instrument reads is no equation, and needs no rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.residuals.compiler import Builder
from piddm.residuals.programs import Span, run
from piddm.residuals.residual import Fields

ORDER = 2
"""Order of accuracy of the differences: higher ones would reach across jumps of a medium."""


class Formulas:
    """Some expressions on a grid, compiled together.

    Args:
        grid: The grid.
        expressions: Of fields, params and coordinates.
        params: Values of params that are the same for every sample; others come with the samples.

    Raises:
        UsageError: If the grid is too small for a derivative, or there is no such function.
    """

    def __init__(
        self, grid: Grid, expressions: Sequence[Any], params: Mapping[str, float] | None = None
    ) -> None:
        self.grid, self._known = grid, dict(params or {})
        self._count = len(expressions)
        if grid.spherical:
            # Harmonics are imported where a spherical grid is in use, and nowhere else.
            from piddm.residuals.sphere_evaluator import Evaluator

            self._sphere = Evaluator(grid)
            self._positions = {str(k): self._sphere.value(e) for k, e in enumerate(expressions)}
            return
        self._sphere = None
        names = {s.name for e in expressions for s in e.free_symbols if hasattr(s, "free")}
        builder = Builder(grid, "centred", frozenset(names))
        everywhere = tuple(Span(0, n, order=ORDER) for n in grid.shape)
        self._program = builder.program(
            {str(k): builder.value(e, everywhere) for k, e in enumerate(expressions)}
        )

    def __call__(self, fields: Fields) -> list[Tensor]:
        """Return each expression's values, ``(batch, *grid.shape)``, of fields and params."""
        dims = len(self.grid.shape)
        like = next(v for v in fields.values() if v.ndim > dims)
        batch = like.shape[0]
        given = dict(fields) | {k: like.new_full((batch,), v) for k, v in self._known.items()}
        if self._sphere is None:
            found: Mapping[str, Any] = run(self._program, given)
        else:
            found = self._sphere.run(given, self._positions)
        shape = (batch, *self.grid.shape)
        return [torch.as_tensor(found[str(k)]).to(like).expand(shape) for k in range(self._count)]
