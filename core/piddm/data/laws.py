"""Laws of inputs brought to the size of data: how large a field is, which values it takes."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from piddm.data.dataset import Dataset
from piddm.data.levels import levels_of
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.priors import ZeroOnEdge
from piddm.symbolic.operators import Field, Param, Slice

DRAWS = 64
"""Fields that are drawn of a law, to know its size."""

RANGE = ("low", "high")
"""Attributes of a law that are the two values, or the ends, of what it draws."""


def with_laws_of(pde: PDE, data: Dataset) -> PDE:
    """Return an equation whose inputs' laws have the size of data.

    The ``scale`` of a law, or of what it is a function of, becomes the one that gives its fields
    the deviation of the data; ``low`` and ``high`` become the values of a medium of two phases, or
    the least and largest value of a param. Correlations stay those of the law.

    Args:
        pde: The equation, placed on the data's grid.
        data: Samples of it.
    """
    laws = {given: _law(pde, given, law, data) for given, law in pde.inputs.items()}
    return dataclasses.replace(pde, inputs=laws)


def _law(pde: PDE, given: Field | Slice | Param, law: Any, data: Dataset) -> Any:
    if isinstance(given, Param):
        values = data.fields.get(given.name)
        known = values is not None and all(hasattr(law, k) for k in RANGE)
        if values is None or not known or not float(values.max()) > float(values.min()):
            return law
        return dataclasses.replace(law, low=float(values.min()), high=float(values.max()))
    grid, values = (
        data.grid,
        data.fields[given.field.name if isinstance(given, Slice) else given.name],
    )
    if isinstance(given, Slice):
        dimension, node = pde.slice_index(given, grid)
        values, grid = values.select(dimension + 1, node), grid.without(given.axis)
    return _sized(law, values.double(), grid)


def _sized(law: Any, values: Tensor, grid: Grid) -> Any:
    if all(hasattr(law, k) for k in RANGE):
        levels = levels_of(values)
        if levels is None or len(levels) != 2:
            return law
        low, high = sorted(float(v) for v in levels)
        return dataclasses.replace(law, low=low, high=high)
    if not _has_scale(law):
        return law
    drawn = law.sample(grid, DRAWS, torch.Generator().manual_seed(0))
    size = float(drawn.std())
    return _scaled(law, float(values.std()) / size) if size > 0 else law


def _has_scale(law: Any) -> bool:
    return hasattr(law, "scale") or (isinstance(law, ZeroOnEdge) and _has_scale(law.underlying))


def _scaled(law: Any, factor: float) -> Any:
    if hasattr(law, "scale"):
        return dataclasses.replace(law, scale=law.scale * factor)
    return dataclasses.replace(law, underlying=_scaled(law.underlying, factor))
