r"""A residual of an equation that holds only nearly: rows within its error count as zero.

Data that satisfy an equation up to an error say no more than that. With :math:`\epsilon_k` the root
mean square of row k over its scale in data, a sample's rows become

.. math:: \tilde R_k = \Big(1 - \frac{\epsilon_k s_k}{\|R_k\|}\Big)_+ R_k,

:math:`\|\cdot\|` the root mean square over nodes: the distance of the rows to a ball (the
discrepancy principle of Morozov, 1966).

An equation's rows on a box of nodes are taken apart into octaves of waves, each with a ball of its
own: noise that a derivative amplifies is large in short waves, and would else excuse an error in
long ones, which moves a solution a hundred times as far. Waves are cosines, of an orthonormal
transform; octave j has those of :math:`2^j \le 1 + |k| < 2^{j+1}`.

Derivatives are those of R, so that a step of Newton's ends on the ball, and what is in it already
stays. Losses, corrections and projections that are given this in place of R force nothing below
what the data support.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import torch
from torch import Tensor

from piddm.residuals.residual import Fields, Residual

LEAST = 1e-10
"""Mean square of normalised rows up to which an error is none: rounding in float32 is as large."""


SMALLEST = 4
"""Nodes along each axis from which rows are taken apart."""

TINY = 1e-30
"""What stands in for a size of zero."""


class Tolerant(Residual):
    """A residual that vanishes where its rows are no larger than those of data.

    Args:
        residual: The residual.
        scale: Scale of each row.
        allowed: Row name to the mean square of normalised rows that counts as none.
        octaves: Row name to the shares of that by octaves, see :func:`shares`; where a name is left
            out, all waves are taken together.
    """

    def __init__(
        self, residual: Residual, scale: Mapping[str, float], allowed: Mapping[str, float],
        octaves: Mapping[str, Sequence[float]] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._inner, self._allowed = residual, {
            k: v**0.5 * scale[k] for k, v in allowed.items()
            if k in residual.rows and not residual.rows[k].integral
        }  # fmt: skip
        self._octaves = {k: torch.tensor(v, dtype=torch.float64) for k, v in octaves.items()}
        self.grid, self.field_names, self.rows = residual.grid, residual.field_names, residual.rows
        self.free_params, self.bounds = residual.free_params, residual.bounds

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return the rows, less what is allowed; their derivatives are those of the residual."""
        return self._less(self._inner(fields))

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms whose sum each equation is."""
        return self._inner.terms(fields)

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows, less what is allowed, and the residual's derivatives."""
        rows, change = self._inner.tangent(fields, directions)
        return self._less(rows), change

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted by least squares."""
        return self._inner.fit(fields)

    def _less(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = dict(rows)
        for name, allowed in self._allowed.items():
            value = found[name].detach()
            if name in self._octaves:
                kept = _balls(value, allowed * self._octaves[name].sqrt())
            else:
                share = (allowed / _size(value.flatten(1)).clamp_min(TINY)).clamp_max(1.0)
                kept = share.view(-1, *[1] * (value.ndim - 1)) * value
            found[name] = found[name] - kept
        return found


def tolerant(
    residual: Residual, scale: Mapping[str, float], allowed: Mapping[str, float],
    octaves: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> Residual:  # fmt: skip
    """Return a residual that allows data's own error; itself where that is rounding only."""
    large = {k: v for k, v in allowed.items() if v > LEAST}
    return Tolerant(residual, scale, large, octaves) if large else residual


@torch.no_grad()
def shares(residual: Residual, fields: Fields) -> dict[str, tuple[float, ...]]:
    """Return how an equation's mean square splits into octaves of waves, shares that add up to 1.

    Only of equations with a row for each node of a box.

    Args:
        residual: The residual.
        fields: Samples, ``(batch, *grid.shape)`` each.
    """
    found: dict[str, tuple[float, ...]] = {}
    for name, value in residual(fields).items():
        box = value.ndim == 1 + len(residual.grid.shape) and min(value.shape[1:]) >= SMALLEST
        if box and not residual.rows[name].boundary and not residual.grid.spherical:
            squares = _waves(value).square().mean(0).flatten()
            octave = _octave(value.shape[1:]).flatten()
            total = squares.new_zeros(int(octave.max()) + 1).index_add_(0, octave, squares)
            if float(total.sum()) > 0:
                found[name] = tuple((total / total.sum()).tolist())
    return found


def _balls(value: Tensor, allowed: Tensor) -> Tensor:
    """Return the nearest rows in the balls of all octaves, whose radii are root mean squares."""
    waves, octave = _waves(value), _octave(value.shape[1:]).to(value.device)
    nodes = octave.numel()
    squares = value.new_zeros(len(value), len(allowed))
    squares.index_add_(1, octave.flatten(), waves.square().flatten(1))
    size = (squares / nodes).sqrt().clamp_min(TINY)
    share = (allowed.to(value) / size).clamp_max(1.0)
    return _waves(waves * share[:, octave], back=True)


def _waves(value: Tensor, back: bool = False) -> Tensor:
    """Return the cosine transform of rows along all axes, or the rows of one."""
    for d, n in enumerate(value.shape[1:], 1):
        matrix = _cosines(n).to(value)
        value = (value.movedim(d, -1) @ (matrix if back else matrix.mT)).movedim(-1, d)
    return value


@lru_cache(maxsize=8)
def _cosines(n: int) -> Tensor:
    """Return the orthonormal cosine transform of n values, a wave a row."""
    k = torch.arange(n, dtype=torch.float64)
    waves = torch.cos(torch.pi * torch.outer(k, (k + 0.5) / n)) * (2 / n) ** 0.5
    waves[0] /= 2**0.5
    return waves


@lru_cache(maxsize=8)
def _octave(shape: Sequence[int]) -> Tensor:
    """Return the octave of each wave, ``shape``."""
    squares = torch.zeros(())
    for n in shape:
        squares = squares[..., None] + torch.arange(n, dtype=torch.float64) ** 2
    return torch.log2(1 + squares.sqrt()).floor().long()


def _size(values: Tensor) -> Tensor:
    return values.square().mean(1).sqrt()
