"""Expressions in coordinates as values at the nodes of a grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.residuals.compiler import Builder
from piddm.residuals.programs import Span, known_value
from piddm.symbolic.operators import strict
from piddm.tools.errors import UsageError


def on_nodes(expression: Any, grid: Grid) -> Tensor:
    """Return an expression's values, float64 ``(*grid.shape)``.

    Raises:
        UsageError: If it depends on more than coordinates.
    """
    if isinstance(expression, (int, float)):
        return torch.full(grid.shape, float(expression), dtype=torch.float64)
    builder, place = Builder(grid), tuple(Span(0, n) for n in grid.shape)
    found = known_value(builder.steps, builder.value(strict(expression), place), len(place))
    if found is None:
        raise UsageError(f"{expression} depends on more than coordinates")
    return found[0].expand(grid.shape).clone()
