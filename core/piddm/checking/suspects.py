"""What is probably wrong with data that do not satisfy an equation: each suspicion is tried.

A suspicion is a change of the data, or of where they are, or of a param: where it lowers the
residual much, it is told with both numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from piddm.data.placing import placed
from piddm.data.trying import of
from piddm.equation import PDE
from piddm.grids.grid import Axis, Grid
from piddm.tools.errors import PiddmError, UsageError

LOWERS = 0.5
"""A suspicion is told where it lowers the residual to less than this share of it."""

PREFERRED = 4.0
"""Factor by which a fitted param must do better than another explanation."""

SMALLEST = 1e-5
"""Residual below which nothing is suspected: it is rounding."""

FACTORS = {
    "1/pi": 1 / math.pi, "pi": math.pi, "1/2": 0.5, "2": 2.0, "1/10": 0.1, "10": 10.0,
    "1/(2 pi)": 0.5 / math.pi, "2 pi": 2 * math.pi,
}  # fmt: skip
"""Factors that params and lengths are wrong by."""


@dataclass(frozen=True)
class Suspect:
    """Something that may be wrong.

    Args:
        what: What, for people: what the data look like.
        kind: ``location``, ``sign``, ``transposed``, ``factor``, ``param``, ``spacing``, ``seam``
            or ``flipped``.
        before: Residual of the data as they were given, see :func:`piddm.data.trying.of`.
        after: Residual as suspected.
    """

    what: str
    kind: str
    before: float
    after: float


@dataclass(frozen=True)
class _Change:
    what: str
    kind: str
    fields: Mapping[str, Tensor]
    grid: Grid
    params: Mapping[str, float]


def suspects(
    pde: PDE,
    fields: Mapping[str, Tensor],
    grid: Grid,
    params: Mapping[str, float],
    fitted: Mapping[str, float] | None = None,
) -> list[Suspect]:
    """Return what lowers the residual of a few samples much, the lowest first.

    Args:
        pde: The equation, as it is registered.
        fields: A few samples, float64.
        grid: Their grid.
        params: Params that all samples share.
        fitted: What the data say of params that are stated otherwise.
    """
    before = _tried(pde, _Change("", "", fields, grid, params))
    if before < SMALLEST:
        return []
    found = []
    own = [
        _Change(f"{k} is {v:.4g}, as fitted to the data", "param", fields, grid, {**params, k: v})
        for k, v in (fitted or {}).items()
    ]
    for change in (*_changes(pde, fields, grid, params), *own):
        after = _tried(pde, change)
        if after < LOWERS * before:
            found.append(Suspect(change.what, change.kind, before, after))
    # A fitted param is always a little better than the round factor that it stands for.
    found.sort(key=lambda s: s.after * (PREFERRED if s.kind == "param" else 1))
    return found


def _tried(pde: PDE, change: _Change) -> float:
    try:
        own = placed(pde, change.grid, change.params)
        return of(own.bind(change.grid), change.fields)
    except PiddmError:
        return math.inf


def _changes(
    pde: PDE, fields: Mapping[str, Tensor], grid: Grid, params: Mapping[str, float]
) -> Iterator[_Change]:
    yield from _locations(fields, grid, params)
    names = [n for n in pde.field_names if n in fields]
    for name in names:
        changed = {**fields, name: -fields[name]}
        yield _Change(f"the sign of {name} is the other one", "sign", changed, grid, params)
    space = [n for n in grid.names if not grid.axes[n].time]
    for i, first in enumerate(space):
        for second in space[i + 1 :]:
            if grid.axes[first].size == grid.axes[second].size:
                yield from _transposed(names, fields, grid, params, first, second)
    for name in space:
        for field in names:
            dim = 1 + grid.index(name)
            changed = {**fields, field: fields[field].flip(dim)}
            yield _Change(
                f"{field} runs the other way along {name}", "flipped", changed, grid, params
            )
    own = {p.name: p.value for p in pde.params} | dict(params)
    for name, value in own.items():
        if name in fields:
            continue
        every = {**{f"times {k}": v for k, v in FACTORS.items()}, "squared": value, "negative": -1}
        for text, factor in every.items():
            changed = {**params, name: value * factor}
            what = f"{name} is {value * factor:.4g}, what is stated {text}"
            yield _Change(what, "factor", fields, grid, changed)
    time = [n for n in grid.names if grid.axes[n].time]
    for group in (space, time):
        for text, factor in FACTORS.items():
            axes = {n: _longer(a, factor) if n in group else a for n, a in grid.axes.items()}
            if group:
                what = f"lengths along {', '.join(group)} are {text} times what is stated"
                yield _Change(what, "spacing", fields, Grid(**axes), params)


def _longer(axis: Axis, factor: float) -> Axis:
    """Return an axis from the same lower end, so many times as long."""

    def away(place: float) -> float:
        return axis.lower + factor * (place - axis.lower)

    nodes = None if axis.nodes is None else tuple(map(away, axis.nodes))
    return dataclasses.replace(axis, upper=away(axis.upper), nodes=nodes)


def _locations(
    fields: Mapping[str, Tensor], grid: Grid, params: Mapping[str, float]
) -> Iterator[_Change]:
    """Yield other places of the nodes along walls, and a seam that is stored twice."""
    bounded = [n for n, a in grid.axes.items() if a.bounded and a.uniform]
    words = {"vertex": "both walls are nodes", "centre": "nodes are at the centres of cells",
             (0, 1): "nodes are i/n, the upper wall lies behind the last"}  # fmt: skip
    for location, text in words.items() if bounded else ():
        try:
            moved = {n: dataclasses.replace(grid.axes[n], location=location) for n in bounded}
        except UsageError:
            continue
        if (there := Grid(**{**grid.axes, **moved})) != grid:
            what = f"{text} along {', '.join(bounded)}"
            yield _Change(what, "location", fields, there, params)
    closed = [n for n, a in grid.axes.items() if a.periodic and a.size > 3]
    if closed:
        axes = {n: dataclasses.replace(a, size=a.size - 1) if n in closed else a
                for n, a in grid.axes.items()}  # fmt: skip
        cut = {}
        for name, values in fields.items():
            for n in closed if values.ndim > 1 else []:
                values = values.narrow(1 + grid.index(n), 0, grid.axes[n].size - 1)
            cut[name] = values
        what = f"the seam is stored twice along {', '.join(closed)}"
        yield _Change(what, "seam", cut, Grid(**axes), params)


def _transposed(
    names: list[str], fields: Mapping[str, Tensor], grid: Grid, params: Mapping[str, float],
    first: str, second: str,
) -> Iterator[_Change]:  # fmt: skip
    dims = 1 + grid.index(first), 1 + grid.index(second)
    for name in names if len(names) > 1 else []:
        changed = {**fields, name: torch.transpose(fields[name], *dims)}
        what = f"{name} is transposed: {first} and {second} are the other way round"
        yield _Change(what, "transposed", changed, grid, params)
    changed = {k: torch.transpose(v, *dims) if k in names else v for k, v in fields.items()}
    what = f"all fields are transposed: {first} and {second} are the other way round"
    yield _Change(what, "transposed", changed, grid, params)
