"""Where in a plugin's own file a mistake is, as ``file:line``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piddm.equation import PDE


def line_of(error: BaseException, owns: Callable[[FrameType], bool]) -> str:
    """Return the innermost line of a plugin's own that an error came through, or nothing.

    Args:
        error: The error.
        owns: Whether a frame runs the plugin's own code.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{shown(error.filename)}:{error.lineno}"
    found = ""
    trace = error.__traceback__
    while trace is not None:
        if owns(trace.tb_frame):
            found = f"{shown(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def in_package(package: str) -> Callable[[FrameType], bool]:
    """Return the test for frames of a package's modules."""
    return lambda frame: _top(frame.f_globals.get("__name__") or "") == package


def place(pde: PDE, label: str = "") -> str:
    """Return where an equation is written, as ``file:line``, or nothing where it is not known.

    It is known for a specification that is a module's variable.

    Args:
        pde: The equation.
        label: One of its equations, conditions, integrals or fields, whose line it is then.
    """
    for module in list(sys.modules.values()):
        names = [k for k, v in list(vars(module).items()) if v is pde] if _plain(module) else []
        if names and (found := _assigned(module, names, label)):
            return found
    return ""


def _plain(module: ModuleType | None) -> bool:
    # A lazy module would import itself when it is looked into; vars() does not ask it to.
    return isinstance(module, ModuleType) and str(vars(module).get("__file__")).endswith(".py")


def _assigned(module: ModuleType, names: list[str], label: str) -> str:
    file = str(module.__file__)
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):  # the file went or changed since it was imported
        return ""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not any(isinstance(target, ast.Name) and target.id in names for target in targets):
            continue
        labels = [
            key.lineno
            for part in ast.walk(node)
            if isinstance(part, ast.Dict)
            for key in part.keys
            if isinstance(key, ast.Constant) and key.value == label
        ]
        return f"{shown(file)}:{labels[0] if labels else node.lineno}"
    return ""


def shown(file: str | Path) -> str:
    """Return a file's path as people write it: from the current folder where it is in there."""
    path = Path(file)
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _top(module: str) -> str:
    return module.partition(".")[0]
