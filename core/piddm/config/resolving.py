"""Three presets, a file and ``--set`` on top, merged into a validated configuration."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from piddm.config.sections import Config
from piddm.tools.errors import UsageError, nearest
from piddm.tools.settings_files import literal, read_settings

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "data": {"size": 32, "times": 16, "train": 128, "held_out": 64},
        "packing": {"soften": 2.0},
        "network": {"widths": [32, 48], "fold": 2},
        "teacher": {"steps": 120, "batch": 16},
        "pairs": {"count": 128, "steps": 5, "refresh_every": 60, "refresh": 32},
        # In so few steps more physics would cost spread that pairs do not bring back.
        "student": {"steps": 120, "batch": 16, "physics_weight": 4.0},
        "evaluation": {"count": 64, "distance_count": 32},
    },
    "default": {
        "packing": {"soften": 2.0, "symmetric": True},
        "student": {"name": "staged", "polish": 4},
    },
    "paper": {
        "data": {"size": 128, "train": 10000, "held_out": 1024},
        "packing": {"soften": 2.0},
        "network": {"widths": [96, 192, 288, 384], "depth": 2},
        "teacher": {"steps": 60000, "batch": 64, "learning_rate": 3e-4, "ema": 0.9995},
        "pairs": {
            "count": 10000,
            "steps": 25,
            "refresh_every": 2000,
            "refresh": 2000,
            "batch": 256,
        },
        "student": {"steps": 40000, "batch": 64, "learning_rate": 3e-4, "ema": 0.9995},
        "evaluation": {"count": 1024, "distance_count": 128},
    },
}
"""Changes that each preset makes to the defaults above, which are sized for two CPU cores."""


def resolve(
    pde: str,
    preset: str = "default",
    file: Path | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    seed: int | None = None,
) -> Config:
    """Merge a preset, a TOML or YAML file and overrides, in that order, into a validated config.

    Args:
        pde: Name of the equation.
        preset: One of ``PRESETS``.
        file: Optional TOML, YAML or JSON file with the sections of :class:`Config`.
        overrides: ``["student.steps=500"]`` or ``{"student.steps": 500}``.
        seed: Takes the place of the configured seed.

    Raises:
        UsageError: If a name or a value is not valid; the message names it.
    """
    if preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}{nearest(preset, PRESETS)}")
    data: dict[str, Any] = {"pde": pde, "preset": preset}
    _merge(data, PRESETS[preset])
    if file is not None:
        given = read_settings(file)
        for name in ("pde", "preset"):
            if given.get(name, data[name]) != data[name]:
                raise UsageError(
                    f"{file} is for the {name} {given[name]!r}, the command asks for {data[name]!r}"
                )
        _merge(data, given)
    return _changed(data, overrides, {} if seed is None else {"seed": seed})


def changed(config: Config, overrides: Sequence[str] | Mapping[str, Any]) -> Config:
    """Return a configuration with some settings replaced; as :func:`resolve` takes them.

    Raises:
        UsageError: If a name or a value is not valid; the message names it.
    """
    return _changed(config.model_dump(), overrides)


def divided(config: Config, processes: int) -> Config:
    """Return a configuration whose batches are multiples of the processes, and say what changed."""
    batches = {
        "teacher.batch": config.teacher.batch, "student.batch": config.student.batch,
        "student.physics_batch": config.student.physics_batch,
    }  # fmt: skip
    uneven = {k: n for k, n in batches.items() if n % processes}
    for name, count in uneven.items():
        whole = count + -count % processes
        text = f"{name} {count} is taken as {whole}: {processes} processes share it"
        print(text, file=sys.stderr, flush=True)
        uneven[name] = whole
    return changed(config, uneven) if uneven else config


def settings(config: Config) -> dict[str, Any]:
    """Return all settings by name, ``student.steps``."""
    found: dict[str, Any] = {}
    for name, part in config.model_dump(mode="json").items():
        within = part.items() if isinstance(part, dict) else ()
        found |= {f"{name}.{k}": v for k, v in within} or {name: part}
    return found


def _changed(
    data: dict[str, Any],
    overrides: Sequence[str] | Mapping[str, Any],
    last: Mapping[str, Any] | None = None,
) -> Config:
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(_assignment, overrides)
    for key, value in pairs:
        if key in ("pde", "preset"):
            raise UsageError(f"--set {key}: use --{key}")
        section, _, name = key.rpartition(".")
        target = data
        for part in filter(None, section.split(".")):
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise UsageError(f"--set {key}: {part!r} is not a section")
        target[name] = value
    data |= last or {}
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"no setting {where!r}{nearest(where, _paths(Config))}") from error
        raise UsageError(f"configuration, {where}: {first['msg']}") from error


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text!r}: write it as section.name=value")
    return key.strip(), literal(value.strip())


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.setdefault(key, {}), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    out: list[str] = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            out += _paths(kind, f"{prefix}{name}.")
        else:
            out.append(prefix + name)
    return out
