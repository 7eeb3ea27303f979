"""Dependence of a benchmark's result on code, beside settings, and its cost."""

from __future__ import annotations

import inspect
import math
import sys
from pathlib import Path

from piddm.bench.entries import Entry
from piddm.plugins.loader import current
from piddm.tools.files import read_tensors


def code_of(entry: Entry) -> list[str]:
    """Return the source of a method and of what it is derived from: piddm's own has its version."""
    return [] if entry.kind == "data" else source_of(entry.kind, entry.name)


def source_of(kind: str, name: str) -> list[str]:
    """Return the source of what a plugin registered, and of what that is derived from."""
    made = current().get(kind, name)
    modules = dict.fromkeys(c.__module__ for c in getattr(made, "__mro__", [made]))
    own = [m for m in modules if m.partition(".")[0] not in ("piddm", "torch", "abc", "builtins")]
    return [inspect.getsource(sys.modules[m]) for m in own]


def seconds_of(path: Path, kind: str, name: str = "seconds") -> float | None:
    """Return what a model's file says of how long it took; nothing where it does not."""
    if not path.exists():
        return None
    try:
        value = float(read_tensors(path, kind)[1].get(name, "nan"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
