"""Fingerprints, short marks of all that a result depends on: of stages, equations, plain data."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from piddm.config import Config, PhysicsConfig
from piddm.equation import PDE
from piddm.plugins.loader import current
from piddm.tools.errors import UsageError

NUMERICS = 2
"""Raised when the same settings give other results: stencils, solver, models or losses changed.
What changes for few runs is told where it holds, so that others stay valid."""

WIDE = 8192
"""Nodes of a plane from which a band may be too wide: fewer need not be asked."""


def fingerprints(config: Config, pde: PDE) -> dict[str, str]:
    """Return the fingerprint of each stage, each containing the one before it."""
    return next(accepted(config, pde))


def accepted(config: Config, pde: PDE) -> Iterator[dict[str, str]]:
    """Yield the fingerprints of a run's stages: today's, then those that earlier code gave.

    What a plugin brings is told apart by its source. Where another source gave the same results,
    the plugin's registration names it (``earlier``), and its runs stay valid.
    """
    chosen = {
        "backbone": config.network.name, "teacher": config.teacher.name,
        "student": config.student.name,
    }  # fmt: skip
    ways = [_from_plugin(kind, name) for kind, name in chosen.items()]
    for backbone, teacher, student in itertools.product(*ways):
        yield _marks(config, pde, [*backbone, *teacher], list(student))


def _marks(config: Config, pde: PDE, methods: list[str], student: list[Any]) -> dict[str, str]:
    if config.physics != PhysicsConfig():  # told only where it holds, so that older marks stay
        student.append(config.physics)
    if _is_wide(config, pde):
        student.append("distances by gradients")
    own: dict[str, Any] = {
        "simulate": [describe(pde), _data(config), config.seed],
        "train": [config.packing, config.network, config.teacher, *methods],
        "pairs": [config.pairs.count, config.pairs.steps, config.pairs.refresh, config.pairs.batch],
        "distill": [config.pairs, config.student, *student],
        "evaluate": [config.evaluation],
    }
    out: dict[str, str] = {}
    before = ""
    for stage, parts in own.items():
        plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
        before = out[stage] = digest([before, plain])
    return out


def _is_wide(config: Config, pde: PDE) -> bool:
    """Return whether a student's distances on a plane are found without a band, as once by one.

    Their gradients differ in the second digit. On three axes they always were.
    """
    grid = config.data.grid(pde.grid)
    norm, axes = config.student.physics_norm, len(grid.shape)
    if norm != "distance" or axes != 2 or grid.spherical:
        return False
    from piddm.numerics.normal_choice import suited

    return math.prod(grid.shape) >= WIDE and suited(pde.bind(grid)) != "banded"


def _data(config: Config) -> dict[str, Any]:
    """Return what tells data apart: of a data set that is given its content, not its place."""
    told = config.data.model_dump(mode="json")
    if config.data.taken is not None:
        told.pop("source", None)
    return told


def _from_plugin(kind: str, name: str) -> list[list[str]]:
    """Return what tells a plugin's source apart, each that it may have, today's first.

    Nothing where piddm itself brings it, which ``NUMERICS`` tells.
    """
    plugins = current()
    if plugins.built_in(kind, name):
        return [[]]
    sources = [_named(plugins.get(kind, name)), *plugins.earlier(kind, name)]
    return [[f"{kind} {name} {source}"] for source in sources]


def digest(data: Any) -> str:
    """Return a short hash of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def describe(pde: PDE) -> dict[str, Any]:
    """Return what an equation's data depend on, as plain text."""
    inputs = {str(k): repr(v) for k, v in pde.inputs.items()}
    if nameless := [k for k, v in inputs.items() if " at 0x" in v]:
        raise UsageError(
            f"{pde.name}: the law of {nameless[0]} needs a repr that says all it depends on, so "
            "that results can be told apart; a frozen dataclass has one"
        )
    own = {"simulate": pde.simulate, "residual": pde.residual}
    # Only what an equation has is told of it: what is added to the language later changes no mark.
    optional = {
        "integrals": {k: repr(v) for k, v in pde.integrals.items()},
        "free": list(pde.free_params),
        "order": "" if pde.order == 2 else str(pde.order),
        "start": {str(k): str(v) for k, v in pde.start.items()},
        "bounds": {k: list(v) for k, v in pde.bounds.items()},
    }
    return {k: v for k, v in optional.items() if v} | {
        "numerics": NUMERICS,
        "name": pde.name,
        "fields": list(pde.field_names),
        "equations": {k: str(v) for k, v in pde.equations.items()},
        "params": {p.name: p.value for p in pde.params},
        "conditions": {k: repr(v) for k, v in pde.conditions.items()},
        "inputs": inputs,
        "own": {k: _named(f) for k, f in own.items() if f is not None},
        "domain": pde.grid.to_dict(),
        "time_scheme": pde.time_scheme,
    }


def _named(function: Callable[..., Any]) -> str:
    """Return a function's name and a hash of its source, which changes when it is edited."""
    try:
        mark = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
    except (OSError, TypeError):  # typed at a prompt, or compiled
        mark = ""
    return f"{function.__module__}.{getattr(function, '__qualname__', '')} {mark}"
