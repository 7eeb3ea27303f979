"""Integrals that the equations imply already: a row too many each, and a multiplier for it."""

from __future__ import annotations

import numpy as np

from piddm.numerics.jacobian import Jacobian


def multipliers(
    jacobian: Jacobian, active: np.ndarray, unknowns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return entries ``(row, multiplier, weight)`` that make a system square, and their count.

    So it is on a torus, where the equations already imply a mean that they leave open. Each
    integral's multiplier is added to the equations of its time. If the integral agrees with them
    the multiplier is zero; if not, there is no solution to reach.

    Args:
        jacobian: Of the residual.
        active: ``(rows,)`` whether a row is one of the system's.
        unknowns: How many there are.
    """
    none = np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0), 0
    integrals = np.flatnonzero(active & ~jacobian.local)
    if not len(integrals) or int(active.sum()) - unknowns != len(integrals):
        return none
    residual = jacobian.residual
    every = residual.rows.values()
    which = np.repeat(np.arange(len(every)), [len(r.nodes) for r in every])
    equation = ~np.array([r.boundary for r in every])[which]
    line = jacobian.row_nodes[:, 0]
    timed = next(iter(residual.grid.axes.values())).time
    rows, columns, weights = [], [], []
    for k, integral in enumerate(integrals):
        beside = np.flatnonzero(active & equation & ((line == line[integral]) | (not timed)))
        rows.append(beside)
        columns.append(np.full(len(beside), k))
        # Unlike for each equation and integral: two multipliers must not do the same.
        weights.append(1.0 / (1 + which[beside] + which[integral]))
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(weights), len(integrals)
