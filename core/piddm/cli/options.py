"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from piddm.errors import PiddmError, UsageError

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
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random inputs.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
Folder = Annotated[
    Path | None, typer.Option("--out", help="The run's folder; one under runs/ by default.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start a new run though one of this configuration exists.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
RunFolder = Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run's folder.")]
NewestOf = Annotated[
    str | None, typer.Option("--pde", help="Instead of a folder: the equation's newest run.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out.")]

MANY_PROCESSORS = 8


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


def run_folder(argument: Path | None, pde: str | None) -> Path:
    """Return the folder of the run of a command: the one given, or an equation's newest."""
    which = one_of(argument, pde, "either a run's folder or --pde NAME for the newest run of it")
    if isinstance(which, Path):
        return which
    from piddm.plugins import get_pde
    from piddm.runs import newest_run

    return newest_run(get_pde(which).name)


def writable(path: Path, overwrite: bool) -> Path:
    """Check, before any work, that a file may be written; folders come with the file itself.

    Raises:
        UsageError: If it is there already.
        PiddmError: If its folder cannot be made or written to.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise UsageError(f"{path} exists; choose another --out, or give --overwrite")
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
    print(text, file=sys.stderr, flush=True)
