"""Commands that make: ``simulate``, ``train``, ``distill``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_scores, print_table, scores_json

if TYPE_CHECKING:
    from piddm.dataset import Dataset
    from piddm.pde import PDE


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("simulate")(simulate)
    app.command("train")(train)
    app.command("distill")(distill)


def simulate(
    name: options.Name = None,
    pde: options.Pde = None,
    count: Annotated[int, typer.Option(min=1, help="How many solutions.")] = 64,
    size: Annotated[
        int | None, typer.Option(min=2, help="Nodes along every axis; the equation's by default.")
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="HDF5 file to write.")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write random solutions to HDF5."""
    from piddm.plugins import get_pde

    equation = get_pde(options.equation(name, pde))
    from piddm import api
    from piddm.runs import home

    default = home() / "data" / f"{equation.name}-{size or 'full'}-{count}-seed{seed}.h5"
    # The default name says all that the content depends on, so replacing it loses nothing.
    target = options.writable(out or default, overwrite or out is None)
    options.limit_threads()
    made = api.make_dataset(equation, count, size=size, seed=seed, path=target)
    _say_floor(equation, made)
    typer.echo(f"wrote {target}")


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
    json: options.Json = False,
) -> None:
    """Train the teacher; distill goes on from there."""
    from piddm.plugins import get_pde
    from piddm.progress import follow

    equation = get_pde(options.equation(name, pde))  # before torch: a typo shows at once
    from piddm import api

    options.limit_threads(device)
    job = api.prepare(
        equation, preset, config=config, overrides=overrides, seed=seed, device=device, out=out,
        fresh=fresh,
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
    json: options.Json = False,
) -> None:
    """Do all, from data to a report, that is missing."""
    from piddm.plugins import get_pde

    equation = get_pde(options.equation(name, pde))
    from piddm import api

    options.limit_threads(device)
    job = api.prepare(
        equation, preset, config=config, overrides=overrides, seed=seed, device=device, out=out,
        fresh=fresh,
    )  # fmt: skip
    worked = api.complete(job)
    run = api.Run(job)
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
