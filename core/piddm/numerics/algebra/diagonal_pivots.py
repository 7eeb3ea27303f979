"""Sparse LU factors with the diagonal as pivots: half the entries, where that is accurate."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import SuperLU, splu

SYMMETRIC = {
    "permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}
}  # fmt: skip
"""Settings of SuperLU for matrices of a symmetric pattern whose diagonal serves as pivots."""


def along_diagonal(matrix: csc_matrix, tolerance: float) -> SuperLU | None:
    """Return the factors without pivoting, or None where they lose digits or there are none.

    Args:
        matrix: A, square.
        tolerance: Largest error of a solved x, over the largest entry of x, that is accepted.
    """
    exact = np.random.default_rng(0).standard_normal(len(matrix.indptr) - 1)
    try:
        factor = splu(matrix, **SYMMETRIC)
    except RuntimeError:  # exactly singular
        return None
    found = factor.solve(matrix @ exact)
    return factor if np.abs(found - exact).max() < tolerance * np.abs(exact).max() else None
