"""Quantities of an answer, such as a flux or a total, with intervals: the members' own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from piddm.metrics.calibration import quantile
from piddm.residuals.residual import Fields
from piddm.tasks.instruments import Evaluated
from piddm.tasks.quantities import Quantity
from piddm.tasks.solution import Solution
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.equation import PDE

LEVEL = 0.9
"""Share of the interval."""


@torch.no_grad()
def values_of(
    solution: Solution, quantities: Sequence[Quantity], pde: PDE, truth: Fields | None = None
) -> dict[str, dict[str, Any]]:
    """Return mean, deviation and interval of each quantity, and where it is known the truth.

    Members that satisfy the equation have quantities that do: fluxes that balance, for one.

    Args:
        solution: The answer.
        quantities: What is asked.
        pde: The equation.
        truth: Fields ``(*grid.shape)`` and params, where they are known.

    Raises:
        UsageError: If a quantity depends on a param that is neither known nor in the answer.
    """
    names, found = pde.field_names, {}
    known = {p.name: p.value for p in pde.params if not p.free}
    known |= dict(solution.task.observations.params)
    for own in quantities:
        if missing := [k for k in own.params if k not in known and k not in solution.fields]:
            raise UsageError(f"{own.title} depends on the param {missing[0]}, which is not known")
    at = Evaluated(quantities, solution.grid, names, solution.task.interpolation, known)
    values = at(solution.fields) + at.offset
    low, high = (quantile(values, (1 + sign * LEVEL) / 2) for sign in (-1, 1))
    exact = None
    if truth is not None and all(k in truth for k in names):
        one = {k: v[None].double() for k, v in truth.items()}
        exact = (at(one) + at.offset)[0]
    for k, own in enumerate(quantities):
        found[own.title] = {
            "mean": float(values[:, k].mean()),
            "deviation": float(values[:, k].std(correction=min(1, len(values) - 1))),
            "interval": [float(low[k]), float(high[k])],
        }
        if exact is not None:
            found[own.title]["truth"] = float(exact[k])
    return found
