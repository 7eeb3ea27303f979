"""How large the residual of many samples is: by row, by order, at walls, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from piddm.data.sample_source import Samples
from piddm.data.trying import SMALL, finite, holed, whole
from piddm.equation import PDE
from piddm.residuals.norms import row_weights, term_scale
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
    scale: float
    terms: dict[str, float]
    error: dict[str, float]
    median: float
    near: float | None
    far: float | None


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
        missing: Values that are missing from those that were measured.
        unseen: Share of an equation's or a condition's rows that touch one, and were left out.
    """

    rows: dict[str, RowError]
    samples: Tensor
    refused: dict[str, str]
    order: str
    count: int
    bad: tuple[int, ...] = ()
    missing: int = 0
    unseen: dict[str, float] = field(default_factory=dict)

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


class _Mean:
    """A mean over rows, of which those that are not known do not count."""

    def __init__(self) -> None:
        self.total, self.weight, self.rows = 0.0, 0.0, 0

    def add(self, values: Tensor, weights: Tensor | None = None, masked: bool = False) -> None:
        """Add values ``(batch, rows)``, by weights ``(rows,)`` of mean 1; masked, without NaN."""
        own = values if weights is None else values * weights
        self.rows += values.numel()
        if not masked:
            self.weight += values.numel()
            self.total += float(own.sum())
            return
        known = ~values.isnan()
        self.weight += float(known.sum() if weights is None else (known * weights).sum())
        self.total += float(own[known].sum())

    @property
    def value(self) -> float:
        """The mean; not a number where nothing is known."""
        return self.total / self.weight if self.weight else math.nan


class _Sums:
    """What is added up of an equation or a condition."""

    def __init__(self, residual: Residual, name: str, orders: Iterable[str]) -> None:
        self.name, self.boundary = name, residual.rows[name].boundary
        self.near = _near(residual, name)
        self.error = {order: _Mean() for order in orders}
        self.median, self.walls = _Mean(), (_Mean(), _Mean())

    def add(self, order: str, square: Tensor, weights: Tensor | None, masked: bool) -> None:
        """Add the squares of R over scale at one order, ``(batch, rows)``."""
        self.error[order].add(square, weights, masked)

    def look(self, size: Tensor, square: Tensor, masked: bool) -> None:
        """Add what is looked at at the equation's own order, of R over scale and its square."""
        middle = size.abs().nanmedian(1) if masked else size.abs().median(1)
        self.median.add(middle.values[:, None], None, masked)
        if self.near is not None:
            for mean, at in zip(self.walls, (self.near, ~self.near), strict=True):
                mean.add(square[:, at], None, masked)

    def found(self, scale: float, terms: dict[str, float]) -> RowError:
        """Return what was found."""
        near, far = (None, None) if self.near is None else (m.value for m in self.walls)
        error = {order: mean.value for order, mean in self.error.items()}
        return RowError(self.name, self.boundary, scale, terms, error, self.median.value, near, far)


@torch.no_grad()
def measure(
    pde: PDE, samples: Samples, count: int | None = None, masked: bool = False
) -> Generator[Progress, None, Errors]:
    """Measure samples at every order that can be had, some at a time.

    Args:
        pde: The equation, placed on their grid.
        samples: The samples.
        count: How many of them; all where none is given.
        masked: Whether samples with missing values count too, by the rows that touch none of them,
            rather than not at all.

    Raises:
        PiddmError: If no sample is finite, no row is without a missing value, or a field is
            missing.
    """
    residuals, refused, own = bound(pde, samples)
    base = residuals[own]
    total = samples.count if count is None else min(count, samples.count)
    sums = {k: _Sums(base, k, residuals) for k in base.rows}
    by_sample, bad, missing = list[Tensor](), list[int](), 0
    scale, terms = dict[str, float](), dict[str, dict[str, float]]()
    for start, chunk in samples.chunks(total):
        chunk, good = holed(chunk) if masked else (chunk, finite(chunk))
        bad += [start + int(i) for i in (~good).nonzero()[:, 0]]
        yield Progress("check", start, total, {})
        if not bool(good.any()):
            continue
        fields = whole(base, _complete(base, {k: v[good] for k, v in chunk.items()}))
        missing += sum(int(v.isnan().sum()) for v in fields.values()) if masked else 0
        if not scale:
            scale = {k: v or SMALL for k, v in term_scale(base, fields, masked).items()}
            terms = {k: {name: _size(v) for name, v in parts.items()}
                     for k, parts in base.terms(fields).items()}  # fmt: skip
        for order, residual in residuals.items():
            errors = torch.zeros(int(good.sum()), dtype=torch.float64)
            for name, value in residual(fields).items():
                weights = row_weights(residual, name, value)
                weights = None if weights is None else weights.flatten()
                size = value.flatten(1) / scale[name]
                square = size.square()
                sums[name].add(order, square, weights, masked)
                if residual is base:
                    sums[name].look(size, square, masked)
                    square = square if weights is None else square * weights
                    errors += square.nanmean(1).nan_to_num(0.0) if masked else square.mean(1)
            if residual is base:
                by_sample.append(errors)
    if not by_sample:
        raise PiddmError(f"{samples.what}: no sample of {total} has only finite values")
    yield Progress("check", total, total, {})
    unseen = {k: 1 - s.error[own].weight / s.error[own].rows for k, s in sums.items()}
    rows = {k: s.found(scale[k], terms[k]) for k, s in sums.items() if s.error[own].weight}
    equations = [k for k, s in sums.items() if not s.boundary]
    if equations and not set(equations) & rows.keys():
        raise PiddmError(f"{samples.what}: each row of {', '.join(equations)} touches a missing "
                         "value: nothing is left to test")  # fmt: skip
    for order in [o for o in residuals if o != own]:
        if any(not sums[k].error[order].weight for k in rows):
            refused[order] = "every row touches a missing value"
            for row in rows.values():
                del row.error[order]
    told = {k: v for k, v in unseen.items() if v} if masked else {}
    errors = torch.cat(by_sample)
    return Errors(rows, errors, refused, own, len(errors), tuple(bad), missing, told)


def _size(values: Tensor) -> float:
    """Return the root mean square of what is known."""
    return float(values.square().nanmean().sqrt())


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
