"""Command that says where to measure next: ``place``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import options, questions
from piddm.cli.output import print_json, print_table
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.tasks.placement import Placement


def place(
    run: options.RunFolder = None,
    run_option: questions.RunOption = None,
    pde: questions.PdeOrRun = None,
    size: questions.Size = None,
    data: questions.Data = None,
    model: options.Model = None,
    fields: Annotated[
        str, typer.Option(metavar="a,u@t=0", help="Where sensors may be; all fields by default.")
    ] = "",
    count: Annotated[int, typer.Option(min=1, help="How many sensors.")] = 8,
    about: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD|QUANTITY",
            help="What is to be known better: fields, or quantities such as "
            "'integral(-a*D(u,x)) @ x=1'; repeatedly. The unknown inputs by default.",
        ),
    ] = None,
    observations: Annotated[
        Path | None, typer.Option(help="CSV, TOML or HDF5 file: what is known already.")
    ] = None,
    sigma: Annotated[
        float, typer.Option(min=0, help="Noise of values that the file gives none for.")
    ] = 0.0,
    noise: Annotated[
        float, typer.Option(min=0, help="Of the new sensors, over the deviation of their field.")
    ] = 0.02,
    solver: Annotated[str, typer.Option(help="As for solve.")] = "auto",
    members: Annotated[
        int, typer.Option(min=16, help="Of the ensemble, where the law is not in closed form.")
    ] = 256,
    check: Annotated[
        int, typer.Option(min=0, help="Truths on which placed and random sensors are compared.")
    ] = 4,
    seed: options.Seed = 0,
    out: Annotated[Path, typer.Option(help="CSV file of the places, and a picture beside it.")] = (
        Path("places.csv")
    ),
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Say where to measure next: the sensors that tell most."""
    if run is not None and run_option is not None:
        raise UsageError("give the run's folder once")
    options.writable(out, overwrite)
    loaded, trained = questions.opened(run or run_option, pde, model, size, data, device)
    from piddm import figures
    from piddm.runs.next_sensors import Wish, checked, place_sensors
    from piddm.tasks.observation_files import read_observations
    from piddm.tasks.place_files import write_places
    from piddm.tools.progress import follow

    options.limit_threads(device)
    known = None
    if observations is not None:
        known = read_observations(observations, loaded.pde, loaded.residual.grid, sigma)
    seen = fields or ",".join(loaded.pde.field_names)
    wish = Wish(seen, count, about or (), noise, members, seed, solver)
    made: list[Placement] = []

    def work() -> Any:
        found = yield from place_sensors(loaded, wish, known, trained is not None)
        if check:
            found = yield from checked(
                loaded, wish, found, check, seed, observations=known, trained=trained is not None
            )
        made.append(found)

    follow(work(), quiet=json)
    (found,) = made
    write_places(found.places, found.order, out)
    picture = out.with_suffix(".png")
    figures.save(figures.placements(found), picture)
    means = {k: sum(v) / len(v) for k, v in found.errors.items() if v}
    if json:
        print_json({
            "about": found.about, "exact": found.exact, "errors": means, "out": str(out),
            "figures": [str(picture)],
            "sensors": [{"field": k, "at": dict(zip(loaded.residual.grid.names, p, strict=True)),
                         "left": left}
                        for (k, p), left in zip(found.order, found.left, strict=True)],
        })  # fmt: skip
        return
    names = loaded.residual.grid.names
    rows = [
        [str(i), k, *(f"{v:.4g}" for v in p), f"{100 * left:.1f} %"]
        for i, ((k, p), left) in enumerate(zip(found.order, found.left, strict=True), 1)
    ]
    print_table(["", "field", *names, f"variance of {', '.join(found.about)} left"], rows)
    whence = "the exact law" if found.exact else f"an ensemble of {members}"
    typer.echo(f"by {whence}")
    if means:
        said = ", ".join(f"{k} {100 * v:.1f} %" for k, v in means.items())
        typer.echo(f"asked again, error of the mean over {check} truths: {said}")
    typer.echo(f"wrote {out}")
    typer.echo(f"wrote {picture}")
