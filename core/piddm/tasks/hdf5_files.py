"""Observations as HDF5: a group for each field, with ``points``, ``values`` and ``sigma``.

The root says schema, schema_version and pde, and as JSON the names of the axes and the params;
where there are any also ``bias`` (group to deviation), ``groups`` (field to the group of each), and
``readings``, a record for each of what is no point, with the ``symbols`` that its formula names;
weights of nodes are in a group ``weights``, by reading and field.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, Json, ValidationError
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.symbolic import operators as symbolic
from piddm.symbolic.operators import Param
from piddm.tasks.observations import Observations
from piddm.tasks.quantities import Quantity, formula_quantity
from piddm.tasks.readings import Reading
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import first_problem
from piddm.tools.hdf5 import created, put_array, put_attributes
from piddm.tools.hdf5_reading import Array, Content, Group, contents

SCHEMA, SCHEMA_VERSION = "piddm-observations", 1
"""Name and version of the layout of a file of observations."""

WEIGHTS = "weights of nodes"
"""Group of the weights of readings; no field has such a name."""


class _Reading(BaseModel):
    """A reading: its formula, or nothing where it has weights of nodes."""

    model_config = ConfigDict(extra="forbid")

    formula: str = ""
    region: dict[str, tuple[FiniteFloat, FiniteFloat]] = {}
    weights: list[str] = []
    name: str = ""
    value: FiniteFloat
    sigma: FiniteFloat
    group: str = ""


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_: Annotated[Literal["piddm-observations"], Field(alias="schema")]
    schema_version: Literal[1]
    pde: str
    axes: Json[list[str]]
    params: Json[dict[str, FiniteFloat]]
    bias: Json[dict[str, FiniteFloat]] = {}
    groups: Json[dict[str, list[str]]] = {}
    readings: Json[list[_Reading]] = []
    symbols: Json[dict[str, Annotated[tuple[FiniteFloat, bool], Field()] | None]] = {}


def write_hdf5(observations: Observations, path: Path | str, pde: str) -> None:
    """Write observations of an equation: a group for each field with points, values and sigma.

    Raises:
        PiddmError: If the file cannot be written.
    """
    with created(path) as file:
        put(file, observations, pde)


def put(group: h5py.Group, observations: Observations, pde: str) -> None:
    """Write observations into a group of a file."""
    told = {
        "schema": SCHEMA, "schema_version": SCHEMA_VERSION, "pde": pde,
        "axes": json.dumps(observations.grid.names),
        "params": json.dumps(dict(observations.params)),
    }  # fmt: skip
    if observations.bias:
        told["bias"] = json.dumps(dict(observations.bias))
        told["groups"] = json.dumps({k: list(v) for k, v in observations.groups.items()})
    if observations.readings:
        told |= _readings(observations)
    put_attributes(group, told)
    for k, own in enumerate(observations.readings):
        for name, weights in (own.quantity.weights or {}).items():
            put_array(group.require_group(WEIGHTS), f"{k}.{name}", weights.numpy())
    for name in observations.values:
        own = group.create_group(name)
        put_array(own, "points", observations.points[name].numpy())
        put_array(own, "values", observations.values[name].numpy())
        put_array(own, "sigma", observations.sigma[name].numpy())


def read_hdf5(path: Path | str, pde: str, grid: Grid) -> Observations:
    """Read what :func:`write_hdf5` wrote.

    Raises:
        PiddmError: If the file is missing, damaged or foreign, or of another version.
        UsageError: If it is of another equation or other axes, or a value cannot be used.
    """
    return observations_of(contents(path, "file of observations"), pde, grid)


def observations_of(content: Content, pde: str, grid: Grid) -> Observations:
    """Return the observations that a file holds; errors are those of :func:`read_hdf5`."""
    found = taken(content.path, content.root, pde, grid)
    content.prove()
    return found


def taken(path: Path, group: Group, pde: str, grid: Grid) -> Observations:
    """Read observations from a group of a file; errors are those of :func:`read_hdf5`."""
    try:
        header = _Header.model_validate(group.attributes)
    except ValidationError as error:
        raise PiddmError(
            f"{path}, as a file of observations: {first_problem(error)}; use the piddm that wrote "
            "it, or make it again"
        ) from error
    if header.pde != pde:
        raise UsageError(f"{path} is of the equation {header.pde}, and this is about {pde}")
    if header.axes != list(grid.names):
        raise UsageError(f"{path} has the axes {', '.join(header.axes)}, not those of {pde}")
    parts: dict[str, dict[str, Tensor]] = {"points": {}, "values": {}, "sigma": {}}
    for name, own in group.members.items():
        if name == WEIGHTS:
            continue
        if not isinstance(own, Group):
            raise PiddmError(f"{path}: {name} is no group of points and values; make it again")
        for part, found in parts.items():
            found[name] = _tensor(path, name, part, own.get(part))
    return Observations(
        grid, parts["points"], parts["values"], parts["sigma"], header.params,
        readings=_taken_readings(path, group, header, grid), bias=header.bias, groups=header.groups,
    )  # fmt: skip


def _readings(observations: Observations) -> dict[str, str]:
    """Return the readings as JSON, and the symbols that they name."""
    records, symbols = [], {}
    for own in observations.readings:
        q = own.quantity
        record = {"value": own.value, "sigma": own.sigma, "group": own.group, "name": q.name}
        if q.weights is not None:
            record["weights"] = list(q.weights)
        else:
            record |= {"formula": q.formula, "region": dict(q.region or {})}
            for symbol in q.expression.free_symbols:
                if isinstance(symbol, Param):
                    symbols[symbol.name] = (symbol.value, symbol.free)
                elif isinstance(symbol, symbolic.Field):
                    symbols[symbol.name] = None
        records.append(record)
    return {"readings": json.dumps(records), "symbols": json.dumps(symbols)}


def _taken_readings(path: Path, group: Group, header: _Header, grid: Grid) -> list[Reading]:
    named = header.symbols.items()
    fields = [symbolic.Field(k) for k, v in named if v is None]
    params = [Param(k, v[0], free=v[1]) for k, v in named if v is not None]
    held, found = group.get(WEIGHTS), []
    for k, own in enumerate(header.readings):
        if own.weights:
            inner = held if isinstance(held, Group) else None
            weights = {n: _tensor(path, WEIGHTS, f"{k}.{n}", inner and inner.get(f"{k}.{n}"))
                       for n in own.weights}  # fmt: skip
            quantity = Quantity(weights=weights, name=own.name)
        else:
            quantity = formula_quantity(own.formula, own.region, fields, params, grid, own.name)
        found.append(Reading(quantity, own.value, own.sigma, own.group))
    return found


def _tensor(path: Path, name: str, part: str, array: Any) -> Tensor:
    if not isinstance(array, Array) or array.dtype.kind not in "iuf" or array.values is None:
        raise PiddmError(f"{path}: {part} of {name} is missing or not numbers; make it again")
    return array.tensor().double()
