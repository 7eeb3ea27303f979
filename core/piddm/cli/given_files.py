"""Commands for data of others: ``import`` and ``check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_table
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.data.suggesting import Suggestion

SHOWN = 12
"""Choices that are shown of those that were tried, at most."""

File = Annotated[Path, typer.Argument(metavar="FILE", help="A file, or a zarr store.")]
Pde = Annotated[str, typer.Option("--pde", help="The equation's name.")]
PdeOrNone = Annotated[
    str | None, typer.Option("--pde", help="The equation's name; or --fields, where none is known.")
]
Map = Annotated[
    Path | None, typer.Option("--map", help="The map of the file, TOML; what is open is tried.")
]
ReaderName = Annotated[
    str, typer.Option("--reader", help="Which reader; by the file's content where left out.")
]


def import_(
    file: File,
    pde: PdeOrNone = None,
    fields: options.Fields = "",
    map_: Map = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Only write a map to begin with, to --map or shown.")
    ] = False,
    reader: ReaderName = "",
    nan: Annotated[
        str | None, typer.Option(help="drop: leave out samples that are not finite; or refuse.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="HDF5 file to write.")] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Make a data set of a file of others."""
    if nan == "mask":
        from piddm.runs.reading import MASKED

        raise UsageError(f"--nan mask, {MASKED}")
    if nan not in (None, "drop", "refuse"):
        raise UsageError(f"--nan {nan}: choose drop or refuse")
    if pde is None and not fields:
        raise UsageError("give the equation, --pde NAME, or the fields of data without one, "
                         "--fields u,v")  # fmt: skip
    from piddm.plugins.loader import get_pde

    known = None if pde is None else get_pde(pde)  # before torch: a typo shows at once
    from piddm.data.file_maps import map_text, write_map
    from piddm.runs.folder import home
    from piddm.runs.reading import equation_or_fields, import_data, suggestion

    equation = equation_or_fields(known, fields)

    options.limit_threads()
    if suggest:
        target = None if map_ is None else options.writable(map_, overwrite)
        found = suggestion(file, equation, reader)
        if target is not None:
            write_map(found.map, target)
        if json:
            print_json({"map": found.map.model_dump(mode="json"), "open": list(found.open),
                        "format": found.format, "tried": _tried(found)})  # fmt: skip
            return
        _print_tried(found)
        typer.echo(map_text(found.map) if target is None else f"wrote {target}")
        return
    target = options.writable(
        out or home() / "data" / f"{equation.name}-{file.stem}.h5", overwrite or out is None
    )
    made, found = import_data(file, equation, target, map_, drop=nan == "drop", reader=reader)
    if json:
        print_json({"out": str(target), "count": made.count, "dropped": list(made.dropped),
                    "grid": made.about.grid.to_dict(), "params": made.about.params,
                    "floor": made.about.floor,
                    "computed": {k: list(v) for k, v in made.about.computed.items()}})  # fmt: skip
        return
    if found is not None:
        _print_tried(found)
    rows = [[k, f"{v:.2e}"] for k, v in made.about.floor.items()]
    if rows:
        print_table(["equation or condition", "normalised PDE error of the data"], rows)
    for name, given in made.about.computed.items():
        typer.echo(f"{name} is not in the file: computed from {', '.join(given)}")
    left = f", {len(made.dropped)} left out" if made.dropped else ""
    typer.echo(f"wrote {target}: {made.count} samples{left}")


def _tried(found: Suggestion) -> list[dict[str, object]]:
    return [{"choice": t.choice, "why": t.why,
             "residual": t.score if t.score < float("inf") else None}
            for t in found.trials]  # fmt: skip


def _print_tried(found: Suggestion) -> None:
    header, rows = found.table()
    if len(rows) > 1:
        print_table(header, rows[:SHOWN])
        if len(rows) > SHOWN:
            typer.echo(f"and {len(rows) - SHOWN} more, of larger residuals")
        typer.echo()
    for said in found.open:
        options.say(f"warning: the equation cannot tell apart {said}; the first was taken")
    for said in found.assumed:
        options.say(f"warning: taken for granted: {said}; --map says otherwise")


def check(
    file: File,
    pde: Pde,
    map_: Map = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="How many samples; all where left out.")
    ] = None,
    replay: Annotated[
        int, typer.Option(min=0, help="How many are solved again from their own inputs.")
    ] = 2,
    nan: Annotated[
        str | None,
        typer.Option(
            help="drop: leave out samples that are not finite; mask: only rows that touch a hole."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report; check/ by default.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Is this data the equation's? Exit code 1 where it is not."""
    if nan not in (None, "drop", "mask"):
        raise UsageError(f"--nan {nan}: choose drop or mask")
    from piddm.plugins.loader import get_pde

    equation = get_pde(pde)
    from piddm import figures
    from piddm.runs.folder import home
    from piddm.runs.reading import check as checked
    from piddm.tools.files import write_json

    folder = out or home() / "check" / f"{equation.name}-{file.stem}"
    target = options.writable(folder / "check.json", overwrite=True)
    options.limit_threads()
    found = checked(file, equation, map_, count=count, replay=replay, mask=nan == "mask")
    data, picture = found.to_dict(), folder / "check.png"
    if found.tested:
        figures.save(figures.checked(found), picture)
        data["figure"] = str(picture)
    write_json(target, data)
    if json:
        print_json(data)
    else:
        for table in (found.row_table(), found.term_table(), found.param_table(),
                      found.suspect_table()):  # fmt: skip
            if table[1]:
                print_table(*table)
                typer.echo()
        worst = ", ".join(f"{i} ({v:.2g})" for i, v in found.worst)
        told = f"{found.errors.count} samples on {found.grid}"
        typer.echo(told + (f"; the worst: {worst}" if found.tested else ""))
        for said in found.verdict():
            typer.echo(said)
        if found.tested:
            typer.echo(f"figure: {picture}")
    if not found.satisfied:
        raise typer.Exit(1)
