"""Dependence of an expression on an axis, and how often it is differentiated along it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from piddm.symbolic.operators import Coordinate, D, Field


@lru_cache(maxsize=4096)
def depends(expression: Any, axis: str) -> bool:
    """Return whether an expression varies along an axis."""
    return any(
        isinstance(s, Field) or (isinstance(s, Coordinate) and s.name == axis)
        for s in expression.free_symbols
    )


@lru_cache(maxsize=4096)
def differenced(expression: Any, axis: str) -> bool:
    """Return whether an expression has a derivative along an axis in it."""
    return any(d.parts[1].name == axis for d in expression.atoms(D))


@lru_cache(maxsize=4096)
def derivative_order(expression: Any, axis: str) -> int:
    """Return the highest number of derivatives of a field along an axis: 2 in a flux form."""
    if isinstance(expression, D):
        argument, of, m = expression.parts
        return (m if of.name == axis else 0) + derivative_order(argument, axis)
    return max((derivative_order(a, axis) for a in expression.args), default=0)


def leading_fields(expression: Any, axis: str) -> set[Field]:
    """Return the fields that are differentiated most often along an axis."""
    order = derivative_order(expression, axis)
    if isinstance(expression, D):
        argument, of, _ = expression.parts
        if of.name != axis or derivative_order(argument, axis):
            return leading_fields(argument, axis)
        return {s for s in argument.free_symbols if isinstance(s, Field)}
    found: set[Field] = set()
    for part in expression.args:
        if order and derivative_order(part, axis) == order:
            found |= leading_fields(part, axis)
    return found
