r"""The linear part of a generator: its colour S, and the posterior that follows from it.

A student adds a correction to :math:`S\epsilon`, the Gaussian field of the data's covariance
(:mod:`piddm.students.one_step`). So :math:`J = HS/s` is a derivative of what is seen of it that
costs no network call, and a search has its two tools from it: the inverse Hessian
:math:`(I + J^TJ)^{-1}`, and Gauss and Newton's step

.. math:: \epsilon' = \epsilon_k + J^T (JJ^T + I)^{-1}
    \big(t - H d(\epsilon)/s + J(\epsilon - \epsilon_k)\big)

to the least :math:`\tfrac12|t - Hd(\epsilon)/s|^2 + \tfrac12|\epsilon - \epsilon_k|^2`, which is
exact in one where the correction is nothing. With a fixed J the steps converge slowly where it is
not, or go too far. :func:`conditioned` therefore mixes the last few of them, each member its own,
which costs no network call (Anderson's acceleration: Walker and Ni, SIAM Journal on Numerical
Analysis 49, 2011). Measured on Burgers with 5 % of noise, five truths, six calls and a projection:
an error of 7.6 % where steps that are halved until they come down left 17.8 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from piddm.data.packing import Packing
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.sensors import Sensors

MOST = 2048
"""Observations at most whose matrix is worth its factor; of more, so many at random stand for all.

They are weighed up, and only how the search goes depends on them, not what it looks for."""

ENTRIES = 2**27
"""Numbers in it at most, half a gigabyte; and in what is mixed at once."""

TOGETHER, COLUMNS = 64, 4096
"""Rows that are made together, and columns that are multiplied together."""

DEPTH = 5
"""Steps that are mixed with the last; 3 are worse, 10 no better."""

FLOOR = 1e-6
"""Term added to the diagonal of the normal equations, over their trace."""


def at_mean(packing: Packing, sensors: Sensors) -> Sensors:
    """Return sensors as linear functions about the mean of the data."""
    if not sensors.curved:
        return sensors
    with torch.no_grad():
        mean = packing.middle()
    return sensors.linear(mean)


def through_colour(packing: Packing, sensors: Sensors, chosen: Tensor | None = None) -> Tensor:
    """Return the rows of H S, ``(n, dimension)``, float32: what sensors see of each noise alone.

    Args:
        packing: Of the states.
        sensors: H, in the fields' own units.
        chosen: Which of the sensors; all where left out.
    """
    chosen = torch.arange(len(sensors)) if chosen is None else chosen
    sensors = at_mean(packing, sensors)
    rows = []
    for part in chosen.split(TOGETHER):
        weighed = packing.pull(sensors.rows(part))
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
    def of(cls, packing: Packing, likelihood: Likelihood, generator: Generator) -> LinearPart:
        """Return that of the observations, over their tolerance."""
        sensors, s = likelihood.sensors, likelihood.sigma
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
            anchor: Mean of the noise's prior.
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
    """Yield the best noise ``(batch, dimension)`` and what it lacks of the targets, by rounds.

    Args:
        seen: Noise to the observed part of its samples, over s: ``(batch, n)``, float64.
        linear: Its linear part.
        anchor: White noise: the start, and the mean of the prior.
        target: What was observed, over s, ``(batch, n)``.
        rounds: Steps, one call each; the first is the call for the anchor.
    """
    noise, missing = anchor, target - seen(anchor)
    best, lacks, least = noise, missing, _energy(missing, noise, anchor)
    places: list[Tensor] = []
    steps: list[Tensor] = []
    yield best, lacks
    for _ in range(rounds - 1):
        step = linear.step(noise, anchor, missing)
        places, steps = [*places, noise][-DEPTH - 1 :], [*steps, step][-DEPTH - 1 :]
        noise = noise + step - _mixed(places, steps)
        missing = target - seen(noise)
        energy = _energy(missing, noise, anchor)
        down = energy < least
        least = torch.where(down, energy, least)
        best = torch.where(down[:, None], noise, best)
        lacks = torch.where(down[:, None], missing, lacks)
        there = energy.isfinite()[:, None]  # what is lost goes on from the best
        noise, missing = torch.where(there, noise, best), torch.where(there, missing, lacks)
        yield best, lacks


def _energy(missing: Tensor, noise: Tensor, anchor: Tensor) -> Tensor:
    return 0.5 * (missing.square().sum(1) + (noise - anchor).double().square().sum(1))


def _mixed(places: list[Tensor], steps: list[Tensor]) -> Tensor | float:
    r"""Return what the last step f is to be corrected by.

    :math:`(\Delta X + \Delta F)\gamma`, the changes of places X and steps F, with :math:`\gamma`
    the least :math:`|f - \Delta F\gamma|`.
    """
    if len(steps) == 1:
        return 0.0
    few = max(1, ENTRIES // (8 * DEPTH * steps[0].shape[1]))  # members whose changes fit into it
    parts = zip(*(x.split(few) for x in (*places, *steps)), strict=True)
    return torch.cat([_correction(p[: len(places)], p[len(places) :]) for p in parts])


def _correction(places: tuple[Tensor, ...], steps: tuple[Tensor, ...]) -> Tensor:
    change = torch.stack(steps, 2).double().diff(dim=2)
    moved = torch.stack(places, 2).double().diff(dim=2)
    normal = change.mT @ change
    floor = FLOOR * normal.diagonal(dim1=1, dim2=2).sum(1) + torch.finfo(normal.dtype).tiny
    normal = normal + floor[:, None, None] * torch.eye(normal.shape[1]).to(normal)
    found = torch.linalg.solve(normal, change.mT @ steps[-1].double()[..., None])
    return ((moved + change) @ found)[..., 0].to(steps[-1])
