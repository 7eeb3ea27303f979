"""Conservation: a flux that leaves one node arrives at the next."""

from __future__ import annotations

from typing import Any

import sympy
import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.residuals.residual import Residual
from piddm.symbolic.analysis import depends
from piddm.symbolic.operators import D
from piddm.tools.errors import UsageError
from piddm.verification.manufactured import manufacture
from piddm.verification.result import Check

NAME = "conservation"
"""Name of the check."""

CLOSE = 1e-10
"""Share of the fluxes that rounding may lose."""

SIZE, SMALL = 24, 18
"""Nodes along each axis, and the same of grids with three axes."""

NEAR_WALLS = 6
"""Nodes beside each wall, where one-sided stencils are, that stay as they are."""


def conservation(pde: PDE) -> Check:
    """Check that the sum of a flux's differences along an axis does not depend on values inside.

    Along a periodic axis the sum over all nodes is zero. Along a bounded one it is what enters
    through the walls: no change of the fields away from them changes it. Nodes at unequal distances
    count by their cells.
    """
    if pde.residual is not None or pde.grid.spherical:
        return Check(NAME, True, "the residual is not compiled from stencils", applies=False)
    fluxes = {
        (name, term): along
        for name, equation in pde.equations.items()
        for term in sympy.Add.make_args(equation)
        if (along := _along(term, pde.grid))
    }
    if not fluxes:
        return Check(NAME, True, "no term is written as a flux", applies=False)
    grid = pde.grid.resized(SIZE if len(pde.grid.axes) < 3 else SMALL)
    lost: dict[str, float] = {}
    for order in (2, 4, "spectral"):
        try:
            residual = pde.bind(grid, order)  # pyright: ignore
        except UsageError:
            continue
        for (name, term), axis in fluxes.items():
            if order != 2 and not grid.axes[axis].periodic:
                continue  # only to the order beside a wall
            method = order if order == "spectral" else f"order {order}"
            label = f"{term} of {name} along {axis}, {method}"
            lost[label] = _lost(pde, residual, name, str(term), axis)
    worst = max(lost, key=lost.__getitem__)
    passed = lost[worst] <= CLOSE
    detail = f"{lost[worst]:.1e} of a flux is lost between nodes ({worst})"
    return Check(NAME, passed, detail, {"lost": lost})


def _along(term: Any, grid: Grid) -> str:
    """Return the axis of space along which a term is a whole derivative, if it is one."""
    for factor in sympy.Mul.make_args(term):
        if isinstance(factor, D):
            _, axis, _ = factor.parts
            rest = term / factor
            if not grid.axes[axis.name].time and not depends(rest, axis.name) and not rest.has(D):
                return axis.name
    return ""


def _lost(pde: PDE, residual: Residual, name: str, term: str, axis: str) -> float:
    """Return how much of a term's sum along an axis is felt inside, relatively."""
    grid, dim = residual.grid, residual.grid.index(axis) + 1
    fields = manufacture(pde, variant=1).fields(grid)
    generator = torch.Generator().manual_seed(0)
    moved = dict(fields)
    inside = torch.ones(grid.shape, dtype=torch.float64)
    if not grid.axes[axis].periodic:
        inside.narrow(dim - 1, 0, NEAR_WALLS).zero_()
        inside.narrow(dim - 1, grid.shape[dim - 1] - NEAR_WALLS, NEAR_WALLS).zero_()
    for k in residual.field_names:
        noise = torch.rand(fields[k].shape, generator=generator, dtype=torch.float64) - 0.5
        moved[k] = fields[k] * (1 + noise * inside)
    after = residual.terms(moved)[name][term]
    if grid.axes[axis].periodic:
        return _share(after, dim)
    # Of unequal steps, a flux divided by one cell is multiplied by the other.
    first = int(residual.rows[name].nodes[:, dim - 1].min())
    cells = torch.from_numpy(grid.axes[axis].weights())[first : first + after.shape[dim]]
    cells = cells.reshape([-1 if k == dim else 1 for k in range(after.ndim)])
    return _share((after - residual.terms(fields)[name][term]) * cells, dim)


def _share(rows: Tensor, dim: int) -> float:
    size = float(rows.abs().sum(dim).max()) or 1.0
    return float(rows.sum(dim).abs().max()) / size
