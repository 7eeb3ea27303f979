r"""Operators of the sphere carried out symbolically, in Cartesian coordinates of its points.

An expression in :math:`n = (n_x, n_y, n_z)`, n a point of the unit sphere, is a function around it
as well. With unit vectors :math:`e_n, e_e` to the north and to the east,

.. math::
    \Delta_S f &= \Delta f - n^T (\nabla\nabla f)\, n - 2\, n\cdot\nabla f, \\
    \nabla_S\cdot v &= e_n\cdot\nabla v_n + e_e\cdot\nabla v_e - v_n \tan\varphi, \\
    \nabla_S\times v &= e_e\cdot\nabla v_n - e_n\cdot\nabla v_e + v_e \tan\varphi

do not depend on how it goes on there. None of it knows harmonics: it is what those are checked
against.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.symbolic.operators import Coordinate
from piddm.symbolic.spherical import (
    Div,
    GradEast,
    GradNorth,
    InverseLaplace,
    Laplace,
    SphereOperator,
)
from piddm.tools.errors import UsageError

POINT = tuple(Coordinate(name) for name in ("n_x", "n_y", "n_z"))
"""A point of the unit sphere, :math:`(\\cos\\varphi\\cos\\lambda, \\cos\\varphi\\sin\\lambda,
\\sin\\varphi)`."""

PLACES = {
    Coordinate("lat"): sympy.asin(POINT[2]),
    Coordinate("lon"): sympy.atan2(POINT[1], POINT[0]),
}
"""Latitude and longitude of a point."""


def cartesian(lat: Tensor, lon: Tensor) -> dict[str, Tensor]:
    """Return points by the names of their coordinates."""
    found = (torch.cos(lat) * torch.cos(lon), torch.cos(lat) * torch.sin(lon), torch.sin(lat))
    return {symbol.name: value for symbol, value in zip(POINT, found, strict=True)}


@lru_cache(maxsize=1024)
def carried_out(kind: type[SphereOperator], *arguments: Any) -> Any:
    """Return what an operator makes of expressions in a point.

    Raises:
        UsageError: If it is an inverse Laplacian of anything but a polynomial.
    """
    if kind is Laplace:
        return _laplace(*arguments)
    if kind is InverseLaplace:
        return _inverse(*arguments)
    north, east = _axes()
    if kind is GradNorth:
        return _along(north, *arguments)
    if kind is GradEast:
        return _along(east, *arguments)
    a, b = arguments
    slope = POINT[2] / sympy.sqrt(POINT[0] ** 2 + POINT[1] ** 2)
    if kind is Div:
        return _along(north, a) + _along(east, b) - a * slope
    return _along(east, a) - _along(north, b) + b * slope


def _axes() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the unit vectors to the north and to the east."""
    x, y, z = POINT
    far = sympy.sqrt(x**2 + y**2)
    return (-z * x / far, -z * y / far, far), (-y / far, x / far, sympy.Integer(0))


@lru_cache(maxsize=1024)
def _slopes(f: Any) -> tuple[Any, ...]:
    return tuple(sympy.diff(f, n) for n in POINT)


def _along(direction: Any, f: Any) -> Any:
    return _dot(direction, _slopes(f))


def _dot(a: Any, b: Any) -> Any:
    return sympy.Add(*(p * q for p, q in zip(a, b, strict=True)))


def _laplace(f: Any) -> Any:
    slopes = _slopes(f)
    second = [_slopes(s) for s in slopes]
    plain = sympy.Add(*(second[k][k] for k in range(3)))
    radial = _dot(POINT, [_dot(POINT, row) for row in second])
    found = plain - radial - 2 * _dot(POINT, slopes)
    return sympy.expand(found) if f.is_polynomial(*POINT) else found


def _inverse(f: Any) -> Any:
    """Return the inverse Laplacian of a polynomial of degree L: a polynomial in the Laplacian.

    Its value is 0 at the eigenvalue 0 and 1/s at the others up to degree L.
    """
    if not f.is_polynomial(*POINT):
        raise UsageError("the inverse Laplacian of what is no polynomial has no closed form here")
    s = sympy.Symbol("s")
    degree = int(sympy.Poly(f, *POINT).total_degree())  # pyright: ignore
    eigenvalues = [-k * (k + 1) for k in range(degree + 1)]
    known = [(e, sympy.Rational(1, e) if e else sympy.Integer(0)) for e in eigenvalues]
    out: Any = 0
    for factor in sympy.Poly(sympy.interpolate(known, s), s).all_coeffs():
        out = factor * f + (_laplace(out) if out != 0 else 0)
    return sympy.expand(out)


def polynomial(k: int, turn: float) -> Any:
    """Return a generic polynomial of degree 2 with values of about 1; no two k are alike."""
    angles = turn + k + np.array([[0.3, 1.1], [1.7, 2.9]])
    directions = [
        [sympy.Rational(round(8 * v), 8) for v in (np.cos(a) * np.cos(b), np.cos(a) * np.sin(b),
                                                   np.sin(a))]
        for a, b in angles
    ]  # fmt: skip
    one, two = (_dot(d, POINT) for d in directions)
    return sympy.expand(one + one * two)
