"""Solutions on disk: every member and what the ensemble says, as HDF5, and a summary as JSON.

::

    solution.h5
    /                schema, schema_version, pde, task, interpolation, solver, calls, seconds,
                     asked, unfinished, projected (where it was), closed_form (where mean
                     and std are the law's own, not the members'), and as JSON: grid
    /members         field name to (members, *axes), free params (members,), float64
    /mean, /std, /quantile_05, /quantile_50, /quantile_95    field name to (*axes)
    /band_low, /band_high    the same, where there is a calibration, which is JSON of the root
    /residual, /misfit    (members,), and /tolerance (observations,); no /residual of data
                          without an equation
    /observations    as a file of observations
    solution.json    the summary
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, Json, ValidationError
from torch import Tensor

from piddm.grids.axis_data import AxisData, grid_of
from piddm.residuals.residual import Fields
from piddm.tasks import hdf5_files as observed
from piddm.tasks.interval_calibration import Calibration
from piddm.tasks.solution import Solution
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import first_problem, write_json
from piddm.tools.hdf5 import created, put_array, put_attributes
from piddm.tools.hdf5_reading import Array, Group, contents

SCHEMA, SCHEMA_VERSION = "piddm-solution", 1
"""Name and version of the layout of a solution's file."""

QUANTILES = {"quantile_05": 0.05, "quantile_50": 0.5, "quantile_95": 0.95}
"""Names of the quantiles that are kept, with their shares."""


def keep(
    solution: Solution, folder: Path | str, truth: Fields | None = None,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write ``solution.h5`` and ``solution.json`` into a folder; return the summary.

    Args:
        solution: The answer.
        folder: Where.
        truth: The truth, where it is known.
        more: What the summary says beside.

    Raises:
        PiddmError: If a file cannot be written.
    """
    folder = Path(folder)
    write_solution(solution, folder / "solution.h5")
    summary = _finite(solution.summary(truth) | (more or {}))
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
    told: dict[str, Any] = {
        "schema": SCHEMA, "schema_version": SCHEMA_VERSION, "pde": solution.pde,
        "task": solution.task.kind, "interpolation": solution.task.interpolation,
        "solver": solution.solver, "calls": solution.calls, "seconds": solution.seconds,
        "asked": solution.asked, "unfinished": solution.unfinished,
        "grid": json.dumps(solution.grid.to_dict()),
    }  # fmt: skip
    if solution.projected is not None:
        told["projected"] = solution.projected
    if solution.caution:
        told["caution"] = solution.caution
    if solution.law is not None:
        told["closed_form"] = 1
    if solution.calibration is not None:
        told["calibration"] = solution.calibration.model_dump_json()
        told["scores"] = json.dumps(dict(solution.scores))
        ends = solution.band() or ({}, {})
        groups |= {"band_low": ends[0], "band_high": ends[1]}
    with created(path) as file:
        put_attributes(file, told)
        for group, fields in groups.items():
            own = file.create_group(group)
            for name, values in fields.items():
                put_array(own, name, values.numpy())
        for name in ("residual", "misfit", "tolerance"):
            if (values := getattr(solution, name)) is not None:
                put_array(file, name, values.numpy())
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
    closed_form: Literal[0, 1] = 0
    calibration: Json[Calibration] | None = None
    scores: Json[dict[str, FiniteFloat]] = {}
    grid: Json[dict[str, AxisData]]


def read_solution(path: Path | str) -> Solution:
    """Read a solution and check all of it.

    Raises:
        PiddmError: If the file is missing, damaged, foreign or of another version, refers to other
            files, or holds other shapes than it announces.
    """
    content = contents(path, "solution")
    path, root = content.path, content.root
    try:
        header = _Header.model_validate(root.attributes)
    except ValidationError as error:
        raise PiddmError(
            f"{path}, as a solution: {first_problem(error)}; use the piddm that wrote it, or "
            "make it again"
        ) from error
    try:
        grid = grid_of(header.grid)
        seen = observed.taken(path, _group(path, root, "observations"), header.pde, grid)
    except UsageError as error:  # which does not know that nobody typed this
        raise PiddmError(f"{path}: {error}; make it again") from error
    found = _group(path, root, "members")
    members = {k: _values(path, found, k) for k in found.members}
    own = {k: _values(path, root, k) for k in ("misfit", "tolerance")}
    residual = _values(path, root, "residual") if "residual" in root.members else None
    law = None
    if header.closed_form:
        parts = [_group(path, root, name) for name in ("mean", "std")]
        law = ({k: _values(path, parts[0], k) for k in members},
               {k: _values(path, parts[1], k) for k in members})  # fmt: skip
        if any(p[k].shape != v.shape[1:] for p in law for k, v in members.items()):
            raise PiddmError(f"{path}: its parts are of different sizes; make it again")
    count = own["misfit"].numel()
    shapes = [(count, *grid.shape), (count,)]
    if (
        any(v.shape not in shapes for v in members.values())
        or any(v is not None and v.shape != (count,) for v in (residual, own["misfit"]))
        or own["tolerance"].shape != (seen.count,)
    ):
        raise PiddmError(f"{path}: its parts are of different sizes; make it again")
    content.prove()
    return Solution(
        task=Task(header.task, seen, header.interpolation), pde=header.pde, grid=grid,
        solver=header.solver, fields=members, calls=header.calls, seconds=header.seconds,
        asked=header.asked, unfinished=header.unfinished, projected=header.projected,
        caution=header.caution, law=law, calibration=header.calibration, scores=header.scores,
        residual=residual, **own,
    )  # fmt: skip


def _group(path: Path, root: Group, name: str) -> Group:
    group = root.get(name)
    if not isinstance(group, Group):
        raise PiddmError(f"{path}: {name} is no group; make it again")
    return group


def _values(path: Path, group: Group, name: str) -> Tensor:
    array = group.get(name)
    if not isinstance(array, Array) or array.dtype.newbyteorder("=") != np.float64:
        raise PiddmError(f"{path}: {name} is not of float64; make it again")
    values = array.tensor()
    if not bool(values.isfinite().all()):
        raise PiddmError(f"{path}: {name} has values that are not finite; make it again")
    return values
