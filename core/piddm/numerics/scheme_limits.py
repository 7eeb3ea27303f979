"""Limits of schemes: the cell Péclet number, where characteristics leave, which way is upwind.

All of it is read off the Jacobian: what a row has beside its own node.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from piddm.grids.grid import Axis, Grid
from piddm.numerics.jacobian import Jacobian
from piddm.residuals.binding import bind
from piddm.symbolic.analysis import derivative_order, leading_fields
from piddm.symbolic.operators import D, strict
from piddm.symbolic.winds import without_winds

if TYPE_CHECKING:
    from piddm.symbolic.specification import Order, Specification

PECLET = 2.0
"""Cell Péclet number, speed times spacing over diffusivity, above which central differences make
wiggles where a solution is steep: neighbours then count with opposite signs."""


@dataclass
class Limits:
    """How near a problem is to the limits of its schemes.

    Attributes:
        peclet: By equation, axis and field that is carried: the cell Péclet number.
        outflow: What to say of conditions at an end that characteristics leave.
        wind: What to say of upwind derivatives that look downwind.
    """

    peclet: dict[tuple[str, str, str], float] = field(default_factory=dict)
    outflow: list[str] = field(default_factory=list)
    wind: list[str] = field(default_factory=list)


def asked(pde: Specification) -> list[tuple[str, str, str]]:
    """Return the equations, axes and fields with a first or second derivative along an axis."""
    given = {str(i) for i in pde.inputs}
    found = []
    for name, equation in pde.equations.items():
        for axis, of in pde.grid.axes.items():
            if of.time or derivative_order(strict(equation), axis) not in (1, 2):
                continue
            leading = next((f.name for f in leading_fields(strict(equation), axis)), None)
            if leading is not None and leading not in given:
                found.append((name, axis, leading))
    return found


def upwind(pde: Specification, name: str, axis: str) -> bool:
    """Return whether an equation has an upwind derivative along an axis."""
    derivatives = strict(pde.equations[name]).atoms(D)
    return any(d.wind and d.parts[1].name == axis for d in derivatives)  # pyright: ignore


def limits_of(
    pde: Specification,
    grid: Grid,
    fields: Mapping[str, Tensor],
    order: Order | Mapping[str, Order] | None = None,
) -> Limits:
    """Return the limits about some fields, of the equation's own grid.

    Args:
        pde: The equation.
        grid: The grid of the fields.
        fields: Fields and params, ``(batch, ...)``.
        order: Accuracy in space.

    Raises:
        PiddmError: If rows touch too many nodes.
    """
    rows, out = _Couplings(pde, grid, fields, order), Limits()
    central: _Couplings | None = None
    for name, axis, of in asked(pde):
        lower, upper, here = rows.beside(name, of, axis)
        own = pde.grid.axes[axis]
        if upwind(pde, name, axis):
            central = central or _Couplings(_without(pde), grid, fields, order)
            below, above, _ = central.beside(name, of, axis)
            if _downwind(lower + upper, below + above, rows.rate(name, of)):
                out.wind.append(
                    f"{name}: an upwind derivative along {axis} looks downwind, which makes "
                    "solutions blow up; write the equation with a positive rate, such as "
                    "D(u, t) + v*D(u, x, upwind=v)"
                )
        if derivative_order(strict(pde.equations[name]), axis) == 2:
            number = _peclet(lower, upper) * own.spacing / grid.axes[axis].spacing
            out.peclet[name, axis, of] = number
        elif own.bounded and derivative_order(strict(pde.equations[name]), _time(pde)) == 1:
            out.outflow += _outflow(pde, name, of, axis, (lower, upper, here))
    return out


def nodes(axis: Axis, number: float) -> int:
    """Return how many nodes bring a cell Péclet number down to 2."""
    return 1 + int(np.ceil((axis.upper - axis.lower) / axis.spacing * number / PECLET))


class _Couplings:
    """What rows of a Jacobian have beside their own node, at the latest time they touch."""

    def __init__(
        self,
        pde: Specification,
        grid: Grid,
        fields: Mapping[str, Tensor],
        order: Order | Mapping[str, Order] | None,
    ) -> None:
        residual = bind(pde, grid, order)
        self.jacobian = jacobian = Jacobian(residual)
        self.values = jacobian.values(residual.fit(fields))[1].numpy()
        self.names = list(residual.rows)
        counts = [len(r.nodes) for r in residual.rows.values()]
        self.of = np.repeat(np.arange(len(counts)), counts)
        self.time = next((d for d, a in enumerate(grid.axes.values()) if a.time), None)

    def beside(self, name: str, field: str, axis: str) -> tuple[np.ndarray, ...]:
        """Return each row's entries one node below, one above and at its own, ``(rows, batch)``."""
        dim = self.jacobian.residual.grid.index(axis)
        lower, upper = (self._at(name, field, dim, shift) for shift in (-1, 1))
        return lower, upper, self._at(name, field, dim, 0)

    def rate(self, name: str, field: str) -> float:
        """Return the sign of what multiplies a field's rate in an equation; 0 without one."""
        if self.time is None:
            return 0.0
        now, before = (self._at(name, field, self.time, shift) for shift in (0, -1))
        # What is not differenced has the same weight at both times, or none at the earlier one.
        return float(np.sign((now - before).mean())) if np.any(before) else 0.0

    def _at(self, name: str, field: str, dim: int, shift: int) -> np.ndarray:
        """Return each row's entries so many nodes away along one axis, ``(rows, batch)``."""
        jacobian, grid = self.jacobian, self.jacobian.residual.grid
        start = jacobian.fields.index(field) * jacobian.nodes
        entry = (self.of[jacobian.row] == self.names.index(name)) & (
            (jacobian.column >= start) & (jacobian.column < start + jacobian.nodes)
        )
        row, column = jacobian.row[entry], jacobian.column[entry] - start
        node = np.stack(np.unravel_index(column, grid.shape), axis=-1)
        offset = node - jacobian.row_nodes[row]
        for d, a in enumerate(grid.axes.values()):
            if a.periodic:
                offset[:, d] = (offset[:, d] + a.size // 2) % a.size - a.size // 2
        first = int(self.of.searchsorted(self.names.index(name)))
        count = int((self.of == self.names.index(name)).sum())
        values = self.values[entry]
        rest = [d for d in range(len(grid.shape)) if d != dim]
        at = (offset[:, dim] == shift) & (offset[:, rest] == 0).all(1)
        total = np.zeros((count, values.shape[1]))
        np.add.at(total, row[at] - first, values[at])
        return total


def _without(pde: Specification) -> Specification:
    equations = {k: without_winds(strict(e)) for k, e in pde.equations.items()}
    return dataclasses.replace(pde, equations=equations, simulate=None)


def _downwind(mean: np.ndarray, central: np.ndarray, rate: float) -> bool:
    """Return whether upwind derivatives take spread away, in the mean, from central ones."""
    spread = central.mean() if np.abs(central).max(initial=0) > 0 else 0.0
    sign = -rate if rate else np.sign(spread)
    return bool(sign * (mean - central).mean() < -1e-9 * np.abs(mean - central).max(initial=0))


def _peclet(lower: np.ndarray, upper: np.ndarray) -> float:
    """Return the largest v h / nu: couplings are -nu/h^2 +- v/(2h), up to a common factor."""
    spread, drift = np.abs(lower + upper), np.abs(upper - lower)
    large = spread > 1e-12 * max(float(spread.max(initial=0.0)), 1e-300)
    return float((2 * drift[large] / spread[large]).max(initial=0.0))


def _time(pde: Specification) -> str:
    return next((k for k, a in pde.grid.axes.items() if a.time), "")


def _outflow(
    pde: Specification, name: str, field: str, axis: str, beside: tuple[np.ndarray, ...]
) -> list[str]:
    """Return what to say of conditions where characteristics leave, by the speed inside."""
    lower, upper, here = beside
    inside = (np.abs(lower) > 0) | (np.abs(upper) > 0)
    if not inside.any():
        return []
    grid = pde.grid
    rate = np.sign(here[inside]).mean() or 1.0
    speed = (upper - lower)[inside] * rate
    if speed.min() < 0 < speed.max():
        return []
    out = []
    for label, condition in pde.conditions.items():
        for along, end in condition.ends(grid):
            if along == axis and condition.field.name == field and end * speed.mean() > 0:
                other = grid.axes[axis].lower if end > 0 else grid.axes[axis].upper
                out.append(
                    f"{label} is at the end of {axis} that characteristics of {name} leave "
                    f"({'upwards' if end > 0 else 'downwards'}); give it at {axis} = {other:g}, "
                    "where they come in"
                )
    return out
