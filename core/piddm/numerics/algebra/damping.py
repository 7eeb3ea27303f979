"""Chance correlations of small ensembles, damped."""

from __future__ import annotations

from torch import Tensor


def damping(covariance: Tensor, left: Tensor, right: Tensor, count: int) -> Tensor:
    """Return the factor that brings a sample covariance nearest to the true one in the mean.

    Source: Furrer and Bengtsson, Journal of Multivariate Analysis 98, 2007.

    Args:
        covariance: ``(n, m)``.
        left: Variances of the first, ``(n,)``.
        right: Variances of the second, ``(m,)``.
        count: Draws that it is of.
    """
    square = covariance.square() / (left[:, None] * right).clamp_min(1e-300)
    return square / (square + (1 + square) / count).clamp_min(1e-300)
