"""The command that gives a student to others: ``push``."""

from __future__ import annotations

from typing import Annotated

import typer

from piddm.cli import options


def push(
    run: options.RunFolder = None,
    pde: options.NewestOf = None,
    to: Annotated[
        str, typer.Option("--to", metavar="USER/NAME", help="The model on the hub.")
    ] = "",
    student_only: Annotated[
        bool, typer.Option("--student-only", help="Leave the teacher out.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="A repository that is made is yours to see only.")
    ] = False,
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, as the hub names it, such as mit.")
    ] = "",
    device: options.Device = "cpu",
) -> None:
    """Send a run's student to the Hugging Face hub, with a page made from its scores."""
    from piddm.runs import hub

    model = hub.address(to)
    hub.installed()
    loaded = options.opened(run, pde, None, device)
    options.limit_threads(device)
    where = loaded.push(str(model), teacher=not student_only, private=private, licence=licence)
    typer.echo(f"sent to {where}")
    typer.echo(f"others open it by --model {model}, or piddm.load_model({str(model)!r})")
