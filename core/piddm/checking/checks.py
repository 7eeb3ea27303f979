"""The check of data against an equation."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from piddm.checking.findings import Report
from piddm.checking.fitted import Fitted, factors, params
from piddm.checking.row_errors import Errors, bound, measure
from piddm.checking.suspects import suspects
from piddm.data.replaying import Replay, replay
from piddm.data.sample_source import Samples
from piddm.data.trying import SMALL, finite, holed, whole
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.residuals.norms import term_scale
from piddm.tools.progress import Progress

FITTED, TRIED, REPLAYED = 32, 3, 2
"""Samples that params are fitted to, that suspicions are tried on, that are solved again."""

CLOSE = 0.02
"""Relative difference of a fitted param from the stated one that may be a mistake."""

NUMBERS = 1 << 21
"""Numbers of the fields of such a few samples, at most."""


def examine(
    pde: PDE, samples: Samples, count: int | None = None, replayed: int = REPLAYED,
    masked: bool = False,
) -> Generator[Progress, None, Report]:  # fmt: skip
    """Check samples against an equation.

    Args:
        pde: The equation, as it is registered.
        samples: The samples.
        count: How many are measured; all where none is given.
        replayed: How many are solved again from their own inputs; 0 leaves that out.
        masked: Whether samples with missing values count too, by the rows that touch none of them.

    Raises:
        PiddmError: If fields are missing, or none of the samples is finite.
    """
    began = time.perf_counter()
    own = samples.place(pde)
    errors = yield from measure(own, samples, count, masked)
    some = _first(samples, FITTED)
    yield Progress("fit", 0, 1, {})
    found, parts = _fits(own, samples, some, errors.best)
    yield Progress("fit", 1, 1, {})
    few = {k: v[:TRIED] for k, v in some.items()}
    fitted = {f.name: f.value for f in found if f.name not in samples.names and _mistaken(f)}
    wrong = suspects(pde, few, samples.grid, dict(samples.params), fitted)
    yield Progress("suspect", 1, 1, {})
    again = Replay({}, why="not asked for")
    silent = {row for rows in samples.computed.values() for row in rows}
    if silent:  # what was computed from an equation fits it whatever the equation is
        found, parts = [], {k: v for k, v in parts.items() if k not in silent}
        again = Replay({}, why=f"{', '.join(samples.computed)} was computed, not measured")
    elif _holes(few):
        again = Replay({}, why="a sample with missing values cannot be solved again")
    elif replayed:
        again = replay(own, {k: v[:replayed] for k, v in some.items()}, samples.grid)
        yield Progress("replay", 1, 1, again.distance)
    seconds = time.perf_counter() - began
    report = Report(
        pde.name, samples.what, grid_text(samples.grid), errors, tuple(found), parts, again,
        tuple(wrong), seconds, samples.grid.names[-2:], computed=dict(samples.computed),
    )  # fmt: skip
    worst = report.worst[0][0]
    plane = _picture(own, holed(samples.read(worst, worst + 1))[0], errors)
    return replace(report, picture={k: v for k, v in plane.items() if k not in silent})


def _holes(fields: Mapping[str, Tensor]) -> bool:
    return any(bool(v.isnan().any()) for v in fields.values())


def _mistaken(found: Fitted) -> bool:
    """Return whether a fitted param says that the stated one is wrong."""
    away = abs(found.value - found.stated)
    outside = not found.low <= found.stated <= found.high
    return math.isfinite(found.value) and outside and away > CLOSE * abs(found.stated)


def grid_text(grid: Grid) -> str:
    """Return a grid for people: ``128 x 128 nodes, x in (0, 1), ...``."""
    sizes = " x ".join(map(str, grid.shape))
    ends = ", ".join(f"{k} from {a.lower:.4g} to {a.upper:.4g}" for k, a in grid.axes.items())
    return f"{sizes} nodes, {ends}"


@torch.no_grad()
def _picture(pde: PDE, fields: Mapping[str, Tensor], errors: Errors) -> dict[str, np.ndarray]:
    """Return one plane of abs(R)/scale of each equation that has planes."""
    residual = pde.bind(pde.grid)
    rows = residual(whole(residual, fields))
    found = {}
    for name, values in rows.items():
        if values.ndim >= 3 and not residual.rows[name].boundary and name in errors.rows:
            size = (values[0] / errors.rows[name].scale).abs()
            found[name] = size[tuple(n // 2 for n in size.shape[:-2])].numpy()
    return found


def _first(samples: Samples, count: int) -> dict[str, Tensor]:
    """Return the first finite samples, as many as memory likes, float64; else with holes."""
    size = 1
    for n in samples.grid.shape:
        size *= n
    wanted = max(1, min(count, NUMBERS // max(size * len(samples.names), 1)))
    for look in (lambda chunk: (chunk, finite(chunk)), holed):
        for _, chunk in samples.chunks():
            chunk, good = look(chunk)
            if bool(good.any()):
                return {k: v[good][:wanted].double() for k, v in chunk.items()}
    raise AssertionError("measured samples have values")


def _fits(
    pde: PDE, samples: Samples, fields: Mapping[str, Tensor], order: str
) -> tuple[list[Fitted], dict[str, tuple[Fitted, ...]]]:
    residual = bound(pde, samples)[0][order]
    with torch.no_grad():
        full = whole(residual, fields)
        scale = {k: v or SMALL for k, v in term_scale(residual, full, _holes(full)).items()}
    given = {k: v for k, v in full.items() if k in residual.field_names}
    stated = {
        p.name: float(fields[p.name].mean()) if p.name in fields else p.value for p in pde.params
    }
    found = params(residual, given, scale, stated)
    parts = {}
    for name, row in residual.rows.items():
        if not row.boundary and (own := factors(residual, full, name)):
            parts[name] = tuple(own)
    return found, parts
