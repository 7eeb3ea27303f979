"""Expressions in coordinates as numbers, apart from the compiler that is under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import scipy.special
import sympy
import torch
from sympy.functions.elementary.piecewise import ExprCondPair
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.symbolic.operators import Coordinate
from piddm.tools.errors import UsageError
from piddm.verification.calculus import cartesian


def numbers(expression: Any, where: Mapping[str, Tensor]) -> Tensor:
    """Return an expression's values, given those of its coordinates (which broadcast).

    Raises:
        UsageError: If torch has no counterpart of a function.
    """
    known: dict[Any, Any] = {}

    def value(e: Any) -> Any:
        if e not in known:
            known[e] = build(e)
        return known[e]

    def build(e: Any) -> Any:
        if e.is_number:
            return torch.tensor(float(e), dtype=torch.float64)
        if isinstance(e, Coordinate):
            return where[e.name]
        if e in (sympy.true, sympy.false):
            return torch.tensor(e == sympy.true)
        if isinstance(e, sympy.Add):
            return sum(map(value, e.args))
        if isinstance(e, sympy.Mul):
            return torch.stack(torch.broadcast_tensors(*map(value, e.args))).prod(0)
        if isinstance(e, sympy.Pow):
            return value(e.base) ** (int(e.exp) if e.exp.is_Integer else value(e.exp))
        if isinstance(e, sympy.ITE):
            return value(e.to_nnf())
        if isinstance(e, ExprCondPair):
            return value(e.args[0]), value(e.args[1])
        return _function(e)(*map(value, e.args))

    return value(sympy.sympify(expression, strict=True))


def on_grid(expression: Any, grid: Grid) -> Tensor:
    """Return an expression at every node, float64 ``(*grid.shape)``."""
    where = {}
    for d, (name, axis) in enumerate(grid.axes.items()):
        shape = [-1 if k == d else 1 for k in range(len(grid.axes))]
        where[name] = torch.from_numpy(axis.coordinates()).reshape(shape)
    return numbers(expression, _points(grid, where)).expand(grid.shape).clone()


def at_nodes(
    expression: Any, grid: Grid, nodes: np.ndarray, walls: Mapping[str, float] | None = None
) -> Tensor:
    """Return an expression at some nodes, ``(rows, axes)`` integers, float64 ``(rows,)``.

    Along the axes of ``walls`` it is taken there and not at the node.
    """
    where = {
        name: torch.from_numpy(axis.coordinates()[nodes[:, d]])
        for d, (name, axis) in enumerate(grid.axes.items())
    }
    for name, value in (walls or {}).items():
        where[name] = torch.full((len(nodes),), value, dtype=torch.float64)
    return numbers(expression, _points(grid, where)).expand(len(nodes))


def over_space(expression: Any, grid: Grid, times: np.ndarray | None) -> Tensor:
    """Return the integral over space at some times by Gauss' rule, to round-off, ``(times,)``."""
    points, weights = np.polynomial.legendre.leggauss(40 if len(grid.axes) < 4 else 24)
    space = [(n, a) for n, a in grid.axes.items() if not a.time]
    where, weight = {}, torch.ones(())
    for d, (name, axis) in enumerate(space):
        shape = [-1 if k == d + 1 else 1 for k in range(len(space) + 1)]
        half = (axis.upper - axis.lower) / 2
        along = axis.lower + half * (points + 1)
        area = weights * half * (np.cos(along) if axis.latitude else 1.0)
        where[name] = torch.from_numpy(along).reshape(shape)
        weight = weight * torch.from_numpy(area).reshape(shape)
    for name, axis in grid.axes.items():
        if axis.time and times is not None:
            where[name] = torch.from_numpy(times).reshape(-1, *[1] * len(space))
    total = (numbers(expression, _points(grid, where)) * weight).flatten(1).sum(1)
    return total.expand(1 if times is None else len(times))


def _points(grid: Grid, where: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return coordinates, on a sphere with those of its points in space."""
    return where | cartesian(where["lat"], where["lon"]) if grid.spherical else where


OTHERS: dict[Any, Callable[..., Tensor]] = {
    sympy.StrictLessThan: torch.lt,
    sympy.LessThan: torch.le,
    sympy.StrictGreaterThan: torch.gt,
    sympy.GreaterThan: torch.ge,
    sympy.And: lambda *v: reduce(torch.logical_and, v),
    sympy.Or: lambda *v: reduce(torch.logical_or, v),
    sympy.Not: torch.logical_not,
    sympy.sec: lambda v: 1 / torch.cos(v),
    sympy.csc: lambda v: 1 / torch.sin(v),
    sympy.cot: lambda v: torch.cos(v) / torch.sin(v),
    sympy.sech: lambda v: 1 / torch.cosh(v),
    sympy.csch: lambda v: 1 / torch.sinh(v),
    sympy.coth: lambda v: torch.cosh(v) / torch.sinh(v),
    sympy.sinc: lambda v: torch.sinc(v / torch.pi),
    sympy.ceiling: torch.ceil,
}
"""Functions that torch has under another name, or in parts."""

SPECIAL: dict[Any, Callable[..., Any]] = {
    sympy.besselj: scipy.special.jv,
    sympy.bessely: scipy.special.yv,
    sympy.besseli: scipy.special.iv,
    sympy.besselk: scipy.special.kv,
    sympy.gamma: scipy.special.gamma,
    sympy.loggamma: scipy.special.gammaln,
    sympy.polygamma: scipy.special.polygamma,
    sympy.erfcinv: scipy.special.erfcinv,
    sympy.erfi: scipy.special.erfi,
    sympy.fresnels: lambda v: scipy.special.fresnel(v)[0],
    sympy.fresnelc: lambda v: scipy.special.fresnel(v)[1],
    sympy.legendre: scipy.special.eval_legendre,
}
"""Functions that scipy has."""


def _piecewise(*branches: tuple[Tensor, Tensor]) -> Tensor:
    *before, (found, _) = branches
    for value, where in reversed(before):
        found = torch.where(where, value, found)
    return found


def _function(e: Any) -> Callable[..., Tensor]:
    """Return torch's function of the name of sympy's."""
    if isinstance(e, (sympy.Max, sympy.Min)):
        two = torch.maximum if isinstance(e, sympy.Max) else torch.minimum
        return lambda *v: reduce(two, v)
    if isinstance(e, sympy.Heaviside):
        return lambda v, half=0.5: torch.heaviside(v, torch.as_tensor(half, dtype=v.dtype))
    if isinstance(e, sympy.DiracDelta):
        return lambda v, *_: torch.zeros_like(v)  # rows that see a jump are left out
    if isinstance(e, sympy.Piecewise):
        return _piecewise
    if e.func in OTHERS:
        return OTHERS[e.func]
    if e.func in SPECIAL:
        return lambda *v: torch.as_tensor(SPECIAL[e.func](*(w.numpy() for w in v)))
    found = getattr(torch, e.func.__name__.lower(), None)
    if found is None:
        raise UsageError(f"{e.func.__name__} in {e} has no torch counterpart")
    return found
