"""Commands that make: ``simulate``, ``train``, ``distill``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_scores, print_table, scores_json
from piddm.tools import ranks
from piddm.tools.about import __version__

if TYPE_CHECKING:
    from piddm.data.dataset import Dataset
    from piddm.equation import PDE


def simulate(
    name: options.Name = None,
    pde: options.Pde = None,
    count: Annotated[int, typer.Option(min=1, help="How many solutions.")] = 64,
    size: Annotated[
        Any,
        typer.Option(
            parser=options.nodes(),
            metavar=options.NODES,
            help="Nodes along every axis, or by axis; the equation's by default.",
        ),
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="HDF5 file to write.")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write random solutions to HDF5."""
    from piddm.plugins.loader import get_pde

    equation = get_pde(options.equation(name, pde))
    from piddm import api
    from piddm.runs.folder import home

    default = home() / "data" / f"{equation.name}-{_told(size)}-{count}-seed{seed}.h5"
    # The default name says all that the content depends on, so replacing it loses nothing.
    target = options.writable(out or default, overwrite or out is None)
    options.limit_threads()
    ranks.join("cpu", {"equation": equation.name, "count": count, "size": size, "seed": seed,
                       "out": str(target), "version of piddm": __version__})  # fmt: skip
    made = api.make_dataset(equation, count, size=size, seed=seed, path=target)
    _say_floor(equation, made)
    typer.echo(f"wrote {target}")


def _told(size: int | dict[str, int] | None) -> str:
    if not isinstance(size, dict):
        return str(size or "full")
    return "x".join(f"{name}{count}" for name, count in size.items())


def _say_floor(equation: PDE, made: Dataset) -> None:
    from piddm.symbolic import Slice

    floor = [[name, f"{value:.2e}"] for name, value in made.floor.items()]
    print_table(["equation or condition", "floor (normalised PDE error)"], floor)
    rows = []
    for given in equation.inputs:
        if isinstance(given, Slice):
            dimension, node = equation.slice_index(given, made.grid)
            values = made.fields[given.field.name].select(dimension + 1, node)
        else:
            values = made.fields[given.name]
        rows.append([str(given), f"{float(values.std()):.4g}"])
    print_table(["input", "standard deviation"], rows)


def train(
    name: options.Name = None,
    pde: options.Pde = None,
    preset: options.Preset = "default",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    seed: options.RunSeed = None,
    device: options.Device = "cpu",
    out: options.Folder = None,
    fresh: options.Fresh = False,
    data: options.Data = None,
    fields: options.Fields = "",
    map_: options.Map = None,
    json: options.Json = False,
) -> None:
    """Train the teacher; distill goes on from there."""
    from piddm.tools.progress import follow

    equation = options.equation_of_data(name, pde, fields)
    from piddm import api

    options.limit_threads(device)
    job = api.prepare(
        equation, preset, config=config, overrides=overrides, seed=seed, device=device, out=out,
        fresh=fresh, data=data, fields=fields, map=map_,
    )  # fmt: skip
    folder = job.folder
    worked = follow(job.simulate()) + follow(job.train())
    if json:
        print_json({"run": str(folder), "teacher": str(job.teacher_path), "existed": not worked})
        return
    if not worked:
        typer.echo("everything was there already")
    typer.echo(f"teacher: {job.teacher_path}")
    typer.echo(f"run: {folder}")


def distill(
    name: options.Name = None,
    pde: options.Pde = None,
    preset: options.Preset = "default",
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    seed: options.RunSeed = None,
    device: options.Device = "cpu",
    out: options.Folder = None,
    fresh: options.Fresh = False,
    data: options.Data = None,
    fields: options.Fields = "",
    map_: options.Map = None,
    track: Annotated[
        str, typer.Option(help="Tell losses and scores to a tracker: tensorboard or wandb.")
    ] = "",
    json: options.Json = False,
) -> None:
    """Do all, from data to a report, that is missing."""
    equation = options.equation_of_data(name, pde, fields)
    from piddm import api

    options.limit_threads(device)
    run = api.prepare(
        equation, preset, config=config, overrides=overrides, seed=seed, device=device, out=out,
        fresh=fresh, data=data, fields=fields, map=map_,
    )  # fmt: skip
    worked = api.complete(run, track=track)
    figures = [str(path) for path in sorted((run.path / "figures").glob("*.png"))]
    if json:
        print_json({**scores_json(run), "existed": not worked, "figures": figures})
        return
    if not worked:
        typer.echo("everything was there already; --fresh starts a new run")
    print_scores(run)
    for path in figures:
        typer.echo(f"figure: {path}")
    typer.echo(f"report: {run.path / 'report.html'}")
    typer.echo(f"run: {run.path}")
