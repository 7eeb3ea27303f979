"""A residual some of whose params are known: what a task's observations say of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from piddm.interfaces import Fields, Residual


class GivenParams(Residual):
    """A residual with values of params filled in; free ones among them are free no more.

    Args:
        residual: The residual.
        params: Values by name.
    """

    def __init__(self, residual: Residual, params: Mapping[str, float]) -> None:
        self._inner, self._params = residual, dict(params)
        self.grid, self.field_names, self.rows = residual.grid, residual.field_names, residual.rows
        self.free_params = tuple(p for p in residual.free_params if p not in params)

    def _whole(self, fields: Fields) -> dict[str, Tensor]:
        like = fields[self.field_names[0]]
        return dict(fields) | {k: like.new_full((len(like),), v) for k, v in self._params.items()}

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return a tensor ``(batch, ...)`` for each equation and boundary condition, by name."""
        return self._inner(self._whole(fields))

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms whose sum each equation is."""
        return self._inner.terms(self._whole(fields))

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows, and their derivatives along several directions."""
        return self._inner.tangent(self._whole(fields), directions)

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted by least squares."""
        whole = self._inner.fit(self._whole(fields))
        return {k: v for k, v in whole.items() if k not in self._params}


def with_params(residual: Residual, params: Mapping[str, float]) -> Residual:
    """Return the residual with these params known, itself where there are none."""
    return GivenParams(residual, params) if params else residual
