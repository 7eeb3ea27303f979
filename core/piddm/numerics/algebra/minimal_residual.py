r"""Generalised minimal residuals (GMRES) for many systems side by side.

.. math:: A x = b, \qquad x = P y, \quad y \in \mathrm{span}\{b, APb, (AP)^2 b, \dots\},

with :math:`P \approx A^{-1}` on the right, so that the residual of the system itself is what is
least. The number of iterations is fixed beforehand: no value has to reach the host. On a processor,
where looking costs nothing, they end as soon as every system is solved well enough. Source: Saad
and Schultz, SIAM Journal on Scientific and Statistical Computing 7, 1986.
"""

from __future__ import annotations

import torch
from torch import Tensor

from piddm.numerics.algebra.conjugate_gradients import TINY, Apply, least_length

EXACT = 1e-5
"""Relative length of a new direction at which there is nothing more to look for."""

RIDGE = 1e-14
"""Relative addition to the small least-squares matrix: it is singular once a system is solved."""


def minimal_residual(
    matrix: Apply, inverse: Apply, target: Tensor, iterations: int, enough: Tensor | None = None
) -> Tensor:
    """Return approximate solutions ``(batch, size)``.

    Args:
        matrix: A, any that is not singular.
        inverse: P.
        target: b, ``(batch, size)``.
        iterations: How many products with A, at most.
        enough: Length of a rest, over that of b, at which a system is solved, ``(batch,)``.
    """
    return inverse(_krylov(lambda v: matrix(inverse(v)), target, iterations, enough)[0])


def minimal_error(
    matrix: Apply, inverse: Apply, target: Tensor, iterations: int, enough: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return approximate solutions ``(batch, size)``, and about how far off they are, relatively.

    P is on the left: of :math:`P A x = P b` the residual is least, which is as good as the error
    itself where P is a good inverse. Of differences of a field it is the field that counts then,
    and not its finest wiggles.

    Args:
        matrix: A, any that is not singular.
        inverse: P.
        target: b, ``(batch, size)``.
        iterations: How many products with A, at most.
        enough: Length of that rest, over that of P b, at which a system is solved, ``(batch,)``.
    """
    start = inverse(target)
    found, rest = _krylov(lambda v: inverse(matrix(v)), start, iterations, enough)
    return found, rest / start.norm(dim=1).clamp_min(TINY)


def _krylov(
    apply: Apply, target: Tensor, iterations: int, enough: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return what solves ``apply(x) = target`` nearly, and the length of what it leaves."""
    least = least_length(target, enough)
    batch, size = target.shape
    start = target.norm(dim=1, keepdim=True)
    basis = target.new_empty(batch, iterations + 1, size)
    basis[:, 0] = target / start.clamp_min(TINY)
    hessenberg = target.new_zeros(batch, iterations + 1, iterations)
    for k in range(iterations):
        vector, known = apply(basis[:, k]), basis[:, : k + 1]
        along = known @ vector[..., None]
        vector = vector - (along.mT @ known)[:, 0]
        length = vector.norm(dim=1, keepdim=True)
        basis[:, k + 1] = vector / length.clamp_min(TINY)
        hessenberg[:, : k + 1, k] = along[..., 0]
        hessenberg[:, k + 1, k] = length[:, 0]
        # On a processor, looking costs nothing: an inverse that is exact leaves no new direction.
        if target.device.type == "cpu" and float((length / along.norm(dim=1)).max()) < EXACT:
            iterations = k + 1
            break
        if least is not None and k + 1 < iterations:
            _, rest = _least_squares(hessenberg[:, : k + 2, : k + 1], start)
            if bool((rest <= least).all()):
                iterations = k + 1
                break
    weight, rest = _least_squares(hessenberg[:, : iterations + 1, :iterations], start)
    return (weight.to(target).mT @ basis[:, :iterations])[:, 0], rest


def _least_squares(hessenberg: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights of the basis ``(batch, count, 1)`` and the length of what they leave."""
    exact, length = hessenberg.double(), start.double()
    gram = exact.mT @ exact
    ridge = RIDGE * gram.diagonal(dim1=1, dim2=2).sum(1) + TINY
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    side = exact[:, 0, :, None] * length[..., None]
    # Nobody looks whether it is singular, for which the host would wait: it is lifted.
    weight = torch.linalg.solve_ex(gram + ridge[:, None, None] * eye, side).result
    rest = -(exact @ weight)[..., 0]
    rest[:, :1] += length
    return weight, rest.norm(dim=1)
