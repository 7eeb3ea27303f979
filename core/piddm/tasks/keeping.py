"""Solutions on disk: every member and what the ensemble says, as HDF5, and a summary as JSON.

::

    solution.h5
    /                schema, schema_version, pde, task, interpolation, solver, calls, seconds,
                     asked, unfinished, projected (where it was), and as JSON: grid
    /members         field name to (members, *axes), free params (members,), float64
    /mean, /std, /quantile_05, /quantile_50, /quantile_95    field name to (*axes)
    /residual, /misfit    (members,), and /tolerance (observations,)
    /observations    as a file of observations
    solution.json    the summary
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, Json, ValidationError
from torch import Tensor

from piddm.errors import PiddmError, UsageError
from piddm.files import first_problem, reading, write_json
from piddm.hdf5 import DAMAGE, AxisData, created, grid_of, plain, refuse_references
from piddm.interfaces import Fields, Task
from piddm.tasks import hdf5_files as observed
from piddm.tasks.solution import Solution

SCHEMA, SCHEMA_VERSION = "piddm-solution", 1

QUANTILES = {"quantile_05": 0.05, "quantile_50": 0.5, "quantile_95": 0.95}


def keep(solution: Solution, folder: Path | str, truth: Fields | None = None) -> dict[str, Any]:
    """Write ``solution.h5`` and ``solution.json`` into a folder; return the summary.

    Raises:
        PiddmError: If a file cannot be written.
    """
    folder = Path(folder)
    write_solution(solution, folder / "solution.h5")
    summary = _finite(solution.summary(truth))
    write_json(folder / "solution.json", summary)
    return summary


def _finite(data: Any) -> Any:
    """Return plain data with null for what is no number: JSON has none."""
    if isinstance(data, dict):
        return {k: _finite(v) for k, v in data.items()}
    return None if isinstance(data, float) and not math.isfinite(data) else data


def write_solution(solution: Solution, path: Path | str) -> None:
    """Write a solution: the whole file, or nothing.

    Raises:
        PiddmError: If it cannot be written.
    """
    groups = {"members": solution.fields, "mean": solution.mean, "std": solution.std}
    groups |= {name: solution.quantile(share) for name, share in QUANTILES.items()}
    with created(path) as file:
        file.attrs.update(
            schema=SCHEMA, schema_version=SCHEMA_VERSION, pde=solution.pde,
            task=solution.task.kind, interpolation=solution.task.interpolation,
            solver=solution.solver, calls=solution.calls, seconds=solution.seconds,
            asked=solution.asked, unfinished=solution.unfinished,
            grid=json.dumps(solution.grid.to_dict()),
        )  # fmt: skip
        if solution.projected is not None:
            file.attrs["projected"] = solution.projected
        if solution.caution:
            file.attrs["caution"] = solution.caution
        for group, fields in groups.items():
            for name, values in fields.items():
                file[f"{group}/{name}"] = values.numpy()
        for name in ("residual", "misfit", "tolerance"):
            file[name] = getattr(solution, name).numpy()
        observed.put(file.create_group("observations"), solution.task.observations, solution.pde)


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_: Annotated[Literal["piddm-solution"], Field(alias="schema")]
    schema_version: Literal[1]
    pde: str
    task: Literal["forward", "inverse", "reconstruct"]
    interpolation: Literal["linear", "cubic"]
    solver: str
    calls: Annotated[int, Field(ge=0)]
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    asked: Annotated[int, Field(ge=1)]
    unfinished: Annotated[int, Field(ge=0)] = 0
    projected: Annotated[int, Field(ge=0)] | None = None
    caution: Annotated[str, Field(max_length=1000)] = ""
    grid: Json[dict[str, AxisData]]


def read_solution(path: Path | str) -> Solution:
    """Read a solution and check all of it.

    Raises:
        PiddmError: If the file is missing, damaged, foreign or of another version, refers to other
            files, or holds other shapes than it announces.
    """
    with reading(path, "solution", *DAMAGE) as source, h5py.File(source, "r") as file:
        refuse_references(path, file)
        try:
            header = _Header.model_validate({k: plain(v) for k, v in file.attrs.items()})
        except ValidationError as error:
            raise PiddmError(
                f"{path}, as a solution: {first_problem(error)}; use the piddm that wrote it, or "
                "make it again"
            ) from error
        try:
            grid = grid_of(header.grid)
            seen = observed.taken(path, _group(path, file, "observations"), header.pde, grid)
        except UsageError as error:  # which does not know that nobody typed this
            raise PiddmError(f"{path}: {error}; make it again") from error
        found = _group(path, file, "members")
        members = {k: _values(path, found, k) for k in map(str, found)}
        own = {k: _values(path, file, k) for k in ("residual", "misfit", "tolerance")}
        count = len(own["misfit"])
        shapes = [(count, *grid.shape), (count,)]
        if (
            any(v.shape not in shapes for v in members.values())
            or own["residual"].shape != (count,)
            or own["tolerance"].shape != (seen.count,)
        ):
            raise PiddmError(f"{path}: its parts are of different sizes; make it again")
        return Solution(
            task=Task(header.task, seen, header.interpolation), pde=header.pde, grid=grid,
            solver=header.solver, fields=members, calls=header.calls, seconds=header.seconds,
            asked=header.asked, unfinished=header.unfinished, projected=header.projected,
            caution=header.caution, **own,
        )  # fmt: skip


def _group(path: Path | str, file: h5py.File, name: str) -> h5py.Group:
    group = file[name]
    if not isinstance(group, h5py.Group):
        raise PiddmError(f"{path}: {name} is no group; make it again")
    return group


def _values(path: Path | str, group: Any, name: str) -> Tensor:
    values = group[name]
    if not isinstance(values, h5py.Dataset) or values.dtype != np.float64:
        raise PiddmError(f"{path}: {name} is not of float64; make it again")
    return torch.from_numpy(values[()])
