"""Weights of finite differences, of spectral derivatives and of quadrature on uniform nodes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import sympy

Stencil = tuple[tuple[int, ...], tuple[float, ...]]
"""Offsets from a node, and their weights for unit spacing."""


@lru_cache(maxsize=4096)
def weights(offsets: tuple[float, ...], derivative: int) -> tuple[float, ...]:
    """Return the weights that are exact for polynomials up to ``len(offsets) - 1``, unit spacing.

    In rational arithmetic, by the recursion of B. Fornberg, Mathematics of Computation 51 (1988):
    in floating point, wide one-sided stencils lose digits.
    """
    points = [sympy.Rational(round(2 * o), 2) for o in offsets]
    table = sympy.finite_diff_weights(derivative, points, sympy.S.Zero)  # pyright: ignore
    return tuple(float(w) for w in table[derivative][-1])


def central(derivative: int, order: int = 2) -> Stencil:
    """Return the stencil at a node, on nodes to both sides of it."""
    half = (derivative + 1) // 2 + order // 2 - 1
    offsets = tuple(range(-half, half + 1))
    raw = weights(tuple(map(float, offsets)), derivative)
    kept = [(o, w) for o, w in zip(offsets, raw, strict=True) if w]
    return tuple(o for o, _ in kept), tuple(w for _, w in kept)


def leaning(order: int, below: bool) -> Stencil:
    """Return the first derivative's stencil of an odd order, one node longer to one side."""
    far, near = (order + 1) // 2, order // 2
    offsets = tuple(range(-far, near + 1)) if below else tuple(range(-near, far + 1))
    return offsets, weights(tuple(map(float, offsets)), 1)


def staggered(derivative: int, order: int = 2) -> Stencil:
    """Return the stencil at the midpoint between nodes 0 and 1; derivative 0 is the mean."""
    half = derivative // 2 + order // 2
    offsets = tuple(range(-half + 1, half + 1))
    return offsets, weights(tuple(o - 0.5 for o in offsets), derivative)


def one_sided(
    rows: range, shift: float, derivative: int, order: int, size: int
) -> tuple[int, np.ndarray]:
    """Return stencils for rows near an end of an axis, on the nearest sources there are.

    Args:
        rows: Indices of the rows.
        shift: Position of source j relative to row j: 0.5 where the sources are half a step above.
        derivative: Order of the derivative; 0 interpolates.
        order: Order of accuracy.
        size: Number of sources.

    Returns:
        The first source in use, and the weights ``(rows, sources in use)`` for unit spacing.

    Raises:
        ValueError: With the number of sources it takes, if there are fewer.
    """
    width = derivative + order
    if width > size:
        raise ValueError(width)
    # The window nearest to the row, moved inside.
    first = [int(np.clip(np.ceil(i - shift - (width - 1) / 2), 0, size - width)) for i in rows]
    low, high = min(first), max(first) + width
    matrix = np.zeros((len(rows), high - low))
    for row, (i, start) in enumerate(zip(rows, first, strict=True)):
        offsets = tuple(float(j + shift - i) for j in range(start, start + width))
        matrix[row, start - low : start - low + width] = weights(offsets, derivative)
    return low, matrix


@lru_cache
def spectral(size: int, length: float, derivative: int) -> np.ndarray:
    """Return the matrix ``(size, size)`` that differentiates the trigonometric interpolant.

    A product with it costs less than Fourier transforms up to a few hundred nodes, and works under
    every transform of torch. An odd derivative of the highest mode of an even number of nodes
    is zero, as it must be for a real field: L. N. Trefethen, Spectral Methods in MATLAB, ch. 3.
    """
    wave = 2j * np.pi * np.fft.rfftfreq(size, length / size)
    factor = wave**derivative
    if derivative % 2 and size % 2 == 0:
        factor[-1] = 0
    return np.fft.irfft(factor[:, None] * np.fft.rfft(np.eye(size), axis=0), size, axis=0)


@lru_cache
def quadrature(size: int, order: int, periodic: bool) -> np.ndarray:
    """Return the weights ``(size,)`` of an integral over an axis, unit spacing.

    Every node alike where the axis is periodic; else with J. Gregory's corrections at the ends,
    which make it exact for polynomials up to ``order - 1``. The trapezoidal rule is order 2.

    Raises:
        ValueError: With the number of nodes it takes, if there are fewer.
    """
    total = np.ones(size)
    if periodic:
        return total
    count = max(order - 1, 1)
    if 2 * count > size:
        raise ValueError(2 * count)
    # What the sum over j >= 0 of j^k has too much, by the Euler-Maclaurin formula, is zeta(-k).
    powers = [sympy.Rational(-1, 2), *(-sympy.zeta(-k) for k in range(1, count))]
    matrix = sympy.Matrix(count, count, lambda k, j: sympy.Integer(j) ** k)
    correction = np.array([float(c) for c in matrix.LUsolve(sympy.Matrix(powers))])
    total[:count] += correction
    total[-count:] += correction[::-1]
    return total
