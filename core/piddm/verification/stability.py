"""Whether steps in time keep errors small, and how stiff they find the equation."""

from __future__ import annotations

import torch
from torch import Tensor

from piddm.data.inputs import draw
from piddm.equation import PDE
from piddm.numerics.derived_solver import DerivedSolver
from piddm.numerics.recursion import few_times, instability, recursion
from piddm.numerics.stiffness import Stiffness
from piddm.symbolic.operators import Field
from piddm.tools.errors import SCHEMES, PiddmError
from piddm.verification.manufactured import manufacture
from piddm.verification.result import Check

NAME = "stability"
"""Name of the check."""


def stability(pde: PDE, seed: int = 0) -> Check:
    """Check that no mode of the scheme's own grows, on the equation's own grid."""
    time = next((a for a in pde.grid.axes.values() if a.time), None)
    if time is None:
        return Check(NAME, True, "there is no axis of time", applies=False)
    if pde.residual is not None or pde.grid.spherical:
        return Check(NAME, True, "the residual is not compiled from stencils", applies=False)
    state = _state(pde, seed)
    if (said := instability(pde, pde.grid, state, pde.inputs)) is not None:
        return Check(NAME, False, said)
    known = [i.name for i in pde.inputs if isinstance(i, Field)]
    steps = recursion(pde, few_times(pde.grid), state, known)
    if steps is None:
        return Check(NAME, True, "times do not follow from one another", applies=False)
    rate = steps.growth().rate
    values = {"growth": rate}
    detail = f"errors grow at most {rate:.3g}-fold a step of {time.spacing:.3g}"
    if pde.time_scheme != "crank-nicolson" or steps.before.nnz:
        return Check(NAME, True, detail, values)
    found = Stiffness(*steps.alternating())
    values |= {"alternating": found.factor, "stiffness": found.number}
    detail += f"; the fastest mode's rate times the step is {found.number:.3g}"
    if found.stiff:
        detail += (
            f", of which Crank-Nicolson keeps {-found.factor:.0%} with changing sign: where inputs "
            f"are rough or a reaction is stiff, use time_scheme='bdf2' ({SCHEMES})"
        )
    return Check(NAME, True, detail, values, warns=found.stiff)


def _state(pde: PDE, seed: int) -> dict[str, Tensor]:
    """Return a few times of the solver's start on drawn inputs; chosen fields where that fails."""
    grid = few_times(pde.grid)
    generator = torch.Generator().manual_seed(seed)
    try:
        solver = DerivedSolver(pde, grid, pde.inputs)
        drawn = {k: draw(pde, k, law, grid, 1, generator) for k, law in pde.inputs.items()}
        state = solver.begin(drawn)
    except (PiddmError, AttributeError):
        return manufacture(pde).fields(grid)
    return state
