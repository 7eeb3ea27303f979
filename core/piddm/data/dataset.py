"""Data sets on disk: HDF5 in the layout of The Well, so that its tools read them too.

::

    /                    dataset_name, grid_type, n_spatial_dims, n_trajectories, and what is ours:
                         schema, schema_version, pde, seed, fingerprint (of what the data depend
                         on, where that is known), sha256, and as JSON: grid, scale, floor
    /dimensions          coordinates of the axes; the axis of time is called ``time``
    /boundary_conditions the periodic axes, and the latitude of a sphere as an open one, as in The
                         Well's own data on a sphere; what holds on the others, the equation says
    /scalars             parameters that differ between trajectories, (n,)
    /t0_fields           fields, float32 or float64, (n, *axes)

Source of the layout: Ohana et al., The Well, arXiv 2412.00568, and its ``docs/data_format.md``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import ValidationError
from torch import Tensor

from piddm.data.dataset_header import SCHEMA, Header
from piddm.data.dataset_record import Dataset as Dataset
from piddm.data.dataset_record import finite
from piddm.grids.axis_data import grid_of
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import first_problem
from piddm.tools.hdf5 import created, put_array, put_attributes, put_empty, put_names
from piddm.tools.hdf5_reading import Array, Content, Group, contents

SCHEMA_VERSION = 1
"""Version of the layout of a data set's file."""


def write(dataset: Dataset, path: Path | str) -> None:
    """Write a dataset: the whole file, or nothing at all.

    Raises:
        PiddmError: If a value is not finite, or the file cannot be written.
    """
    for name, values in dataset.fields.items():
        if not finite(values):
            raise PiddmError(
                f"cannot write {path}: {name} has values that are not finite; solve again with "
                "another seed or grid"
            )
    with created(path) as file:
        write_layout(file, dataset)


def read(path: Path | str) -> Dataset:
    """Read a dataset and check all of it.

    Raises:
        PiddmError: If the file is missing, damaged, foreign or of another version, refers to
            other files, or holds other shapes than it announces or values that are not finite.
    """
    return dataset_of(contents(path, "dataset"))


def dataset_of(content: Content) -> Dataset:
    """Return the dataset that a file holds; errors are those of :func:`read`."""
    path, root = content.path, content.root
    header = _read_header(path, root)
    n = header.n_trajectories
    try:
        grid = grid_of(header.grid)
        fields = _read_group(path, root, "t0_fields", (n, *grid.shape))
        fields |= _read_group(path, root, "scalars", (n,))
        made = Dataset(
            header.pde, grid, fields, header.scale, header.floor, header.seed,
            header.fingerprint, header.params, header.origin, header.computed,
        )  # fmt: skip
    except UsageError as error:  # which does not know the file
        raise PiddmError(f"{path}: {error}; make it again") from error
    content.prove()
    return made


def write_layout(
    file: h5py.File, dataset: Dataset, count: int | None = None
) -> dict[str, h5py.Dataset]:
    """Write a data set into an open file; return its arrays, by field.

    Args:
        file: The file.
        dataset: The data set.
        count: How many samples there are to be, where others follow: arrays of so many are then
            made, and left empty.
    """
    axes = dataset.grid.axes
    spatial = [name for name, axis in axes.items() if not axis.time]
    time = [axis for axis in axes.values() if axis.time]
    header = _header(dataset, len(spatial), count)
    put_names(file, "simulation_parameters", header.pop("simulation_parameters"))
    # What readers of The Well look at must reach them as str, which text of fixed length does not.
    theirs = {name: header.pop(name) for name in ("dataset_name", "grid_type")}
    file.attrs.update(theirs)
    put_attributes(file, header)

    fixed = {"sample_varying": False, "time_varying": False}
    dimensions = file.create_group("dimensions")
    put_names(dimensions, "spatial_dims", spatial)
    # The layout has no files without time: a steady field is one at time 0.
    times = time[0].coordinates() if time else np.zeros(1)
    put_array(dimensions, "time", times.astype(np.float32), **fixed)
    for name in spatial:
        put_array(dimensions, name, axes[name].coordinates().astype(np.float32), **fixed)

    conditions = file.create_group("boundary_conditions")
    for name in (name for name in spatial if not axes[name].bounded):
        kind = "periodic" if axes[name].periodic else "open"  # beyond a pole a field goes on
        condition = conditions.create_group(f"{name}_{kind}")
        put_names(condition, "associated_dims", [name])
        put_names(condition, "associated_fields", [])
        condition.attrs.update(bc_type=kind, **fixed)
        ends = np.isin(np.arange(axes[name].size), (0, axes[name].size - 1))
        put_array(condition, "mask", ends)

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
        put_names(members[group], "field_names", names)
        for name in names:
            varying = {"sample_varying": True, "time_varying": bool(time) and group != "scalars"}
            values = dataset.fields[name].detach().cpu().numpy()
            if count is None:
                put_array(members[group], name, values, **varying)
            else:
                shape = (count, *values.shape[1:])
                put_empty(members[group], name, shape, values.dtype, **varying)
    for name in groups["t0_fields"]:
        file[f"t0_fields/{name}"].attrs["dim_varying"] = [True] * len(spatial)
    return {
        name: members[group][name] for group in ("t0_fields", "scalars") for name in groups[group]
    }  # pyright: ignore


def _header(dataset: Dataset, spatial_dims: int, count: int | None) -> dict[str, Any]:
    """Return the root's attributes, validated as a reader will."""
    header = {
        "dataset_name": dataset.pde,
        "grid_type": "spherical" if dataset.grid.spherical else "cartesian",
        "n_spatial_dims": spatial_dims,
        "n_trajectories": count or len(dataset),
        "simulation_parameters": [],
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "pde": dataset.pde,
        "seed": dataset.seed,
        "grid": json.dumps(dataset.grid.to_dict()),
        "scale": json.dumps(dataset.scale),
        "floor": json.dumps(dataset.floor),
    }
    for name in ("fingerprint", "origin"):
        if value := getattr(dataset, name):
            header[name] = value
    for name in ("params", "computed"):
        if value := getattr(dataset, name):
            header[name] = json.dumps(value)
    try:
        Header.model_validate(header)
    except ValidationError as error:
        raise PiddmError(f"cannot write {dataset.pde}: {first_problem(error)}") from error
    return header


def _read_header(path: Path, root: Group) -> Header:
    found = root.attributes
    if found.get("schema") != SCHEMA:
        raise PiddmError(f"{path} was not written by piddm; give a dataset of piddm's")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise PiddmError(
            f"{path} has layout {found.get('schema_version')}, this piddm reads {SCHEMA_VERSION}; "
            "use the piddm that wrote it, or make it again"
        )
    try:
        return Header.model_validate(found)
    except ValidationError as error:
        raise PiddmError(f"{path}: {first_problem(error)}; make it again") from error


def _read_group(path: Path, root: Group, group: str, shape: tuple[int, ...]) -> dict[str, Tensor]:
    fields: dict[str, Tensor] = {}
    members = root.get(group)
    if not isinstance(members, Group):
        raise PiddmError(f"{path}: the group {group} is missing; make it again")
    names = members.attributes.get("field_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PiddmError(f"{path}: {group} does not say its field_names; make it again")
    for name in names:
        array = members.get(name)
        if not isinstance(array, Array):
            raise PiddmError(f"{path}: {name} is missing from {group}; make it again")
        if array.shape != shape or array.dtype.newbyteorder("=") not in (np.float32, np.float64):
            raise PiddmError(
                f"{path}: {name} is {array.dtype} {array.shape}, where its header announces "
                f"float32 or float64 {shape}; make it again"
            )
        fields[name] = array.tensor()
        if not finite(fields[name]):
            raise PiddmError(f"{path}: {name} has values that are not finite; make it again")
    return fields
