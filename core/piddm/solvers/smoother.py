r"""Ensemble smoother with multiple data assimilation: a posterior ensemble without a gradient.

In each round every member moves by the regression of noise on what is seen of it,

.. math:: \epsilon \leftarrow \epsilon + C_{\epsilon y} (C_{yy} + \alpha I)^{-1}
    (y + \sqrt\alpha\,\xi - H d(\epsilon)),

covariances being the ensemble's. The alphas' reciprocals add up to 1, so that for a linear
generator and a large ensemble the last round has the exact posterior; for others, small steps
follow the bends. Source: Emerick and Reynolds, Computers and Geosciences 55, 2013.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor


def smooth(
    noise: Tensor,
    seen: Callable[[Tensor], Tensor],
    target: Tensor,
    rounds: int,
    generator: Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the ensemble ``(members, dimension)`` and what is seen of it, after each round.

    Args:
        noise: White noise, ``(members, dimension)``.
        seen: The ensemble to what is observed of it, over the observations' tolerance:
            ``(members, n)``, float64.
        target: What was observed, over its tolerance, ``(n,)``.
        rounds: Each halves alpha, from caution to trust.
        generator: Of the perturbations xi.
    """
    count, observed = len(noise), len(target)
    share = 2.0 ** torch.arange(rounds, dtype=torch.float64)
    y = seen(noise)
    for alpha in (share.sum() / share).tolist():
        away, spread = noise - noise.mean(0), y - y.mean(0)
        xi = torch.randn((count, observed), generator=generator, dtype=torch.float64)
        wanted = target + alpha**0.5 * xi - y
        # The smaller of two systems that say the same.
        ridge = alpha * (count - 1)
        if observed <= count:
            inner = spread.mT @ spread + ridge * torch.eye(observed, dtype=y.dtype)
            weight = torch.linalg.solve(inner, wanted.mT).mT
            noise = noise + weight.to(noise) @ (spread.mT.to(noise) @ away)
        else:
            inner = spread @ spread.mT + ridge * torch.eye(count, dtype=y.dtype)
            weight = torch.linalg.solve(inner, spread @ wanted.mT).mT
            noise = noise + weight.to(noise) @ away
        y = seen(noise)
        yield noise, y
