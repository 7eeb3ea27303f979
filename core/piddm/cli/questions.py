"""What commands that ask share: what is asked, and the solver's settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli import options
from piddm.tools.errors import PiddmError, UsageError

if TYPE_CHECKING:
    from piddm.api import Run
    from piddm.grids.grid import NodeCounts
    from piddm.tasks.model import Model

TASKS = ("forward", "inverse", "reconstruct")
"""Kinds of questions."""

PdeOrRun = Annotated[
    str | None,
    typer.Option(
        "--pde", help="Instead of a folder: the equation's newest run, else the equation alone."
    ),
]
Size = Annotated[
    Any,
    typer.Option(
        parser=options.nodes(),
        metavar=options.NODES,
        help="The equation alone, with so many nodes along every axis, or by axis.",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="The equation alone, with the deviations of this dataset.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A solver's setting; repeatedly."),
]
RunOption = Annotated[Path | None, typer.Option("--run", help="A run's folder.")]


def opened(
    folder: Path | None, pde: str | None, model: str | None, size: NodeCounts | None,
    data: Path | None, device: str,
) -> tuple[Model, Run | None]:  # fmt: skip
    """Return what is asked, and the run that it is, or none where it is an equation alone."""
    alone = size is not None or data is not None
    if pde is None or folder is not None or model is not None:
        if alone:
            raise UsageError("--size and --data are of an equation asked alone: give --pde NAME")
        run = options.opened(folder, pde, model, device)
        return run, run
    from piddm.plugins.loader import get_pde
    from piddm.runs.asking import equation_model
    from piddm.runs.folder import newest_run

    name = get_pde(pde).name
    if not alone:
        try:
            newest_run(name)
        except PiddmError:
            options.say(f"no run of {name} here: the equation is asked alone, without a network")
        else:
            run = options.opened(None, pde, None, device)
            options.say(f"asking {run.path}; --size N asks the equation alone")
            return run, run
    return equation_model(name, size, data), None


def settings_of(given: list[str]) -> dict[str, str]:
    """Return a solver's settings by name, from ``name=value``."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {text}: write it as name=value")
        found[name.strip()] = value.strip()
    return found


def kept_calibration(run: Run | None, task: str, solver: str) -> Path | None:
    """Return a run's own calibration for a task and a solver, where it has one."""
    if run is None:
        return None
    path = run.outputs / "calibrations" / f"{task}-{solver}.json"
    return path if path.exists() else None
