r"""Media of phases whose own values are seen: exact draws of the field behind them.

.. math:: g \sim N(0, C), \qquad s_i\,g(p_i) > 0, \quad i = 1, \dots, n,

is all that exact values of a medium say of the Gaussian field g whose sign it is, so that its
posterior is known: a Gaussian law cut off by n walls. Its values at the sensors are drawn by
Hamiltonian dynamics, which are arcs between the walls and lose no energy, so that nothing is ever
refused; the field everywhere follows from them by Gaussian conditioning. The mean of the solutions
that belong to such fields is the best answer that there is, up to the number of members. Source:
Pakman and Paninski, Journal of Computational and Graphical Statistics 23, 2014 (the dynamics);
Wilson et al., Journal of Machine Learning Research 22, 2021 (conditioning of draws).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from piddm.solvers._sensitivity import Inputs
from piddm.symbolic.operators import Param, Slice

if TYPE_CHECKING:
    from piddm.equation import PDE
    from piddm.grids.grid import Grid
    from piddm.numerics.marching import Given
    from piddm.priors.prior import Prior
    from piddm.tasks.sensors import Sensors

ARCS = 24
"""Arcs of a quarter of a turn, between which velocities are drawn anew. Without walls a single one
forgets its start. With the 500 of the field's benchmark the mean squares of the field have settled
after eight."""

MOST = 4_000
"""Signs at most: their covariance is dense."""

CERTAIN = 20.0
"""Logarithm of how much likelier one phase must be than the other by each reading."""

STEP = 1e-12
"""Width of a ramp that is a step in float64."""

JITTER = 1e-11
"""Of the covariance's diagonal, relative to its mean."""


def softened(pde: PDE, width: float) -> PDE:
    """Return an equation with ramps of a width in the place of its inputs' steps."""
    return dataclasses.replace(pde, inputs={g: p.softened(width) for g, p in pde.inputs.items()})


class Signs:
    """The law of inputs of which nothing is known but signs at nodes, and laws of all others.

    Args:
        pde: The equation; inputs that jump are softened, so that their laws have derivatives.
        grid: The grid.
        laws: What is unknown, as the equation itself has it.
        walls: For each input that was seen its nodes and signs, as :func:`signs_seen` returns.
    """

    def __init__(
        self, pde: PDE, grid: Grid, laws: Mapping[Given, Prior],
        walls: Mapping[Given, tuple[Tensor, Tensor]],
    ) -> None:  # fmt: skip
        self._pde, self._grid, self._laws, self._walls = pde, grid, laws, walls

    def draws(self, count: int, generator: Generator) -> Iterator[tuple[int, dict[Given, Tensor]]]:
        """Yield how many arcs are done and the inputs so far, ``(count, ...)`` each."""
        found: dict[Given, Tensor] = {}
        for given, law in self._laws.items():
            if given not in self._walls:
                on = self._grid.without(given.axis) if isinstance(given, Slice) else self._grid
                found[given] = (
                    law.sample_param(count, generator)
                    if isinstance(given, Param)
                    else law.sample(on, count, generator)
                )
                continue
            soft = Inputs(self._pde, self._grid, {given: self._pde.inputs[given]})
            nodes, sign = self._walls[given]
            rows = soft.behind(nodes)
            covariance = rows @ rows.mT
            covariance.diagonal().mul_(1 + JITTER)
            root = torch.linalg.cholesky(covariance)
            inside = _Walls(sign[:, None] * covariance * sign, sign[:, None] * root)
            at = inside.start(count)
            for done in range(ARCS):
                at = inside.arc(at, generator)
                yield done, found
            white = torch.randn(count, soft.size, generator=generator, dtype=torch.float64)
            missing = sign * at - white @ rows.mT
            noise = white + torch.cholesky_solve(missing.mT, root).mT @ rows
            found[given] = law.from_latent(self._grid, soft.latent(noise)[given])
        yield ARCS, found


class _Walls:
    """Positive parts of a Gaussian law of mean zero.

    Args:
        covariance: ``(n, n)``.
        root: R of covariance = R R^T.
    """

    def __init__(self, covariance: Tensor, root: Tensor) -> None:
        self._covariance, self._root = covariance, root
        self._own = covariance.diagonal()

    def start(self, count: int) -> Tensor:
        """Return a place inside, ``(count, n)``."""
        return (0.5 * self._own.sqrt()).expand(count, -1).clone()

    def arc(self, at: Tensor, generator: Generator) -> Tensor:
        r"""Return where members are after a quarter of a turn with a velocity drawn anew.

        Between walls a value is :math:`a\cos t + b\sin t`, which is zero first at
        :math:`\pi/2 + \arctan(b/a)`; there the velocity is mirrored, in the metric of the law.
        """
        white = torch.randn(at.shape, generator=generator, dtype=torch.float64)
        at, speed = at.clone(), white @ self._root.mT
        left = torch.full((len(at),), math.pi / 2, dtype=torch.float64)
        going = torch.arange(len(at))
        while len(going):
            a, b = at[going], speed[going]
            first, wall = (math.pi / 2 + torch.atan2(b, a)).min(1)
            time = torch.minimum(first, left[going])
            cos, sin = time.cos()[:, None], time.sin()[:, None]
            a, b = a * cos + b * sin, b * cos - a * sin
            hit = (first < left[going]).nonzero()[:, 0]
            on = wall[hit]
            b[hit] -= 2 * (b[hit, on] / self._own[on])[:, None] * self._covariance[on]
            a[hit, on] = 0.0
            b[hit, on] = b[hit, on].abs()
            at[going], speed[going] = a, b
            left[going] -= time
            going = going[hit]
        return at.clamp_min(0.0)


def signs_seen(
    soft: PDE, grid: Grid, laws: Mapping[Given, Prior], sensors: Sensors
) -> dict[Given, tuple[Tensor, Tensor]] | None:
    """Return nodes ``(n,)`` and signs of each input that was seen; None where more is to be told.

    That is where a reading is of something else, is no value at a node, or leaves the phase open,
    and where what is behind the phases has no Gaussian law of mean zero.

    Args:
        soft: The equation; inputs that jump are softened.
        grid: The grid.
        laws: What is unknown, as the equation itself has it.
        sensors: What was seen.
    """
    if len(sensors) > MOST or not sensors.local or bool((sensors.weight.amax(1) < 1 - 1e-12).any()):
        return None
    most = sensors.weight.argmax(1, keepdim=True)
    nodes = sensors.index.gather(1, most)[:, 0] % sensors.nodes
    named, found = {str(g): g for g in laws}, {}
    for k, name in enumerate(sensors.names):
        of = (sensors.field == k).nonzero()[:, 0]
        if not len(of):
            continue
        given = named.get(name)
        phases = laws[given].phases if given is not None else None
        if given is None or phases is None:
            return None
        values = sensors.values[of]
        sigma = sensors.sigma[of].clamp_min(1e-6 * (phases[1] - phases[0]))
        low, high = (((values - p) / sigma).square() / 2 for p in phases)
        if bool(((low - high).abs() < CERTAIN).any()) or bool((low.minimum(high) > CERTAIN).any()):
            return None
        if not _centred(Inputs(soft, grid, {given: soft.inputs[given]})):
            return None
        found[given] = nodes[of], torch.where(high < low, 1.0, -1.0).double()
    return found


def _centred(inputs: Inputs) -> bool:
    """Return whether what an input is made of is linear in white noise."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(2, inputs.size, generator=draw, dtype=torch.float64)
    (made,) = inputs.latent(torch.cat([z, z[:1] - 2 * z[1:]])).values()
    return torch.allclose(made[2], made[0] - 2 * made[1], atol=1e-9 * float(made.abs().max()))
