"""A plugin that is one file: named with ``--plugin`` or in ``PIDDM_PLUGINS``, never installed.

Importing it runs it, which is why nothing but what a person names is ever imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from piddm.plugins.lines import shown
from piddm.tools.errors import UsageError
from piddm.tools.formats import is_file

VARIABLE = "PIDDM_PLUGINS"
"""Environment variable: files to load as plugins, separated as in ``PATH``."""

MARK = "piddm_impl"
"""Attribute that ``piddm.hookimpl`` leaves on a function."""


class FilePoint:
    """Stands for the entry point that a file has not.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.name = self.path.name
        self.module = f"piddm_file_{self.path.stem}"

    def load(self) -> ModuleType:
        """Run the file; return its module, with a hook where it has only equations.

        Raises:
            UsageError: If there is no such file, or nothing in it for piddm.
        """
        if self.path.suffix != ".py":
            raise UsageError(f"{shown(self.path)} is not a Python file: its name must end in .py")
        if not is_file(self.path):
            raise UsageError(f"there is no file {shown(self.path)}")
        spec = importlib.util.spec_from_file_location(self.module, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.module] = module  # dataclasses look their module up
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[self.module]
            raise
        if not any(hasattr(value, MARK) for value in vars(module).values()):
            _give_hook(module)
        return module

    def owns(self, frame: FrameType) -> bool:
        """Return whether a frame runs this file."""
        return frame.f_code.co_filename == str(self.path)


def _give_hook(module: ModuleType) -> None:
    """Let a file without hooks bring the equations that are its variables."""
    from piddm.equation import PDE
    from piddm.plugins.markers import hookimpl

    found = list(dict.fromkeys(v for v in vars(module).values() if isinstance(v, PDE)))
    if not found:
        raise UsageError(
            "it has no hook and no equation; write NAME = PDE(...), or mark a hook with "
            "piddm.hookimpl"
        )

    def piddm_register_pdes(register: Any) -> None:
        for pde in found:
            register(pde)

    vars(module)["piddm_register_pdes"] = hookimpl(piddm_register_pdes)


def from_environment() -> list[Path]:
    """Return the files that ``PIDDM_PLUGINS`` names."""
    return [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part.strip()]


def distinct(paths: Iterable[Path]) -> list[FilePoint]:
    """Return each file once, however it is named."""
    return list({point.path: point for point in map(FilePoint, paths)}.values())
