r"""Media of phases from exact observations of the solution: ramps that say how wrong they are.

.. math:: a_w = a_0 + (a_1 - a_0)\,\Phi\big(g/(w\,s)\big), \qquad
    y = Hu(a_w) + e_w, \qquad e_w \sim N\big(0, (\tau_w\varsigma)^2\big).

A ramp of width w in the place of the step is off by :math:`\tau_w` of the deviation
:math:`\varsigma` of the solution. Taken as the noise of exact observations, it keeps a descent from
fitting what a ramp cannot have, which it would pay for with a wrong medium. The most likely field
is found once, by ramps that narrow; members start as draws of the Gaussian law around it, with
noise and anchor of their own (randomised maximum likelihood), and end by a few steps of theirs.
Source: Kaipio and Somersalo, Statistical and Computational Inverse Problems, 2005, section 7.4
(errors of a model as noise); Oliver, Reynolds and Liu, Inverse Theory for Petroleum Reservoir
Characterization, 2008, chapter 10 (members).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Generator, Tensor

from piddm.solvers._descent import gauss_newton
from piddm.solvers._inverse_problem import InverseProblem

if TYPE_CHECKING:
    from piddm.equation import PDE
    from piddm.tasks.model import Model
    from piddm.tasks.sensors import Sensors
    from piddm.tasks.task import Task

RAMPS = {0.5: 0.06, 0.3: 0.03, 0.1: 0.01}
"""Width of a ramp, over the deviation of the field behind the phases, to its error."""

WIDER = {1.0: 0.5, 0.7: 0.15}
"""Ramps before these, with far more than their own error, where the first of these is lost: from
the middle of the law a descent that trusts its slopes may land where none leads on. On one medium
of fourteen (128 x 128, 500 exact sensors) 21 % of the nodes were wrong without them, 5 % with."""

LOST = 100.0
"""Misfit after the first ramp, in units of its error, that is beyond what its slopes mend. Of media
that it does mend the misfit is 0.7 to 4 there, of the one that it does not 193."""

MEAN_STEPS, OWN_STEPS = 3, 3
"""Gauss-Newton steps for each ramp, and of each member after them."""

SHARES = 1.0, 0.5, 0.25, 0.125
"""Shares of a step that are tried."""

SMALL = 0.02
"""Share of the objective by which a step must lower it to be followed by another."""

Found: TypeAlias = "tuple[float, Tensor]"
Searched: TypeAlias = "tuple[InverseProblem, Tensor, float]"


def graduated(
    run: Model, task: Task, sensors: Sensors, soft: Callable[[float], PDE], count: int,
    generator: Generator,
) -> Iterator[Found]:  # fmt: skip
    """Yield the misfit, in units of the ramp's error, and the white noise of members so far.

    Args:
        run: The equation, its grid and the scales of its fields.
        task: What is known.
        sensors: The same as a linear map.
        soft: The equation with ramps of a width in the place of steps.
        count: Members.
        generator: Of their anchors and noise.
    """
    seen = len(sensors)

    def down(at: Tensor | None, width: float, error: float) -> Steps[Found, None, Searched]:
        """Take the most likely field down one ramp."""
        problem, misfit = InverseProblem(run, task, sensors, soft(width), error), math.inf
        middle, none = (torch.zeros(1, n, dtype=torch.float64) for n in (problem.size, seen))
        at = middle if at is None else at
        for better, chi_squared in _descended(problem, at, middle, none, MEAN_STEPS):
            at, misfit = better, chi_squared
            yield misfit, at.expand(count, -1)
        return problem, at, misfit

    first, *narrower = RAMPS.items()
    problem, at, misfit = yield from down(None, *first)
    if misfit > LOST:
        at = torch.zeros_like(at)
        for wide, loose in WIDER.items():
            _, at, _ = yield from down(at, wide, loose)
        narrower = list(RAMPS.items())
    for ramp in narrower:
        problem, at, _ = yield from down(at, *ramp)
    anchor = torch.randn(count, problem.size, generator=generator, dtype=torch.float64)
    noise = problem.likelihood.noise(count, generator)
    found = _around(problem, at, anchor, noise)
    for k in range(count):  # one by one: the slopes of each take tens of megabytes
        own = slice(k, k + 1)
        for better, misfit in _descended(problem, found[own], anchor[own], noise[own], OWN_STEPS):
            found[own] = better
            yield misfit, found


def _descended(
    problem: InverseProblem, z: Tensor, anchor: Tensor, noise: Tensor, steps: int
) -> Iterator[tuple[Tensor, float]]:
    """Yield one member after each Gauss-Newton step, halved until it helps, and its misfit."""
    misfit = problem.misfit(x := problem.solved(z, strict=True)) - noise
    value = float(misfit.square().sum() + (z - anchor).square().sum())
    for _ in range(steps):
        (slope,) = problem.slopes(x, z)
        move, _ = gauss_newton(slope, misfit[0], (z - anchor)[0])
        for share in SHARES:
            trial = z + share * move
            found = problem.solved(trial)
            away = problem.misfit(found) - noise
            new = float(away.square().sum() + (trial - anchor).square().sum())
            if new < value:
                break
        else:
            return
        gain, z, x, misfit, value = 1 - new / value, trial, found, away, new
        yield z, float((misfit + noise).square().mean())
        if gain < SMALL:
            return


def _around(problem: InverseProblem, at: Tensor, anchor: Tensor, noise: Tensor) -> Tensor:
    """Return draws of the Gaussian law that the posterior is where the map is a straight one."""
    x = problem.solved(at)
    (slope,) = problem.slopes(x, at)
    inner = slope @ slope.mT
    inner.diagonal().add_(1.0)
    missing = noise - problem.misfit(x) - (anchor - at) @ slope.mT
    return anchor + torch.cholesky_solve(missing.mT, torch.linalg.cholesky(inner)).mT @ slope
