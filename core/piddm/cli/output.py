"""Output of commands: tables and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from piddm.tools.errors import printable

if TYPE_CHECKING:
    from piddm.api import Run


def print_json(data: Any) -> None:
    """Print plain data as JSON."""
    typer.echo(json.dumps(data, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn by rich on a terminal, aligned text elsewhere."""
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*header, box=SIMPLE_HEAD)
        for row in rows:
            # As Text, so that no cell is read as markup.
            table.add_row(*(Text(printable(cell)) for cell in row))
        Console().print(table)
        return
    lines = [header, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def print_scores(run: Run) -> None:
    """Print the table of a run's scores, the floor of its data, and what they say together."""
    from piddm.reports.judgement import judgement
    from piddm.reports.tables import floor_text, score_table

    print_table(*score_table(run.metrics))
    if not run.residual.rows:
        return
    floor = floor_text(run.floor) or "not known: the data of this older run are gone"
    of = "the data as solved" if run.config.data.taken is None else "the data that were given"
    typer.echo(f"floor (normalised PDE error of {of}): {floor}")
    for sentence in judgement(run.metrics, run.config):
        typer.echo(sentence)


def scores_json(run: Run) -> dict[str, Any]:
    """Return a run's path, floor and scores as plain data."""
    return {
        "run": str(run.path),
        "pde": run.pde.name,
        "floor": run.floor,
        "metrics": {k: v.model_dump(mode="json") for k, v in run.metrics.items()},
    }
