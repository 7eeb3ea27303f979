"""An equation on a grid of other ends than its own, and with other params."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import sympy

from piddm.data.no_equation import no_equation
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.priors import Uniform
from piddm.symbolic.operators import Param, Slice, strict
from piddm.tools.about import NO_EQUATION
from piddm.tools.errors import UsageError, nearest


def placed(
    pde: PDE,
    grid: Grid,
    params: Mapping[str, float] | None = None,
    varying: Mapping[str, tuple[float, float]] | None = None,
) -> PDE:
    """Return an equation whose own grid is that of data.

    What is given at an end of an axis is given at the same end of the new one.

    Args:
        pde: The equation.
        grid: The grid of the data; its axes have the equation's names.
        params: Values of params, by name; the equation's own where none is given.
        varying: Least and largest value of params that differ between samples: they are free, with
            a uniform law where they have none.

    Raises:
        UsageError: If an axis or a param is not the equation's.
    """
    if pde.name == NO_EQUATION:  # it says nothing of axes, and takes those that there are
        return no_equation(pde.field_names, grid)
    if set(grid.names) != set(pde.grid.names):
        raise UsageError(
            f"{pde.name} has the axes {', '.join(pde.grid.names)}, the data have "
            f"{', '.join(grid.names)}"
        )
    names = [p.name for p in pde.params]
    values, ranges = dict(params or {}), dict(varying or {})
    for name in (*values, *ranges):
        if name not in names:
            raise UsageError(f"{pde.name} has no param {name!r}{nearest(name, names)}")
    new = {
        p: Param(p.name, values.get(p.name, p.value), p.doc, p.free or p.name in ranges)
        for p in pde.params if p.name in values or (p.name in ranges and not p.free)
    }  # fmt: skip
    laws = {
        new.get(p, p): Uniform(*ranges[p.name])
        for p in pde.params
        if p.name in ranges and not p.free and ranges[p.name][1] > ranges[p.name][0]
    }  # fmt: skip

    def told(value: Any) -> Any:
        return strict(value).xreplace(new) if new else value

    def at(place: Any) -> Any:
        return _moved(place, pde.grid, grid) if isinstance(place, Slice) else place

    conditions = {}
    for name, condition in pde.conditions.items():
        changed: dict[str, Any] = {"where": at(condition.where), "value": told(condition.value)}
        for part in ("alpha", "beta"):
            if isinstance(getattr(condition, part), sympy.Basic) and new:
                changed[part] = told(getattr(condition, part))
        conditions[name] = dataclasses.replace(condition, **changed)
    return dataclasses.replace(
        pde,
        grid=grid,
        params=[new.get(p, p) for p in pde.params],
        equations={k: told(e) for k, e in pde.equations.items()},
        conditions=conditions,
        integrals={
            k: dataclasses.replace(i, integrand=told(i.integrand), value=told(i.value))
            for k, i in pde.integrals.items()
        },
        inputs={new.get(k, at(k)): law for k, law in pde.inputs.items()} | laws,  # pyright: ignore
        start={new.get(k, k): told(v) for k, v in pde.start.items()},  # pyright: ignore
    )


def _moved(place: Slice, old: Grid, new: Grid) -> Slice:
    own, other = old.axes[place.axis], new.axes[place.axis]
    if place.value == own.lower:
        return dataclasses.replace(place, value=other.lower)
    if place.value == own.upper:
        return dataclasses.replace(place, value=other.upper)
    return place
