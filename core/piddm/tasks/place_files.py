"""Places of sensors as CSV, to be filled in: a file of observations whose values are empty."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tasks.csv_files import CsvRows, columns_of
from piddm.tasks.observations import Observations
from piddm.tools.files import atomic_path, reading

if TYPE_CHECKING:
    from piddm.equation import PDE


def read_places(path: Path | str, pde: PDE, grid: Grid) -> dict[str, Tensor]:
    """Return the points of the sensors in a CSV file, field name to ``(n, axes)``, without values.

    ``piddm place`` writes such files, to be filled in. Errors are those of :func:`read_csv`.
    """
    with (
        reading(path, "CSV file", csv.Error, UnicodeDecodeError) as source,
        source.open(encoding="utf-8-sig", newline="") as handle,
    ):
        lines = csv.reader(handle, strict=True)
        columns = columns_of(f"{path}, line 1", next(lines, None), grid)
        rows, value = CsvRows(Path(path), pde, grid, 0.0), columns.index("value")
        for row in lines:
            if any(cell.strip() for cell in row) and len(row) == len(columns):
                filled = [*row[:value], row[value].strip() or "0", *row[value + 1 :]]
                rows.add(lines.line_num, filled, columns)
    return dict(rows.observations().points)


def write_places(observations: Observations, order: Sequence[tuple[str, list[float]]],
                 path: Path | str) -> None:  # fmt: skip
    """Write places of sensors as CSV, in their order, values to be filled in."""
    names, left = observations.grid.names, dict.fromkeys(observations.points, 0)
    with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow(["field", *names, "value", "sigma"])
        for name, point in order:
            sigma = float(observations.sigma[name][left[name]])
            left[name] += 1
            out.writerow([name, *map(repr, point), "", repr(sigma)])
