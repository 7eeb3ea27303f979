"""piddm: write an equation once; get a residual, a solver, data, a teacher and a one-step student.

Every public name is lazy, so that ``import piddm`` imports neither torch nor sympy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from piddm.api import Run, distill, load_run, make_dataset
    from piddm.conditions import Dirichlet, Integral, Neumann, Robin
    from piddm.errors import PiddmError, UsageError
    from piddm.grid import Axis, Grid
    from piddm.pde import PDE
    from piddm.plugins import get_pde, list_pdes

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("piddm")

_HOME = {
    "Run": "piddm.api",
    "distill": "piddm.api",
    "load_run": "piddm.api",
    "make_dataset": "piddm.api",
    "Axis": "piddm.grid",
    "Grid": "piddm.grid",
    "PDE": "piddm.pde",
    "Dirichlet": "piddm.conditions",
    "Integral": "piddm.conditions",
    "Neumann": "piddm.conditions",
    "Robin": "piddm.conditions",
    "PiddmError": "piddm.errors",
    "UsageError": "piddm.errors",
    "get_pde": "piddm.plugins",
    "list_pdes": "piddm.plugins",
}

__all__ = [
    "PDE", "Axis", "Dirichlet", "Grid", "Integral", "Neumann", "PiddmError", "Robin", "Run",
    "UsageError", "distill", "get_pde", "hookimpl", "list_pdes", "load_run", "make_dataset",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'piddm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
