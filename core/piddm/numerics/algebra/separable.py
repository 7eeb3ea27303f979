r"""The inverse of a matrix that is constant along the second of two axes.

Over nodes (i, j) of a product of axes, the matrix has a block :math:`A_{ii'}` over j for each pair
of lines. Where all these blocks have the same eigenvectors V, as differences with constant
coefficients have, it falls into one small matrix per eigenvector,

.. math:: A_{ii'} = V \Lambda_{ii'} V^{-1}, \qquad
    A^{-1} = (I \otimes V)\, \big[\Lambda_{\cdot\cdot k}^{-1}\big]_k\, (I \otimes V^{-1}),

and solving takes three batched products. Along a periodic axis V is the Fourier transform. Source:
Lynch, Rice and Thomas, Direct solution of partial difference equations by tensor product methods,
Numerische Mathematik 6, 1964.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_array
from torch import Tensor

TOLERANCE = 1e-8
"""Relative size of what the eigenvectors may leave beside a block's diagonal."""

SINGULAR = 1e-9
"""Relative singular value up to which a mode's matrix counts as singular."""

LARGEST = 60_000_000
"""Entries of all blocks, and of all modes' matrices, at most: 270 nodes a side, whose making takes
2 GiB for a while."""


class SeparableInverse:
    """Solves with one matrix of this kind, or with its transpose.

    Args:
        matrix: The matrix, rows and columns node by node, the second axis fastest.
        shape: Number of nodes along each of the axes.
        periodic: Whether the second axis is.

    Attributes:
        null: Right and left null vector, where the matrix has one; ``solve`` is then the
            pseudo-inverse.

    Raises:
        ValueError: If the blocks have no common, real and well-conditioned eigenvectors, or the
            matrix is too large or too singular.
    """

    def __init__(self, matrix: coo_array, shape: tuple[int, int], periodic: bool) -> None:
        self.shape, self._periodic = shape, periodic
        lines, width = shape
        pair = (matrix.row // width).astype(np.int64) * lines + matrix.col // width
        pairs, number = np.unique(pair, return_inverse=True)
        modes = width // 2 + 1 if periodic else width
        if len(pairs) * width**2 > LARGEST or modes * lines**2 > LARGEST:
            raise ValueError("too large")
        blocks = np.zeros((len(pairs), width, width))
        np.add.at(blocks, (number, matrix.row % width, matrix.col % width), matrix.data)
        if periodic:
            eigenvalues = np.fft.rfft(_circulant(blocks), axis=1)
            vectors, inverse = np.eye(width), np.eye(width)
        else:
            vectors, inverse = _common_eigenvectors(blocks)
            turned = inverse @ blocks @ vectors
            eigenvalues = np.einsum("kii->ki", turned)
            beside = np.abs(turned - eigenvalues[:, :, None] * np.eye(width)).max()
            if beside > TOLERANCE * np.abs(turned).max():
                raise ValueError("no common eigenvectors")
        small = np.zeros((modes, lines, lines), dtype=eigenvalues.dtype)
        small[:, pairs // lines, pairs % lines] = eigenvalues.T
        self.null: tuple[Tensor, Tensor] | None = None
        solved = self._inverted(small, vectors, inverse)
        self._parts = [torch.from_numpy(v) for v in (inverse, solved, vectors)]
        self._ready: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}

    def _inverted(self, small: np.ndarray, vectors: np.ndarray, inverse: np.ndarray) -> np.ndarray:
        left, values, right = np.linalg.svd(small)
        singular = values <= SINGULAR * values.max()
        if not singular.any():
            return np.linalg.inv(small)
        if singular.sum() > 1 or (self._periodic and not singular[0].any()):
            raise ValueError("more than one null vector")
        ((mode, place),) = np.argwhere(singular)
        along = np.ones(self.shape[1]) if self._periodic else vectors[:, mode]
        across = np.ones(self.shape[1]) if self._periodic else inverse[mode]
        found = np.outer(right[mode, place].conj(), along), np.outer(left[mode, :, place], across)
        right_null, left_null = (torch.from_numpy(np.real(v).ravel().copy()) for v in found)
        self.null = right_null / right_null.norm(), left_null / left_null.norm()
        values = np.where(singular, np.inf, values)
        return (right.conj().swapaxes(1, 2) / values[:, None]) @ left.conj().swapaxes(1, 2)

    def solve(self, rows: Tensor, transposed: bool = False) -> Tensor:
        """Return the solution of ``(batch, nodes)``, in the precision of the right side."""
        key = rows.dtype, rows.device
        if key not in self._ready:
            wide = torch.promote_types(rows.dtype, torch.complex64)
            kinds = [rows.dtype, wide if self._periodic else rows.dtype, rows.dtype]
            self._ready[key] = [
                v.to(rows.device, k) for v, k in zip(self._parts, kinds, strict=True)
            ]
        inverse, small, vectors = self._ready[key]
        if transposed:
            inverse, small, vectors = vectors.mT, small.mH, inverse.mT
        values = rows.view(-1, *self.shape)
        if self._periodic:
            modes = torch.fft.rfft(values, dim=2).permute(2, 1, 0)
            solved = torch.bmm(small, modes).permute(2, 1, 0)
            return torch.fft.irfft(solved, n=self.shape[1], dim=2).flatten(1)
        modes = (values @ inverse.mT).permute(2, 1, 0)
        return (torch.bmm(small, modes).permute(2, 1, 0) @ vectors.mT).flatten(1)


def _circulant(blocks: np.ndarray) -> np.ndarray:
    """Return the first columns of blocks, which must be the same all the way round."""
    width = blocks.shape[1]
    first = blocks[:, :, 0]
    around = (np.arange(width)[:, None] - np.arange(width)[None]) % width
    if np.abs(blocks - first[:, around]).max() > TOLERANCE * np.abs(blocks).max():
        raise ValueError("not the same all the way round")
    return first


def _common_eigenvectors(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return V and its inverse, from a random combination of blocks: its eigenvectors are all's."""
    weights = np.random.default_rng(0).standard_normal(len(blocks))
    mixed = np.tensordot(weights, blocks, 1)
    if np.abs(mixed - mixed.T).max() <= TOLERANCE * np.abs(mixed).max():
        vectors = np.linalg.eigh(mixed)[1]
        return vectors, vectors.T
    values, vectors = np.linalg.eig(mixed)
    if np.abs(np.imag(values)).max() > TOLERANCE * np.abs(values).max():
        raise ValueError("waves along an axis that is not periodic")
    real = np.real(vectors)
    if np.linalg.cond(real) > 1 / TOLERANCE:
        raise ValueError("no well-conditioned eigenvectors")
    return real, np.linalg.inv(real)
