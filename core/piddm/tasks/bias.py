r"""A bias that a group of sensors has in common, integrated out.

.. math:: y_k = (Hx)_k + b + \sigma_k e_k, \qquad b \sim N(0, \beta^2),

so that the noise of a group is correlated. Each reading is therefore told what those before it in
its group say of the bias,

.. math:: \tilde y_k = y_k - v_k\sum_{j<k} y_j/\sigma_j^2, \qquad
    v_k = \Big(\beta^{-2} + \sum_{j<k}\sigma_j^{-2}\Big)^{-1}, \qquad
    \tilde\sigma_k^2 = \sigma_k^2 + v_k,

which is one linear map of readings and of what sensors see: the noise of the result is independent,
the likelihood is that with the bias integrated out, and every solver takes it. (The factors of a
Cholesky decomposition of the noise's covariance, of unit diagonal.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix, eye_array
from torch import Tensor

SURE = 1e-6
"""Sigma of an exact reading, over the deviation of the bias, in sums of 1/sigma^2."""


def whitened(
    groups: Sequence[str], bias: Mapping[str, float], sigma: np.ndarray
) -> tuple[csr_matrix, np.ndarray]:
    """Return the map to readings of independent noise, ``(n, n)``, and their sigmas ``(n,)``.

    Args:
        groups: Group of each reading; empty where it has no bias.
        bias: Deviation of each group's bias.
        sigma: Noise of each reading, ``(n,)``; 0 is exact.
    """
    found, size = csr_matrix(eye_array(len(sigma))), sigma.astype(float).copy()
    for name, deviation in bias.items():
        own = np.flatnonzero([g == name for g in groups])
        if not len(own):
            continue
        weight = 1 / np.maximum(sigma[own], SURE * deviation) ** 2
        before = np.concatenate([[0.0], np.cumsum(weight)[:-1]])
        left = 1 / (deviation**-2 + before)
        size[own] = np.sqrt(sigma[own] ** 2 + left)
        row, column = np.tril_indices(len(own), -1)
        values = -left[row] * weight[column]
        shape = found.shape
        found = found + csr_matrix((values, (own[row], own[column])), shape)
    return csr_matrix(found), size


def bias_of(
    missing: Tensor, groups: Sequence[str], bias: Mapping[str, float], sigma: Tensor
) -> dict[str, tuple[Tensor, float]]:
    """Return each group's bias given a state: its means ``(batch,)`` and its deviation.

    Args:
        missing: What sensors read over what they see of states, ``(batch, n)``.
        groups: Group of each reading.
        bias: Deviation of each group's bias before.
        sigma: Noise of each reading, ``(n,)``.
    """
    found = {}
    for name, deviation in bias.items():
        own = torch.tensor([g == name for g in groups])
        weight = 1 / sigma[own].clamp_min(SURE * deviation).square()
        precision = deviation**-2 + float(weight.sum())
        found[name] = ((missing[:, own] * weight).sum(1) / precision, precision**-0.5)
    return found
