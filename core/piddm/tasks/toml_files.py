"""Observations as TOML: a table for each sensor, for a few that each need words.

::

    bias = { pitot = 0.1 }          # deviation of what a group reads too much or too little by
    params = { nu = 0.01 }          # known params

    [[sensor]]
    reads = "integral(-a*D(u, x))"  # a field, or a formula; mean or integral over its place
    at = { x = 1 }                  # a number or [low, high]; axes that are missing are whole
    value = 1.21
    sigma = 0.05                    # 0 is exact
    group = "pitot"
    name = "east gauge"
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from piddm.grids.grid import Grid
from piddm.tasks.csv_files import LARGEST
from piddm.tasks.observations import Observations
from piddm.tasks.quantities import formula_quantity
from piddm.tasks.readings import Reading
from piddm.tools.errors import UsageError, labelled
from piddm.tools.files import first_problem, reading

if TYPE_CHECKING:
    from piddm.equation import PDE


class _Sensor(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reads: str
    at: dict[str, FiniteFloat | tuple[FiniteFloat, FiniteFloat]] = {}
    value: FiniteFloat
    sigma: FiniteFloat | None = None
    group: str = ""
    name: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sensor: list[_Sensor] = []
    bias: dict[str, FiniteFloat] = {}
    params: dict[str, FiniteFloat] = {}


def read_toml(path: Path | str, pde: PDE, grid: Grid, sigma: float = 0.0) -> Observations:
    """Read observations from TOML.

    Args:
        path: The file.
        pde: The equation, whose fields and params are named.
        grid: The domain.
        sigma: Noise of sensors that have none.

    Raises:
        PiddmError: If the file is missing or no text.
        UsageError: If there is anything that cannot be used; it says the sensor.
    """
    with (
        reading(path, "TOML file", tomllib.TOMLDecodeError, UnicodeDecodeError) as source,
        source.open("rb") as handle,
    ):
        if source.stat().st_size > LARGEST:
            raise UsageError(f"{path} is larger than {LARGEST >> 20} MiB; use HDF5")
        data = tomllib.load(handle)
    try:
        held = _File.model_validate(data)
    except ValidationError as error:
        raise UsageError(
            f"{path}: {first_problem(error)}; a sensor has reads, at, value, and where they are "
            "wanted sigma, group and name"
        ) from error
    points: dict[str, list[list[float]]] = {}
    values: dict[str, list[tuple[float, float]]] = {}
    labels: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    readings = []
    for number, own in enumerate(held.sensor, 1):
        label = f"{path}, sensor {number}" + (f" ({own.name})" if own.name else "")
        size = sigma if own.sigma is None else own.sigma
        region = {k: v if isinstance(v, tuple) else (v, v) for k, v in own.at.items()}
        name = own.reads.strip()
        point = all(k in region and region[k][0] == region[k][1] for k in grid.names)
        with labelled(label):
            if name in pde.field_names and point and len(region) == len(grid.names):
                points.setdefault(name, []).append([region[k][0] for k in grid.names])
                values.setdefault(name, []).append((own.value, size))
                labels.setdefault(name, []).append(label)
                groups.setdefault(name, []).append(own.group)
                continue
            quantity = formula_quantity(
                name, region, pde.fields, pde.params, grid, own.name, spec=pde
            )
        readings.append(Reading(quantity, own.value, size, own.group, label))
    if not held.sensor:
        raise UsageError(f"{path}: there are no observations; give some [[sensor]] tables")

    def column(k: int) -> dict[str, torch.Tensor]:
        return {n: torch.tensor([r[k] for r in rows], dtype=torch.float64)
                for n, rows in values.items()}  # fmt: skip

    return Observations(
        grid, {k: torch.tensor(v, dtype=torch.float64) for k, v in points.items()}, column(0),
        column(1), held.params, labels, readings=readings, bias=held.bias,
        groups={k: v for k, v in groups.items() if any(v)},
    )  # fmt: skip
