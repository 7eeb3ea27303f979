"""Commands that use a run: ``sample``, ``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_scores, scores_json


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("sample")(sample)
    app.command("evaluate")(evaluate)


def sample(
    run: options.RunFolder = None,
    pde: options.NewestOf = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many samples.")] = 16,
    seed: options.Seed = 0,
    refine: Annotated[
        int, typer.Option(min=0, help="Gradient steps on the noise against the residual.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="HDF5 file to write.")] = None,
    figure: Annotated[
        bool, typer.Option("--figure", help="Also draw some, with residuals.")
    ] = False,
    device: options.Device = "cpu",
    overwrite: options.Overwrite = False,
) -> None:
    """Write samples of a run's student to HDF5."""
    folder = options.run_folder(run, pde)
    from piddm import api, dataset

    options.limit_threads(device)
    loaded = api.load_run(folder, device=device)
    default = folder / "samples" / f"n{count}-seed{seed}-refine{refine}.h5"
    target = options.writable(out or default, overwrite or out is None)
    before = loaded.sample(count, seed)
    after = loaded.sample(count, seed, refine) if refine else before
    fields = {k: v.float().cpu() for k, v in after.items()}
    made = dataset.Dataset(
        loaded.pde.name, loaded.residual.grid, fields, loaded.scale, loaded.pde_errors(after), seed
    )
    dataset.write(made, target)
    typer.echo(f"normalised PDE error: {loaded.pde_error(before):.4g}")
    if refine:
        typer.echo(f"after {refine} steps of refinement: {loaded.pde_error(after):.4g}")
    typer.echo(f"wrote {target}")
    if figure:
        from piddm import figures

        rows = {"student\n1 call": before}
        if refine:
            rows[f"refined\n{refine} steps"] = after
        drawn = figures.samples(rows, loaded.residual, loaded.scale, loaded.pde.fields)
        picture = target.with_suffix(".png")
        figures.save(drawn, picture)
        typer.echo(f"figure: {picture}")


def evaluate(
    run: options.RunFolder = None,
    pde: options.NewestOf = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Score a run again."""
    folder = options.run_folder(run, pde)
    from piddm import api

    options.limit_threads(device)
    loaded = api.load_run(folder, device=device)
    loaded.evaluate()
    if json:
        print_json(scores_json(loaded))
        return
    print_scores(loaded)
    typer.echo(f"run: {loaded.path}")
