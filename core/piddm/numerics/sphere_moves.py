r"""The solution moves on a sphere, its inputs stay: Newton steps with an inverse by harmonics.

At a state that is constant in space the derivative of an equation's rows by the field u that is
solved for commutes with rotations: it multiplies harmonics of degree l by a number
:math:`f_l`, and what is no harmonic by another. The inverse divides by them. Where coefficients are
constant it is exact, and a step is one product with it; else it preconditions generalised minimal
residuals.

Where degree 0 is open, as of a Laplacian, an integral determines the mean of u, and the mean of
the rows is not u's to move: there is no solution unless that of the inputs is right. Constants
:math:`c\,s_k` are then added to the inputs,

.. math:: \begin{pmatrix} J_u & \sum_k s_k J_k 1 \\ I & 0 \end{pmatrix}
    \begin{pmatrix} \delta_u \\ c \end{pmatrix} = \begin{pmatrix} R \\ R_I \end{pmatrix},
    \qquad s_k = \frac{g_k}{\sum_j g_j^2},

with :math:`g_k` the change of the rows' mean with input k: the least constants that do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.grids.harmonics import harmonics_of
from piddm.numerics.algebra.minimal_residual import minimal_residual
from piddm.numerics.interior import Unsuited
from piddm.numerics.moves import Derivatives, Linearisation, Moves
from piddm.residuals.residual import Fields, Residual
from piddm.tools.devices import placed

OPEN = 1e-9
"""Factor of a degree over the largest at which it counts as zero."""

EXACT, USEFUL = 1e-8, 0.5
"""Rest over the right side at which an inverse counts as exact at every state, and the most that it
may leave at the state that it is made at."""


class SphereMoves(Moves):
    """Moves of the one field that is solved for, on a sphere without time.

    Args:
        residual: The residual.
        row_scale: Scale by name of row.
        fixed: Field name to boolean ``(*grid.shape)``: inputs.
        params: Free params that are inputs too.
        mean: A typical state, fields ``(1, *grid.shape)`` and params ``(1,)``: its averages over
            the sphere are what the inverse is made at.

    Attributes:
        name, inputs: The unknown field, and the others.
        exact: Whether the inverse is exact at every state.
        shifts: By how much each input is shifted for a change of 1 of the rows' mean; empty where
            the mean is not open.

    Raises:
        Unsuited: If the equation has another structure.
    """

    iterations = 8

    def __init__(
        self,
        residual: Residual,
        row_scale: Mapping[str, float],
        fixed: Mapping[str, np.ndarray],
        params: tuple[str, ...],
        mean: Fields,
    ) -> None:
        self.residual, self.row_scale = residual, dict(row_scale)
        grid, names = residual.grid, residual.field_names
        unknown = [k for k in names if k not in fixed or not fixed[k].all()]
        rows = [k for k, r in residual.rows.items() if not r.integral]
        integrals = [k for k, r in residual.rows.items() if r.integral]
        if not grid.spherical or len(grid.shape) != 2:
            raise Unsuited("no sphere, or one with time")
        held = [k for k in unknown if k in fixed and fixed[k].any()]
        if len(unknown) != 1 or len(rows) != 1 or held:
            raise Unsuited("not one unknown field and one equation for it")
        if set(residual.free_params) - set(params) or [*residual.rows] != rows + integrals:
            raise Unsuited("an unknown param")
        (self.name,) = unknown
        self.inputs = tuple(k for k in names if k != self.name)
        area = torch.from_numpy(grid.axes["lat"].weights())[:, None].expand(grid.shape)
        self._area = area / area.sum()
        # What is made once is made on the host, wherever the states will be.
        exact = {k: v.detach().double().cpu() for k, v in mean.items()}
        flat = {
            k: (v * self._area).sum((1, 2), keepdim=True).expand_as(v) if k in names else v
            for k, v in exact.items()
        }
        self.shifts = dict[str, Tensor]()
        self._invert(self._by(flat), len(integrals))
        if not self._left(flat) < USEFUL:
            raise Unsuited("an equation that prefers places on the sphere")
        draw = torch.Generator().manual_seed(0)
        other = {k: v + torch.randn(v.shape, generator=draw).to(v) for k, v in flat.items()}
        self.cheap = self.exact = self._left(other) < EXACT

    def _by(self, fields: Fields) -> Derivatives:
        names = (*self.residual.field_names, *self.residual.free_params)
        return Derivatives(self.residual, self.row_scale, fields, names, backwards=False)

    def _invert(self, by: Derivatives, integrals: int) -> None:
        """Read off the factors of degrees, the shifts, and the change of the integral with u."""
        harmonics, shape = harmonics_of(self.residual.grid), self.residual.grid.shape
        count, nodes = harmonics.count, self._area.numel()
        zonal = harmonics.basis()[0][:count]
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        other = noise - harmonics.diagonal(torch.ones(count, dtype=torch.float64))(noise)
        found = []
        for probe in [*zonal, other]:
            change = by.push({self.name: probe[None]})[0, :nodes].view(shape)
            found.append((change * probe * self._area).sum() / (probe.square() * self._area).sum())
        factors = torch.stack(found)
        lost = factors.abs() <= OPEN * factors.abs().max()
        open_ = bool(lost[0])
        if bool(lost[1:].any()) or integrals != open_:
            raise Unsuited("degrees of harmonics that no row, or more than one, determines")
        inverse = 1 / factors.masked_fill(lost, torch.inf)
        self._inverse = harmonics.diagonal(inverse[:-1], float(inverse[-1]))
        if not open_:
            return
        one = torch.ones(1, *shape, dtype=torch.float64)
        self._integral = by.push({self.name: one})[0, nodes]
        means = {k: self._mean(by.push({k: one})[:, :nodes].view(1, *shape)) for k in self.inputs}
        total = sum((g.square() for g in means.values()), torch.zeros(1, dtype=torch.float64))
        if not float(total) > 0 or not float(self._integral.abs()) > 0:
            raise Unsuited("a mean that nothing determines")
        self.shifts = {k: g / total for k, g in means.items()}

    def _left(self, fields: Fields) -> float:
        """Return what the inverse leaves of a right side at a state, relatively."""
        here = self.at(fields)
        draw = torch.Generator().manual_seed(1)
        rows = torch.randn(here.rows.shape, generator=draw).to(here.rows)
        return float((here.product(self.inverse(rows)) - rows).norm() / rows.norm())

    def _mean(self, values: Tensor) -> Tensor:
        """Return the means over the sphere of ``(batch, lat, lon)``, ``(batch,)``."""
        return (values * placed(self._area, values)).sum((1, 2))

    def inverse(self, rows: Tensor, transposed: bool = False) -> Tensor:
        """Return the inverse, or its transpose, times ``(batch, rows)``.

        The columns are the nodes of u, and last the shift where there is one.
        """
        nodes = self._area.numel()
        own = rows[:, :nodes].view(-1, *self._area.shape)
        area = placed(self._area, rows)
        # With weights of the area the inverse is symmetric.
        solved = area * self._inverse(own / area) if transposed else self._inverse(own)
        if not self.shifts:
            return solved.flatten(1)
        beside, integral = rows[:, nodes], placed(self._integral, rows)
        if transposed:
            last = own.sum((1, 2)) / integral
            solved = solved + area * beside[:, None, None]
        else:
            last = self._mean(own)
            solved = solved + (beside / integral)[:, None, None]
        return torch.cat([solved.flatten(1), last[:, None]], dim=1)

    def at(self, fields: Fields) -> _Linearisation:
        """Linearise at fields ``(batch, *grid.shape)`` and params ``(batch,)``."""
        return _Linearisation(self, self._by(fields))


class _Linearisation(Linearisation):
    def __init__(self, moves: SphereMoves, by: Derivatives) -> None:
        self._moves, self._by, self.rows = moves, by, by.rows
        self._shape = moves.residual.grid.shape

    def product(self, solved: Tensor) -> Tensor:
        """Return the rows' change by ``(batch, nodes of u and the shift)``."""
        return self._by.push(self._named(solved))

    def _named(self, solved: Tensor) -> dict[str, Tensor]:
        moves = self._moves
        size = math.prod(self._shape)
        found = {moves.name: solved[:, :size].reshape(-1, *self._shape)}
        for k, shift in moves.shifts.items():
            moved = (placed(shift, solved) * solved[:, size])[:, None, None]
            found[k] = moved.expand(-1, *self._shape)
        return found

    def _gathered(self, gradients: Fields) -> Tensor:
        """The transpose of naming."""
        moves = self._moves
        own = gradients[moves.name].flatten(1)
        if not moves.shifts:
            return own
        totals = [placed(s, own) * gradients[k].sum((1, 2)) for k, s in moves.shifts.items()
                  if k in gradients]  # fmt: skip
        last = sum(totals, own.new_zeros(len(own)))
        return torch.cat([own, last[:, None]], dim=1)

    def solve(
        self, target: Tensor, iterations: int, enough: Tensor | None = None
    ) -> dict[str, Tensor]:
        inverse = self._moves.inverse
        if self._moves.exact:
            return self._named(inverse(target))
        return self._named(minimal_residual(self.product, inverse, target, iterations, enough))

    def pull_back(self, gradients: Fields, iterations: int) -> dict[str, Tensor]:
        moves = self._moves
        given = self._gathered(gradients)
        if moves.exact:
            multipliers = moves.inverse(given, True)
        else:
            multipliers = minimal_residual(
                lambda m: self._gathered(self._by.pull(m)), lambda v: moves.inverse(v, True),
                given, iterations,
            )  # fmt: skip
        # What is solved for does not depend on what it was.
        found = self._by.pull(multipliers)
        own = gradients[moves.name]
        return {
            k: gradients.get(k, torch.zeros_like(v)) - v for k, v in found.items()
        } | {moves.name: torch.zeros_like(own)}  # fmt: skip
