"""Conditions at the ends of axes, and over the whole domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piddm.symbolic.operators import Coordinate, D, Field, Slice
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    import sympy

    from piddm.grids.grid import Grid


@dataclass(frozen=True)
class Condition:
    r"""A linear relation of a field and its normal derivative at the ends of some axes.

    .. math:: \alpha u + \beta\,\partial_n u = g

    with the outward normal; on the axis of time, :math:`\partial_n` is :math:`\partial_t`.
    Use :class:`Dirichlet`, :class:`Neumann` or :class:`Robin`.
    """

    where: Field | Slice
    value: Any = 0
    on: tuple[str, ...] = field(default=(), kw_only=True)

    alpha = 1
    beta = 0

    @property
    def field(self) -> Field:
        """The field that it is about."""
        return self.where.field if isinstance(self.where, Slice) else self.where

    def ends(self, grid: Grid) -> list[tuple[str, int]]:
        """Return the ends where it holds: axis, and -1 for its lower or 1 for its upper end.

        Raises:
            UsageError: If an axis is periodic or unknown, or a place is not at an end.
        """
        place = self.where if isinstance(self.where, Slice) else None
        if not isinstance(self.on, tuple) or (place and self.on):
            raise UsageError("on is a tuple of axes, such as ('x',), of a field, not of a slice")
        for name in (place.axis,) if place else self.on:
            if grid.axes[grid.names[grid.index(name)]].periodic:
                raise UsageError(f"the axis {name} is periodic and has no ends")
        if place:
            axis = grid.axes[place.axis]
            if place.value not in (axis.lower, axis.upper):
                raise UsageError(
                    f"{place} is not at an end of {place.axis} in [{axis.lower}, {axis.upper}]"
                )
            return [(place.axis, -1 if place.value == axis.lower else 1)]
        bounded = [k for k, a in grid.axes.items() if a.bounded]
        if not self.on and not bounded:
            raise UsageError("no axis of space has ends for the condition to hold at")
        return [(name, end) for name in self.on or bounded for end in (-1, 1)]

    def parts(self, axis: str, end: int, grid: Grid) -> tuple[sympy.Expr, sympy.Expr]:
        """Return its left side, term by term, at one end of one axis."""
        sign = 1 if grid.axes[axis].time else end
        return self.alpha * self.field, self.beta * sign * D(self.field, Coordinate(axis))

    def text(self, grid: Grid) -> str:
        """Return it as one line that people read: ``∂u/∂n = 0 at both ends of x, y``."""
        from piddm.symbolic.text import expression_text

        found = self.ends(grid)
        axes = list(dict.fromkeys(axis for axis, _ in found))
        time = grid.axes[axes[0]].time
        normal = Field(f"∂{self.field.name}/∂{axes[0] if time else 'n'}")
        left = expression_text(self.alpha * self.field + self.beta * normal)
        place = f"both ends of {', '.join(axes)}"
        if isinstance(self.where, Slice):
            place = f"{self.where.axis} = {self.where.value:g}"
        return f"{left} = {expression_text(self.value)} at {place}"


@dataclass(frozen=True)
class Dirichlet(Condition):
    """The field has a given value: u = g.

    Args:
        where: The field, or one end: ``u.at(x=0)``.
        value: Number or expression in coordinates, params and other fields.
        on: Names of axes, both ends of each; all bounded axes but time where none is named.
    """


@dataclass(frozen=True)
class Neumann(Condition):
    r"""The outward normal derivative has a given value: :math:`\partial_n u = g`.

    Args:
        where: The field, or one end: ``u.at(x=0)``.
        value: Number or expression in coordinates, params and other fields.
        on: Names of axes, both ends of each; all bounded axes but time where none is named.
    """

    alpha = 0
    beta = 1


@dataclass(frozen=True)
class Robin(Condition):
    r"""A mix of both: :math:`\alpha u + \beta\,\partial_n u = g`.

    Args:
        where: The field, or one end: ``u.at(x=0)``.
        value: Number or expression in coordinates, params and other fields.
        on: Names of axes, both ends of each; all bounded axes but time where none is named.
        alpha: Factor of the field: number or expression.
        beta: Factor of its outward normal derivative: number or expression.
    """

    alpha: Any = field(default=1, kw_only=True)
    beta: Any = field(default=1, kw_only=True)


@dataclass(frozen=True)
class Integral:
    r"""The integral over space has a given value: :math:`\int f\,dx = g`, at every time.

    Args:
        integrand: Expression in fields, coordinates and params: ``u`` for the total mass.
        value: Number or expression in time and params.
        conserved: The integral keeps the value it has at the first time, whatever that is.
    """

    integrand: Any
    value: Any = 0
    conserved: bool = False

    def text(self, grid: Grid) -> str:
        """Return it as one line that people read: ``∫ u dx dy = 0``."""
        from piddm.symbolic.text import expression_text

        space = [name for name, axis in grid.axes.items() if not axis.time]
        over = " ".join(f"d{name}" for name in (space[:-2] if grid.spherical else space))
        over = f"{over} dA".strip() if grid.spherical else over
        left = f"∫ {expression_text(self.integrand)} {over}"
        return (
            f"{left} is conserved" if self.conserved else f"{left} = {expression_text(self.value)}"
        )
