"""How large a residual is: mean squares of its rows, and the scale that they are measured by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from piddm.grids.means import mean_square, node_weights
from piddm.residuals.residual import Fields, Residual
from piddm.tools.devices import placed

SMALL = 1e-4
"""Scale of one equation over that of another from which it may be rounding."""

ROUGH = 0.01
"""Relative change of every other node that tells how large rounding makes a term."""


_weights: WeakIdKeyDictionary = WeakIdKeyDictionary()
"""Of each residual the weights of rows that are not everywhere: what lasts is on a device once."""


def mean_squares(
    residual: Residual, fields: Fields, scale: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """Return the mean square of each equation's and condition's residual over its scale.

    The mean is over area on a sphere: each row weighs what its node does.
    """
    return {
        k: mean_square(r / scale[k] if scale else r, row_weights(residual, k, r))
        for k, r in residual(fields).items()
    }


def term_scale(residual: Residual, fields: Fields, masked: bool = False) -> dict[str, float]:
    """Return, for each equation, the root mean square of its largest term over data.

    For a boundary condition the term is the field itself, over the whole grid. Where terms
    are no more than rounding, such as the differences of a constant, the scale is 1.

    Args:
        residual: The residual.
        fields: The data.
        masked: Whether values that are not a number are missing ones, and the mean is over terms
            that touch none of them; 0 of an equation of which there is none.
    """
    found = _largest(residual, fields, masked)
    if not found or not all(found.values()) or min(found.values()) > SMALL * max(found.values()):
        return found
    rough = _largest(residual, {k: _roughened(v) for k, v in fields.items()}, masked)
    eps = max(torch.finfo(v.dtype).eps for v in fields.values())
    return {k: v if v > 4 * eps / ROUGH * rough[k] else 1.0 for k, v in found.items()}


def _largest(residual: Residual, fields: Fields, masked: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, parts in residual.terms(fields).items():
        squares = [mean_square(v, row_weights(residual, name, v), masked) for v in parts.values()]
        found[name] = max(float(v.sqrt()) for v in squares)
    return found


def _roughened(values: Tensor) -> Tensor:
    """Return a field with a small change of every other node."""
    if values.ndim < 2:
        return values
    index = torch.zeros(values.shape[1:], dtype=torch.long)
    for d, n in enumerate(values.shape[1:]):
        index = index + torch.arange(n).view([-1 if k == d else 1 for k in range(values.ndim - 1)])
    return values * (1 + ROUGH * (1 - 2 * (index % 2))).to(values)


def row_weights(residual: Residual, name: str, values: Tensor) -> Tensor | None:
    """Return the weights of rows, mean 1, or of terms, which may be there on the whole grid.

    None where all count the same.

    Args:
        residual: The residual.
        name: Which equation.
        values: Its rows, ``(batch, *shape)``.
    """
    every, shape = node_weights(residual.grid), values.shape[1:]
    if every is None or shape == every.shape:
        return every
    known: Any = _weights.setdefault(residual, {})
    if (name, shape) not in known:
        own = every[tuple(torch.from_numpy(residual.rows[name].nodes.T))].reshape(shape)
        # Some nodes only, such as one band, have another mean than 1.
        known[name, shape] = own / own.mean()
    return known[name, shape]


def sample_errors(residual: Residual, fields: Fields, scale: Mapping[str, float]) -> Tensor:
    """Return the normalised PDE error of each sample ``(batch,)``, summed over the rows' names."""
    total: list[Tensor] = []
    for name, rows in residual(fields).items():
        squares, weights = rows.square() / scale[name] ** 2, row_weights(residual, name, rows)
        squares = squares if weights is None else squares * placed(weights, squares)
        total.append(squares.flatten(1).mean(1))
    if not total:  # of a residual without rows, which all satisfy
        first = fields[residual.field_names[0]]
        return first.new_zeros(len(first))
    return torch.stack(total).sum(0)
