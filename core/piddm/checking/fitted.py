r"""What data say of an equation's numbers: its params, and the factor that each term has.

.. math:: \hat p = \arg\min_p \|R(x, p)\|^2

over all rows of a sample, by Gauss and Newton; the interval is that of the mean over samples, or of
one sample, by the size of what is left over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from piddm.residuals.residual import Fields, Residual

STEPS = 6
"""Steps of Gauss and Newton, at most; a param that enters linearly takes one."""

SETTLED = 1e-10
"""Relative step at which they end."""

DEVIATIONS = 1.96
"""Standard errors on either side of an interval of 95 %."""

POWERS = 1e-5
"""Share of the largest singular value below which numbers cannot be told apart."""


@dataclass(frozen=True)
class Fitted:
    """A number as the data have it.

    Args:
        name: The param, or the term.
        value: Mean over samples.
        low, high: Interval of 95 % of it.
        spread: Standard deviation between samples; None of one sample.
        stated: What the equation, or the file, says.
    """

    name: str
    value: float
    low: float
    high: float
    spread: float | None
    stated: float


@torch.no_grad()
def params(
    residual: Residual, fields: Fields, scale: Mapping[str, float], stated: Mapping[str, float]
) -> list[Fitted]:
    """Fit params to samples, all of them together, sample by sample.

    Args:
        residual: The residual.
        fields: Samples, float64.
        scale: Row scales.
        stated: Params to fit, with what is said of them.
    """
    used = set().union(*(r.params for r in residual.rows.values()))
    names = [n for n in stated if n in used]
    count = len(fields[residual.field_names[0]])
    if not names or not count:
        return []
    p = torch.tensor([stated[n] for n in names], dtype=torch.float64).repeat(count, 1)
    unit = torch.tensor([abs(stated[n]) or 1.0 for n in names], dtype=torch.float64)

    def rows(p: Tensor) -> Tensor:
        own = {**fields, **{n: p[:, i] for i, n in enumerate(names)}}
        found = residual(own)
        parts = [(v / scale[k]).flatten(1) for k, v in found.items()
                 if residual.rows[k].params & set(names)]  # fmt: skip
        return _known(torch.cat([v / v.shape[1] ** 0.5 for v in parts], 1))

    value = rows(p)
    jacobian = value.new_zeros(*value.shape, len(names))
    for _ in range(STEPS):
        for i in range(len(names)):
            step = torch.zeros_like(p)
            step[:, i] = 1e-4 * unit[i]
            jacobian[..., i] = (rows(p + step) - rows(p - step)) / 2e-4
        move = torch.linalg.lstsq(jacobian, value[..., None]).solution[..., 0] * unit
        p = p - move.nan_to_num(0.0)
        value = rows(p)
        if bool((move.abs() <= SETTLED * unit).all()):
            break
    error = _single(jacobian, value) * unit
    return [_over_samples(n, p[:, i], error[:, i], stated[n]) for i, n in enumerate(names)]


@torch.no_grad()
def factors(residual: Residual, fields: Fields, name: str) -> list[Fitted]:
    """Fit a factor to each term of an equation but its largest, whose factor is 1.

    Terms that are zero, or that cannot be told from others, are left out.
    """
    terms = residual.terms(fields)[name]
    if len(terms) < 2:
        return []
    every = torch.stack([v.flatten(1) for v in terms.values()])
    every = torch.where(every.isnan().any(0), 0.0, every)
    columns = dict(zip(terms, every, strict=True))
    sizes = {k: float(v.square().mean().sqrt()) for k, v in columns.items()}
    first = max(sizes, key=sizes.__getitem__)
    others = [k for k in columns if k != first and sizes[k] > POWERS * sizes[first]]
    if not others:
        return []
    matrix = torch.stack([columns[k] for k in others], -1)
    values = torch.linalg.svdvals(
        matrix.flatten(0, 1) / matrix.flatten(0, 1).square().mean(0).sqrt()
    )
    if float(values[-1]) < POWERS * float(values[0]):
        return []
    target = -columns[first]
    found = torch.linalg.lstsq(matrix, target[..., None]).solution[..., 0]
    left = target - (matrix @ found[..., None])[..., 0]
    error = _single(matrix, left)
    return [_over_samples(k, found[:, i], error[:, i], 1.0) for i, k in enumerate(others)]


def _known(rows: Tensor) -> Tensor:
    """Return rows with 0, which says nothing, for those that touch a missing value."""
    return torch.where(rows.isnan(), 0.0, rows)


def _single(jacobian: Tensor, left: Tensor) -> Tensor:
    """Return the standard error of each sample's numbers, ``(samples, numbers)``."""
    known = (left != 0).sum(1)  # rows that touch a missing value are 0
    variance = left.square().sum(1) / (known - jacobian.shape[-1]).clamp_min(1)
    gram = jacobian.mT @ jacobian
    inverse = torch.linalg.pinv(gram)
    return (inverse.diagonal(dim1=-2, dim2=-1) * variance[:, None]).clamp_min(0).sqrt()


def _over_samples(name: str, values: Tensor, error: Tensor, stated: float) -> Fitted:
    good = torch.isfinite(values)
    values, error = values[good], error[good]
    if not len(values):
        return Fitted(name, math.nan, math.nan, math.nan, None, stated)
    mean = float(values.mean())
    spread = float(values.std()) if len(values) > 1 else None
    size = float(error.mean()) if spread is None else spread / len(values) ** 0.5
    return Fitted(name, mean, mean - DEVIATIONS * size, mean + DEVIATIONS * size, spread, stated)
