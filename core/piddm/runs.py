"""Where results live: run folders, what was made from what, and what can be reused.

A **fingerprint** names everything that a stage's result depends on: the equation, the settings of
the stage and of those before it, the seed. Data, teachers and pairs are kept in a cache under it,
so that two runs that differ in the student alone share the rest.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from piddm import __version__
from piddm.config import Config, PhysicsConfig
from piddm.errors import PiddmError, UsageError
from piddm.files import read_json, write_json
from piddm.pde import PDE
from piddm.plugins import current

NUMERICS = 2
"""Raised when the same settings give other results: stencils, solver, models or losses changed."""


class Manifest(BaseModel):
    """What a run folder holds and how it came to be."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["piddm-run"] = "piddm-run"
    version: Literal[1] = 1
    created: str
    software: dict[str, str]
    fingerprints: dict[str, str]
    seconds: dict[str, float] = {}


def home() -> Path:
    """Return where runs and the cache go: ``$PIDDM_HOME``, else the current folder."""
    return Path(os.environ.get("PIDDM_HOME") or ".")


def fingerprints(config: Config, pde: PDE) -> dict[str, str]:
    """Return the fingerprint of each stage, each containing the one before it."""
    methods = _from_plugins(backbone=config.network.name, teacher=config.teacher.name)
    student: list[Any] = list(_from_plugins(student=config.student.name))
    if config.physics != PhysicsConfig():  # told only where it holds, so that older marks stay
        student.append(config.physics)
    own: dict[str, Any] = {
        "simulate": [describe(pde), config.data, config.seed],
        "train": [config.packing, config.network, config.teacher, *methods],
        "pairs": [config.pairs.count, config.pairs.steps, config.pairs.refresh, config.pairs.batch],
        "distill": [config.pairs, config.student, *student],
        "evaluate": [config.evaluation],
    }
    out: dict[str, str] = {}
    before = ""
    for stage, parts in own.items():
        plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
        before = out[stage] = digest([before, plain])
    return out


def _from_plugins(**chosen: str) -> list[str]:
    """Return what tells methods of plugins apart: piddm's own are told by ``NUMERICS``."""
    plugins = current()
    return [
        f"{kind} {name} {_named(plugins.get(kind, name))}"
        for kind, name in chosen.items()
        if not plugins.built_in(kind, name)
    ]


def digest(data: Any) -> str:
    """Return a short hash of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def describe(pde: PDE) -> dict[str, Any]:
    """Return what an equation's data depend on, as plain text."""
    inputs = {str(k): repr(v) for k, v in pde.inputs.items()}
    if nameless := [k for k, v in inputs.items() if " at 0x" in v]:
        raise UsageError(
            f"{pde.name}: the law of {nameless[0]} needs a repr that says all it depends on, so "
            "that results can be told apart; a frozen dataclass has one"
        )
    own = {"simulate": pde.simulate, "residual": pde.residual}
    # Only what an equation has is told of it: what is added to the language later changes no mark.
    optional = {
        "integrals": {k: repr(v) for k, v in pde.integrals.items()},
        "free": list(pde.free_params),
        "order": "" if pde.order == 2 else str(pde.order),
    }
    return {k: v for k, v in optional.items() if v} | {
        "numerics": NUMERICS,
        "name": pde.name,
        "fields": list(pde.field_names),
        "equations": {k: str(v) for k, v in pde.equations.items()},
        "params": {p.name: p.value for p in pde.params},
        "conditions": {k: repr(v) for k, v in pde.conditions.items()},
        "inputs": inputs,
        "own": {k: _named(f) for k, f in own.items() if f is not None},
        "domain": pde.grid.to_dict(),
        "time_scheme": pde.time_scheme,
    }


def _named(function: Callable[..., Any]) -> str:
    """Return a function's name and a hash of its source, which changes when it is edited."""
    try:
        mark = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
    except (OSError, TypeError):  # typed at a prompt, or compiled
        mark = ""
    return f"{function.__module__}.{getattr(function, '__qualname__', '')} {mark}"


def software() -> dict[str, str]:
    """Return the versions that a result was made with."""
    import torch

    return {
        "piddm": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def open_folder(config: Config, pde: PDE, out: Path | None, fresh: bool = False) -> Path:
    """Return the folder of a run: the newest of this configuration and equation, else a new one.

    Raises:
        PiddmError: If ``out`` holds a run of another configuration or equation, or other files.
    """
    marks = fingerprints(config, pde)
    if out is not None:
        if fresh:
            raise UsageError("--fresh makes a folder of its own; give either --fresh or --out")
        if (out / "manifest.json").exists():
            try:
                theirs, manifest = find_run(out)
            except PiddmError as error:
                raise PiddmError(
                    f"{out} holds a run of another version of piddm, or a damaged one; choose "
                    "another --out, or remove it"
                ) from error
            if theirs != config or manifest.fingerprints != marks:
                what = "configuration" if theirs != config else f"version of {pde.name}"
                raise PiddmError(
                    f"{out} holds a run of another {what}; choose another --out, or remove it"
                )
        elif out.exists() and (not out.is_dir() or _foreign(out)):
            raise PiddmError(f"{out} exists and is not a run; choose another --out")
        folder = out
    else:
        root = home() / "runs" / config.pde
        folder = _latest(root, config, marks, unfinished=fresh)
        if folder is None:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            folder = root / f"{stamp}-{config.preset}-{secrets.token_hex(2)}"
    if not (folder / "manifest.json").exists():
        created = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / "config.json", config)
        manifest = Manifest(created=created, software=software(), fingerprints=marks)
        write_json(folder / "manifest.json", manifest)
    return folder


def _foreign(folder: Path) -> bool:
    """Return whether a folder without a manifest holds more than an interrupted start leaves."""
    return any(p.name != "config.json" and not p.name.startswith(".") for p in folder.iterdir())


def _latest(root: Path, config: Config, marks: dict[str, str], unfinished: bool) -> Path | None:
    """Return the newest run of a configuration; ``unfinished`` takes one without scores only."""
    for path in sorted(root.glob("*/manifest.json"), reverse=True):
        try:
            theirs, manifest = find_run(path.parent)
        except PiddmError:  # a foreign or older folder is not ours to touch
            continue
        if unfinished and (path.parent / "metrics.json").exists():
            continue
        if theirs == config and manifest.fingerprints == marks:
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
    if not (folder / "manifest.json").is_file():
        raise PiddmError(f"{folder} is not a run: it has no manifest.json; give a run's folder")
    try:
        config = read_json(folder / "config.json", Config)
        return config, read_json(folder / "manifest.json", Manifest)
    except PiddmError as error:
        raise PiddmError(
            f"{error}; if another version of piddm made this run, distil it again"
        ) from error
