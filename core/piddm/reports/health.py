"""Health of an installation: versions, processors, devices, plugins, room for runs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from piddm.plugins.loader import list_plugins
from piddm.runs.folder import home
from piddm.tools.about import __version__
from piddm.tools.memory import available

LEAST_PYTHON = (3, 11)
"""The oldest version of Python that is tested."""

PACKAGES = ("torch", "numpy", "scipy", "sympy", "h5py", "matplotlib", "torch-harmonics", "pydantic")
"""Packages whose versions results depend on."""

LEAST_DISK = 2.0
"""Free disk that a run of the default preset should find, GiB."""

LEAST_MEMORY = 4.0
"""Memory that a run of the default preset should find, GiB."""

GIB = 2**30
"""Bytes of a GiB."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: What was looked at.
        value: What was found.
        advice: What to do; empty where all is well.
    """

    name: str
    value: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"well": not self.advice}


def examine() -> list[Finding]:
    """Look at the installation and the machine; nothing is changed."""
    return [*_software(), *_machine(), *_plugins(), *_room()]


def _software() -> Iterator[Finding]:
    yield Finding("piddm", f"{__version__}, {Path(__file__).parents[1]}")
    old = sys.version_info < LEAST_PYTHON
    wanted = ".".join(map(str, LEAST_PYTHON))
    yield Finding("Python", platform.python_version(), f"install {wanted} or newer" if old else "")
    for name in PACKAGES:
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "absent", f"pip install {name}")


def _machine() -> Iterator[Finding]:
    import torch

    from piddm.teachers.backbone import native_bfloat16

    known = getattr(os, "sched_getaffinity", None)
    count = len(known(0)) if known else os.cpu_count() or 1
    yield Finding("processors", f"{count}, {platform.machine()}")
    yield Finding("threads of torch", str(torch.get_num_threads()))
    memory = available() / GIB
    little = "take --preset quick, or a smaller data.size" if memory < LEAST_MEMORY else ""
    yield Finding("memory", f"{memory:.1f} GiB", little)
    fast = native_bfloat16()
    yield Finding("bfloat16", "native" if fast else "not native: networks run in float32")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("devices", ", ".join(["cpu", *(f"cuda:{i} {n}" for i, n in enumerate(gpus))]))


def _plugins() -> Iterator[Finding]:
    for record in list_plugins():
        value = f"{record.status}, {record.distribution} {record.version}".strip(" ,")
        advice = f"{record.error}; mend or remove it" if record.status == "failed" else ""
        yield Finding(f"plugin {record.name}", value, advice)


def _room() -> Iterator[Finding]:
    folder = home().absolute()
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free / GIB
    advice = "free some space, or set PIDDM_HOME to another disk" if free < LEAST_DISK else ""
    yield Finding("free disk", f"{free:.1f} GiB", advice)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        advice = f"{error.strerror}: set PIDDM_HOME to a folder that can be written to"
        yield Finding("home", str(folder), advice)
    else:
        yield Finding("home", str(folder))
