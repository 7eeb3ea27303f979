"""Observations as CSV: a header, and a row for each value.

::

    field,t,x,value,sigma
    u,0.25,0.503,1.21,0.05
    nu,,,0.01,

Columns are ``field``, the grid's axes by name, ``value``, and where it is wanted ``sigma`` (0 is
exact). A row of a param has no coordinates and no sigma.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.errors import UsageError, nearest
from piddm.files import atomic_path, reading
from piddm.grid import Grid
from piddm.tasks.observations import Observations

if TYPE_CHECKING:
    from piddm.pde import PDE

LARGEST = 2**28
"""Bytes of a file, at most: larger ones are a mistake, or better as HDF5."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAN = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


def read_csv(path: Path | str, pde: PDE, grid: Grid, sigma: float = 0.0) -> Observations:
    """Read observations from CSV.

    Args:
        path: The file.
        pde: The equation, whose fields and params are named.
        grid: The domain.
        sigma: Noise of all values, where the file has no such column.

    Raises:
        PiddmError: If the file is missing or no text.
        UsageError: If there is anything that cannot be used; it says the line.
    """
    rows = _Rows(Path(path), pde, grid, sigma)
    with (
        reading(path, "CSV file", csv.Error, UnicodeDecodeError) as source,
        # With utf-8-sig the mark that some spreadsheets put first is not taken for text.
        source.open(encoding="utf-8-sig", newline="") as handle,
    ):
        if source.stat().st_size > LARGEST:
            raise UsageError(f"{path} is larger than {LARGEST >> 20} MiB; use HDF5")
        lines = csv.reader(handle, strict=True)
        header = next(lines, None)
        columns = _columns(Path(path), header, grid)
        for row in lines:
            if any(cell.strip() for cell in row):
                rows.add(lines.line_num, row, columns)
    return rows.observations()


def _columns(path: Path, header: Sequence[str] | None, grid: Grid) -> list[str]:
    needed = ["field", *grid.names, "value"]
    shown = ",".join([*needed, "sigma"])
    if not header:
        raise UsageError(f"{path} is empty: there are no observations; its first line is {shown}")
    columns = [cell.strip() for cell in header]
    for name in columns:
        if name not in (*needed, "sigma"):
            raise UsageError(
                f"{path}, line 1: there is no column {name!r}; "
                f"the header is {shown}, the last column optional"
            )
        if columns.count(name) > 1:
            raise UsageError(f"{path}, line 1: the column {name} is there twice")
    if missing := [name for name in needed if name not in columns]:
        raise UsageError(
            f"{path}, line 1: the column {missing[0]} is missing; the header is {shown}"
        )
    return columns


class _Rows:
    """Collects the rows of a CSV file."""

    def __init__(self, path: Path, pde: PDE, grid: Grid, sigma: float) -> None:
        self.path, self.grid, self.sigma = path, grid, sigma
        self.fields, self.known_params = pde.field_names, [p.name for p in pde.params]
        self.points: dict[str, list[list[float]]] = {}
        self.values: dict[str, list[float]] = {}
        self.sigmas: dict[str, list[float]] = {}
        self.labels: dict[str, list[str]] = {}
        self.params: dict[str, float] = {}

    def add(self, line: int, row: Sequence[str], columns: Sequence[str]) -> None:
        at = f"{self.path}, line {line}"
        if len(row) != len(columns):
            raise UsageError(
                f"{at}: {len(row)} cells where the header has {len(columns)}; separate them by "
                "commas"
            )
        cells = {k: cell.strip() for k, cell in zip(columns, row, strict=True)}
        name, coordinates = cells["field"], [cells[k] for k in self.grid.names]
        if name in self.known_params:
            if any(coordinates) or cells.get("sigma"):
                raise UsageError(f"{at}: {name} is a param, without coordinates and exact")
            if name in self.params:
                raise UsageError(f"{at}: the param {name} is given twice")
            self.params[name] = _number(cells["value"], f"{at}: the value of {name}")
            return
        if name not in self.fields:
            known = (*self.fields, *self.known_params)
            raise UsageError(f"{at}: there is no field {name!r}{nearest(name, known)}")
        self.points.setdefault(name, []).append(
            [_number(c, f"{at}: {k}") for k, c in zip(self.grid.names, coordinates, strict=True)]
        )
        self.values.setdefault(name, []).append(_number(cells["value"], f"{at}: the value"))
        own = _number(cells["sigma"], f"{at}: sigma") if "sigma" in cells else self.sigma
        self.sigmas.setdefault(name, []).append(own)
        self.labels.setdefault(name, []).append(at)

    def observations(self) -> Observations:
        if not self.values:
            raise UsageError(f"{self.path}: there are no observations of a field; give some rows")

        def exact(values: Mapping[str, list]) -> dict[str, Tensor]:
            return {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}

        return Observations(
            self.grid, exact(self.points), exact(self.values), exact(self.sigmas), self.params,
            self.labels,
        )  # fmt: skip


def _number(text: str, what: str) -> float:
    if not NUMBER.fullmatch(text):
        if not text:
            raise UsageError(f"{what} is empty; write a number (a sigma of 0 is exact)")
        if _NAN.fullmatch(text):
            raise UsageError(f"{what} is not a finite number: {text}; leave the row out")
        raise UsageError(f"{what} is not a number: {text[:40]!r}")
    if abs(value := float(text)) == float("inf"):
        raise UsageError(f"{what} is not a finite number: {text[:40]}")
    return value


def write_csv(observations: Observations, path: Path | str) -> None:
    """Write observations as CSV, every digit of them.

    Raises:
        PiddmError: If the file cannot be written.
    """
    names = observations.grid.names
    with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow(["field", *names, "value", "sigma"])
        for name, points in observations.points.items():
            parts = (points, observations.values[name][:, None], observations.sigma[name][:, None])
            for row in torch.cat(parts, dim=1).tolist():
                out.writerow([name, *map(repr, row)])
        for name, value in observations.params.items():
            out.writerow([name, *[""] * len(names), repr(float(value)), ""])
