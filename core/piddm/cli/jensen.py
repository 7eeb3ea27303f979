"""The command that measures Jensen's gap: ``jensen``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_table
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.metrics.jensen_gap import Level


def jensen(
    name: options.Name = None,
    pde: options.Pde = None,
    run: Annotated[
        Path | None, typer.Option(help="A run's folder: its teacher, grid and noise.")
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=8, help="Solutions that are the data.")
    ] = 256,
    size: Annotated[
        Any,
        typer.Option(
            parser=options.nodes(8),
            metavar=options.NODES,
            help="Nodes along every axis, or by axis; 32, or 16 in 3-D.",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Noisy states at each noise level.")] = 16,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table and figure; jensen/<PDE> by default.")
    ] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Measure Jensen's gap along the noise levels: exactly on data and, of a run, with its teacher.

    The gap is E[R(x0)|xt] - R(E[x0|xt]); see docs/theory.md.
    """
    if run is not None and size is not None:
        raise UsageError("--size is the run's own: leave it out")
    from piddm.plugins.loader import get_pde

    # Names are checked before torch comes in.
    asked = get_pde(options.equation(name, pde)) if run is None or name or pde else None
    from piddm import api, figures
    from piddm.metrics.jensen_measure import measure
    from piddm.runs.folder import home
    from piddm.tools.files import write_json
    from piddm.tools.progress import follow

    options.limit_threads(device)
    loaded = None if run is None else api.load_run(run, device=device)
    if loaded is not None and asked is not None and loaded.pde.name != asked.name:
        raise UsageError(f"{run} is a run of {loaded.pde.name}: ask for it, or drop --pde")
    equation = loaded.pde if asked is None and loaded is not None else asked
    assert equation is not None
    folder = out or home() / "jensen" / equation.name
    target = options.writable(folder / "jensen.json", overwrite=True)
    found: list[Level] = []
    follow(measure(equation, found, loaded, count, size, draws, seed))
    levels = [level.to_dict() for level in found]
    picture = folder / "jensen.png"
    figures.save(figures.jensen(levels), picture)
    data = {
        "pde": equation.name,
        "run": None if loaded is None else str(loaded.path),
        "count": count,
        "draws": draws,
        "seed": seed,
        "levels": levels,
    }
    write_json(target, data)
    if json:
        print_json(data | {"figure": str(picture)})
        return
    print_table(*_table(found))
    typer.echo(f"figure: {picture}")
    typer.echo(f"table: {target}")


def _table(found: list[Level]) -> tuple[list[str], list[list[str]]]:
    columns = {
        "R(E[x0|xt])": "of_mean",
        "E[R(x0)|xt]": "mean_of",
        "gap": "gap",
        "1/2 D2R:Cov": "predicted",
    }
    if found[0].teacher is not None:
        columns |= {"teacher's R(E[x0|xt])": "teacher", "at its ODE's end": "arrived"}
    rows = [
        [f"{x.t:g}", f"{x.noise:.3g}", x.row, *(f"{getattr(x, c):.3g}" for c in columns.values()),
         f"{x.spread:.1f}"]
        for x in found
    ]  # fmt: skip
    return ["t", "sigma/alpha", "equation", *columns, "states in the posterior"], rows
