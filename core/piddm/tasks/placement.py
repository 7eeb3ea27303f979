r"""Where to measure next: sensors one after another, each where it tells most of what is asked.

.. math:: g_j = \sum_t \frac{\mathrm{cov}(q_t, c_j)^2}{\mathrm{var}(c_j) + \sigma_j^2},

the variance of what is asked for, summed, that a sensor at candidate j takes away, by the members
of an ensemble. The best is taken, and the members are moved to the ensemble given its reading,

.. math:: A \leftarrow (I - \beta\,b b^T) A, \qquad
    \beta = \frac{1}{s + \sigma\sqrt s}, \qquad s = |b|^2 + \sigma^2,

b being what they say at the sensor, whatever it will read: a Gaussian's variance does not depend on
that. The greedy choice is within 1 - 1/e of the best one where gains diminish. Source: Krause,
Singh and Guestrin, Journal of Machine Learning Research 9, 2008 (greedy placement); Potter's square
root: Bierman, Factorization Methods for Discrete Sequential Estimation, 1977.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from piddm.numerics.algebra.damping import damping
from piddm.tasks.observations import Observations


@dataclass(frozen=True)
class Picks:
    """Sensors in the order in which they were taken.

    Args:
        chosen: Which candidates, ``(count,)``.
        left: Share of the variance that is left after each, ``(count,)``.
        gains: Share that each candidate would have taken first, ``(candidates,)``.
        before: Variance of each of what is asked before, ``(targets,)``.
        after: And after all sensors.
    """

    chosen: list[int]
    left: list[float]
    gains: Tensor
    before: Tensor
    after: Tensor


def greedy(
    asked: Tensor, candidates: Tensor, sigma: Tensor, count: int, members: int | None = None
) -> Picks:
    """Return the sensors that take most of the variance away.

    Args:
        asked: Square root of the covariance of what is asked, ``(members, targets)``: deviations of
            members from their mean over the root of one less than their number, or a factor.
        candidates: The same of what sensors would see, ``(members, candidates)``.
        sigma: Noise of each candidate, ``(candidates,)``.
        count: Sensors.
        members: How many draws the covariances are of, whose chance correlations are then damped
            (:mod:`piddm.numerics.algebra.damping`); none where they are exact.
    """
    a, b = asked.double().clone(), candidates.double().clone()
    before, noise = a.square().sum(0), sigma.double().square()
    # What does not vary, such as a wall, tells nothing; nor would it twice.
    size = b.square().sum(0)
    able = size > 1e-12 * float(size.max())
    chosen: list[int] = []
    left: list[float] = []
    first: Tensor | None = None
    for _ in range(count):
        gains = _gains(a, b, noise, members)
        gains = torch.where(able, gains, 0.0)
        first = gains if first is None else first
        best = int(gains.argmax())
        chosen.append(best)
        able[best] = False
        along = b[:, best].clone()
        total = along.square().sum() + noise[best]
        beta = 1 / (total + (noise[best] * total).sqrt())
        for part in (a, b):
            row = along @ part
            if members is not None:
                own = part.square().sum(0)
                row = row * damping(row[None], along.square().sum()[None], own, members)[0]
            part -= beta * torch.outer(along, row)
        left.append(float(a.square().sum() / before.sum()))
    assert first is not None
    return Picks(chosen, left, first / before.sum(), before, a.square().sum(0))


def _gains(a: Tensor, b: Tensor, noise: Tensor, members: int | None) -> Tensor:
    cross = b.mT @ a
    seen = b.square().sum(0)
    if members is not None:
        cross = cross * damping(cross, seen, a.square().sum(0), members)
    return cross.square().sum(1) / (seen + noise).clamp_min(1e-300)


@dataclass(frozen=True)
class Placement:
    """Sensors, the best first.

    Args:
        places: The sensors, without values.
        order: Field and point of each, the best first.
        left: Share of the variance that is left after each.
        gains: Field name to the share that a first sensor would take at each node, NaN where none
            may be.
        about: What the variance is of.
        before, after: Field name to standard deviations ``(*grid.shape)``, of fields among it.
        exact: Whether the law is known in closed form.
        errors: Relative error of the check, by ``placed``, ``random`` and ``twice as many random``,
            a number for each truth.
    """

    places: Observations
    order: list[tuple[str, list[float]]]
    left: list[float]
    gains: dict[str, Tensor]
    about: list[str]
    before: dict[str, Tensor]
    after: dict[str, Tensor]
    exact: bool
    errors: dict[str, list[float]] = field(default_factory=dict)
