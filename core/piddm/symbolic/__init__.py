"""Equations in sympy: the vocabulary a plugin writes with.

The compiler beside it turns them into torch operations.
"""

from piddm.symbolic.operators import (
    Coordinate,
    D,
    Field,
    Param,
    Slice,
    harmonic,
    lat,
    lon,
    t,
    x,
    y,
    z,
)
from piddm.symbolic.vector_calculus import (
    curl,
    div,
    dot,
    grad,
    inverse_laplace,
    laplace,
    rotated_grad,
)

__all__ = [
    "Coordinate", "D", "Field", "Param", "Slice", "curl", "div", "dot", "grad", "harmonic",
    "inverse_laplace", "laplace", "lat", "lon", "rotated_grad", "t", "x", "y", "z",
]  # fmt: skip
