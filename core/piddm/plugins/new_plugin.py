"""Writes the package that an author of a plugin begins with: it passes its own tests as it is."""

from __future__ import annotations

import importlib.util
import re
import secrets
import shutil
from importlib import resources
from pathlib import Path

from piddm.plugins import loader
from piddm.plugins.hooks import API
from piddm.tools.about import __version__
from piddm.tools.errors import PiddmError, UsageError

NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
"""Names that an equation and a package can have at once."""

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "plugin.py": "src/{module}/__init__.py",
    "equation.py": "src/{module}/equation.py",
    "conformance.py": "tests/test_conformance.py",
}
"""Each template, and where in the package it goes."""


def new_plugin(name: str, parent: Path) -> Path:
    """Write a package with one equation; return its folder.

    Args:
        name: Name of the equation; ``piddm-NAME`` is the package's.
        parent: Folder to write the package's folder into.

    Raises:
        UsageError: If the name will not do or is taken, or the folder exists.
        PiddmError: If the folder cannot be written.
    """
    name = name.removeprefix("piddm-")
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name an equation and its package; use lower-case letters and "
            "digits, with single '-' or '_' between, a letter first"
        )
    words = {"name": name, "package": f"piddm-{name.replace('_', '-')}"}
    words["module"] = words["package"].replace("-", "_")
    for entry in loader.list_pdes():
        if entry.name == name:
            raise UsageError(
                f"the equation {name!r} is there already, from plugin {entry.plugin!r}; choose "
                "another name"
            )
    if importlib.util.find_spec(words["module"]) is not None:
        raise UsageError(f"a module {words['module']!r} is installed already; choose another name")
    folder = parent / words["package"]
    try:
        there = folder.exists()
    except OSError as error:
        raise PiddmError(
            f"cannot write {folder} ({error.strerror}); choose another --out"
        ) from error
    if there:
        raise UsageError(f"{folder} exists; choose another name or --out")
    words |= {"constant": re.sub(r"\W", "_", name).upper(), "api": str(API)}
    words["version"] = __version__
    templates = resources.files("piddm.plugins") / "templates"
    part = parent / f".{secrets.token_hex(4)}.{words['package']}"
    try:
        for template, place in FILES.items():
            text = (templates / f"{template}.txt").read_text(encoding="utf-8")
            target = part / place.format(**words)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(text, words), encoding="utf-8")
        part.rename(folder)
    except OSError as error:
        raise PiddmError(
            f"cannot write {folder} ({error.strerror}); choose another --out"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)  # half a package is none
    return folder


def _filled(text: str, words: dict[str, str]) -> str:
    """Put words for ``{{word}}``; braces of Python and LaTeX stay as they are."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], text)
