"""Symbols and unevaluated operators: what an equation is written with.

Derivatives stay as written. ``D(a*D(u, x), x)`` is a flux and is discretised as one; sympy's own
``diff`` would expand the product and lose conservation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from piddm.errors import UsageError
from piddm.symbolic.spherical import (
    Curl,
    Div,
    GradEast,
    GradNorth,
    InverseLaplace,
    Laplace,
)


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
    """What fields and params share: sympy's own derivative of a symbol is zero, silently."""

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


class Field(_Plain, sympy.Symbol):
    """An unknown field on the grid.

    Args:
        name: Name, as in the tensors' dictionary and in files.
        doc: What it is, for people: ``"velocity"``.
        unit: Physical unit, where it has one.
    """

    doc: str
    unit: str

    def __new__(cls, name: str, doc: str = "", unit: str = "") -> Field:
        """Create the symbol; two fields of one name are the same symbol."""
        symbol = sympy.Symbol.__xnew__(cls, name, real=True)  # pyright: ignore
        symbol.doc, symbol.unit = doc, unit
        return symbol

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what copies are made of."""
        return (self.name, self.doc, self.unit), {}

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


class D(sympy.Function):
    r"""Unevaluated derivative :math:`\partial^m E / \partial x^m`, written ``D(E, x, m)``.

    The first derivative is ``D(E, x)`` for short.
    """

    nargs = (2, 3)

    def __new__(cls, expression: Any, axis: Any, order: Any = 1) -> Any:
        """Create the derivative; text is refused, which sympy would evaluate."""
        if not isinstance(axis, Coordinate):
            raise UsageError(f"D(..., {axis}) needs a coordinate such as x as its second argument")
        arguments = [expression, axis] if order == 1 else [expression, axis, order]
        return super().__new__(cls, *map(strict, arguments))

    @classmethod
    def eval(cls, expression: Any, axis: Any, order: Any = 1) -> Any:  # pyright: ignore
        """Vanish on constants, stay as written otherwise."""
        if not (isinstance(order, int) or getattr(order, "is_Integer", False)) or order < 1:
            raise UsageError(f"D(..., {axis}, {order}) needs a whole order of at least 1")
        return sympy.S.Zero if expression.is_number else None

    @property
    def parts(self) -> tuple[sympy.Expr, Coordinate, int]:
        """The differentiated expression, the coordinate and the order."""
        expression, axis, *rest = self.args
        return expression, axis, int(rest[0]) if rest else 1  # pyright: ignore


def on_sphere(axes: Any) -> bool:
    """Return whether axes are the latitude and the longitude of a sphere.

    Raises:
        UsageError: If they are one of the two alone, among others or in another order.
    """
    if isinstance(axes, Coordinate):
        raise UsageError(f"give axes as a list, such as [{axes}]")
    names = [axis.name for axis in axes]
    if names == ["lat", "lon"]:
        return True
    if {"lat", "lon"} & set(names):
        raise UsageError(f"operators of a sphere take [lat, lon], not [{', '.join(names)}]")
    return False


def grad(expression: Any, axes: Sequence[Coordinate]) -> list[Any]:
    """Gradient along the given axes; on a sphere its northward and its eastward component."""
    if on_sphere(axes):
        return [GradNorth(strict(expression)), GradEast(strict(expression))]
    return [D(expression, axis) for axis in axes]


def div(vector: Sequence[Any], axes: Sequence[Coordinate]) -> Any:
    """Divergence; of ``a*grad(u)`` it is the compact, conservative flux form.

    Components go along the axes: on a sphere northward and eastward.
    """
    if len(vector) != len(axes):
        raise UsageError(f"div of {len(vector)} components along {len(axes)} axes")
    if on_sphere(axes):
        return Div(*map(strict, vector))
    return sympy.Add(*(D(v, axis) for v, axis in zip(vector, axes, strict=True)))


def laplace(expression: Any, axes: Sequence[Coordinate], power: int = 1) -> Any:
    """Laplacian along the given axes, so many times; on a sphere that of Laplace and Beltrami."""
    for _ in range(power):
        if on_sphere(axes):
            expression = Laplace(strict(expression))
        else:
            expression = sympy.Add(*(D(expression, axis, 2) for axis in axes))
    return expression


def inverse_laplace(expression: Any, axes: Sequence[Coordinate]) -> Any:
    """Return the field of mean zero whose Laplacian is an expression less its mean; on a sphere."""
    if not on_sphere(axes):
        raise UsageError(
            "inverse_laplace is an operator of spheres; elsewhere make the result a field, with "
            "an equation such as laplace(psi, [x, y]) - w"
        )
    return InverseLaplace(strict(expression))


def curl(vector: Sequence[Any], axes: Sequence[Coordinate]) -> Any:
    """Curl: of two components a scalar, of three a vector.

    On a sphere the outward component: positive where it turns anticlockwise, seen from outside.
    """
    if len(vector) != len(axes) or len(axes) not in (2, 3):
        raise UsageError(f"curl of {len(vector)} components along {len(axes)} axes")
    if on_sphere(axes):
        return Curl(*map(strict, vector))
    if len(axes) == 2:
        return D(vector[1], axes[0]) - D(vector[0], axes[1])
    around = [(1, 2), (2, 0), (0, 1)]
    return [D(vector[k], axes[j]) - D(vector[j], axes[k]) for j, k in around]


def rotated_grad(expression: Any, axes: Sequence[Coordinate]) -> list[Any]:
    """Gradient turned anticlockwise by a right angle: the velocity of a stream function.

    Its divergence vanishes and its curl is the Laplacian, in the plane and on the sphere.
    """
    if len(axes) != 2:
        raise UsageError(f"rotated_grad along {len(axes)} axes: there is one of two alone")
    first, second = grad(expression, axes)
    # North and east, in this order, turn the other way round than x and y.
    return [second, -first] if on_sphere(axes) else [-second, first]


def dot(a: Sequence[sympy.Expr], b: Sequence[sympy.Expr]) -> sympy.Expr:
    """Inner product of two vectors."""
    return sympy.Add(*(p * q for p, q in zip(a, b, strict=True)))


t = Coordinate("t")
x = Coordinate("x")
y = Coordinate("y")
z = Coordinate("z")
lat = Coordinate("lat")
lon = Coordinate("lon")
