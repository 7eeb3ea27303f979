"""Finite-difference weights on arbitrary offsets, half nodes included."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache
def weights(offsets: tuple[float, ...], derivative: int) -> tuple[float, ...]:
    """Return the weights that are exact for polynomials up to ``len(offsets) - 1``, unit spacing.

    Solves the moment conditions (a Vandermonde system, small and integer): the weights of
    B. Fornberg, Mathematics of Computation 51 (1988).
    """
    import math

    powers = np.arange(len(offsets))
    moments = np.power.outer(np.asarray(offsets, dtype=float), powers).T
    target = np.where(powers == derivative, float(math.factorial(derivative)), 0.0)
    return tuple(float(w) for w in np.linalg.solve(moments, target))


def central(derivative: int, order: int = 2) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return offsets and weights of the central stencil at a node."""
    half = (derivative + 1) // 2 + order // 2 - 1
    offsets = tuple(range(-half, half + 1))
    raw = weights(tuple(float(o) for o in offsets), derivative)
    kept = [(o, w) for o, w in zip(offsets, raw, strict=True) if abs(w) > 1e-12]
    return tuple(o for o, _ in kept), tuple(w for _, w in kept)


def staggered(derivative: int, order: int = 2) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return offsets and weights at the midpoint between nodes 0 and 1 (derivative 0: the mean)."""
    half = (derivative + 1) // 2 + order // 2 if derivative else order // 2
    half = max(half - (1 if derivative else 0), 1)
    offsets = tuple(range(-half + 1, half + 1))
    return offsets, weights(tuple(o - 0.5 for o in offsets), derivative)
