r"""Orthonormal bases along one axis: real Fourier where it is periodic, cosine (DCT-II) elsewhere.

Matrices rather than fast transforms: at the sizes of a field's axis a product with an n by n matrix
is as fast, runs on every device, is differentiable and needs no special case for odd lengths.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from piddm.grids.grid import Axis


def basis(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    r"""Return eigenfunctions of the Laplacian on an axis, sampled, and their angular frequencies.

    Periodic: :math:`1, \sqrt2\cos(2\pi nx/L), \sqrt2\sin(2\pi nx/L)` at the nodes. Bounded:
    :math:`1, \sqrt2\cos(\pi k x/L)` at the n cell centres, the convention of the published
    Neumann random fields (an orthonormal inverse DCT). At unequal distances they are at the nodes.

    Returns:
        ``(n, n)`` matrix whose columns are functions of mean square 1 (so the matrix over
        :math:`\sqrt n` is orthogonal, at equal distances), and ``(n,)`` frequencies in radians per
        unit length.
    """
    n, length = axis.size, axis.upper - axis.lower
    if not axis.periodic:
        k = np.arange(n)
        x = (np.arange(n) + 0.5) / n
        if axis.nodes is not None:
            x = (axis.coordinates() - axis.lower) / length
        functions = np.sqrt(2.0) * np.cos(np.pi * np.outer(x, k))
        functions[:, 0] = 1.0
        return functions, np.pi * k / length
    k = (np.arange(n) + 1) // 2
    phase = 2 * np.pi * np.outer(np.arange(n) / n, k)
    even = np.arange(n) % 2 == 0
    functions = np.sqrt(2.0) * np.where(even, np.sin(phase), np.cos(phase))
    functions[:, 0] = 1.0
    if n % 2 == 0:  # the last cosine alternates in sign; its sine vanishes on the grid
        functions[:, -1] /= np.sqrt(2.0)
    return functions, 2 * np.pi * k / length


def along(matrix: Tensor, values: Tensor, dim: int) -> Tensor:
    """Apply a matrix along one dimension: out[.., i, ..] = sum_j matrix[i, j] values[.., j, ..]."""
    dim %= values.ndim
    if dim == values.ndim - 1:
        return values @ matrix.mT
    # As one product over what comes after: no axis is moved, nothing is copied.
    after = values.shape[dim + 1 :]
    return (matrix @ values.flatten(dim + 1)).unflatten(-1, after)
