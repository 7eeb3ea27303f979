"""Known values of params that a run's data never had: models say nothing of those."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from piddm.symbolic.operators import Param
from piddm.tools.randomness import generator

if TYPE_CHECKING:
    from piddm.equation import PDE

DRAWS, MARGIN = 1000, 0.05
"""Draws of a law that tell its range, and what may be beyond, over it."""


def outside(pde: PDE, params: Mapping[str, float]) -> str:
    """Return what is to be said of params that are known to have values far from the data's.

    Args:
        pde: The equation, with the laws of its inputs.
        params: Known values by name.
    """
    laws = {given.name: law for given, law in pde.inputs.items() if isinstance(given, Param)}
    for param in pde.params:
        if param.name not in params:
            continue
        value = params[param.name]
        if param.name in laws:
            draws = laws[param.name].sample_param(DRAWS, generator(0, "range", param.name))
            low, high = float(draws.min()), float(draws.max())
            beyond, usual = MARGIN * (high - low), f"{low:.3g} to {high:.3g}"
            near = low - beyond <= value <= high + beyond
        else:
            near = param.free or math.isclose(value, param.value, rel_tol=MARGIN)
            usual = f"{param.value:g}"
        if not near:
            return (
                f"{param.name} is {value:g}, and {usual} in all data of the run: expect little of "
                "its models"
            )
    return ""
