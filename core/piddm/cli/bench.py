"""The command that compares methods: ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_table
from piddm.tools.errors import PiddmError, UsageError

if TYPE_CHECKING:
    from piddm.bench.report import Bench


def bench(
    pdes: Annotated[
        str, typer.Option(help="Names of equations, separated by commas or blanks.")
    ] = "",
    methods: Annotated[
        str,
        typer.Option(
            metavar="METHODS",
            help="Competitors, separated by blanks: NAME[:key=value,...][+refine=N]"
            "[+correction|+projection][+draws=N][+grid=F]; all where left out. piddm list-methods "
            "names them.",
        ),
    ] = "",
    ablations: Annotated[
        str, typer.Option(help="What to vary instead, or beside --methods: names, or all.")
    ] = "",
    tasks: Annotated[
        str,
        typer.Option(
            help="Beside generation, what every solver is asked: forward, inverse, reconstruct."
        ),
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds: 0, 1, ...")] = 3,
    preset: options.Preset = "default",
    overrides: options.Overrides = None,
    jobs: Annotated[int, typer.Option(min=1, help="Competitors at once, a process each.")] = 1,
    device: options.Device = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; bench/PRESET by default.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare methods on the same data, network and budget, over several seeds.

    Interrupted, the same command goes on. What fails is shown as failed, and the rest goes on.
    """
    from piddm.bench.ablations import labels_of
    from piddm.bench.entries import TRUTH, default_labels, parse, with_baseline
    from piddm.plugins.loader import current, files_in_use, get_pde

    plugins = current()
    wanted = pdes.replace(",", " ").split()
    if not wanted:
        raise UsageError("name the equations: --pdes NAME,NAME; piddm list-pdes shows them")
    # Names are checked before torch comes in.
    equations = [get_pde(name) for name in dict.fromkeys(wanted)]
    labels = methods.split() + labels_of(ablations.replace(",", " ").split())
    entries = [parse(m, plugins) for m in with_baseline(labels or default_labels(plugins))]
    from piddm import figures
    from piddm.bench import collecting, running
    from piddm.bench.answers import TASKS
    from piddm.config import resolve
    from piddm.runs.folder import home
    from piddm.runs.workspace import usable
    from piddm.tools.progress import follow

    asked = [t for t in tasks.replace(",", " ").split() if t != "generate"]
    if strange := set(asked) - set(TASKS):
        raise UsageError(f"no task {strange.pop()!r}; there are generate, {', '.join(TASKS)}")
    questions = tuple(f"{t}/{s.name}" for t in asked for s in plugins.list_all("solver"))
    usable(device)
    options.limit_threads(device)
    folder = out or home() / "bench" / preset
    options.writable(folder / collecting.FILE, overwrite=True)
    configs = [
        resolve(equation.name, preset, overrides=overrides or (), seed=seed)
        for seed in range(seeds)
        for equation in equations
    ]
    for config in configs:
        for entry in entries:
            entry.check(config, plugins)  # a wrong setting shows before any work
    plan = running.Plan(configs, entries, folder, device, files_in_use(), questions)
    collecting.check(plan)
    with collecting.collected(plan):
        follow(running.run(plan, jobs))
    found = collecting.read(folder)
    pictures = [folder / "pareto.png"]
    figures.save(figures.pareto(collecting.points(found)), pictures[0])
    if curves := collecting.curves(found):
        pictures.append(folder / "ablations.png")
        figures.save(figures.ablation(curves), pictures[1])
    nobody = not any(r.status == "ok" for r in found.results if r.method != TRUTH)
    if json:
        print_json(found.model_dump(mode="json"))
        raise typer.Exit(int(nobody))
    _show(found)
    typer.echo(f"tables: {folder / collecting.PAGE}")
    for picture in pictures:
        typer.echo(f"figure: {picture}")
    typer.echo(f"results: {folder / collecting.FILE}")
    if nobody:
        raise PiddmError("no competitor has a result; the table says why")


def _show(found: Bench) -> None:
    """Print a short table of each equation; the whole ones are in the page."""
    from piddm.bench.report import Cell, cell, number

    def text(value: Cell | None) -> str:
        return "" if value is None else number(value.mean)

    shown = {"PDE error, normalised": "pde_error_normalised", "energy distance": "energy_distance",
             "calls": "calls", "s per sample": "seconds_per_sample"}  # fmt: skip
    for pde in found.equations():
        rows = []
        for method in found.methods(pde):
            if "/" in method:
                continue  # the page has them
            results = found.of(pde, method)
            ill = next((f"{r.status}: {r.reason}" for r in results if r.status != "ok"), "")
            rows.append([method, *(text(cell(results, c)) for c in shown.values()), ill])
        typer.echo(f"{pde}:")
        print_table(["method", *shown, ""], rows)
