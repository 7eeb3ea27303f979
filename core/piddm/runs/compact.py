r"""Principal components in fewer numbers, for models that are sent around.

Components :math:`u_k` of smooth fields hardly vary from node to node, and the weaker a component
the less its details count. So each field of :math:`s_k u_k`, s the deviation of k, is kept as

.. math:: s_k u_k(x, y) = \sum_{abc} G_{abc}\, P_{ka}\, Q_{xb}\, R_{yc},

by the leading singular vectors P, Q, R of each axis, that of components among them (a truncated
higher-order singular value decomposition: De Lathauwer et al., SIAM J. Matrix Anal. Appl. 21,
2000). Each axis leaves an equal part of an error of :data:`TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from piddm.data.colour import Colour

TOLERANCE = 5e-3
"""Root of the share of a field's variance that is left out: half a percent of the field."""

LEAST = 1 << 16
"""Numbers up to which components are kept as they are."""


def compacted(colour: Colour) -> dict[str, Tensor]:
    """Return what tells the components of a colour, float32; nothing if they are few.

    Returns:
        For the i-th field the core ``i.core`` and factors ``i.0``, ``i.1``...: of components,
        folded slices, rows and columns. A field without components has none.
    """
    rank = colour.rank()
    if rank * colour.dimension <= LEAST:
        return {}
    strong = colour.strengths[:rank].double()
    scaled = strong[:, None] * colour.components[:rank].double()
    fields = scaled.view(rank, len(colour.names), colour.folded, *colour.image)
    found = {}
    for i in range(len(colour.names)):
        core = fields[:, i]
        if not bool(core.any()):
            continue
        allowed = TOLERANCE**2 * core.square().sum() / core.ndim
        for axis in range(core.ndim):
            basis = _leading(core.movedim(axis, 0).flatten(1), allowed)
            core = _along(axis, core, basis.mT)
            found[f"{i}.{axis}"] = basis.float()
        found[f"{i}.core"] = core.float()
    return found


def expanded(colour: Colour, strengths: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """Return the components ``(rank, dimension)`` that :func:`compacted` told, for its strengths.

    Raises:
        KeyError: If a factor is missing.
        RuntimeError: If shapes do not fit.
    """
    used = int(torch.count_nonzero(strengths))
    strong = strengths[:used].double()
    fields = strong.new_zeros(used, len(colour.names), colour.folded, *colour.image)
    for i in range(len(colour.names)):
        if f"{i}.core" not in parts:
            continue
        whole = parts[f"{i}.core"].double()
        for axis in range(whole.ndim):
            factor = parts[f"{i}.{axis}"].double()
            whole = _along(axis, whole, factor)
        fields[:, i] = whole.reshape(fields[:, i].shape)
    components = torch.zeros_like(colour.components)
    components[:used] = (fields.flatten(1) / strong[:, None]).to(components.dtype)
    return components


def _along(axis: int, x: Tensor, matrix: Tensor) -> Tensor:
    """Apply a matrix along an axis."""
    moved = x.movedim(axis, -1)
    return (moved @ matrix.mT).movedim(-1, axis)


def _leading(matrix: Tensor, allowed: Tensor) -> Tensor:
    """Return the fewest leading left singular vectors that leave no more than what is allowed."""
    values, vectors = torch.linalg.eigh(matrix @ matrix.mT)  # ascending
    left = values.clamp_min(0).cumsum(0)
    kept = max(1, int((left > allowed).sum()))
    return vectors[:, -kept:].flip(1)
