"""The command that checks: ``verify``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_table

if TYPE_CHECKING:
    from piddm.pde import PDE
    from piddm.training import Progress
    from piddm.verification import Check


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("verify")(verify)


def verify(
    name: options.Name = None,
    pde: options.Pde = None,
    size: Annotated[
        int | None,
        typer.Option(min=8, help="Nodes along every axis for checks on data; 32, or 16 in 3-D."),
    ] = None,
    checks: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="NAME", help="One check alone; give it repeatedly."),
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figures; verify/<PDE> by default.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check an equation: orders, floor, gradients, boundaries. Exit code 1 if a check fails."""
    from piddm.plugins import get_pde

    equation = get_pde(options.equation(name, pde))
    from piddm.files import write_json
    from piddm.kit.lines import place
    from piddm.progress import follow
    from piddm.runs import home
    from piddm.verification import Verification
    from piddm.verification.report import draw

    folder = out or home() / "verify" / equation.name
    report = options.writable(folder / "report.json", overwrite=True)
    options.limit_threads()
    done: list[Check] = []
    follow(_progress(equation, checks, seed, size, done))
    found = Verification(equation.name, tuple(done))
    figures = [str(path) for path in draw(equation, found, folder, seed, size)]
    data = found.to_dict() | {"figures": figures}
    write_json(report, data)
    if json:
        print_json(data)
    else:
        if (rows := found.row_table()) is not None:
            print_table(*rows)
            typer.echo()
        print_table(*found.table())
        for path in figures:
            typer.echo(f"figure: {path}")
        typer.echo(f"report: {report}")
        failed = ", ".join(check.name for check in found.failed)
        where = place(equation)
        at = f" ({where})" if where else ""
        typer.echo(f"{equation.name}{at} fails: {failed}" if failed else f"{equation.name} passes")
    if not found.passed:
        raise typer.Exit(1)


def _progress(
    pde: PDE, checks: list[str] | None, seed: int, size: int | None, done: list[Check]
) -> Iterator[Progress]:
    """Run the checks into a list, and say how far they are."""
    from piddm.training import Progress
    from piddm.verification import ALL, perform

    total = len(checks or ALL)
    for check in perform(pde, checks or None, seed, size):
        done.append(check)
        yield Progress("verify", len(done), total, {"failed": sum(not c.passed for c in done)})
