"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piddm.tools.atomic import replaceable, swept
from piddm.tools.errors import PiddmError, UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from piddm.api import Run
    from piddm.equation import PDE
    from piddm.grids.grid import NodeCounts

Name = Annotated[str | None, typer.Argument(metavar="[PDE]", help="The equation's name.")]
Pde = Annotated[str | None, typer.Option("--pde", help="The equation's name.")]
Preset = Annotated[str, typer.Option(help="quick, default or paper.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML or YAML file on top of the preset.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.NAME=VALUE", help="One setting; give it repeatedly."),
]
RunSeed = Annotated[int | None, typer.Option("--seed", help="Seed of data, training, evaluation.")]
LARGEST_SEED = 2**63 - 1
"""Largest seed that an HDF5 attribute of 64 bits can hold."""

Seed = Annotated[
    int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of the random inputs.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
Folder = Annotated[
    Path | None, typer.Option("--out", help="The run's folder; one under runs/ by default.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start a new run though one of this configuration exists.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data to learn from: a data set of piddm's, or any other file."),
]
Fields = Annotated[
    str,
    typer.Option(
        "--fields", metavar="u,v", help="Without an equation: the arrays that are the fields."
    ),
]
Map = Annotated[
    Path | None, typer.Option("--map", help="The map of a file of others; see piddm import.")
]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]
RunFolder = Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run's folder.")]
NewestOf = Annotated[
    str | None, typer.Option("--pde", help="Instead of a folder: the equation's newest run.")
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Instead: a trained model; piddm models names some, hf://USER/NAME is on the "
        "Hugging Face hub.",
    ),
]
Interpolation = Annotated[str, typer.Option(help="linear or cubic, between nodes.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out.")]

MANY_PROCESSORS = 8
"""Processors that torch uses at most, unless OMP_NUM_THREADS says otherwise."""


def nodes(least: int = 2) -> Callable[[str], NodeCounts]:
    """Return what reads numbers of nodes: ``64`` for all axes, or by name as in ``t=17,x=16``."""

    def read(text: str) -> NodeCounts:
        found: dict[str, int] = {}
        for part in text.split(","):
            name, _, count = part.rpartition("=")
            try:
                found[name.strip()] = int(count)
            except ValueError:
                raise UsageError(
                    f"--size {text!r} is no number of nodes, such as 64 or t=17,x=16"
                ) from None
            if found[name.strip()] < least:
                raise UsageError(f"--size {part.strip()}: take at least {least} nodes")
        if "" not in found:
            return found
        if "," in text:
            raise UsageError(f"--size {text!r}: one number, or each with its axis: t=17,x=16")
        return found[""]

    return read


NODES = "N|AXIS=N,..."
"""How numbers of nodes are written: one for every axis, or one for each."""


def one_of(argument: str | Path | None, option: str | None, hint: str) -> str | Path:
    """Return whichever of a command's argument and option was given; ``hint`` says how.

    Raises:
        UsageError: If none was, or both.
    """
    if (argument is None) == (option is None):
        raise UsageError(f"give {hint}")
    return argument if argument is not None else str(option)


def equation(argument: str | None, option: str | None) -> str:
    """Return the name of the equation of a command."""
    return str(
        one_of(argument, option, "the equation once, as --pde NAME; piddm list-pdes names them")
    )


def equation_of_data(argument: str | None, option: str | None, fields: str) -> PDE | None:
    """Return the equation of a command that learns, or None where data have none.

    Raises:
        UsageError: If it was given twice, or neither it nor fields.
    """
    if fields and argument is None and option is None:
        return None
    from piddm.plugins.loader import get_pde

    hint = "the equation once, as --pde NAME, or --data FILE --fields u,v where none is known"
    return get_pde(str(one_of(argument, option, hint)))  # before torch: a typo shows at once


def run_folder(argument: Path | None, pde: str | None) -> Path:
    """Return the folder of the run of a command: the one given, or an equation's newest."""
    hint = "a run's folder, --pde NAME for the newest run of it, or --model NAME"
    which = one_of(argument, pde, hint)
    if isinstance(which, Path):
        return which
    from piddm.plugins.loader import get_pde
    from piddm.runs.folder import newest_run

    return newest_run(get_pde(which).name)


def opened(argument: Path | None, pde: str | None, model: str | None, device: str) -> Run:
    """Open the run, the newest run of an equation, or the trained model of a command.

    Raises:
        UsageError: If none was given, or more than one.
    """
    if model is None:
        folder = run_folder(argument, pde)
        from piddm import api

        return api.load_run(folder, device=device)
    if argument is not None or pde is not None:
        raise UsageError("a model has its equation and its weights: give --model NAME only")
    from piddm.pretrained import load_model

    return load_model(model, device=device)


def writable(path: Path, overwrite: bool) -> Path:
    """Check, before any work, that a file may be written; folders come with the file itself.

    Raises:
        UsageError: If it is there already, or a device, a pipe or a folder.
        PiddmError: If its folder cannot be made or written to.
    """
    try:
        there = replaceable(path) is not None
    except IsADirectoryError:
        there, overwrite = True, False
    except OSError as error:
        raise PiddmError(f"cannot write {path} ({error.strerror}); choose another --out") from error
    if there and not overwrite:
        raise UsageError(f"{path} exists; choose another --out, or give --overwrite")
    swept(path.parent)
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PiddmError(
            f"cannot make {path.parent} ({error.strerror}); choose another --out"
        ) from error
    allowed = os.access(path.parent, os.W_OK)
    for folder in missing:  # an empty one would be left by work that fails or is interrupted
        with suppress(OSError):
            folder.rmdir()
    if not allowed:
        raise PiddmError(f"cannot write to {path.parent}: permission denied; choose another --out")
    return path


def limit_threads(device: str = "cpu") -> None:
    """Keep torch from using many processors: networks of this size get slower by it."""
    known = getattr(os, "sched_getaffinity", None)
    processors = len(known(0)) if known else os.cpu_count() or 1
    if device != "cpu" or "OMP_NUM_THREADS" in os.environ or processors <= MANY_PROCESSORS:
        return
    import torch

    torch.set_num_threads(MANY_PROCESSORS)


def say(text: str) -> None:
    """Print a remark where it does not disturb the output of ``--json``."""
    print(printable(text), file=sys.stderr, flush=True)
