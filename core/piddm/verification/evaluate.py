"""Expressions in coordinates as numbers, apart from the compiler that is under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.symbolic.operators import Coordinate
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
        if isinstance(e, sympy.Add):
            return sum(map(value, e.args))
        if isinstance(e, sympy.Mul):
            return torch.stack(torch.broadcast_tensors(*map(value, e.args))).prod(0)
        if isinstance(e, sympy.Pow):
            return value(e.base) ** (int(e.exp) if e.exp.is_Integer else value(e.exp))
        return _function(e)(*map(value, e.args))

    return value(sympy.sympify(expression, strict=True))


def on_grid(expression: Any, grid: Grid) -> Tensor:
    """Return an expression at every node, float64 ``(*grid.shape)``."""
    where = {}
    for d, (name, axis) in enumerate(grid.axes.items()):
        shape = [-1 if k == d else 1 for k in range(len(grid.axes))]
        where[name] = torch.from_numpy(axis.coordinates()).reshape(shape)
    return numbers(expression, _points(grid, where)).expand(grid.shape).clone()


def at_nodes(expression: Any, grid: Grid, nodes: np.ndarray) -> Tensor:
    """Return an expression at some nodes, ``(rows, axes)`` integers, float64 ``(rows,)``."""
    where = {
        name: torch.from_numpy(axis.coordinates()[nodes[:, d]])
        for d, (name, axis) in enumerate(grid.axes.items())
    }
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


def _function(e: Any) -> Callable[..., Tensor]:
    """Return torch's function of the name of sympy's."""
    if isinstance(e, (sympy.Max, sympy.Min)):
        two = torch.maximum if isinstance(e, sympy.Max) else torch.minimum
        return lambda *v: reduce(two, v)
    if isinstance(e, sympy.Heaviside):
        return lambda v, half=0.5: torch.heaviside(v, torch.as_tensor(half, dtype=v.dtype))
    found = getattr(torch, e.func.__name__.lower(), None)
    if found is None:
        raise UsageError(f"{e.func.__name__} in {e} has no torch counterpart")
    return found
