"""Commands that use a run: ``sample``, ``evaluate``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_scores, scores_json
from piddm.tools.errors import UsageError


def sample(
    run: options.RunFolder = None,
    pde: options.NewestOf = None,
    model: options.Model = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many samples.")] = 16,
    seed: options.Seed = 0,
    refine: Annotated[
        int, typer.Option(min=0, help="Gradient steps on the noise against the residual.")
    ] = 0,
    source: Annotated[str, typer.Option("--from", help="student or teacher.")] = "student",
    correct: Annotated[
        bool,
        typer.Option("--correct", help="Bring samples onto the equation, for half a network call."),
    ] = False,
    project: Annotated[
        bool, typer.Option("--project", help="End at the nearest fields that satisfy the equation.")
    ] = False,
    windows: Annotated[
        int,
        typer.Option(min=1, help="Windows of time, each from the last state of the one before."),
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="HDF5 file to write.")] = None,
    figure: Annotated[
        bool, typer.Option("--figure", help="Also draw some, with residuals.")
    ] = False,
    device: options.Device = "cpu",
    overwrite: options.Overwrite = False,
) -> None:
    """Write samples of a run, or of a trained model, to HDF5."""
    if source not in ("student", "teacher"):
        raise UsageError(f"--from {source}: choose student or teacher")
    if refine and source == "teacher":
        raise UsageError("--refine is the student's: drop it, or --from teacher")
    if correct and project:
        raise UsageError("--project is --correct to round-off: choose one of the two")
    if windows > 1 and (refine or project or source == "teacher"):
        raise UsageError("--windows are the student's, as drawn or with --correct")
    loaded = options.opened(run, pde, model, device)
    from piddm.data import dataset
    from piddm.data.no_equation import needed

    for asked, what in ((refine, "--refine"), (correct, "--correct"), (project, "--project")):
        if asked:
            needed(loaded.residual, what)
    options.limit_threads(device)
    stem = f"n{count}-seed{seed}-refine{refine}"
    stem += "-teacher" * (source == "teacher") + "-projected" * project
    stem += "-corrected" * correct + f"-windows{windows}" * (windows > 1)
    default = loaded.outputs / "samples" / f"{stem}.h5"
    target = options.writable(out or default, overwrite or out is None)
    start = time.perf_counter()
    rows = {source: loaded.sample(count, seed, source=source)}  # pyright: ignore
    seconds = (time.perf_counter() - start) / count
    if loaded.residual.rows:
        typer.echo(f"normalised PDE error: {loaded.pde_error(rows[source]):.4g}")
    fields = rows[source]
    if refine:
        fields = rows[f"refined\n{refine} steps"] = loaded.sample(count, seed, refine)
        typer.echo(f"after {refine} steps of refinement: {loaded.pde_error(fields):.4g}")
    grid, residual = loaded.grid, loaded.residual
    if windows > 1:
        from piddm.runs.chaining import lengthened

        fields = loaded.chain(fields, windows, correct)
        grid = lengthened(loaded.grid, windows)
        residual = loaded.pde.bind(grid)
        rows = {f"student\n{windows} windows": fields}
    elif correct:
        taken = (
            fields if refine or source == "teacher" else loaded.sample(count, seed, source="start")
        )
        loaded.correct(taken)  # what is made once
        start = time.perf_counter()
        made = loaded.correct(taken)
        cost = (time.perf_counter() - start) / count
        after = {k: made.fields[k] for k in fields}
        typer.echo(
            f"after correction: {loaded.pde_error(after):.4g}, moved by "
            f"{loaded.moved(fields, after):.3g} (mean square, fields over their deviation), "
            f"{1e3 * cost:.2f} ms a sample, {cost / seconds:.2f} times the sampling itself"
        )
        if bad := (~made.converged).nonzero()[:, 0].tolist():
            several = ", ".join(f"{i} ({float(made.error[i]):.1e})" for i in bad[:5])
            typer.echo(
                f"not on the equation: {len(bad)} of {count} samples, numbers (PDE error) {several}"
                + ", ..." * (len(bad) > 5)
            )
        fields = rows["corrected"] = after
    if project:
        start = time.perf_counter()
        after = loaded.project(fields, progress=True)
        cost = (time.perf_counter() - start) / count
        typer.echo(
            f"after projection: {loaded.pde_error(after):.4g}, moved by "
            f"{loaded.moved(fields, after):.3g} (mean square, fields over their deviation), "
            f"{1e3 * cost:.1f} ms a sample, {cost / seconds:.1f} times the sampling itself"
        )
        fields = rows["projected"] = after
    kept = {k: (v if project else v.float()).cpu() for k, v in fields.items()}
    errors = loaded.pde_errors(fields, residual)
    if windows > 1:
        typer.echo(f"{windows} windows, {grid!r}: normalised PDE error {sum(errors.values()):.4g}")
    dataset.write(dataset.Dataset(loaded.pde.name, grid, kept, loaded.scale, errors, seed), target)
    typer.echo(f"wrote {target}")
    if figure:
        from piddm import figures

        drawn = figures.samples(rows, residual, loaded.scale, loaded.pde.fields)
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
