r"""Numbers that fields determine: an expression averaged or integrated over a region.

.. math:: q(x) = \frac{1}{|\Omega|}\int_\Omega E(x)\,d\Omega \qquad\text{or}\qquad
    \int_\Omega E(x)\,d\Omega,

with :math:`\Omega` a point, a line, a box, or the whole domain: an axis has a value or a range.
What a flow meter, a probe with a volume, or a gauge at a wall reads is such a number, and so is
what is asked of an answer: a flux, a total. As text::

    u @ x=0.5, y=0.2:0.4            mean of u over a line
    integral(-a*D(u, x)) @ x=1      the flux through a wall: axes without a value are whole
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.symbolic.formula import formula_text, parse
from piddm.symbolic.operators import Field, Param, strict
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.symbolic.specification import Specification

EDGE = 1e-9
"""Share of an axis by which a region may lie outside, from rounding in a file."""

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
"""A number, in the pattern of a place."""

_RANGE = re.compile(rf"\s*(?P<low>{NUMBER})\s*(?::\s*(?P<high>{NUMBER})\s*)?", re.ASCII)
_KIND = re.compile(r"\s*(mean|integral)\s*\((.*)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Quantity:
    """An expression over a region, or given weights of nodes.

    Args:
        expression: Of fields, params and coordinates; ``None`` where there are weights.
        region: Axis to its lower and upper end there, alike at a point; axes that are not named are
            taken whole. Along a periodic axis a lower end above the upper one goes across the seam.
        integral: Whether it is the integral over the region rather than the mean.
        weights: Field name to weights ``(*grid.shape)``: any linear functional.
        name: What people call it.
    """

    expression: Any = None
    region: Mapping[str, tuple[float, float]] | None = None
    integral: bool = False
    weights: Mapping[str, Tensor] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if (self.expression is None) == (self.weights is None):
            raise UsageError("a quantity is an expression, or weights of nodes")
        if self.expression is not None:
            object.__setattr__(self, "expression", strict(self.expression))
            object.__setattr__(self, "region", dict(self.region or {}))
            if not self.fields and not self.params:
                raise UsageError(f"{self.expression} is no function of the fields")
        elif self.weights is not None:
            exact = {k: torch.as_tensor(v, dtype=torch.float64) for k, v in self.weights.items()}
            if not any(bool((v != 0).any()) for v in exact.values()):
                raise UsageError("a linear functional needs a weight that is not zero")
            object.__setattr__(self, "weights", exact)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that it depends on."""
        if self.weights is not None:
            return tuple(self.weights)
        return tuple(sorted(s.name for s in self.expression.free_symbols if isinstance(s, Field)))

    @property
    def params(self) -> tuple[str, ...]:
        """Names of the params that it depends on."""
        if self.weights is not None:
            return ()
        return tuple(sorted(s.name for s in self.expression.free_symbols if isinstance(s, Param)))

    def ends(self, grid: Grid) -> list[tuple[float, float]]:
        """Return the region's lower and upper end along each axis of a grid."""
        region = self.region or {}
        return [tuple(region.get(k, axis.ends)) for k, axis in grid.axes.items()]  # pyright: ignore

    def measure(self, grid: Grid) -> float:
        """Return the region's length, area or volume, over the axes along which it extends."""
        sizes = []
        for (low, high), axis in zip(self.ends(grid), grid.axes.values(), strict=True):
            length = high - low if high >= low else high - low + axis.upper - axis.lower
            if length and axis.latitude:
                length = math.sin(high) - math.sin(low)
            sizes.append(length or 1.0)
        return math.prod(sizes)

    def check(self, grid: Grid, label: str) -> None:
        """Refuse a region that is not in the domain, or weights of another grid."""
        for name, own in (self.weights or {}).items():
            if own.shape != grid.shape or not bool(own.isfinite().all()):
                raise UsageError(
                    f"{label}: weights of {name} are finite numbers of shape {grid.shape}, not "
                    f"{tuple(own.shape)}"
                )
        for key, (low, high) in (self.region or {}).items():
            axis = grid.axes[grid.names[grid.index(key)]]
            slack = EDGE * (axis.upper - axis.lower)
            if not (math.isfinite(low) and math.isfinite(high)):
                raise UsageError(f"{label} is not a finite region along {key}")
            if min(low, high) < axis.lower - slack or max(low, high) > axis.upper + slack:
                raise UsageError(
                    f"{label} is outside the domain: {key} goes from {axis.lower:g} to "
                    f"{axis.upper:g}"
                )
            if high < low and not axis.periodic:
                raise UsageError(f"{label}: a range goes up, and {key} from {low:g} to {high:g}")

    def check_symbols(self, fields: Sequence[str], params: Sequence[str], label: str) -> None:
        """Refuse what names fields or params that there are not."""
        for given, known, what in ((self.fields, fields, "field"), (self.params, params, "param")):
            if strange := [k for k in given if k not in known]:
                raise UsageError(f"{label}: the equation has no {what} {strange[0]}")

    @property
    def formula(self) -> str:
        """The expression as text, with what is made of it."""
        if self.weights is not None:
            return f"functional({', '.join(self.weights)})"
        text = formula_text(self.expression)
        return f"integral({text})" if self.integral else text

    @property
    def place(self) -> str:
        """The region as text, as it was given."""
        parts = [f"{k}={low!r}" if low == high else f"{k}={low!r}:{high!r}"
                 for k, (low, high) in (self.region or {}).items()]  # fmt: skip
        return ", ".join(parts)

    @property
    def text(self) -> str:
        """What :func:`quantity` reads as the same quantity; its name where it is of weights."""
        place = self.place
        return f"{self.formula} @ {place}" if place else self.formula

    @property
    def title(self) -> str:
        """What it is called in messages."""
        if self.name:
            return self.name
        region = ", ".join(f"{k}={low:g}" if low == high else f"{k}={low:g}:{high:g}"
                           for k, (low, high) in (self.region or {}).items())  # fmt: skip
        return f"{self.formula} at {region}" if region else self.formula


def quantity(text: str, spec: Specification, grid: Grid | None = None, name: str = "") -> Quantity:
    """Return the quantity that a text says, see :mod:`piddm.tasks.quantities`.

    Args:
        text: ``EXPRESSION``, ``mean(EXPRESSION)`` or ``integral(EXPRESSION)``, and ``@ x=1, y=0:1``
            where it is not of the whole domain.
        spec: The equation, whose fields and params are named.
        grid: The domain; the equation's own where left out.
        name: What people call it.

    Raises:
        UsageError: If it is no quantity of the equation.
    """
    formula, _, place = text.partition("@")
    grid = grid or spec.grid
    return formula_quantity(
        formula, region_of(place, grid, text), spec.fields, spec.params, grid, name, spec
    )


def formula_quantity(
    formula: str, region: Mapping[str, tuple[float, float]], fields: Sequence[Field],
    params: Sequence[Param], grid: Grid, name: str = "", spec: Specification | None = None,
) -> Quantity:  # fmt: skip
    """Return the quantity of a formula over a region; errors are those of :func:`quantity`."""
    kind = _KIND.fullmatch(formula)
    body = kind.group(2) if kind else formula
    expression = parse(body, fields, params, grid.names)
    if spec is not None:
        spec.check(formula.strip(), expression)
    whole = bool(kind) and kind is not None and kind.group(1) == "integral"
    found = Quantity(expression, region, whole, name=name)
    found.check(grid, found.title)
    return found


def region_of(text: str, grid: Grid, label: str) -> dict[str, tuple[float, float]]:
    """Return the region that ``x=1, y=0:1`` says."""
    found: dict[str, tuple[float, float]] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        axis, equals, value = part.partition("=")
        axis = axis.strip()
        if not equals or axis in found:
            raise UsageError(f"{label!r}: write a place as @ {grid.names[0]}=0.5, ..., each once")
        grid.index(axis)
        if value.strip() != ":":
            found[axis] = range_of(value, f"{label!r}: {axis}")
    return found


def range_of(text: str, what: str) -> tuple[float, float]:
    """Return the ends that ``0.2:0.4`` says, alike of a single number."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise UsageError(f"{what} is neither a number nor a range such as 0.2:0.4: {text[:40]!r}")
    low = float(match["low"])
    return low, float(match["high"]) if match["high"] else low
