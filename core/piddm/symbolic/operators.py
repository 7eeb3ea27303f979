"""Symbols and unevaluated operators: what an equation is written with.

Derivatives stay as written. ``D(a*D(u, x), x)`` is a flux and is discretised as one; sympy's own
``diff`` would expand the product and lose conservation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import sympy

from piddm.tools.errors import UsageError


def strict(value: Any) -> sympy.Expr:
    """Return a number or an expression as an expression; text is refused, never evaluated.

    Raises:
        UsageError: If it is anything else.
    """
    if isinstance(value, Slice):
        raise UsageError(
            f"{value} is a place: it stands in conditions and inputs, not in a formula"
        )
    try:
        found = sympy.sympify(value, strict=True)
    except sympy.SympifyError:
        raise UsageError(f"{value!r} is neither a number nor a sympy expression") from None
    if isinstance(found, sympy.Equality):
        raise UsageError(f"write the equation {found} as left - right, which vanishes")
    if found.has(sympy.I) or found.has(sympy.Derivative):
        raise UsageError(f"{found}: derivatives are written D(u, x), and numbers are real")
    return found


class _Plain:
    """Base of fields and params: sympy's own derivative of a symbol is zero, silently."""

    def diff(self, *symbols: Any, **assumptions: Any) -> Any:
        """Refuse to be differentiated by sympy, to which a field is a constant."""
        raise UsageError(f"{self}.diff(...) is zero to sympy: write D({self}, x) for a derivative")


class Coordinate(sympy.Symbol):
    """A coordinate, named after its axis in the grid."""

    def __new__(cls, name: str) -> Coordinate:
        """Create the symbol of the axis ``name``."""
        return sympy.Symbol.__xnew__(cls, name, real=True)  # pyright: ignore

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what copies are made of."""
        return (self.name,), {}


Bounds = tuple[float | None, float | None]
"""The ends of a range, neither of them taken on; ``None`` where there is none."""


def _bounds(name: str, positive: bool, bounds: Any) -> Bounds:
    ends = tuple(bounds) if isinstance(bounds, (tuple, list)) else ()
    number = all(
        e is None or (isinstance(e, (int, float)) and math.isfinite(e)) for e in ends
    )  # fmt: skip
    if len(ends) != 2 or not number:
        raise UsageError(f"{name}: bounds are two numbers or None, such as (0, 1), not {bounds!r}")
    low, high = (None if e is None else float(e) for e in ends)
    if positive:
        low = max(0.0, low or 0.0)
    if low is not None and high is not None and not low < high:
        raise UsageError(f"{name}: bounds go up, not from {low:g} to {high:g}")
    return low, high


class Field(_Plain, sympy.Symbol):
    """An unknown field on the grid.

    Args:
        name: Name, as in the tensors' dictionary and in files.
        doc: What it is, for people: ``"velocity"``.
        unit: Physical unit, where it has one.
        positive: All its values are above 0: a density, of which powers and logarithms are taken.
        bounds: Its values are between these two, ``None`` where there is no end: ``(0, 1)``.
    """

    doc: str
    unit: str
    bounds: Bounds

    def __new__(
        cls,
        name: str,
        doc: str = "",
        unit: str = "",
        positive: bool = False,
        bounds: Bounds = (None, None),
    ) -> Field:
        """Create the symbol; two fields of one name are the same symbol."""
        symbol = sympy.Symbol.__xnew__(cls, name, real=True)  # pyright: ignore
        symbol.doc, symbol.unit = doc, unit
        symbol.bounds = _bounds(name, positive, bounds)
        return symbol

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what copies are made of."""
        return (self.name, self.doc, self.unit, False, self.bounds), {}

    def at(self, **where: float) -> Slice:
        """Return the slice of this field where one coordinate has a value: ``u.at(t=0)``."""
        if len(where) != 1:
            raise UsageError(f"{self.name}.at() takes one coordinate, such as {self.name}.at(t=0)")
        ((axis, value),) = where.items()
        if isinstance(value, str):
            raise UsageError(f"{self.name}.at({axis}={value!r}): a place is a number")
        return Slice(self, axis, float(value))


class Param(_Plain, sympy.Symbol):
    """A scalar parameter with a default value.

    Args:
        name: Name; per-sample values are passed under it, beside the fields.
        value: Value used where no per-sample value is given.
        doc: What it is, for people.
        free: Its value is an unknown like the fields': solved for where nothing gives it, and
            fitted to a sample, by least squares on the residual, where only fields are there.
    """

    value: float
    doc: str
    free: bool

    def __new__(cls, name: str, value: float, doc: str = "", free: bool = False) -> Param:
        """Create the symbol; params of one name and different values are different symbols."""
        symbol = sympy.Symbol.__xnew__(cls, name, real=True)  # pyright: ignore
        symbol.value, symbol.doc, symbol.free = float(value), doc, free
        return symbol

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what copies are made of."""
        return (self.name, self.value, self.doc, self.free), {}

    def _hashable_content(self) -> tuple[Any, ...]:
        # sympy takes equal symbols for one, and would hand one author's value to another.
        return (*super()._hashable_content(), self.value, self.free)


@dataclass(frozen=True)
class Slice:
    """A field at one end of one axis, such as an initial condition."""

    field: Field
    axis: str
    value: float

    def __str__(self) -> str:
        return f"{self.field.name}({self.axis}={self.value:g})"


ACCURACIES = (1, 3)
"""Orders of accuracy that upwind derivatives have."""


class D(sympy.Function):
    r"""Unevaluated derivative :math:`\partial^m E / \partial x^m`, written ``D(E, x, m)``.

    The first derivative is ``D(E, x)`` for short. ``D(E, x, upwind=v)`` is differenced from the
    side that the velocity ``v`` comes from, by one node more to that side:

    .. math:: \frac{E_i - E_{i-1}}{h}, \qquad
              \frac{2 E_{i+1} + 3 E_i - 6 E_{i-1} + E_{i-2}}{6h} \qquad (v > 0)

    with ``accuracy`` 1 or 3, and the mirror image where v < 0. Beside a factor that varies along x,
    as in ``v*D(u, x, upwind=v)``, the sign of v at the node decides; by itself, as in
    ``D(u**2/2, x, upwind=u)``, it is a flux: what goes with v > 0 and what goes with v < 0 are
    differenced apart, which conserves. Source: B. Engquist, S. Osher, Mathematics of Computation 36
    (1981); C.-W. Shu, S. Osher, Journal of Computational Physics 77 (1988).

    Args:
        expression: What is differentiated.
        axis: Along which coordinate.
        order: How often.
        upwind: The velocity that carries what is differentiated: a number, or an expression in
            coordinates, params and fields. Equations are written with the rate positive:
            ``D(u, t) + v*D(u, x, upwind=v)``.
        accuracy: Order of accuracy of an upwind derivative, whatever the grid's: 1 makes no wiggles
            at any cell Péclet number, 3 spreads a steep front far less.
    """

    nargs = (2, 3, 5)

    def __new__(
        cls,
        expression: Any,
        axis: Any,
        order: Any = 1,
        upwind: Any = None,
        accuracy: Any = 1,
    ) -> Any:
        """Create the derivative; text is refused, which sympy would evaluate."""
        if not isinstance(axis, Coordinate):
            raise UsageError(f"D(..., {axis}) needs a coordinate such as x as its second argument")
        arguments = [expression, axis] if order == 1 else [expression, axis, order]
        if upwind is not None:
            if order != 1:
                raise UsageError(f"D(..., {axis}, {order}, upwind=...): only a first derivative is")
            if accuracy not in ACCURACIES:
                raise UsageError(f"D(..., accuracy={accuracy}): an upwind derivative has 1 or 3")
            velocity = strict(upwind)
            velocity = sympy.sign(velocity) if velocity.is_number else velocity
            if velocity != 0:  # where nothing goes there is no side to come from
                arguments = [expression, axis, 1, velocity, accuracy]
        elif accuracy != 1:
            raise UsageError(
                "D(..., accuracy=...) is of upwind derivatives; others have the order of the grid"
            )
        return super().__new__(cls, *map(strict, arguments))

    @classmethod
    def eval(cls, expression: Any, axis: Any, order: Any = 1, *wind: Any) -> Any:  # pyright: ignore
        """Vanish on constants, stay as written otherwise."""
        if not (isinstance(order, int) or getattr(order, "is_Integer", False)) or order < 1:
            raise UsageError(f"D(..., {axis}, {order}) needs a whole order of at least 1")
        return sympy.S.Zero if expression.is_number else None

    @property
    def parts(self) -> tuple[sympy.Expr, Coordinate, int]:
        """The differentiated expression, the coordinate and the order."""
        expression, axis, *rest = self.args
        return expression, axis, int(rest[0]) if rest else 1  # pyright: ignore

    @property
    def wind(self) -> tuple[sympy.Expr, int] | None:
        """The velocity against which it looks, and its accuracy; none of a central derivative."""
        return (self.args[3], int(self.args[4])) if len(self.args) > 3 else None  # pyright: ignore

    def like(self, argument: Any, velocity: Any = None) -> Any:
        """Return the same derivative of something else, of an upwind one with another velocity."""
        _, axis, m = self.parts
        if self.wind is None:
            return D(argument, axis, m)
        own, accuracy = self.wind
        return D(argument, axis, 1, own if velocity is None else velocity, accuracy)


class Harmonic(sympy.Function):
    """A coefficient whose value between two nodes is the harmonic mean of theirs."""

    nargs = (1,)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return its derivative: what it means is its argument."""
        return sympy.S.One


def harmonic(coefficient: Any) -> Any:
    """Return a coefficient to be averaged harmonically at faces: ``D(harmonic(k)*D(u, x), x)``.

    Across a jump between two nodes the flux is then that of two layers in a row, exactly.
    """
    return Harmonic(strict(coefficient))


t = Coordinate("t")
x = Coordinate("x")
y = Coordinate("y")
z = Coordinate("z")
lat = Coordinate("lat")
lon = Coordinate("lon")
