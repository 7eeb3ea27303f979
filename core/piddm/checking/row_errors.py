"""How large the residual of many samples is: by row, by order, at walls, sample by sample."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from piddm.data.sample_source import Samples
from piddm.data.trying import SMALL, finite, whole
from piddm.equation import PDE
from piddm.residuals.norms import mean_squares, sample_errors, term_scale
from piddm.residuals.residual import Residual
from piddm.symbolic.specification import ORDERS, Order
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress

RIM = 2
"""Nodes from a wall up to which an equation's rows count as near it."""


@dataclass
class RowError:
    """What was found of an equation or a condition.

    Attributes:
        name: Its name.
        boundary: Whether it is a condition.
        scale: Root mean square of its largest term over the first samples.
        terms: Root mean square of each of its terms over the same.
        error: Normalised PDE error by order; mean square of R over scale.
        median: Mean over samples of the median of abs(R) over scale, at the equation's order.
        near, far: Normalised PDE error near walls and away from them; None where there are none.
    """

    name: str
    boundary: bool
    scale: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)
    median: float = 0.0
    near: float | None = None
    far: float | None = None


@dataclass
class Errors:
    """What was found of all samples.

    Attributes:
        rows: By name of equation and condition.
        samples: Normalised PDE error of each sample, at the equation's order.
        refused: Why an order cannot be had, by order.
        order: The order that is the equation's own.
        count: Samples that were measured.
        bad: Samples with values that are not finite, left out.
    """

    rows: dict[str, RowError]
    samples: Tensor
    refused: dict[str, str]
    order: str
    count: int
    bad: tuple[int, ...] = ()

    def total(self, order: str | None = None) -> float:
        """Return the sum over rows of the normalised PDE error at an order."""
        return sum(r.error[order or self.order] for r in self.rows.values())

    @property
    def best(self) -> str:
        """The order of the smallest error."""
        orders = next(iter(self.rows.values())).error
        return min(orders, key=self.total)


def bound(pde: PDE, samples: Samples) -> tuple[dict[str, Residual], dict[str, str], str]:
    """Return the residual by order, why others cannot be had, and the equation's own order.

    Raises:
        PiddmError: If not even the equation's own order can be had.
    """
    own = "own" if not isinstance(pde.order, (int, str)) else str(pde.order)
    found = {own: pde.bind(samples.grid)}
    refused: dict[str, str] = {}
    wanted: list[Order] = [o for o in ORDERS if str(o) != own]
    if samples.grid.spherical or pde.residual is not None:
        return found, refused, own
    for order in wanted:
        try:
            found[str(order)] = pde.bind(samples.grid, order)
        except UsageError as error:
            refused[str(order)] = str(error)
    ordered = sorted(found, key=[str(o) for o in ORDERS].index) if own != "own" else list(found)
    return {k: found[k] for k in ordered}, refused, own


@torch.no_grad()
def measure(
    pde: PDE, samples: Samples, count: int | None = None
) -> Generator[Progress, None, Errors]:
    """Measure samples at every order that can be had, some at a time.

    Args:
        pde: The equation, placed on their grid.
        samples: The samples.
        count: How many of them; all where none is given.

    Raises:
        PiddmError: If no sample is finite, or a field is missing.
    """
    residuals, refused, own = bound(pde, samples)
    base = residuals[own]
    total = samples.count if count is None else min(count, samples.count)
    rows = {k: RowError(k, r.boundary) for k, r in base.rows.items()}
    near = {k: n for k in base.rows if (n := _near(base, k)) is not None}
    sums = {k: {o: 0.0 for o in residuals} for k in rows}
    walls = {k: [0.0, 0.0] for k in near}
    by_sample, bad, seen = list[Tensor](), list[int](), 0
    scale: dict[str, float] = {}
    for start, chunk in samples.chunks(total):
        good = finite(chunk)
        bad += [start + int(i) for i in (~good).nonzero()[:, 0]]
        if not bool(good.any()):
            continue
        fields = whole(base, _complete(base, {k: v[good] for k, v in chunk.items()}))
        n = int(good.sum())
        if not scale:
            scale = {k: v or SMALL for k, v in term_scale(base, fields).items()}
            for name, parts in base.terms(fields).items():
                rows[name].scale = scale[name]
                rows[name].terms = {k: float(v.square().mean().sqrt()) for k, v in parts.items()}
        for order, residual in residuals.items():
            for name, value in mean_squares(residual, fields, scale).items():
                sums[name][order] += float(value) * n
        for name, value in base(fields).items():
            size = (value / scale[name]).flatten(1)
            rows[name].median += float(size.abs().median(1).values.sum())
            if name in near:
                walls[name][0] += float(size[:, near[name]].square().mean()) * n
                walls[name][1] += float(size[:, ~near[name]].square().mean()) * n
        by_sample.append(sample_errors(base, fields, scale))
        seen += n
        yield Progress("check", start + len(good), total, {})
    if not seen:
        raise PiddmError(f"{samples.what}: no sample of {total} has only finite values")
    for name, row in rows.items():
        row.error = {o: v / seen for o, v in sums[name].items()}
        row.median /= seen
        if name in walls:
            row.near, row.far = (v / seen for v in walls[name])
    return Errors(rows, torch.cat(by_sample), refused, own, seen, tuple(bad))


def _complete(residual: Residual, fields: dict[str, Tensor]) -> dict[str, Tensor]:
    if missing := [k for k in residual.field_names if k not in fields]:
        raise PiddmError(f"the data have no values of {', '.join(missing)}")
    return fields


def _near(residual: Residual, name: str) -> Tensor | None:
    """Return which rows of an equation are near a wall; None where there is no telling."""
    rows, grid = residual.rows[name], residual.grid
    if rows.boundary:
        return None
    found = torch.zeros(len(rows.nodes), dtype=torch.bool)
    for d, axis in enumerate(grid.axes.values()):
        if axis.bounded:
            at = torch.from_numpy(rows.nodes[:, d].copy())
            found |= (at < RIM) | (at >= axis.size - RIM)
    return found if bool(found.any()) and not bool(found.all()) else None
