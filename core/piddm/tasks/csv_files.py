"""Observations as CSV: a header, and a row for each value.

::

    field,t,x,value,sigma,group
    u,0.25,0.503,1.21,0.05,
    u,0.5,0.2:0.4,1.3,0.05,pitot
    integral(u*D(u,x)),1,:,0.2,0.01,
    bias(pitot),,,0,0.1,
    nu,,,0.01,,

Columns are ``field``, the grid's axes by name, ``value``, and where they are wanted ``sigma`` (0 is
exact) and ``group``. A row of a param has no coordinates and no sigma. A coordinate may be a range,
or ``:`` for the whole axis, and a field a formula: see :mod:`piddm.tasks.quantities`. Sensors of
one group have a bias in common, whose deviation the row ``bias(GROUP)`` has for its sigma.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tasks.observations import Observations
from piddm.tasks.quantities import formula_quantity, range_of
from piddm.tasks.readings import Reading
from piddm.tools.errors import UsageError, labelled, nearest
from piddm.tools.files import atomic_path, reading

if TYPE_CHECKING:
    from piddm.equation import PDE

LARGEST = 2**26
"""Bytes of a file, at most: larger ones are a mistake, or better as HDF5."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What may separate cells: where it is no comma, numbers may have one for their decimals."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""Numbers as a CSV file writes them."""

_BIAS = re.compile(r"bias\(([^()]*)\)")
"""A bias as a CSV file writes it."""

_NAN = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
"""What is written where there is no number."""


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
    with (
        reading(path, "CSV file", csv.Error, UnicodeDecodeError) as source,
        # With utf-8-sig the mark that some spreadsheets put first is not taken for text.
        source.open(encoding="utf-8-sig", newline="") as handle,
    ):
        if source.stat().st_size > LARGEST:
            raise UsageError(f"{path} is larger than {LARGEST >> 20} MiB; use HDF5")
        return csv_rows(handle, Path(path), pde, grid, sigma).observations()


def rows_of_text(text: str, name: str, pde: PDE, grid: Grid) -> CsvRows:
    """Return the rows of a CSV file's text; ``name`` is what messages call the file.

    Raises:
        UsageError: If there is anything that cannot be used; it says the line.
    """
    try:
        return csv_rows(io.StringIO(text.removeprefix("\ufeff"), newline=""), Path(name), pde, grid)
    except csv.Error as error:
        raise UsageError(f"{name} is no CSV file: {error}") from error


def csv_rows(handle: IO[str], path: Path, pde: PDE, grid: Grid, sigma: float = 0.0) -> CsvRows:
    """Return the rows of an open CSV file; ``path`` is what messages call it."""
    rows = CsvRows(path, pde, grid, sigma)
    blank, first = _header(handle)
    rows.separator = separator = max(SEPARATORS, key=first.count)
    lines = csv.reader(itertools.chain([first], handle), strict=True, delimiter=separator)
    columns = columns_of(f"{path}, line {blank + 1}", next(lines, None), grid)
    for row in lines:
        if any(cell.strip() for cell in row):
            rows.add(blank + lines.line_num, row, columns)
    return rows


def _header(handle: IO[str]) -> tuple[int, str]:
    """Return how many blank lines a file begins with, and the first line that says something."""
    for number, line in enumerate(handle):
        if line.strip(" \t\r\n,;"):
            return number, line
    return 0, ""


def columns_of(at: str, header: Sequence[str] | None, grid: Grid) -> list[str]:
    """Return the columns of a header; ``at`` is what is said of it."""
    needed = ["field", *grid.names, "value"]
    shown = ",".join([*needed, "sigma", "group"])
    if not header:
        path = at.rpartition(", line")[0]
        raise UsageError(f"{path} is empty: there are no observations; its first line is {shown}")
    columns = [cell.strip() for cell in header]
    for name in columns:
        if name not in (*needed, "sigma", "group"):
            raise UsageError(
                f"{at}: there is no column {name[:40]!r}; "
                f"the header is {shown}, the last two columns optional"
            )
        if columns.count(name) > 1:
            raise UsageError(f"{at}: the column {name} is there twice")
    if missing := [name for name in needed if name not in columns]:
        raise UsageError(f"{at}: the column {missing[0]} is missing; the header is {shown}")
    return columns


class _Lines(Sequence[str]):
    """What the observations of a file are called: by their lines."""

    def __init__(self, path: Path) -> None:
        self.path, self.numbers = path, array("q")

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"{self.path}, line {self.numbers[index]}"


class CsvRows:
    """Collects the rows of a CSV file."""

    def __init__(self, path: Path, pde: PDE, grid: Grid, sigma: float) -> None:
        self.path, self.grid, self.sigma = path, grid, sigma
        self.fields, self.known_params = pde.field_names, [p.name for p in pde.params]
        self.separator = ","
        # Millions of numbers as objects would take gigabytes.
        self.points: dict[str, array[float]] = {}
        self.values: dict[str, array[float]] = {}
        self.sigmas: dict[str, array[float]] = {}
        self.labels: dict[str, _Lines] = {}
        self.params: dict[str, float] = {}
        self.pde, self.readings = pde, list[Reading]()
        self.bias: dict[str, float] = {}
        self.groups: dict[str, list[str]] = {}

    def add(self, line: int, row: Sequence[str], columns: Sequence[str]) -> None:
        """Take a row, which is refused by its line where it cannot be used."""
        at = f"{self.path}, line {line}"
        if len(row) != len(columns):
            raise UsageError(
                f"{at}: {len(row)} cells where the header has {len(columns)}; separate them by "
                f"{SEPARATORS[self.separator]}"
            )
        cells = {k: cell.strip() for k, cell in zip(columns, row, strict=True)}
        if self.separator != ",":  # where the comma is that of decimals
            cells |= {k: v.replace(",", ".") for k, v in cells.items() if k != "field"}
        name, coordinates = cells["field"], [cells[k] for k in self.grid.names]
        if name in self.known_params:
            if any(coordinates) or cells.get("sigma") or cells.get("group"):
                raise UsageError(f"{at}: {name} is a param, without coordinates and exact")
            if name in self.params:
                raise UsageError(f"{at}: the param {name} is given twice")
            self.params[name] = _number(cells["value"], f"{at}: the value of {name}")
            return
        if bias := _BIAS.fullmatch(name):
            self._add_bias(at, bias.group(1).strip(), cells)
            return
        group = cells.get("group", "")
        if name not in self.fields or any(":" in c for c in coordinates):
            self._add_reading(at, name, coordinates, cells, group)
            return
        if name not in self.values:
            self.groups[name] = []
            self.points[name], self.values[name] = array("d"), array("d")
            self.sigmas[name], self.labels[name] = array("d"), _Lines(self.path)
        self.points[name].extend(
            _number(c, f"{at}: {k}") for k, c in zip(self.grid.names, coordinates, strict=True)
        )
        self.values[name].append(_number(cells["value"], f"{at}: the value"))
        self.sigmas[name].append(self._sigma(at, cells))
        self.labels[name].numbers.append(line)
        self.groups[name].append(group)

    def _sigma(self, at: str, cells: Mapping[str, str]) -> float:
        return _number(cells["sigma"], f"{at}: sigma") if "sigma" in cells else self.sigma

    def _add_bias(self, at: str, group: str, cells: Mapping[str, str]) -> None:
        if not group or any(cells[k] for k in self.grid.names) or cells["value"] not in ("", "0"):
            raise UsageError(f"{at}: a bias is a row bias(GROUP),,,0,SIGMA without coordinates")
        if group in self.bias:
            raise UsageError(f"{at}: the bias of {group} is given twice")
        self.bias[group] = _number(cells.get("sigma", ""), f"{at}: sigma")

    def _add_reading(
        self, at: str, name: str, coordinates: Sequence[str], cells: Mapping[str, str], group: str
    ) -> None:
        if re.fullmatch(r"\w+", name) and name not in self.fields:
            known = (*self.fields, *self.known_params)
            raise UsageError(f"{at}: there is no field {name[:40]!r}{nearest(name[:40], known)}")
        region = {}
        for key, cell in zip(self.grid.names, coordinates, strict=True):
            if not cell:
                raise UsageError(f"{at}: {key} is empty; write a number, a range a:b, or : for all")
            if cell != ":":
                region[key] = range_of(cell, f"{at}: {key}")
        with labelled(at):
            quantity = formula_quantity(
                name, region, self.pde.fields, self.pde.params, self.grid, spec=self.pde
            )
        value = _number(cells["value"], f"{at}: the value")
        self.readings.append(Reading(quantity, value, self._sigma(at, cells), group, at))

    def observations(self) -> Observations:
        """Return what the rows say."""
        if not self.values and not self.readings:
            raise UsageError(f"{self.path}: there are no observations of a field; give some rows")

        def exact(values: Mapping[str, array[float]], *shape: int) -> dict[str, Tensor]:
            return {k: torch.from_numpy(np.array(v)).view(-1, *shape) for k, v in values.items()}

        points = exact(self.points, len(self.grid.names))
        return Observations(
            self.grid, points, exact(self.values), exact(self.sigmas), self.params, self.labels,
            readings=self.readings, bias=self.bias,
            groups={k: v for k, v in self.groups.items() if any(v)},
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
        grouped = ["group"] if observations.bias else []
        out.writerow(["field", *names, "value", "sigma", *grouped])
        for name, points in observations.points.items():
            parts = (points, observations.values[name][:, None], observations.sigma[name][:, None])
            groups = observations.groups.get(name) or [""] * len(points)
            for row, group in zip(torch.cat(parts, dim=1).tolist(), groups, strict=True):
                out.writerow([name, *map(repr, row), *([group] if grouped else [])])
        for own in observations.readings:
            if own.quantity.weights is not None:
                raise UsageError(f"{own.title} has weights of nodes, which CSV has no place for; "
                                 "write HDF5")  # fmt: skip
            region = own.quantity.region or {}
            at = [_cell(region.get(k)) for k in names]
            numbers = repr(float(own.value)), repr(float(own.sigma))
            out.writerow([own.quantity.formula, *at, *numbers, *([own.group] if grouped else [])])
        for group, sigma in observations.bias.items():
            out.writerow([f"bias({group})", *[""] * len(names), "0", repr(float(sigma)), ""])
        for name, value in observations.params.items():
            out.writerow([name, *[""] * len(names), repr(float(value)), "",
                          *([""] if grouped else [])])  # fmt: skip


def _cell(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return ":"
    low, high = map(float, ends)
    return repr(low) if low == high else f"{low!r}:{high!r}"
