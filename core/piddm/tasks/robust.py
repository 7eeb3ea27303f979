r"""A sensor that is wrong: each reading that is doubted is judged by what the others say of it.

.. math:: t_i = \frac{|y_i - E[H_i x \mid y_{-i}]|}{\sqrt{\sigma_i^2 + \mathrm{var}[H_i x \mid
    y_{-i}]}}

with the answer to the others. A reading is wrong beforehand with the chance c, and then has k times
its sigma, so that of what it is off by, of the variance :math:`V = \sigma^2 + \mathrm{var}`, the
odds are

.. math:: \frac{c}{1 - c}\sqrt{R}\; e^{t^2 (1 - R) / 2}, \qquad R = \frac{V}{V + (k^2 - 1)\sigma^2},

and of those that are tried together one is wrong, or none. Which are tried is told by the answer
to all: a sensor pulls it to itself by :math:`v_i = \mathrm{var}[H_i x \mid y]`, so that what it is
off by has the variance :math:`\sigma_i^2 - v_i` and not the sum. One that is almost surely wrong is
left out, the worst first. Of one that may be, with the chance w, the sigma is raised until the
answer has gone the share w of the way to the one without it, by :math:`V w / (1 - w)` of variance:
the mean over both cases. Source: Box and Tiao, Biometrika 55, 1968 (a Bayesian approach to some
outlier problems); Cook and Weisberg, Residuals and Influence in Regression, 1982, chapter 2
(externally studentised residuals).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.tasks.likelihood import Likelihood
from piddm.tasks.task import Task

if TYPE_CHECKING:
    from piddm.tasks.model import Model
    from piddm.tasks.solution import Solution

BEFORE, LARGER = 0.025, 10.0
"""Chance c of a reading to be wrong beforehand, and how many times its sigma a wrong one has."""

MEMBERS, DRAWS = 24, 200
"""Members of each ensemble; of one in closed form, whose draws cost next to nothing."""

TRIED = 4
"""Readings that are asked without, each time: those that are doubted most."""

DOUBTED = 2.0
"""Deviations at which a reading is tried."""

NAMED, LEFT_OUT = 0.1, 0.9
"""Chances of being wrong at which a reading is named, and left out. Where the others say nearly
all of it, these are those of 2.7 and 4.1 deviations."""

WRONG = 0.25
"""Share of all readings that may be found wrong; of more the others are no witnesses."""

NOTHING, LEAST = 1e3, 0.1
"""Factor on a sigma that makes a reading count for nothing, and least share of a variance that is
a difference of two."""


def robust(
    model: Model, task: Task, solver: str, seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Task:  # fmt: skip
    """Return the task with readings that the others contradict left out, by their sigmas.

    What was found is in the ``note`` of its observations.

    Args:
        model: What is asked.
        task: The question.
        solver: Name of the solver.
        seed: Seed of the ensembles.
        settings: The solver's own.
    """
    from piddm.tasks.ensemble import answer

    seen, names = task.observations, model.pde.field_names
    plain = replace(
        task, observations=replace(seen, groups={}, bias={}, readings=[
            replace(own, group="") for own in seen.readings])
    )  # fmt: skip
    likelihood = Likelihood.of(plain, names, model.packing)
    own, factor = likelihood.sigma, torch.ones(len(likelihood), dtype=torch.float64)

    def ask(scaled: Tensor, members: int = MEMBERS) -> Solution:
        observed = seen.with_sigma(own * scaled, names)
        return answer(
            model, replace(task, observations=observed), solver, members, seed=seed,
            settings=settings, progress=False,
        )  # fmt: skip

    def seen_of(found: Solution) -> tuple[Tensor, Tensor]:
        at = likelihood.sensors(found.fields)
        mean = at.mean(0)
        if found.law is not None and not likelihood.sensors.curved:
            mean = likelihood.sensors({k: v[None] for k, v in found.mean.items()})[0]
        return (likelihood.sensors.values - mean).abs(), at.var(0)

    wrong: dict[int, float] = {}
    found, away, chance = ask(factor), torch.zeros_like(own), torch.zeros_like(own)
    members = MEMBERS if found.law is None else DRAWS
    if members > MEMBERS:
        found = ask(factor, members)
    for _ in range(max(1, int(WRONG * len(own)))):
        off, variance = seen_of(found)
        sigma = own * factor
        doubt = off / (sigma.square() - variance).maximum(LEAST * sigma.square()).sqrt()
        doubt[list(wrong)] = 0.0
        away, total, without = torch.zeros_like(own), own.square(), {}
        odds = torch.full_like(own, -torch.inf)
        for i in doubt.topk(min(TRIED, len(own))).indices.tolist():
            if doubt[i] < DOUBTED:
                continue
            tried = factor.clone()
            tried[i] = NOTHING
            without[i] = ask(tried, members)
            off, variance = (v[i] for v in seen_of(without[i]))
            total[i] = own[i].square() + variance
            away[i], odds[i] = off / total[i].sqrt(), _log_odds(off, total[i], own[i])
        chance = torch.cat([odds, odds.new_zeros(1)]).softmax(0)[:-1]
        worst = int(chance.argmax())
        if chance[worst] <= LEFT_OUT:
            more = total / own.square() * chance / (1 - chance)
            factor = factor * (1 + more).sqrt()
            break
        wrong[worst], factor[worst], found = float(away[worst]), NOTHING, without[worst]
    labels = seen.places(names, labelled=True)
    doubted = {i: float(away[i]) for i in (chance > NAMED).nonzero()[:, 0].tolist()
               if i not in wrong}  # fmt: skip
    said = [f"the others {verb} {labels[i]}, {size:.1f} deviations off: {end}"
            for these, verb, end in ((wrong, "contradict", "left out"),
                                     (doubted, "doubt", "counts for less"))
            for i, size in these.items()]  # fmt: skip
    note = "; ".join(said)
    return replace(task, observations=replace(seen.with_sigma(own * factor, names), note=note))


def _log_odds(off: Tensor, total: Tensor, sigma: Tensor) -> Tensor:
    """Return the logarithm of the odds of a reading to be wrong, of what it is off by."""
    ratio = total / (total + (LARGER**2 - 1) * sigma.square())
    return (math.log(BEFORE / (1 - BEFORE)) + ratio.log() / 2
            + off.square() / total * (1 - ratio) / 2)  # fmt: skip
