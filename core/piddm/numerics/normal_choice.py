"""Which way to solve the normal equations of a nearest solution suits a residual and its grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from piddm.numerics.interior import Unsuited
from piddm.numerics.normal_by_band import BandedNormal
from piddm.numerics.normal_by_gradients import GradientNormal
from piddm.numerics.normal_by_solution import SolutionNormal
from piddm.numerics.normal_equations import NormalEquations
from piddm.numerics.own_inverse import OwnInverse
from piddm.residuals.residual import Fields, Residual

WIDEST = 1e10
"""Multiplications for one sample's band up to which, with three axes, it is factorised."""

WIDEST_IN_PLANES = 1e9
"""The same with two axes, of which one is periodic: Burgers on 128 x 128 nodes has 2.4e9.

Measured there on samples 3 % off, banded / gradients: a loss 77 / 10 ms a sample, whose gradients
have a cosine of 0.99 or more; a projection to round-off 0.37 / 0.16 s; on 256 x 256 nodes 662 /
38 ms and 3.3 / 0.9 s."""

WIDEST_BETWEEN_WALLS = 3e10
"""The same with two axes between walls: Darcy on 180 x 180 nodes or so.

Measured by benchmarks/distance_cost.py on a core with other work, banded / own: a distance on
64 x 64 nodes 0.07 / 0.22 s a sample, on 141 x 141 0.79 / 0.74 s; on 421 x 421 own 3.4 s."""

Algebra = Literal["banded", "gradients", "own", "solution"]
"""How the normal equations are solved: by factors, or by conjugate gradients, with the inverse at a
mean state or at each state's own, or not at all, where the nearest solution is the only one."""


def normal_equations(
    residual: Residual, weights: np.ndarray, row_scale: Mapping[str, float], soft: np.ndarray,
    algebra: Algebra | None = None, typical: Fields | None = None,
) -> NormalEquations:  # fmt: skip
    """Return the way to solve the normal equations of a residual.

    Args:
        residual: The residual.
        weights: W, see :func:`~piddm.numerics.normal_equations.move_weights`.
        row_scale: Row scale by name.
        soft: Sigma's diagonal, see :func:`~piddm.numerics.normal_equations.slack_vector`.
        algebra: Which one; what suits the grid and the rows where left out.
        typical: A typical state, at which an inverse that is made once is that of the equation.

    Raises:
        UsageError: If nothing is left to move.
    """
    yielding = bool((soft > 0).any())
    if algebra is None and not yielding and SolutionNormal.suits(residual, weights):
        algebra = "solution"
    if algebra == "solution":
        other = suited(residual, yielding)
        return SolutionNormal(
            residual, weights, row_scale,
            lambda: normal_equations(residual, weights, row_scale, soft, other), typical,
        )  # fmt: skip
    algebra = algebra or suited(residual, yielding)
    if algebra == "own":
        try:
            own = OwnInverse(residual, weights, row_scale)
        except Unsuited:
            algebra = "banded"
        else:
            return GradientNormal(residual, weights, row_scale, soft, own)
    kind = {"banded": BandedNormal, "gradients": GradientNormal}
    return kind[algebra](residual, weights, row_scale, soft)


def suited(residual: Residual, soft: bool = False) -> Algebra:
    """Return what suits a residual: a band of two lines or so, where there is one and it is cheap.

    A band of n x n nodes takes n^4, conjugate gradients little more than n^2. The preconditioner of
    a mean state needs an axis that is periodic; between walls each state has its own, where there
    is one, and no row is soft.
    """
    shape = residual.grid.shape
    if any(rows.dense for rows in residual.rows.values()):
        return "gradients"
    axes, walls = len(shape), not any(residual.grid.periodic)
    if axes < 2 or (walls and axes < 3 and soft):
        return "banded"
    local = [r for r in residual.rows.values() if not r.integral]
    first = [
        [offset[0] for offsets in reach.offsets.values() for offset in offsets]
        for rows in local
        for reach in rows.reaches
    ]
    far = max((max(f) - min(f) for f in first if f), default=0)
    count = sum(len(r.nodes) for r in local)
    width = (1 + far) * count / shape[0] * (1 + residual.grid.periodic[0])
    if walls and axes < 3:
        return "banded" if count * width**2 <= WIDEST_BETWEEN_WALLS else "own"
    widest = WIDEST if axes > 2 else WIDEST_IN_PLANES
    return "banded" if count * width**2 <= widest else "gradients"
