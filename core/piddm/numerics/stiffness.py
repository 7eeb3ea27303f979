"""How stiff Crank-Nicolson finds an equation: what it leaves of the fastest mode at a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from piddm.grids.grid import Axis, Grid
from piddm.numerics.recursion import recursion

if TYPE_CHECKING:
    from piddm.symbolic.specification import Order, Specification

STIFF = 20.0
"""Rate of the fastest mode times the step from which Crank-Nicolson keeps more than 4/5 of it, its
sign changed, at every step."""

LOSSLESS = 1e-7
"""A mode that loses less at a step is a wave."""


@dataclass(frozen=True)
class Stiffness:
    """How a one-step scheme treats the fastest mode.

    Args:
        factor: What is left of it after a step; below 0 where it changes its sign.
        modulus: The same without its sign.
    """

    factor: float
    modulus: float

    @property
    def number(self) -> float:
        """The mode's rate times the step, of Crank-Nicolson: factors are (1 - s/2)/(1 + s/2)."""
        return 2 * (1 - self.factor) / max(1 + self.factor, 1e-12)

    @property
    def stiff(self) -> bool:
        """Whether it rings.

        A wave that is too fast to be resolved turns round and round, and is not to decay.
        """
        return self.factor < 0 and self.number > STIFF and self.modulus < 1 - LOSSLESS

    def times(self, axis: Axis) -> int:
        """Return how many times an axis needs for steps that bring the number down to 2."""
        return 1 + int(np.ceil((axis.size - 1) * self.number / 2))


def stiffness(
    pde: Specification,
    grid: Grid,
    state: Mapping[str, Tensor],
    known: Iterable[str] = (),
    order: Order | Mapping[str, Order] | None = None,
) -> Stiffness | None:
    """Return how Crank-Nicolson treats the fastest mode; none where times do not follow so.

    The arguments are those of :func:`recursion`.
    """
    steps = recursion(pde, grid, state, known, order)
    return None if steps is None or steps.before.nnz else Stiffness(*steps.alternating())
