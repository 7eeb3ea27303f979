"""Command that makes a problem to try ``solve`` on: ``observe``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import options
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.data.dataset import Dataset


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
    interpolation: options.Interpolation = "linear",
    noise: Annotated[
        float, typer.Option(min=0, help="Over the standard deviation of a field.")
    ] = 0.0,
    reads: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUANTITY",
            help="An instrument beside: an average, a flux, such as 'integral(-a*D(u,x)) @ x=1'; "
            "repeatedly. No other sensors then, unless --fields says so.",
        ),
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of sensors, as piddm place writes it; in place of random ones."
        ),
    ] = None,
    bias: Annotated[
        float,
        typer.Option(min=0, help="Of all sensors of a field, over its deviation: one unknown."),
    ] = 0.0,
    size: Annotated[
        Any,
        typer.Option(
            parser=options.nodes(),
            metavar=options.NODES,
            help="Nodes along every axis, or by axis; the equation's by default.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=options.LARGEST_SEED, help="Seed of truth and sensors."),
    ] = 0,
    out: Annotated[Path, typer.Option(help="CSV (or HDF5) file to write.")] = Path(
        "observations.csv"
    ),
    truth: Annotated[Path, typer.Option(help="Dataset to write the truth to.")] = Path("truth.h5"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace both files.")] = False,
) -> None:
    """Make a problem: a random solution, seen by random sensors.

    Of a run that has learnt from given data it is one of those that were held out.
    """
    from piddm.plugins.loader import get_pde

    held_out: Dataset | None = None
    if run is not None:
        from piddm.api import load_run
        from piddm.data.simulate import finite
        from piddm.runs.folder import find_run
        from piddm.runs.given_data import equation_of

        if name or pde or size:
            raise UsageError("a run has its equation and its grid: give either --run or these")
        config, _ = find_run(run)
        equation = equation_of(config, get_pde(config.pde))
        grid = config.data.grid(equation.grid)
        if config.data.taken is not None or finite(equation) is not None:
            held_out = load_run(run).data[1]
    else:
        equation = get_pde(options.equation(name, pde))
        grid = equation.grid if size is None else equation.grid.resized(size)
    if out.resolve() == truth.resolve():
        raise UsageError(f"--out and --truth are both {out}; choose another for one of them")
    for path in (out, truth):
        options.writable(path, overwrite)
    from piddm.data import dataset
    from piddm.tasks.csv_files import write_csv
    from piddm.tasks.hdf5_files import write_hdf5
    from piddm.tasks.observation_files import chosen
    from piddm.tasks.place_files import read_places
    from piddm.tasks.quantities import quantity
    from piddm.tasks.synthetic import draw_truth, held_out_truth, place, seen_at
    from piddm.tools.formats import is_hdf5

    options.limit_threads()
    instruments = [quantity(text, equation, grid) for text in reads or []]
    seen = fields or ("" if instruments else ",".join(equation.field_names))
    if seen:
        chosen(seen, equation, grid)  # before the work: a typo shows at once
    drawn = held_out_truth(held_out, seed) if held_out else draw_truth(equation, grid, seed)
    if places is not None:
        if fields or reads or bias:
            raise UsageError("--places says what is seen: leave out --fields, --reads and --bias")
        points = read_places(places, equation, grid)
        made = seen_at(drawn, equation, points, noise, seed, interpolation)
    else:
        made = place(
            drawn, equation, seen, share, noise, between, seed, interpolation, instruments, bias
        )
    dataset.write(drawn, truth)
    if is_hdf5(out):
        write_hdf5(made, out, equation.name)
    else:
        write_csv(made, out)
    typer.echo(f"wrote {out}: {made.count} observations of {', '.join(made.kinds)}")
    typer.echo(f"wrote {truth}")
