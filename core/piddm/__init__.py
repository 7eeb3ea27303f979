"""piddm: write an equation once; get a residual, a solver, data, a teacher and a one-step student.

The rooms of the house, ground first. A room imports only rooms above it in this list; those on one
line, with a bar between, share a floor and do not know each other.

tools           errors, files, HDF5, random numbers, progress, checked settings; knows no field
grids           axes, grids, mean weights, eigenbases, spherical harmonics
priors          laws of random inputs
| config        all settings of a run
symbolic        the language: symbols, operators, conditions, the specification; no torch
residuals       a specification and a grid become rows; wrappers, norms, compiled programs
numerics        Jacobian, Newton, derived solver, nearest solution; algebra that knows no residual
equation        an equation: a specification that can be bound and solved
data            data sets: simulated or read, packed, coloured
networks        backbones
| plugins       hooks, loader, built-ins, package template
teachers        teachers, schedules, sampling
| verification  checks of an equation
| checking      checks of data against an equation
metrics         measures of samples and their records
training        optimisation, pairs, losses, the context that methods share
students        students and their refinement
| methods       other ways to sample under an equation
tasks           task, observations, sensors, ensemble, solution, their files
solvers         ways to answer, one file each; what they share begins with an underscore
runs            folder, fingerprints, models, workspace (what a run has), stages (what is done)
| figures       pictures
reports         pages and tables for people
api             the few calls that do everything
pretrained      trained models, by name
bench           methods side by side
| view          the page in the browser
| portable      a student for others: ONNX, a page that runs it
| estimator     readings in, fields out, for scikit-learn
conformance     checks of what plugins bring beside equations
cli             the command line, one file a group of commands

Three faces are imported by nobody inside: this one, ``interfaces`` (for authors of plugins) and
``testing``. Every public name is lazy, so that ``import piddm`` imports neither torch nor sympy.
"""

from __future__ import annotations

import importlib

from piddm.tools.about import __version__ as __version__

TYPE_CHECKING = False  # to import typing's takes longer than all the rest
if TYPE_CHECKING:
    from typing import Any

    from piddm.api import Run, distill, load_run, make_dataset
    from piddm.data.exporting import export, to_xarray
    from piddm.equation import PDE
    from piddm.estimator import SensorRegressor
    from piddm.grids.grid import Axis, Grid
    from piddm.plugins.loader import get_pde, list_pdes
    from piddm.plugins.markers import hookimpl
    from piddm.pretrained import load_model
    from piddm.runs.asking import solve
    from piddm.runs.reading import check, import_data
    from piddm.symbolic.conditions import Dirichlet, Integral, Neumann, Robin
    from piddm.tools.errors import PiddmError, UsageError

_HOME = {
    "Run": "piddm.api",
    "check": "piddm.runs.reading",
    "distill": "piddm.api",
    "export": "piddm.data.exporting",
    "load_model": "piddm.pretrained",
    "load_run": "piddm.api",
    "make_dataset": "piddm.api",
    "solve": "piddm.runs.asking",
    "to_xarray": "piddm.data.exporting",
    "Axis": "piddm.grids.grid",
    "Grid": "piddm.grids.grid",
    "PDE": "piddm.equation",
    "Dirichlet": "piddm.symbolic.conditions",
    "Integral": "piddm.symbolic.conditions",
    "Neumann": "piddm.symbolic.conditions",
    "Robin": "piddm.symbolic.conditions",
    "SensorRegressor": "piddm.estimator",
    "PiddmError": "piddm.tools.errors",
    "UsageError": "piddm.tools.errors",
    "get_pde": "piddm.plugins.loader",
    "import_data": "piddm.runs.reading",
    "hookimpl": "piddm.plugins.markers",
    "list_pdes": "piddm.plugins.loader",
}
"""Module of each public name."""

__all__ = [
    "PDE", "Axis", "Dirichlet", "Grid", "Integral", "Neumann", "PiddmError", "Robin", "Run",
    "SensorRegressor", "UsageError", "check", "distill", "export", "get_pde", "hookimpl",
    "import_data", "list_pdes", "load_model", "load_run", "make_dataset", "solve", "to_xarray",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'piddm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
