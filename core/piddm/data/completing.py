"""Fields that a file leaves out and the equation gives: a stream function of a vorticity.

What is left out must be determined, at each time by itself, by equations without derivatives in
time; those are solved for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.numerics.derived_solver import DerivedSolver
from piddm.symbolic.operators import Coordinate, D, Field, Slice, strict
from piddm.tools.errors import UsageError

TOGETHER = 32
"""Times that are solved for together."""


def derivable(pde: PDE) -> tuple[str, ...]:
    """Return the fields of an equation in time that are no input and have no derivative in it."""
    time = _time(pde)
    if time is None or pde.residual is not None:
        return ()
    given = {g.field.name if isinstance(g, Slice) else g.name for g in pde.inputs}
    marching = {
        f.name
        for e in pde.equations.values() for d in strict(e).atoms(D)
        if d.parts[1].name == time for f in d.free_symbols if isinstance(f, Field)
    }  # fmt: skip
    return tuple(n for n in pde.field_names if n not in given and n not in marching)


class Completion:
    """Solves for fields that samples lack.

    Args:
        pde: The equation, placed on the grid of the samples.
        missing: The fields.

    Raises:
        UsageError: If its equations do not determine them at each time.
    """

    def __init__(self, pde: PDE, missing: Sequence[str]) -> None:
        time = _time(pde)
        unknown = {f for f in pde.fields if f.name in missing}
        if time is None or not set(missing) <= set(derivable(pde)):
            raise UsageError(f"{pde.name}: the data must have {', '.join(missing)}")

        def still(expression: object) -> bool:
            return Coordinate(time) not in strict(expression).free_symbols

        def about(expression: object) -> bool:
            return bool(strict(expression).free_symbols & unknown)

        equations = {k: e for k, e in pde.equations.items() if still(e) and about(e)}
        if not equations:
            raise UsageError(f"{pde.name}: no equation gives {', '.join(missing)} at one time")
        used = set().union(*(strict(e).free_symbols for e in equations.values()))
        fields = [f for f in pde.fields if f in used]
        self._known = [f for f in fields if f not in unknown]
        part = dataclasses.replace(
            pde,
            grid=pde.grid.without(time),
            fields=fields,
            equations=equations,
            conditions={k: c for k, c in pde.conditions.items() if c.field in unknown},
            integrals={k: i for k, i in pde.integrals.items() if about(i.integrand)},
            inputs=dict.fromkeys(self._known, None),  # pyright: ignore
            simulate=None,
            start={},
        )
        self._missing, self._solver = tuple(missing), DerivedSolver(part, part.grid, self._known)

    @torch.no_grad()
    def __call__(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the missing fields of samples ``(count, times, *space)``."""
        shape = fields[self._known[0].name].shape
        parts: dict[str, list[Tensor]] = {k: [] for k in self._missing}
        flat = {f: fields[f.name].flatten(0, 1).double() for f in self._known}
        for start in range(0, shape[0] * shape[1], TOGETHER):
            solved = self._solver.solve({f: v[start : start + TOGETHER] for f, v in flat.items()})
            for name, values in parts.items():
                values.append(solved[name])
        return {k: torch.cat(v).view(shape) for k, v in parts.items()}


def _time(pde: PDE) -> str | None:
    return next((name for name, axis in pde.grid.axes.items() if axis.time), None)
