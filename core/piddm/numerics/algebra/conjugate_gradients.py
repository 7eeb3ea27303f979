r"""Conjugate gradients for many symmetric positive definite systems side by side.

.. math:: K m = r, \qquad \text{preconditioned by } M \approx K^{-1}.

Every system has step lengths of its own. The number of iterations is fixed beforehand, so that no
value has to reach the host while they run; on a processor, where looking costs nothing, they end as
soon as every system is solved well enough. Source: Hestenes and Stiefel, Journal of Research of
the National Bureau of Standards 49, 1952.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Apply = Callable[[Tensor], Tensor]
"""A linear map of vectors ``(batch, size)``, one of its own for each of the batch."""

TINY = 1e-30
"""Least divisor: a system that is solved already has a direction of zero, and stays."""


def conjugate_gradients(
    matrix: Apply, inverse: Apply, target: Tensor, iterations: int, enough: Tensor | None = None
) -> Tensor:
    """Return approximate solutions ``(batch, size)``.

    Args:
        matrix: K, symmetric and positive definite.
        inverse: M, likewise.
        target: r, ``(batch, size)``.
        iterations: How many products with K, at most.
        enough: Length of a rest, over that of r, at which a system is solved, ``(batch,)``.
    """
    least = least_length(target, enough)
    better = inverse(target)
    direction, size = better, (target * better).sum(1, keepdim=True)
    rest, found = target, torch.zeros_like(target)
    for k in range(iterations):
        change = matrix(direction)
        length = size / (direction * change).sum(1, keepdim=True).clamp_min(TINY)
        found = torch.addcmul(found, length, direction)
        if k + 1 == iterations:
            break
        rest = torch.addcmul(rest, length, change, value=-1.0)
        if least is not None and bool((rest.norm(dim=1) <= least).all()):
            break
        better = inverse(rest)
        last, size = size, (rest * better).sum(1, keepdim=True)
        direction = torch.addcmul(better, size / last.clamp_min(TINY), direction)
    return found


def least_length(target: Tensor, enough: Tensor | None) -> Tensor | None:
    """Return the length of a rest at which each system is solved; None where nobody looks."""
    if enough is None or target.device.type != "cpu":
        return None
    return enough * target.norm(dim=1)
