"""A grid as a file has it: an axis by axis record, validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from piddm.grids.grid import Axis, Grid


class AxisData(BaseModel):
    """An axis as a file has it; see :class:`piddm.grids.axis.Axis`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lower: FiniteFloat
    upper: FiniteFloat
    size: int
    periodic: bool
    time: bool
    latitude: bool = False
    location: Literal["vertex", "centre"] | tuple[FiniteFloat, FiniteFloat] = "vertex"
    nodes: Annotated[tuple[FiniteFloat, ...], Field(min_length=2)] | None = None


def grid_of(axes: Mapping[str, AxisData]) -> Grid:
    """Return the grid of some axes."""
    return Grid(**{name: Axis(**dict(axis)) for name, axis in axes.items()})
