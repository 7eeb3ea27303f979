r"""The inverse of a matrix that is constant along the second of two axes, or along both.

Over nodes (i, j) of a product of axes, the matrix has a block :math:`A_{ii'}` over j for each pair
of lines. Where all these blocks have the same eigenvectors V, as differences with constant
coefficients have, it falls into one small matrix per eigenvector,

.. math:: A_{ii'} = V \Lambda_{ii'} V^{-1}, \qquad
    A^{-1} = (I \otimes V)\, \big[\Lambda_{\cdot\cdot k}^{-1}\big]_k\, (I \otimes V^{-1}),

and solving takes three batched products. Where the small matrices in turn have the same
eigenvectors X, as in a box but not in time, only eigenvalues are left,

.. math:: A^{-1} = (X \otimes V)\, \mathrm{diag}(\lambda_{ik})^{-1}\, (X^{-1} \otimes V^{-1}),

and on n x n nodes there are n^2 of them, where the matrices have n^3 entries. Along a periodic axis
V is the Fourier transform. Source: Lynch, Rice and Thomas, Direct solution of partial difference
equations by tensor product methods, Numerische Mathematik 6, 1964.
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
"""Entries of all different blocks, and of all modes' matrices, at most: where these are needed 390
nodes a side, whose inverses take 2 GiB for a while."""

SAME = 1e-11
"""Relative difference of blocks, and size of what a block has beyond others, that rounding made."""

KINDS = 6
"""Independent small matrices, at most, whose common eigenvectors are looked for: a box has two."""

WELL = 1e3
"""Condition number of X at most: in single precision as many digits are lost. Steps in time have
eigenvectors that are nearly all the same."""


class SeparableInverse:
    """Solves with one matrix of this kind, or with its transpose.

    Args:
        matrix: The matrix, rows and columns node by node, the second axis fastest.
        shape: Number of nodes along each of the axes.
        periodic: Whether the second axis is.

    Attributes:
        lags: By how many lines a line that depends on another comes after it.
        null: Right and left null vector, where the matrix has one; ``solve`` then returns one of
            the solutions of what has any.

    Raises:
        ValueError: If the blocks have no common, real and well-conditioned eigenvectors, or the
            matrix is too large or too singular.
    """

    def __init__(self, matrix: coo_array, shape: tuple[int, int], periodic: bool) -> None:
        self.shape, self._periodic = shape, periodic
        lines, width = shape
        pairs, kind, blocks = _blocks(matrix, lines, width)
        if periodic:
            eigenvalues = np.fft.rfft(_circulant(blocks), axis=1)
            vectors, inverse = np.eye(width), np.eye(width)
        else:
            vectors, inverse = _common_eigenvectors(blocks)
            eigenvalues = _diagonals(blocks, vectors, inverse)
        self.lags = np.unique(pairs // lines - pairs % lines)
        self.null: tuple[Tensor, Tensor] | None = None
        across = _across(pairs, kind, eigenvalues, lines)
        if across is None:
            modes = eigenvalues.shape[1]
            if modes * lines**2 > LARGEST:
                raise ValueError("too large")
            small = np.zeros((modes, lines, lines), dtype=eigenvalues.dtype)
            small[:, pairs // lines, pairs % lines] = eigenvalues[kind].T
            parts = [inverse, self._inverted(small, vectors, inverse), vectors]
        else:
            first, back, values = across
            parts = [inverse, self._reciprocal(values, first, back, vectors, inverse), vectors]
            parts += [back, first]
        self._parts = [torch.from_numpy(v) for v in parts]
        self._ready: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}

    def _inverted(self, small: np.ndarray, vectors: np.ndarray, inverse: np.ndarray) -> np.ndarray:
        left, values, right = np.linalg.svd(small)
        singular = values <= SINGULAR * values.max()
        if not singular.any():
            return np.linalg.inv(small)
        mode, place = self._only(singular)
        self._keep(mode, right[mode, place].conj(), left[mode, :, place], vectors, inverse)
        values = np.where(singular, np.inf, values)
        return (right.conj().swapaxes(1, 2) / values[:, None]) @ left.conj().swapaxes(1, 2)

    def _reciprocal(
        self, values: np.ndarray, first: np.ndarray, back: np.ndarray, vectors: np.ndarray,
        inverse: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Return 1/lambda ``(lines, modes)``, zero where the matrix is singular."""
        singular = np.abs(values) <= SINGULAR * np.abs(values).max()
        if singular.any():
            mode, place = self._only(singular.T)
            self._keep(mode, first[:, place], back[place], vectors, inverse)
        return np.where(singular, 0.0, 1 / np.where(singular, 1.0, values))

    def _only(self, singular: np.ndarray) -> tuple[int, int]:
        """Return mode and place of the only singular value."""
        if singular.sum() > 1 or (self._periodic and not singular[0].any()):
            raise ValueError("more than one null vector")
        ((mode, place),) = np.argwhere(singular)
        return int(mode), int(place)

    def _keep(
        self, mode: int, right: np.ndarray, left: np.ndarray, vectors: np.ndarray,
        inverse: np.ndarray,
    ) -> None:  # fmt: skip
        """Keep the null vectors, given across the lines."""
        ones = np.ones(self.shape[1])
        found = (
            np.outer(right, ones if self._periodic else vectors[:, mode]),
            np.outer(left, ones if self._periodic else inverse[mode]),
        )
        one, other = (torch.from_numpy(np.real(v).ravel().copy()) for v in found)
        self.null = one / one.norm(), other / other.norm()

    def solve(self, rows: Tensor, transposed: bool = False) -> Tensor:
        """Return the solution of ``(batch, nodes)``, in the precision of the right side."""
        inverse, small, vectors, *across = self._in_kind(rows)
        if transposed:
            inverse, vectors = vectors.mT, inverse.mT
            small, across = small.conj() if across else small.mH, [v.mT for v in reversed(across)]
        values = rows.view(-1, *self.shape)
        if across:
            back, first = across
            values = back @ values
            if self._periodic:
                modes = torch.fft.rfft(values, dim=2) * small
                values = torch.fft.irfft(modes, n=self.shape[1], dim=2)
            else:
                values = ((values @ inverse.mT) * small) @ vectors.mT
            return (first @ values).flatten(1)
        if self._periodic:
            modes = torch.fft.rfft(values, dim=2).permute(2, 1, 0)
            solved = torch.bmm(small, modes).permute(2, 1, 0)
            return torch.fft.irfft(solved, n=self.shape[1], dim=2).flatten(1)
        modes = (values @ inverse.mT).permute(2, 1, 0)
        return (torch.bmm(small, modes).permute(2, 1, 0) @ vectors.mT).flatten(1)

    def modes(self, rows: Tensor, transposed: bool = False) -> Tensor:
        """Return the modes of ``(batch, nodes)``, ``(lines, batch, modes)``."""
        inverse, _, vectors, *_ = self._in_kind(rows)
        values = rows.reshape(-1, *self.shape)
        if self._periodic:
            return torch.fft.rfft(values, dim=2).transpose(0, 1)
        return (values @ (vectors if transposed else inverse.mT)).transpose(0, 1)

    def back(self, modes: Tensor, transposed: bool = False) -> Tensor:
        """Return the values ``(batch, nodes)`` of :meth:`modes`."""
        if self._periodic:
            return torch.fft.irfft(modes.transpose(0, 1), n=self.shape[1], dim=2).flatten(1)
        inverse, _, vectors, *_ = self._in_kind(modes)
        return (modes.transpose(0, 1) @ (inverse if transposed else vectors.mT)).flatten(1)

    def sum_of_modes(self) -> Tensor:
        """Return the values along a line whose modes are all one, ``(nodes,)``."""
        if self._periodic:
            return torch.eye(1, self.shape[1], dtype=torch.float64)[0]
        return self._parts[2].sum(1)

    def _in_kind(self, rows: Tensor) -> list[Tensor]:
        """Return V^-1, what stands between, V, and X^-1 and X if any, in the rows' precision."""
        key = rows.dtype, rows.device
        if key not in self._ready:
            wide = torch.promote_types(rows.dtype, torch.complex64)
            kinds = [wide if v.is_complex() else rows.dtype for v in self._parts]
            self._ready[key] = [
                v.to(rows.device, k) for v, k in zip(self._parts, kinds, strict=True)
            ]
        return self._ready[key]


def _blocks(matrix: coo_array, lines: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of lines that have a block, the number of each one's kind, and the kinds.

    Blocks are compared by what random vectors make of them.
    """
    pair = (matrix.row // width).astype(np.int64) * lines + matrix.col // width
    pairs, number = np.unique(pair, return_inverse=True)
    left, right = np.random.default_rng(0).standard_normal((2, 3, width))
    entries = matrix.data * left[:, matrix.row % width] * right[:, matrix.col % width]
    marks = np.stack([np.bincount(number, v, len(pairs)) for v in entries], axis=1)
    marks = np.round(marks / max(np.abs(marks).max(), 1e-300) / SAME)
    _, shown, kind = np.unique(marks, axis=0, return_index=True, return_inverse=True)
    kind = kind.ravel()
    if len(shown) * width**2 > LARGEST:
        raise ValueError("too large")
    blocks = np.zeros((len(shown), width, width))
    chosen = shown[kind[number]] == number
    at = kind[number[chosen]], matrix.row[chosen] % width, matrix.col[chosen] % width
    np.add.at(blocks, at, matrix.data[chosen])
    return pairs, kind, blocks


def _across(
    pairs: np.ndarray, kind: np.ndarray, eigenvalues: np.ndarray, lines: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return X, its inverse and the eigenvalues ``(lines, modes)``; None if there is no such X.

    Args:
        pairs: Pairs of lines that have a block, as one number.
        kind: The kind of each.
        eigenvalues: Of each kind, ``(kinds, modes)``.
        lines: Number of lines.
    """
    real = np.concatenate([np.real(eigenvalues), np.imag(eigenvalues)], axis=1)
    mixed, size, parts = np.linalg.svd(real, full_matrices=False)
    rank = int((size > SAME * size[0]).sum())
    if rank > KINDS:
        return None
    small = np.zeros((rank, lines, lines))
    small[:, pairs // lines, pairs % lines] = (mixed[:, :rank] * size[:rank])[kind].T
    try:
        first, back = _common_eigenvectors(small)
        found = _diagonals(small, first, back)
    except (ValueError, np.linalg.LinAlgError):
        return None
    if np.linalg.cond(first) > WELL:
        return None
    one, other = np.split(found.T @ parts[:rank], 2, axis=1)
    return first, back, one + 1j * other if np.iscomplexobj(eigenvalues) else one


def _diagonals(blocks: np.ndarray, vectors: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of blocks, ``(blocks, width)``."""
    turned = inverse @ blocks @ vectors
    eigenvalues = np.einsum("kii->ki", turned)
    beside = np.abs(turned - eigenvalues[:, :, None] * np.eye(len(vectors))).max()
    if beside > TOLERANCE * np.abs(turned).max():
        raise ValueError("no common eigenvectors")
    return eigenvalues


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
