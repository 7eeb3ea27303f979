"""Settings that people write: TOML, YAML or JSON, from files that may be anything."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piddm.tools.errors import UsageError
from piddm.tools.files import proven, regular_text

LARGEST = 1 << 17
"""Bytes of a file of settings, at most: YAML takes ten seconds for a megabyte."""

VALUES, DEPTH = 10_000, 16
"""Values in it, those behind aliases counted each time; and sections within sections."""


def read_settings(file: Path) -> dict[str, Any]:
    """Return the sections of a TOML, YAML or JSON file, by its name's ending.

    Raises:
        UsageError: If it cannot be read, or holds anything but a moderate number of plain values.
    """
    try:
        text = regular_text(file, LARGEST)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the configuration {file}: {error}") from error
    kind = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON"}.get(file.suffix.lower(), "TOML")
    try:
        data = _parsed(text, kind)
        _count(data)
    except RecursionError as error:
        raise UsageError(f"{file} is not valid {kind}: it is nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"{file} is not valid {kind}: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{file} must hold sections such as [student], not {type(data).__name__}")
    return data


def _parsed(text: str, kind: str) -> Any:
    if kind == "TOML":
        return tomllib.loads(text)
    if kind == "JSON" or text.lstrip().startswith("{"):  # a run's own configuration is JSON
        try:
            return proven(text)
        except ValueError:
            if kind == "JSON":
                raise
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _count(data: Any, depth: int = 0, left: int = VALUES) -> int:
    """Count values down to none left: aliases make exponentially many of few bytes, or a circle.

    Raises:
        ValueError: If there are too many, or they are nested too deeply, or a name is no text.
    """
    left -= 1
    if left < 0:
        raise ValueError(f"it has more than {VALUES} values, those behind aliases counted")
    if depth > DEPTH:
        raise ValueError(f"it is nested more than {DEPTH} deep")
    if isinstance(data, Mapping):
        if strange := [key for key in data if not isinstance(key, str)]:
            raise ValueError(f"the name {str(strange[0])[:40]!r} is no text")
        data = list(data.values())
    if isinstance(data, list):
        for value in data:
            left = _count(value, depth + 1, left)
    return left


def literal(text: str) -> Any:
    """Read a value as TOML would, else as a plain string.

    Raises:
        UsageError: If it is nested too deeply.
    """
    try:
        found = tomllib.loads(f"value = {text}")["value"]
        _count(found)
    except tomllib.TOMLDecodeError:
        return text
    except (RecursionError, ValueError) as error:
        raise UsageError(f"the value {text[:40]!r}... is no setting: it is too large") from error
    return found
