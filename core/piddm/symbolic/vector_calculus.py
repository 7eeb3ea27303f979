"""Operators of vector calculus, in the plane, in space and on the sphere: made of derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy

from piddm.symbolic.operators import Coordinate, D, strict
from piddm.symbolic.spherical import Curl, Div, GradEast, GradNorth, InverseLaplace, Laplace
from piddm.tools.errors import UsageError


def on_sphere(axes: Any) -> bool:
    """Return whether axes are the latitude and the longitude of a sphere.

    Raises:
        UsageError: If they are only one of the two, among others or in another order.
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
        raise UsageError(f"rotated_grad along {len(axes)} axes: it takes two")
    first, second = grad(expression, axes)
    # North and east, in this order, turn the other way round than x and y.
    return [second, -first] if on_sphere(axes) else [-second, first]


def dot(a: Sequence[sympy.Expr], b: Sequence[sympy.Expr]) -> sympy.Expr:
    """Inner product of two vectors."""
    return sympy.Add(*(p * q for p, q in zip(a, b, strict=True)))
