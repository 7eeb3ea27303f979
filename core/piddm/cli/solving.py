"""Commands that ask: ``solve``, and ``observe``, which makes a problem to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_table
from piddm.errors import UsageError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from piddm.api import Run
    from piddm.tasks.solution import Solution

TASKS = ("forward", "inverse", "reconstruct")

INTERRUPTED_CODE = 130

Seen = Annotated[
    str, typer.Option(metavar="a,u@t=0", help="Of a dataset: which fields are seen, and where.")
]

Interpolation = Annotated[str, typer.Option(help="linear or cubic, between nodes.")]


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("solve")(solve)
    app.command("observe")(observe)


def solve(
    task: Annotated[str, typer.Argument(metavar="TASK", help="forward, inverse or reconstruct.")],
    run: options.RunFolder = None,
    run_option: Annotated[Path | None, typer.Option("--run", help="A run's folder.")] = None,
    pde: options.NewestOf = None,
    observations: Annotated[
        Path | None, typer.Option(help="CSV or HDF5 file: what is known.")
    ] = None,
    fields: Seen = "",
    sample: Annotated[int, typer.Option(min=0, help="Of a dataset: which sample is seen.")] = 0,
    sigma: Annotated[
        float, typer.Option(min=0, help="Noise of values that the file gives none for.")
    ] = 0.0,
    solver: Annotated[str, typer.Option(help="piddm list-solvers names them.")] = "latent",
    samples: Annotated[int, typer.Option(min=1, help="How many members.")] = 32,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Members that are looked for together.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the members.")] = 0,
    interpolation: Interpolation = "linear",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A solver's setting; repeatedly."),
    ] = None,
    project: Annotated[
        bool,
        typer.Option(
            "--project",
            help="End at the nearest fields that satisfy the equation and keep to what is known.",
        ),
    ] = False,
    truth: Annotated[Path | None, typer.Option(help="A dataset with the true solution.")] = None,
    truth_sample: Annotated[int, typer.Option(min=0, help="Which of its samples.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; one in the run's by default.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is in the folder of --out.")
    ] = False,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Answer a question with an ensemble: HDF5, figures and a summary."""
    if task not in TASKS:
        raise UsageError(f"there is no task {task!r}{nearest(task, TASKS)}")
    if observations is None:
        raise UsageError("give what is known: --observations FILE")
    if run is not None and run_option is not None:
        raise UsageError("give the run's folder once")
    chosen = _settings(settings or [])
    folder = options.run_folder(run or run_option, pde)
    from piddm import api
    from piddm.tasks.answering import BATCH
    from piddm.tasks.keeping import keep
    from piddm.tasks.reading import read_observations, read_truth

    options.limit_threads(device)
    loaded = api.load_run(folder, device=device)
    grid = loaded.residual.grid
    seen = read_observations(observations, loaded.pde, grid, sigma, sample, fields)
    true = None if truth is None else read_truth(truth, loaded.pde, grid, truth_sample)
    ending = "-projected" if project else ""
    name = f"{task}-{observations.stem}-{solver}{ending}-n{samples}-seed{seed}"
    target = out or folder / "solutions" / name
    options.writable(target / "solution.h5", overwrite or out is None)
    try:
        solution = loaded.solve(
            task, seen, solver, samples, seed=seed, batch=batch or BATCH, settings=chosen,
            interpolation=interpolation, project=project,
        )  # fmt: skip
    except KeyboardInterrupt:
        options.say(f"interrupted: none of {samples} members was there yet; a smaller --batch "
                    "keeps more")  # fmt: skip
        raise typer.Exit(INTERRUPTED_CODE) from None
    true = solution.shared(true or {})
    summary = keep(solution, target, true)
    figures = _draw(solution, loaded, true, target)
    if json:
        print_json({**summary, "run": str(folder), "out": str(target), "figures": figures})
    else:
        _print(solution, summary)
        for path in (target / "solution.h5", target / "solution.json", *figures):
            typer.echo(f"wrote {path}")
    for said in filter(None, (solution.caution, solution.doubt)):
        options.say(f"warning: {said}")
    finished = len(solution) - solution.unfinished
    if solution.projected is not None and solution.projected < finished:
        options.say(f"warning: {finished - solution.projected} members are too far from the "
                    "equation for a projection, and stay as the solver found them")  # fmt: skip
    if len(solution) < samples or solution.unfinished:
        as_is = f", {solution.unfinished} of them unfinished" if solution.unfinished else ""
        options.say(f"interrupted: kept {len(solution)} of {samples} members{as_is}, in {target}")
        raise typer.Exit(INTERRUPTED_CODE)


def _settings(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {text}: write it as name=value")
        found[name.strip()] = value.strip()
    return found


def _draw(solution: Solution, run: Run, truth: dict[str, Tensor] | None, target: Path) -> list[str]:
    from piddm import figures

    drawn = {"solution": figures.solution(solution, run.residual, run.scale, run.pde.fields, truth)}
    if truth and len(solution) > 1:
        drawn["calibration"] = figures.calibration(solution, truth)
    for name, figure in drawn.items():
        figures.save(figure, target / "figures" / f"{name}.png")
    return [str(target / "figures" / f"{name}.png") for name in drawn]


def _print(solution: Solution, summary: dict[str, Any]) -> None:
    names = list(solution.fields)
    columns: dict[str, dict[str, Any]] = {"spread (mean deviation)": summary["spread"]}
    if "relative_l2" in summary:
        columns["relative L2 of the mean"] = summary["relative_l2"]
        for level, own in summary["coverage"].items():
            columns[f"in the {100 * float(level):g} % interval"] = own
        columns["CRPS"] = summary["crps"]
    rows = [[k, *(_number(own.get(k)) for own in columns.values())] for k in names]
    print_table(["field", *columns], rows)
    typer.echo(
        f"{len(solution)} members of {solution.solver}, {solution.calls} network calls each, "
        f"{solution.seconds:.1f} s"
    )
    typer.echo(
        f"misfit to {summary['observations']} observations, mean square in sigmas: "
        f"{_number(summary['misfit'])}; normalised PDE error: {_number(summary['residual'])}"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def observe(
    name: options.Name = None,
    pde: options.Pde = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Instead: a run, for its equation and grid.")
    ] = None,
    fields: Annotated[
        str, typer.Option(metavar="a,u@t=0", help="What is seen, and where; all fields by default.")
    ] = "",
    share: Annotated[float, typer.Option(help="Number of sensors, over that of nodes.")] = 0.03,
    between: Annotated[
        bool, typer.Option("--between", help="Sensors anywhere, rather than at nodes.")
    ] = False,
    interpolation: Interpolation = "linear",
    noise: Annotated[
        float, typer.Option(min=0, help="Over the standard deviation of a field.")
    ] = 0.0,
    size: Annotated[
        int | None, typer.Option(min=2, help="Nodes along every axis; the equation's by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of truth and sensors.")] = 0,
    out: Annotated[Path, typer.Option(help="CSV (or HDF5) file to write.")] = Path(
        "observations.csv"
    ),
    truth: Annotated[Path, typer.Option(help="Dataset to write the truth to.")] = Path("truth.h5"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace both files.")] = False,
) -> None:
    """Make a problem: a random solution, seen by random sensors."""
    from piddm.plugins import get_pde

    if run is not None:
        from piddm.runs import find_run

        if name or pde or size:
            raise UsageError("a run has its equation and its grid: give either --run or these")
        config, _ = find_run(run)
        equation = get_pde(config.pde)
        grid = config.data.grid(equation.grid)
    else:
        equation = get_pde(options.equation(name, pde))
        grid = equation.grid if size is None else equation.grid.resized(size)
    if out.resolve() == truth.resolve():
        raise UsageError(f"--out and --truth are both {out}; choose another for one of them")
    for path in (out, truth):
        options.writable(path, overwrite)
    from piddm import dataset
    from piddm.hdf5 import is_hdf5
    from piddm.tasks.csv_files import write_csv
    from piddm.tasks.hdf5_files import write_hdf5
    from piddm.tasks.placing import draw_truth, place
    from piddm.tasks.reading import chosen

    options.limit_threads()
    seen = fields or ",".join(equation.field_names)
    chosen(seen, equation, grid)  # before the work: a typo shows at once
    drawn = draw_truth(equation, grid, seed)
    made = place(drawn, equation, seen, share, noise, between, seed, interpolation)
    dataset.write(drawn, truth)
    if is_hdf5(out):
        write_hdf5(made, out, equation.name)
    else:
        write_csv(made, out)
    typer.echo(f"wrote {out}: {made.count} observations of {', '.join(made.values)}")
    typer.echo(f"wrote {truth}")
