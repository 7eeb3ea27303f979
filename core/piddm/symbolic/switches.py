"""Functions with a jump or a kink: which they are, and between which values they switch."""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.relational import Relational

SWITCHES = (
    sympy.Heaviside, sympy.sign, sympy.Abs, sympy.Max, sympy.Min, sympy.Piecewise, sympy.floor,
    sympy.ceiling,
)  # fmt: skip
"""Functions that are not smooth everywhere."""


def switches(expression: Any) -> list[Any]:
    """Return what decides between the branches of an expression: each changes its sign there."""
    found: list[Any] = []
    part: Any
    for part in expression.atoms(*SWITCHES):
        if isinstance(part, (sympy.Max, sympy.Min)):
            first, *rest = part.args
            found += [a - b for k, a in enumerate(rest) for b in (first, *rest[:k])]  # pyright: ignore
        elif isinstance(part, sympy.Piecewise):
            found += [
                r.lhs - r.rhs
                for _, where in part.args  # pyright: ignore
                for r in where.atoms(Relational)
            ]
        elif isinstance(part, (sympy.floor, sympy.ceiling)):
            found.append(sympy.sin(sympy.pi * part.args[0]))
        else:
            found.append(part.args[0])
    return list(dict.fromkeys(found))
