r"""What a generator would be were it linear: its colour S, and what that makes of observations.

A student adds a correction to :math:`S\epsilon`, the Gaussian field of the data's covariance
(:mod:`piddm.students.one_step`). So :math:`J = HS/s` is a derivative of what is seen of it that
costs no network call, and a search has its two tools from it: the inverse Hessian
:math:`(I + J^TJ)^{-1}`, and Gauss and Newton's step

.. math:: \epsilon' = \epsilon_k + J^T (JJ^T + I)^{-1}
    \big(t - H d(\epsilon)/s + J(\epsilon - \epsilon_k)\big)

to the least :math:`\tfrac12|t - Hd(\epsilon)/s|^2 + \tfrac12|\epsilon - \epsilon_k|^2`, which is
exact in one where the correction is nothing. With a fixed J it may go too far: :func:`conditioned`
takes back what does not come down, and half as much the next time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from piddm.packing import Packing
from piddm.tasks.sensors import Sensors

MOST = 2048
"""Observations at most whose matrix is worth its factor; of more, so many at random stand for all.

They are weighed up, and only how the search goes depends on them, not what it looks for."""

ENTRIES = 2**27
"""Numbers in it at most, half a gigabyte."""

TOGETHER, COLUMNS = 64, 4096
"""Rows that are made together, and columns that are multiplied together."""

LONGER, SHORTER = 1.5, 0.5
"""What a step that came down, or did not, does to the length of the next."""


def through_colour(packing: Packing, sensors: Sensors, chosen: Tensor | None = None) -> Tensor:
    """Return the rows of H S, ``(n, dimension)``, float32: what sensors see of each noise alone.

    Args:
        packing: Of the states.
        sensors: H, in the fields' own units.
        chosen: Which of the sensors; all where left out.
    """
    chosen = torch.arange(len(sensors)) if chosen is None else chosen
    rows = []
    for part in chosen.split(TOGETHER):
        weighed = packing.stack(sensors.rows(part)).to(packing.scale) * packing.scale
        with torch.enable_grad():
            still = torch.zeros_like(weighed).requires_grad_()
            # S is not symmetric: this is its adjoint.
            (found,) = torch.autograd.grad(packing.colour(still), still, weighed)
        rows.append(found.flatten(1).cpu())
    return torch.cat(rows)


class LinearPart:
    """The two tools.

    Args:
        rows: J, ``(n, dimension)``.
        chosen: Which observations its rows are of; all where left out.
        share: What each of them stands for.
    """

    def __init__(self, rows: Tensor, chosen: Tensor | None = None, share: float = 1.0) -> None:
        self._chosen, self._root = chosen, share**0.5
        self._rows = rows if share == 1 else rows * self._root
        inner = torch.eye(len(rows), dtype=torch.float64)
        # In float64: the rows of exact observations are large, and nearly dependent where they
        # are many.
        for part in self._rows.split(COLUMNS, dim=1):
            inner.addmm_(part.double(), part.double().mT)
        self._factor = torch.linalg.cholesky(inner)

    @classmethod
    def of(cls, packing: Packing, sensors: Sensors, s: Tensor, generator: Generator) -> LinearPart:
        """Return that of sensors whose tolerance is s, ``(n,)``."""
        count, dimension = len(sensors), packing.channels * math.prod(packing.image)
        most, chosen = min(MOST, max(TOGETHER, ENTRIES // dimension)), None
        if count > most:
            chosen = torch.randperm(count, generator=generator)[:most]
        rows = through_colour(packing, sensors, chosen)
        own = s if chosen is None else s[chosen]
        return cls(rows.div_(own.to(rows)[:, None]), chosen, count / len(rows))

    def inverse_hessian(self, v: Tensor) -> Tensor:
        """Return :math:`(I + J^TJ)^{-1} v` of ``(batch, dimension)``."""
        return v - self._lift(v.to(self._rows) @ self._rows.mT).to(v)

    def step(self, noise: Tensor, anchor: Tensor, missing: Tensor) -> Tensor:
        """Return how Gauss and Newton move noise, ``(batch, dimension)``.

        Args:
            noise: Where it is.
            anchor: What it is held to.
            missing: What its sample lacks of the targets, ``(batch, observations)``.
        """
        away = noise - anchor
        lacking = missing if self._chosen is None else missing[:, self._chosen]
        return self._lift(lacking * self._root + away.to(self._rows) @ self._rows.mT) - away

    def _lift(self, v: Tensor) -> Tensor:
        solved = torch.cholesky_solve(v.double().mT, self._factor).mT
        return solved.to(self._rows) @ self._rows


def conditioned(
    seen: Callable[[Tensor], Tensor],
    linear: LinearPart,
    anchor: Tensor,
    target: Tensor,
    rounds: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield noise ``(batch, dimension)`` and what it lacks of the targets, after each round.

    Args:
        seen: Noise to what is observed of its samples, over s: ``(batch, n)``, float64.
        linear: Its linear part.
        anchor: White noise, where it begins and what it is held to.
        target: What was observed, over s, ``(batch, n)``.
        rounds: Steps, one call each; the first is the call for the anchor.
    """
    noise, missing = anchor, target - seen(anchor)
    energy = 0.5 * missing.square().sum(1)
    length = torch.ones(len(anchor), 1, dtype=anchor.dtype)
    yield noise, missing
    for _ in range(rounds - 1):
        new = noise + length * linear.step(noise, anchor, missing)
        lacks = target - seen(new)
        there = 0.5 * (lacks.square().sum(1) + (new - anchor).double().square().sum(1))
        down = (there < energy)[:, None]
        noise, missing = torch.where(down, new, noise), torch.where(down, lacks, missing)
        energy = torch.where(down[:, 0], there, energy)
        length = torch.where(down, (LONGER * length).clamp_max(1.0), SHORTER * length)
        yield noise, missing
