"""The root's attributes of a data set's file, validated."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, Json, model_validator
from pydantic_core import PydanticCustomError

from piddm.grids.axis_data import AxisData

SCHEMA = "piddm-dataset"
"""What the root's attribute ``schema`` says of piddm's own files."""


class Header(BaseModel):
    """The root's attributes."""

    model_config = ConfigDict(extra="forbid")

    dataset_name: str
    grid_type: Literal["cartesian", "spherical"]
    n_spatial_dims: int
    n_trajectories: Annotated[int, Field(ge=1)]
    simulation_parameters: list[str]
    schema_: Annotated[Literal["piddm-dataset"], Field(alias="schema")]
    schema_version: Literal[1]
    pde: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    fingerprint: str = ""
    params: Json[dict[str, FiniteFloat]] = {}
    origin: str = ""
    computed: Json[dict[str, tuple[str, ...]]] = {}
    grid: Json[dict[str, AxisData]]
    scale: Json[dict[str, Annotated[FiniteFloat, Field(ge=0)]]]
    floor: Json[dict[str, Annotated[FiniteFloat, Field(ge=0)]]]

    @model_validator(mode="after")
    def _of_its_axes(self) -> Self:
        kind = "spherical" if any(axis.latitude for axis in self.grid.values()) else "cartesian"
        if self.grid_type != kind:
            raise PydanticCustomError("grid_type", f"grid_type is not {kind}, as its axes are")
        return self
