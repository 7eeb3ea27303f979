"""Data sets on disk: HDF5 in the layout of The Well, so that its tools read them too.

::

    /                    dataset_name, grid_type, n_spatial_dims, n_trajectories, and what is ours:
                         schema, schema_version, pde, seed, and as JSON: grid, scale, floor
    /dimensions          coordinates of the axes; the axis of time is called ``time``
    /boundary_conditions the periodic axes, and the latitude of a sphere as an open one, as in The
                         Well's own data on a sphere; what holds on the others, the equation says
    /scalars             parameters that differ between trajectories, (n,)
    /t0_fields           fields, float32 or float64, (n, *axes)

Source of the layout: Ohana et al., The Well, arXiv 2412.00568, and its ``docs/data_format.md``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import h5py
import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    Json,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from torch import Tensor

from piddm.errors import PiddmError, UsageError
from piddm.files import first_problem, reading
from piddm.grid import Grid
from piddm.hdf5 import DAMAGE, AxisData, created, grid_of, plain, refuse_references

SCHEMA, SCHEMA_VERSION = "piddm-dataset", 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """Solutions of one equation on one grid.

    Args:
        pde: Name of the equation.
        grid: The grid.
        fields: Field name to float32 ``(n, *axes)``, or float64 where more digits mean something,
            as after a projection; parameters that differ between trajectories
            stand beside the fields, as a residual takes them, with shape ``(n,)``.
        scale: Row name to the root mean square of the row's largest term, over solved data.
        floor: Row name to the mean-square residual, over scale, that these fields had when they
            were made: a solver's round-off, or a generator's error.
        seed: Seed from which the inputs were drawn.

    Raises:
        UsageError: If the shapes, or the numbers of trajectories, do not agree.
    """

    pde: str
    grid: Grid
    fields: dict[str, Tensor]
    scale: dict[str, float]
    floor: dict[str, float]
    seed: int

    def __post_init__(self) -> None:
        if not any(values.ndim > 1 for values in self.fields.values()):
            raise UsageError(f"a dataset of {self.pde} needs at least one field")
        for name, values in self.fields.items():
            if tuple(values.shape) not in ((len(self), *self.grid.shape), (len(self),)):
                raise UsageError(
                    f"{self.pde}: {name} has the shape {tuple(values.shape)}, but the grid and the "
                    f"other fields ask for {(len(self), *self.grid.shape)}"
                )
            if values.dtype not in (torch.float32, torch.float64):
                raise UsageError(f"{self.pde}: {name} is {values.dtype}; pass float32 or float64")

    def __len__(self) -> int:
        return next(iter(self.fields.values())).shape[0]

    def split(self, held_out: int) -> tuple[Dataset, Dataset]:
        """Return the trajectories to train on, and the last ``held_out`` ones to test on."""
        if not 0 < held_out < len(self):
            raise UsageError(
                f"cannot hold out {held_out} of {len(self)} trajectories; keep at least one on "
                "either side"
            )
        cut = len(self) - held_out
        train = {name: values[:cut] for name, values in self.fields.items()}
        test = {name: values[cut:] for name, values in self.fields.items()}
        return replace(self, fields=train), replace(self, fields=test)


class _Header(BaseModel):
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
    seed: int
    grid: Json[dict[str, AxisData]]
    scale: Json[dict[str, Annotated[FiniteFloat, Field(ge=0)]]]
    floor: Json[dict[str, Annotated[FiniteFloat, Field(ge=0)]]]

    @model_validator(mode="after")
    def _of_its_axes(self) -> Self:
        kind = "spherical" if any(axis.latitude for axis in self.grid.values()) else "cartesian"
        if self.grid_type != kind:
            raise PydanticCustomError("grid_type", f"grid_type is not {kind}, as its axes are")
        return self


def write(dataset: Dataset, path: Path | str) -> None:
    """Write a dataset: the whole file, or nothing at all.

    Raises:
        PiddmError: If a value is not finite, or the file cannot be written.
    """
    for name, values in dataset.fields.items():
        if not torch.isfinite(values).all():
            raise PiddmError(
                f"cannot write {path}: {name} has values that are not finite; solve again with "
                "another seed or grid"
            )
    with created(path) as file:
        _write_layout(file, dataset)


def read(path: Path | str) -> Dataset:
    """Read a dataset and check all of it.

    Raises:
        PiddmError: If the file is missing, damaged, foreign or of another version, refers to
            other files, or holds other shapes than it announces or values that are not finite.
    """
    with reading(path, "dataset", *DAMAGE) as source, h5py.File(source, "r") as file:
        header = _read_header(path, file)
        refuse_references(path, file)
        n = header.n_trajectories
        try:
            grid = grid_of(header.grid)
            fields = _read_group(path, file, "t0_fields", (n, *grid.shape))
            fields |= _read_group(path, file, "scalars", (n,))
            return Dataset(header.pde, grid, fields, header.scale, header.floor, header.seed)
        except UsageError as error:  # which does not know the file
            raise PiddmError(f"{path}: {error}; make it again") from error


def _write_layout(file: h5py.File, dataset: Dataset) -> None:
    axes = dataset.grid.axes
    spatial = [name for name, axis in axes.items() if not axis.time]
    time = [axis for axis in axes.values() if axis.time]
    for name, value in _header(dataset, len(spatial)).items():
        _set(file, name, value)

    fixed = {"sample_varying": False, "time_varying": False}
    dimensions = file.create_group("dimensions")
    _set(dimensions, "spatial_dims", spatial)
    # The layout has no files without time: a steady field is one at time 0.
    times = time[0].coordinates() if time else np.zeros(1)
    _put(dimensions, "time", times.astype(np.float32), **fixed)
    for name in spatial:
        _put(dimensions, name, axes[name].coordinates().astype(np.float32), **fixed)

    conditions = file.create_group("boundary_conditions")
    for name in (name for name in spatial if not axes[name].bounded):
        kind = "periodic" if axes[name].periodic else "open"  # beyond a pole a field goes on
        condition = conditions.create_group(f"{name}_{kind}")
        _set(condition, "associated_dims", [name])
        _set(condition, "associated_fields", [])
        condition.attrs.update(bc_type=kind, **fixed)
        condition["mask"] = np.isin(np.arange(axes[name].size), (0, axes[name].size - 1))

    groups: dict[str, list[str]] = {
        "t0_fields": [],
        "t1_fields": [],
        "t2_fields": [],
        "scalars": [],
    }
    for name, values in dataset.fields.items():
        groups["t0_fields" if values.ndim > 1 else "scalars"].append(name)
    members = {group: file.create_group(group) for group in groups}
    for group, names in groups.items():
        _set(members[group], "field_names", names)
        for name in names:
            varying = {"sample_varying": True, "time_varying": bool(time) and group != "scalars"}
            _put(members[group], name, dataset.fields[name], **varying)
    for name in groups["t0_fields"]:
        file[f"t0_fields/{name}"].attrs["dim_varying"] = [True] * len(spatial)


def _header(dataset: Dataset, spatial_dims: int) -> dict[str, Any]:
    """Return the root's attributes, validated as a reader will."""
    header = {
        "dataset_name": dataset.pde,
        "grid_type": "spherical" if dataset.grid.spherical else "cartesian",
        "n_spatial_dims": spatial_dims,
        "n_trajectories": len(dataset),
        "simulation_parameters": [],
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "pde": dataset.pde,
        "seed": dataset.seed,
        "grid": json.dumps(dataset.grid.to_dict()),
        "scale": json.dumps(dataset.scale),
        "floor": json.dumps(dataset.floor),
    }
    try:
        _Header.model_validate(header)
    except ValidationError as error:
        raise PiddmError(f"cannot write {dataset.pde}: {first_problem(error)}") from error
    return header


def _read_header(path: Path | str, file: h5py.File) -> _Header:
    found = {name: plain(value) for name, value in file.attrs.items()}
    if found.get("schema") != SCHEMA:
        raise PiddmError(f"{path} was not written by piddm; give a dataset of piddm's")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise PiddmError(
            f"{path} has layout {found.get('schema_version')}, this piddm reads {SCHEMA_VERSION}; "
            "use the piddm that wrote it, or make it again"
        )
    try:
        return _Header.model_validate(found)
    except ValidationError as error:
        raise PiddmError(f"{path}: {first_problem(error)}; make it again") from error


def _read_group(
    path: Path | str, file: h5py.File, group: str, shape: tuple[int, ...]
) -> dict[str, Tensor]:
    fields: dict[str, Tensor] = {}
    members = file.get(group)
    if not isinstance(members, h5py.Group):
        raise PiddmError(f"{path}: the group {group} is missing; make it again")
    for name in plain(members.attrs["field_names"]):
        values = members.get(name)
        if not isinstance(values, h5py.Dataset):
            raise PiddmError(f"{path}: {name} is missing from {group}; make it again")
        if values.shape != shape or values.dtype not in (np.float32, np.float64):
            raise PiddmError(
                f"{path}: {name} is {values.dtype} {values.shape}, where its header announces "
                f"float32 or float64 {shape}; make it again"
            )
        fields[name] = torch.from_numpy(values[()])
        if not torch.isfinite(fields[name]).all():
            raise PiddmError(f"{path}: {name} has values that are not finite; make it again")
    return fields


def _put(group: h5py.Group, name: str, values: Tensor | np.ndarray, **attributes: Any) -> None:
    values = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    dtype = np.float64 if values.dtype == np.float64 else np.float32
    group.create_dataset(name, data=values, dtype=dtype).attrs.update(attributes)


def _set(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, list):  # also an empty one must be a list of text
        group.attrs.create(name, value, dtype=h5py.string_dtype())
    else:
        group.attrs[name] = value
