"""What the site makes from the code: commands, settings, hooks, the reference, docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

FACES = {
    "piddm": "What most people call",
    "piddm.symbolic": "The language of equations",
    "piddm.priors": "Laws of random inputs",
    "piddm.interfaces": "For authors of plugins",
    "piddm.testing": "Checks of equations and plugins",
    "piddm.figures": "Pictures",
}
"""Modules whose names are public, with the title of their page."""


def page(face: str) -> str:
    """Return the path of a module's page in the reference."""
    return f"reference/{face.replace('.', '_')}.md"


def reference(face: str) -> str:
    """Return a module's page: a directive for each public name, where it is defined."""
    module = importlib.import_module(face)
    lines = [f"# {face}", "", FACES[face] + ".", ""]
    for name in module.__all__:
        lines += [f"::: {home(module, name)}", ""]
    return "\n".join(lines)


def home(module: Any, name: str) -> str:
    """Return where a public name is defined; where the module itself sets it, that."""
    value = getattr(module, name)
    where = getattr(value, "__module__", None)
    own = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    known = where and own == name and where.startswith("piddm")
    if known and getattr(importlib.import_module(where), name, None) is value:
        return f"{where}.{name}"
    return f"{module.__name__}.{name}"


def commands() -> str:
    """Return the page of the command line: every command with its arguments and options."""
    from typer.main import get_command

    from piddm.cli.app import app

    root = get_command(app)
    lines = ["# Commands", "", "`piddm --help` and `piddm COMMAND --help` print the same.", ""]
    for path, command in _leaves(root, ("piddm",)):
        context = command.make_context(" ".join(path), [], resilient_parsing=True)
        lines += [f"## {' '.join(path)}", "", (command.help or "").strip(), ""]
        lines += ["```console", f"$ {' '.join(command.get_usage(context).split()[1:])}", "```", ""]
        rows = [_option(p, context) for p in command.params if not getattr(p, "hidden", False)]
        lines += _table(("option", "default", ""), rows)
    return "\n".join(lines)


def _leaves(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name), command


def _option(option: Any, context: Any) -> tuple[str, str, str]:
    argument = option.param_type_name == "argument"
    shown = option.human_readable_name if argument else ", ".join(option.opts)
    default = option.get_default(context, call=False)
    plain = default is None or callable(default) or default in ((), [], False)
    return f"`{shown}`", "" if plain else f"`{default}`", getattr(option, "help", None) or ""


def settings() -> str:
    """Return the page of a run's configuration: every section with its fields and defaults."""
    from piddm.config import Config, resolving

    lines = ["# Settings", "", "A setting is `--set SECTION.NAME=VALUE`, or a line of a TOML file "
             "(`--config FILE`).", ""]  # fmt: skip
    lines += _section("", Config)
    lines += ["## Presets", "", "What each preset changes of these defaults.", ""]
    rows = [
        (f"`{preset}`", f"`{section}.{name}`", f"`{value}`")
        for preset, sections in resolving.PRESETS.items()
        for section, values in sections.items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    return "\n".join(lines + _table(("preset", "setting", "value"), rows))


def _section(name: str, model: type[BaseModel]) -> list[str]:
    inner, rows = [], []
    for field, info in model.model_fields.items():
        path = f"{name}.{field}".lstrip(".")
        if inspect.isclass(info.annotation) and issubclass(info.annotation, BaseModel):
            inner += _section(path, info.annotation)
            continue
        kind = getattr(info.annotation, "__name__", None) or str(info.annotation)
        kind = str(info.annotation) if "[" in str(info.annotation) else kind
        default = "required" if info.default is PydanticUndefined else f"`{info.default!r}`"
        rows.append((f"`{path}`", f"`{kind.replace('typing.', '')}`", default))
    title = f"`{name}`" if name else "The run"
    text = inspect.cleandoc(model.__doc__ or "")
    return [f"## {title}", "", text, "", *_table(("setting", "type", "default"), rows), *inner]


def hooks() -> str:
    """Return the page of the hooks: each with its arguments and what it is for."""
    from piddm.plugins import hooks as module

    lines = ["# Hooks", "", "A plugin implements any of these, marked with `piddm.hookimpl`; "
             "[extending](../extending.md) shows each at work.", ""]  # fmt: skip
    for name in vars(module.Hooks):
        if name.startswith("piddm_"):
            lines += [f"## {name}", "", f"::: piddm.plugins.hooks.Hooks.{name}", ""]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Return a docstring whose formulas stand between dollars and whose roles are code."""
    text = re.sub(
        r"^( *)\.\. math:: *\n?((?:.*\n?)(?:\1   ? ?.*\n|\s*\n(?=\1    ))*)",
        lambda m: f"{m[1]}$$\n{m[1]}{' '.join(m[2].split())}\n{m[1]}$$\n\n",
        text + "\n",
        flags=re.M,
    )
    text = re.sub(r":math:`([^`]*)`", lambda m: f"${m[1]}$", text)
    return re.sub(r":[a-z]+:`~?([^`]*)`", r"`\1`", text)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = [head, ("---",) * len(head), *rows]
    cells = [[" ".join(c.split()).replace("|", "\\|") for c in line] for line in lines]
    return [*(f"| {' | '.join(line)} |" for line in cells), ""]
