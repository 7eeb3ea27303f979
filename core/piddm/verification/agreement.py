"""An equation's own ``simulate`` against the derived solver, under refinement."""

from __future__ import annotations

import math

import torch

from piddm.data.inputs import whole
from piddm.equation import PDE
from piddm.grids.grid import NodeCounts
from piddm.symbolic.operators import Slice
from piddm.tools.errors import PiddmError
from piddm.verification.convergence import given_values
from piddm.verification.data import grid_of
from piddm.verification.result import Check

NAME = "solver_agreement"
"""Name of the check."""

ORDER = 0.7
"""Of the first order, less what other draws on each grid and coarse grids take from it."""

COUNT = 32
"""Enough that the draws of different grids are alike on the whole."""

SAME = 1e-8
"""Relative difference at which both solvers give the same."""


def solver_agreement(pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> Check:
    """Check that what ``simulate`` makes and the derived solver's solutions come together.

    Both start from the inputs that ``simulate`` drew. Two ways to discretise one equation differ
    by their errors, which fall with the spacing to the first order or better.

    The arguments are those of ``verify``.
    """
    if pde.simulate is None:
        return Check(NAME, True, "data come from the derived solver", applies=False)
    if pde.grid.spherical:
        return Check(NAME, True, "there is no derived solver on a sphere", applies=False)
    base = grid_of(pde, size).axes
    factors = [0.5, 1, 2] if len(base) < 3 else [0.5, 1]
    sizes = [round(f * max(a.size for a in base.values())) for f in factors]
    gaps = []
    for factor in factors:
        intervals = {k: round(factor * a.size) + (not a.periodic) for k, a in base.items()}
        grid = pde.grid.resized(intervals)
        generator = torch.Generator().manual_seed(seed)
        made = whole(pde, grid, COUNT, pde.simulate(pde, grid, COUNT, generator))
        made = {k: v.double() for k, v in made.items()}
        try:
            solved = pde.solve(given_values(pde, made, grid), grid)
        except PiddmError as error:
            return Check(NAME, False, f"the derived solver fails on its inputs: {error}")
        gaps.append(_gap(pde, made, solved))
    slope = math.log2(max(gaps[-2], 1e-300) / max(gaps[-1], 1e-300))  # sizes double
    passed = gaps[-1] <= SAME or slope >= ORDER
    said = ", ".join(f"{g:.1e} at {n}" for n, g in zip(sizes, gaps, strict=True))
    detail = f"relative difference {said}: order {slope:.2f}"
    if not passed:
        detail += f", at least {ORDER} is asked for: one of the two solves another equation"
    return Check(NAME, passed, detail, {"sizes": sizes, "differences": gaps, "order": slope})


def _gap(pde: PDE, made: dict[str, torch.Tensor], solved: dict[str, torch.Tensor]) -> float:
    """Return the largest relative root-mean-square difference of the fields solved for."""
    given = {str(i) for i in pde.inputs if not isinstance(i, Slice)}
    gaps = [0.0]
    for name in pde.field_names:
        if name not in given:
            size = float(made[name].square().mean().sqrt()) or 1.0
            gaps.append(float((made[name] - solved[name]).square().mean().sqrt()) / size)
    return max(gaps)
