r"""A sensor that is wrong: each reading that is doubted is judged by what the others say of it.

.. math:: t_i = \frac{|y_i - E[H_i x \mid y_{-i}]|}{\sqrt{\sigma_i^2 + \mathrm{var}[H_i x \mid
    y_{-i}]}}

with the answer to the others. Which are doubted is told by the answer to all: a sensor pulls it to
itself by :math:`v_i = \mathrm{var}[H_i x \mid y]`, so that what it is off by has the variance
:math:`\sigma_i^2 - v_i` and not the sum. One that the others contradict is left out, the worst
first; what is merely unlikely gets the sigma with which it is likely, as under Student's law of
:math:`\nu` degrees of freedom. Source: Cook and Weisberg, Residuals and Influence in Regression,
1982, chapter 2 (externally studentised residuals); Lange, Little and Taylor, Journal of the
American Statistical Association 84, 1989 (t by weights).
"""

from __future__ import annotations

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

FREEDOM = 3.0
"""Degrees of freedom of the law of readings that are unlikely and not left out."""

MEMBERS, DRAWS = 24, 200
"""Members of each ensemble; of one in closed form, whose draws cost next to nothing."""

TRIED = 4
"""Readings that are asked without, each time: those that are doubted most."""

DOUBTED, NAMED, SUSPECT = 2.0, 2.75, 3.5
"""Deviations at which a reading is tried, and from what the others say at which it is named, and
left out. Of 40 sound ones, one exceeds 2.75 in 21 % of all cases and 3.5 in 2 %."""

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
        off = (likelihood.sensors.values - at.mean(0)).abs()
        return off, at.var(0)

    wrong: dict[int, float] = {}
    found, away = ask(factor), torch.zeros_like(own)
    members = MEMBERS if found.law is None else DRAWS
    for _ in range(max(1, int(WRONG * len(own)))):
        off, variance = seen_of(found)
        sigma = own * factor
        doubt = off / (sigma.square() - variance).maximum(LEAST * sigma.square()).sqrt()
        doubt[list(wrong)] = 0.0
        away, without = torch.zeros_like(own), {}
        for i in doubt.topk(min(TRIED, len(own))).indices.tolist():
            if doubt[i] < DOUBTED:
                continue
            tried = factor.clone()
            tried[i] = NOTHING
            without[i] = ask(tried, members)
            off, variance = (v[i] for v in seen_of(without[i]))
            away[i] = off / (own[i].square() + variance).sqrt()
        worst = int(away.argmax())
        if away[worst] <= SUSPECT:
            factor = factor * ((FREEDOM + away.square()) / (FREEDOM + 1)).clamp_min(1.0).sqrt()
            break
        wrong[worst], factor[worst], found = float(away[worst]), NOTHING, without[worst]
    labels = seen.places(names, labelled=True)
    doubted = {i: float(away[i]) for i in (away > NAMED).nonzero()[:, 0].tolist()
               if i not in wrong}  # fmt: skip
    said = [f"the others {verb} {labels[i]}, {size:.1f} deviations off: {end}"
            for these, verb, end in ((wrong, "contradict", "left out"),
                                     (doubted, "doubt", "counts for less"))
            for i, size in these.items()]  # fmt: skip
    note = "; ".join(said)
    return replace(task, observations=replace(seen.with_sigma(own * factor, names), note=note))
