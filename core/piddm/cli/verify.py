"""The command that checks: ``verify``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_table
from piddm.tools.about import NO_EQUATION
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.equation import PDE
    from piddm.grids.grid import NodeCounts
    from piddm.tools.progress import Progress
    from piddm.verification import Check


def verify(
    name: options.Name = None,
    pde: options.Pde = None,
    size: Annotated[
        Any,
        typer.Option(
            parser=options.nodes(8),
            metavar=options.NODES,
            help="Nodes along every axis, or by axis, for checks on data; 32, or 16 in 3-D.",
        ),
    ] = None,
    checks: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="NAME", help="Only this check; give it repeatedly."),
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figures; verify/<PDE> by default.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check an equation: orders, floor, gradients, boundaries. Exit code 1 if a check fails."""
    from piddm.plugins.loader import get_pde

    equation = get_pde(options.equation(name, pde))
    if equation.name == NO_EQUATION:
        raise UsageError("there is nothing to verify of data without an equation: give --pde NAME")
    from piddm.plugins.lines import place
    from piddm.reports.verification_page import draw
    from piddm.runs.folder import home
    from piddm.tools.files import write_json
    from piddm.tools.progress import follow
    from piddm.verification import Verification

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
        typer.echo()
        print_table(*found.protection_table())
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
    pde: PDE, checks: list[str] | None, seed: int, size: NodeCounts | None, done: list[Check]
) -> Iterator[Progress]:
    """Run the checks into a list, and say how far they are."""
    from piddm.tools.progress import Progress
    from piddm.verification import ALL, perform

    total = len(checks or ALL)
    for check in perform(pde, checks or None, seed, size):
        done.append(check)
        yield Progress("verify", len(done), total, {"failed": sum(not c.passed for c in done)})
