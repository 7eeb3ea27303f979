"""Command that asks: ``solve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import interruption, options, questions
from piddm.cli.output import print_json, print_table
from piddm.tools.errors import UsageError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from piddm.tasks.model import Model
    from piddm.tasks.solution import Solution

Seen = Annotated[
    str, typer.Option(metavar="a,u@t=0", help="Of a dataset: which fields are seen, and where.")
]


def solve(
    task: Annotated[str, typer.Argument(metavar="TASK", help="forward, inverse or reconstruct.")],
    run: options.RunFolder = None,
    run_option: questions.RunOption = None,
    pde: questions.PdeOrRun = None,
    size: questions.Size = None,
    data: questions.Data = None,
    model: options.Model = None,
    observations: Annotated[
        Path | None, typer.Option(help="CSV or HDF5 file: the known values.")
    ] = None,
    fields: Seen = "",
    sample: Annotated[int, typer.Option(min=0, help="Of a dataset: which sample is seen.")] = 0,
    sigma: Annotated[
        float, typer.Option(min=0, help="Noise of values that the file gives none for.")
    ] = 0.0,
    solver: Annotated[
        str | None,
        typer.Option(
            help="piddm list-solvers names them; auto chooses by what the equation is. "
            "latent for a run, auto for an equation alone, where none is given."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many members.")] = 32,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Members that are looked for together.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=options.LARGEST_SEED, help="Seed of the members.")
    ] = 0,
    interpolation: options.Interpolation = "linear",
    settings: questions.Settings = None,
    project: Annotated[
        bool,
        typer.Option(
            "--project",
            help="End at the nearest fields that satisfy the equation and keep to what is known.",
        ),
    ] = False,
    heavy_tails: Annotated[
        bool,
        typer.Option(
            "--robust", help="A reading that the others contradict counts for little, and is named."
        ),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="A file of piddm calibrate, by which intervals are stretched; a run's own, if it "
            "has one for the task and the solver."
        ),
    ] = None,
    quantities: Annotated[
        list[str] | None,
        typer.Option(
            "--quantity",
            metavar="QUANTITY",
            help="What else is asked, with its interval: an average, a flux, a total, such as "
            "'integral(-a*D(u,x)) @ x=1'; repeatedly.",
        ),
    ] = None,
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
    if task not in questions.TASKS:
        raise UsageError(f"there is no task {task!r}{nearest(task, questions.TASKS)}")
    if observations is None:
        raise UsageError("give what is known: --observations FILE")
    if run is not None and run_option is not None:
        raise UsageError("give the run's folder once")
    chosen = questions.settings_of(settings or [])
    loaded, trained = questions.opened(run or run_option, pde, model, size, data, device)
    from piddm.runs.asking import question
    from piddm.runs.folder import home
    from piddm.tasks.derived_quantities import values_of
    from piddm.tasks.ensemble import BATCH, answer
    from piddm.tasks.observation_files import read_observations, read_truth
    from piddm.tasks.quantities import quantity
    from piddm.tasks.robust import robust
    from piddm.tasks.solution_files import keep

    options.limit_threads(device)
    grid = loaded.residual.grid
    seen = read_observations(observations, loaded.pde, grid, sigma, sample, fields)
    wanted = [quantity(text, loaded.pde, grid) for text in quantities or []]
    true = None if truth is None else read_truth(truth, loaded.pde, grid, truth_sample)
    solver = solver or ("auto" if trained is None else "latent")
    asked = question(loaded, task, seen, solver, interpolation, trained is not None)
    solver = asked[1]
    if heavy_tails:
        asked = robust(loaded, asked[0], solver, seed, chosen), solver
    ending = "-projected" if project else ""
    name = f"{task}-{observations.stem}-{solver}{ending}-n{samples}-seed{seed}"
    if trained is not None:
        target = out or trained.outputs / "solutions" / name
    else:
        target = out or home() / "solutions" / f"{loaded.pde.name}-{name}"
    options.writable(target / "solution.h5", overwrite or out is None)
    try:
        solution = answer(
            loaded, *asked, samples, seed=seed, batch=batch or BATCH, settings=chosen,
            project=project,
        )  # fmt: skip
    except KeyboardInterrupt:
        options.say(f"interrupted: none of {samples} members was there yet; a smaller --batch "
                    "keeps more")  # fmt: skip
        raise typer.Exit(interruption.CODE) from None
    calibration = calibration or questions.kept_calibration(trained, task, solver)
    if calibration is not None:
        from piddm.runs.calibrating import calibrated
        from piddm.tasks.interval_calibration import read_calibration

        solution = calibrated(loaded, solution, read_calibration(calibration), str(calibration))
        options.say(f"intervals are those of {calibration}")
    derived = values_of(solution, wanted, loaded.pde, true) if wanted else {}
    true = solution.shared(true or {})
    summary = keep(solution, target, true, {"quantities": derived} if derived else None)
    figures = _draw(solution, loaded, true, target)
    if json:
        source = loaded.pde.name if trained is None else str(trained.path)
        print_json({**summary, "run": source, "out": str(target), "figures": figures})
    else:
        _print(solution, summary)
        for path in (target / "solution.h5", target / "solution.json", *figures):
            typer.echo(f"wrote {path}")
    if wanted and not solution.on_the_equation:
        options.say("warning: members do not satisfy the equation, and quantities of it may be off "
                    "by that: give --project")  # fmt: skip
    for said in filter(None, (solution.caution, solution.doubt)):
        options.say(f"warning: {said}")
    finished = len(solution) - solution.unfinished
    if solution.projected is not None and solution.projected < finished:
        options.say(f"warning: {finished - solution.projected} members are too far from the "
                    "equation for a projection, and stay as the solver found them")  # fmt: skip
    if len(solution) < samples or solution.unfinished:
        as_is = f", {solution.unfinished} of them unfinished" if solution.unfinished else ""
        options.say(f"interrupted: kept {len(solution)} of {samples} members{as_is}, in {target}")
        raise typer.Exit(interruption.CODE)


def _draw(
    solution: Solution, run: Model, truth: dict[str, Tensor] | None, target: Path
) -> list[str]:
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
    typer.echo(f"intervals: {summary['intervals']}")
    if "quantities" in summary:
        print_table(
            ["quantity", "mean", "deviation", "90 % interval", "truth"],
            [[name, _number(own["mean"]), _number(own["deviation"]),
              " to ".join(map(_number, own["interval"])), _number(own.get("truth"))]
             for name, own in summary["quantities"].items()],
        )  # fmt: skip
    if "in_the_band" in summary:
        inside = [f"{k} {'yes' if v else 'no'}" for k, v in summary["in_the_band"].items()]
        typer.echo(f"the whole truth is in the band: {', '.join(inside)}")
    typer.echo(
        f"{len(solution)} members of {solution.solver}, {solution.calls} network calls each, "
        f"{solution.seconds:.1f} s"
    )
    error = summary.get("residual")
    typer.echo(
        f"misfit to {summary['observations']} observations, mean square in sigmas: "
        f"{_number(summary['misfit'])}"
        + ("" if error is None else f"; normalised PDE error: {_number(error)}")
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
