"""Where results live: run folders, what was made from what, and what can be reused.

A **fingerprint** names everything that a stage's result depends on: the equation, the settings of
the stage and of those before it, the seed. Data, teachers and pairs are kept in a cache under it,
so that two runs that differ only in the student share the rest.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from piddm.config import Config
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.runs.fingerprints import accepted, describe, digest, fingerprints
from piddm.tools.about import __version__
from piddm.tools.atomic import YOUNG
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import read_json, write_json
from piddm.tools.formats import is_file
from piddm.tools.locks import locked

NAMED = re.compile(r"\d{8}T\d{6}-.+-[0-9a-f]{4}")
"""Names of the folders that runs get where none is asked for."""


class Manifest(BaseModel):
    """The content of a run's folder and its origin; ``processes`` were last at work on it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["piddm-run"] = "piddm-run"
    version: Literal[1] = 1
    created: str
    software: dict[str, str]
    fingerprints: dict[str, str]
    seconds: dict[str, float] = {}
    processes: int = 1


def home() -> Path:
    """Return where runs and the cache go: ``$PIDDM_HOME``, else the current folder."""
    return Path(os.environ.get("PIDDM_HOME") or ".")


def parts_folder(pde: PDE, grid: Grid, count: int, seed: int) -> Path:
    """Return where solved chunks of a data set wait until it is whole."""
    mark = digest([describe(pde), grid.to_dict(), count, seed])
    return home() / "cache" / "parts" / f"{pde.name}-{mark}"


def lock_of(path: Path) -> Path:
    """Return the lock of what is kept under a path, beside it."""
    return path.with_name(f".{path.name}.lock")


def software() -> dict[str, str]:
    """Return the versions that a result was made with."""
    import torch

    return {
        "piddm": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def marks_of(config: Config, pde: PDE, out: Path | None) -> dict[str, str]:
    """Return the fingerprints of a run's stages.

    A run that is in ``out`` already keeps its own, where earlier code made it that gives the same
    results: see :func:`piddm.runs.fingerprints.accepted`.
    """
    if out is not None and is_file(out / "manifest.json"):
        with suppress(PiddmError):  # told when it is opened
            theirs = find_run(out)[1].fingerprints
            if theirs in accepted(config, pde):
                return theirs
    return fingerprints(config, pde)


def open_folder(
    config: Config, pde: PDE, out: Path | None, fresh: bool = False,
    marks: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Return the folder of a run: the newest of this configuration and equation, else a new one.

    Args:
        config: The configuration.
        pde: The equation.
        out: The folder; one under ``runs/`` where none is given.
        fresh: Make a new one where a finished one is there.
        marks: The run's fingerprints; those of today's code where none are given.

    Raises:
        PiddmError: If ``out`` holds a run of another configuration or equation, or other files.
    """
    marks = marks or fingerprints(config, pde)
    if out is not None:
        if fresh:
            raise UsageError("--fresh makes a folder of its own; give either --fresh or --out")
        if is_file(out / "manifest.json"):
            try:
                theirs, manifest = find_run(out)
            except PiddmError as error:
                raise PiddmError(
                    f"{out} holds a run of another version of piddm, or a damaged one; choose "
                    "another --out, or remove it"
                ) from error
            other = _placeless(theirs) != _placeless(config)
            if other or manifest.fingerprints != marks:
                what = "configuration" if other else f"version of {pde.name}"
                raise PiddmError(
                    f"{out} holds a run of another {what}; choose another --out, or remove it"
                )
        elif is_file(out) or (_is_folder(out) and _foreign(out)):
            raise PiddmError(f"{out} exists and is not a run; choose another --out")
        folder = out
        return _begun(out, config, marks)
    root = home() / "runs" / config.pde
    # Of two commands that ask for the same run at once, the second finds what the first made.
    with locked(root / ".lock", f"opens a run of {config.pde}"):
        _clear(root)
        folder = _latest(root, config, marks, unfinished=fresh)
        if folder is None:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            folder = root / f"{stamp}-{config.preset}-{secrets.token_hex(2)}"
        return _begun(folder, config, marks)


def _begun(folder: Path, config: Config, marks: dict[str, str]) -> Path:
    """Return a run's folder with its configuration and manifest in it."""
    if not is_file(folder / "manifest.json"):
        created = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / "config.json", config)
        manifest = Manifest(created=created, software=software(), fingerprints=marks)
        write_json(folder / "manifest.json", manifest)
    return folder


def _clear(root: Path) -> None:
    """Remove what starts of runs left that were killed before there was a manifest."""
    for path in root.glob("*T*-*-*"):
        if (
            NAMED.fullmatch(path.name)
            and path.is_dir()
            and not (path / "manifest.json").exists()
            and not _foreign(path)
            and time.time() - path.stat().st_mtime > YOUNG
        ):
            shutil.rmtree(path, ignore_errors=True)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a path that is too long, which writing to it says
        return False


def _foreign(folder: Path) -> bool:
    """Return whether a folder without a manifest holds more than an interrupted start leaves."""
    return any(p.name != "config.json" and not p.name.startswith(".") for p in folder.iterdir())


def _placeless(config: Config) -> Config:
    """Return a configuration without the place of its data, whose content it tells."""
    if config.data.taken is None:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"source": None})})


def _latest(root: Path, config: Config, marks: dict[str, str], unfinished: bool) -> Path | None:
    """Return the newest run of a configuration; ``unfinished`` takes one without scores only."""
    for path in sorted(root.glob("*/manifest.json"), reverse=True):
        try:
            theirs, manifest = find_run(path.parent)
        except PiddmError:  # a foreign or older folder is not ours to touch
            continue
        if unfinished and (path.parent / "metrics.json").exists():
            continue
        if _placeless(theirs) == _placeless(config) and manifest.fingerprints == marks:
            return path.parent
    return None


def newest_run(pde: str) -> Path:
    """Return the folder of an equation's newest complete run.

    Raises:
        PiddmError: If there is none.
    """
    root = home() / "runs" / pde
    # A run's name begins with the time when it was made.
    for scores in sorted(root.glob("*/metrics.json"), reverse=True):
        return scores.parent
    raise PiddmError(f"no complete run in {root}; make one with: piddm distill --pde {pde}")


def find_run(folder: Path) -> tuple[Config, Manifest]:
    """Read the configuration and manifest of a run.

    Raises:
        PiddmError: If the folder is not a run, or not one of this version of piddm.
    """
    if not is_file(folder / "manifest.json"):
        raise PiddmError(
            f"{str(folder)[:200]} is not a run: it has no manifest.json; give a run's folder"
        )
    try:
        config = read_json(folder / "config.json", Config)
        return config, read_json(folder / "manifest.json", Manifest)
    except PiddmError as error:
        raise PiddmError(
            f"{error}; if another version of piddm made this run, distil it again"
        ) from error
