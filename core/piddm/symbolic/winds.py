"""Upwind derivatives: what they become once it is known what stands beside them.

Alone, ``D(F, x, upwind=v)`` is a flux and is split: what goes upwards, where v > 0, is differenced
from below, what goes downwards from above, so that what leaves a node arrives at the next wherever
v changes its sign. Beside a factor that varies along x it is no flux, and the sign of v at the node
decides, which keeps the order where v changes its sign.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sympy

from piddm.symbolic.analysis import depends
from piddm.symbolic.operators import D


@lru_cache(maxsize=4096)
def split(expression: Any) -> Any:
    """Return an expression with its upwind fluxes split by the direction in which they go."""
    return _split(expression, sympy.S.One)


def _split(expression: Any, beside: Any) -> Any:
    """Split what has ``beside`` for a factor; none where it is in a function."""
    if not any(d.wind for d in expression.atoms(D)):
        return expression
    if isinstance(expression, sympy.Add):
        return sympy.Add(*(_split(a, beside) for a in expression.args))
    if isinstance(expression, sympy.Mul):
        parts = []
        for k, part in enumerate(expression.args):
            others = (*expression.args[:k], *expression.args[k + 1 :])
            parts.append(_split(part, None if beside is None else sympy.Mul(beside, *others)))
        return sympy.Mul(*parts)
    if not isinstance(expression, D):
        return expression.func(*(_split(a, None) for a in expression.args))
    argument, axis, _ = expression.parts
    if expression.wind is None:
        return expression.like(_split(argument, beside))
    velocity, accuracy = expression.wind
    flux = beside is not None and not depends(beside, axis.name)
    if not flux or not depends(velocity, axis.name):
        return expression
    up, down = (sympy.Heaviside(s * velocity, sympy.S.Half) for s in (1, -1))
    return D(argument * up, axis, upwind=1, accuracy=accuracy) + D(
        argument * down, axis, upwind=-1, accuracy=accuracy
    )


def without_winds(expression: Any) -> Any:
    """Return an expression with central derivatives in the place of upwind ones."""
    if not any(d.wind for d in expression.atoms(D)):
        return expression
    if isinstance(expression, D):
        argument, axis, m = expression.parts
        return D(without_winds(argument), axis, m)
    return expression.func(*map(without_winds, expression.args))


def accuracy(expression: Any) -> int | None:
    """Return the least accuracy of the upwind derivatives in an expression; none without any."""
    return min((d.wind[1] for d in expression.atoms(D) if d.wind), default=None)
