"""Command that scores and corrects intervals: ``calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piddm.cli import options, questions
from piddm.cli.output import print_json, print_table
from piddm.tools.errors import UsageError, nearest

if TYPE_CHECKING:
    from piddm.tasks.interval_calibration import Calibration


def calibrate(
    task: Annotated[str, typer.Argument(metavar="TASK", help="forward, inverse or reconstruct.")],
    run: options.RunFolder = None,
    run_option: questions.RunOption = None,
    pde: questions.PdeOrRun = None,
    size: questions.Size = None,
    data: questions.Data = None,
    model: options.Model = None,
    fields: Annotated[
        str, typer.Option(metavar="a,u@t=0", help="What is seen, and where; all fields by default.")
    ] = "",
    share: Annotated[float, typer.Option(help="Number of sensors, over that of nodes.")] = 0.03,
    noise: Annotated[
        float, typer.Option(min=0, help="Over the standard deviation of a field.")
    ] = 0.01,
    between: Annotated[
        bool, typer.Option("--between", help="Sensors anywhere, rather than at nodes.")
    ] = False,
    solver: Annotated[
        str | None, typer.Option(help="As for solve: latent for a run, auto for an equation alone.")
    ] = None,
    settings: questions.Settings = None,
    project: Annotated[
        bool, typer.Option("--project", help="As for solve: members end on the equation.")
    ] = False,
    samples: Annotated[int, typer.Option(min=2, help="Members of each ensemble.")] = 32,
    truths: Annotated[
        int | None,
        typer.Option(
            min=9,
            help="Truths of the data's law; half as many of each other. 39 to 399 by default, as "
            "many as take two minutes.",
        ),
    ] = None,
    own_law: Annotated[
        bool, typer.Option("--own-law", help="No truths of other laws (rougher, other contrast).")
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=options.LARGEST_SEED, help="Of the first truth.")
    ] = 100_000,
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSON file to write; in the run's folder by default, where solve uses it."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Score a solver's intervals on random truths, and find the factors that make them hold."""
    if task not in questions.TASKS:
        raise UsageError(f"there is no task {task!r}{nearest(task, questions.TASKS)}")
    if run is not None and run_option is not None:
        raise UsageError("give the run's folder once")
    chosen = questions.settings_of(settings or [])
    loaded, trained = questions.opened(run or run_option, pde, model, size, data, device)
    from piddm.runs.calibrating import LAWS, Question, calibrate
    from piddm.tasks.interval_calibration import write_calibration
    from piddm.tools.progress import follow

    options.limit_threads(device)
    solver = solver or ("auto" if trained is None else "latent")
    if out is not None:
        options.writable(out, overwrite)
    case = Question(task, fields, share, noise, between, solver, samples, chosen, project)
    made: list[Calibration] = []

    def work():
        laws = LAWS[:1] if own_law else LAWS
        made.append(
            (yield from calibrate(loaded, case, truths, seed, 0.9, laws, trained is not None))
        )

    follow(work(), quiet=json)
    (found,) = made
    if out is None:
        name = f"{task}-{found.solver}.json"
        if trained is not None:
            out = trained.outputs / "calibrations" / name
        else:
            out = Path(f"calibration-{found.pde}-{name}")
        options.writable(out, overwrite or trained is not None)
    write_calibration(found, out)
    picture = _draw(found, out)
    if json:
        print_json({**found.model_dump(mode="json"), "out": str(out), "figures": [picture]})
        return
    _print(found)
    typer.echo(f"wrote {out}")
    typer.echo(f"wrote {picture}")
    if trained is None:
        typer.echo(f"intervals of piddm solve --calibration {out} are stretched by it")


def _draw(found: Calibration, out: Path) -> str:
    from piddm import figures

    path = out.with_suffix(".png")
    figures.save(figures.calibrations(found), path)
    return str(path)


def _print(found: Calibration) -> None:
    rows = []
    for name, before in found.before.items():
        chance = found.chance.get(name)
        row = [name, f"{100 * before:.1f} %", "" if chance is None else f"{chance:.2g}"]
        for own in (found.like, *found.unlike.values()):
            bound = own.joint[name]
            row += [f"{own.pointwise[name]:.3g}", "too few truths" if bound is None else
                    f"{bound:.3g}"]  # fmt: skip
        rows.append(row)
    header = ["field", f"in the {100 * found.level:g} % interval", "chance of the ranks",
              "factor", "factor of the band"]  # fmt: skip
    for law in found.unlike:
        header += [f"factor, {law}", f"band, {law}"]
    print_table(header, rows)
    low, high = found.shares()
    typer.echo(
        f"{found.like.truths} truths of the law, {found.solver}, {found.members} members: bands "
        f"hold {100 * low:.0f} to {100 * high:.0f} % of its new fields (chance 90 %; more truths, "
        "less apart)"
    )
