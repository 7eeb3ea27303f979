r"""A residual of an equation that holds only nearly: rows within its error count as zero.

Data that satisfy an equation up to an error say no more than that. With :math:`\epsilon_k` the root
mean square of row k over its scale in data, a sample's rows become

.. math:: \tilde R_k = \Big(1 - \frac{\epsilon_k s_k}{\|R_k\|}\Big)_+ R_k,

:math:`\|\cdot\|` the root mean square over nodes: the distance of the rows to a ball (the
discrepancy principle of Morozov, 1966). Derivatives are those of R, so that a step of Newton's ends
on the ball, and what is in it already stays. Losses, corrections and projections that are given
this in place of R force nothing below what the data support.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from piddm.residuals.residual import Fields, Residual

LEAST = 1e-10
"""Mean square of normalised rows up to which an error is none: rounding in float32 is as large."""


class Tolerant(Residual):
    """A residual that vanishes where its rows are no larger than those of data.

    Args:
        residual: The residual.
        scale: Scale of each row.
        allowed: Row name to the mean square of normalised rows that counts as none.
    """

    def __init__(
        self, residual: Residual, scale: Mapping[str, float], allowed: Mapping[str, float]
    ) -> None:
        self._inner, self._allowed = residual, {
            k: v**0.5 * scale[k] for k, v in allowed.items()
            if k in residual.rows and not residual.rows[k].integral
        }  # fmt: skip
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
            value = found[name]
            size = value.detach().flatten(1).square().mean(1).sqrt().clamp_min(1e-300)
            share = (allowed / size).clamp_max(1.0)
            share = share.view(-1, *[1] * (value.ndim - 1))
            found[name] = value - (share * value).detach()
        return found


def tolerant(
    residual: Residual, scale: Mapping[str, float], allowed: Mapping[str, float]
) -> Residual:
    """Return a residual that allows data's own error; itself where that is rounding only."""
    large = {k: v for k, v in allowed.items() if v > LEAST}
    return Tolerant(residual, scale, large) if large else residual
