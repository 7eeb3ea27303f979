"""Limits of schemes: the cell Péclet number, and conditions where characteristics leave."""

from __future__ import annotations

from piddm.equation import PDE
from piddm.grids.grid import NodeCounts
from piddm.numerics.scheme_limits import PECLET, asked, limits_of, nodes, upwind
from piddm.tools.errors import SCHEMES, PiddmError
from piddm.verification.data import data_of
from piddm.verification.result import Check

NAME = "limits"
"""Name of the check."""


def limits(pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> Check:
    """Report the cell Péclet number, and conditions at an end that characteristics leave."""
    if pde.residual is not None or pde.grid.spherical:
        return Check(NAME, True, "the residual is not compiled from stencils", applies=False)
    if not asked(pde):
        return Check(NAME, True, "no equation has first or second derivatives", applies=False)
    try:
        data = data_of(pde, seed, size)
        found = limits_of(pde, data.residual.grid, data.fields, 2)
    except PiddmError as error:
        return Check(NAME, True, f"there are no data to look at: {error}", applies=False)
    said, numbers, passed = [*found.wind, *found.outflow], {}, not found.wind
    for (name, axis, _), number in found.peclet.items():
        looks = upwind(pde, name, axis)
        numbers[f"cell Péclet number of {name} along {axis}{', upwind' if looks else ''}"] = number
        if number > PECLET and not looks:
            said.append(
                f"{name}: the cell Péclet number along {axis} is {number:.2g} on its own "
                "grid: above 2, central differences make wiggles where solutions are steep; "
                f"take {nodes(pde.grid.axes[axis], number)} nodes along {axis}, or an upwind "
                f"derivative, D(..., {axis}, upwind=...)"
            )
    detail = "; ".join(said) + f" ({SCHEMES})" if said else ", ".join(
        f"{k}: {v:.2g}" for k, v in numbers.items()
    ) or "no condition is at an end that characteristics leave"  # fmt: skip
    return Check(NAME, passed, detail, numbers, warns=bool(said))
