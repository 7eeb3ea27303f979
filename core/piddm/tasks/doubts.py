"""Whether an ensemble comes as near to the observations as their noise allows, in a line."""

from __future__ import annotations

import torch
from scipy.stats import chi2
from torch import Tensor

from piddm.numerics.projection import VANISHED
from piddm.residuals.residual import Fields
from piddm.tasks.likelihood import misfit
from piddm.tasks.sensors import Sensors
from piddm.tasks.task import Task

SUSPECTS = 3
"""Observations that are named where a misfit is doubted."""

DOUBT = 1e-4
"""Chance of a misfit as large as the members' mean, below which an answer is called not done."""

CHANCE, APART = 0.1, 0.3
"""The same below which it is called so or a whim of the noise, where chi squared is more than that
share away from the number of observations: of 40, one in ten of sound ones is by itself."""


FAR = 1e3
"""Misfit of exact observations (1 is a thousandth of a deviation) at which a member that satisfies
the equation leaves no doubt that they contradict each other or it."""


@torch.no_grad()
def doubt_of(
    task: Task, fields: Fields, residual: Tensor | None, tolerance: Tensor, solver: str,
    known: bool = False,
) -> str:  # fmt: skip
    """Return what is to be said where members do not come near; nothing where they do.

    Args:
        task: The question.
        fields: Members, and free params.
        residual: Mean-square normalised residual of each member, where there is an equation.
        tolerance: What misfits are divided by, one for each observation.
        solver: Name of the solver.
        known: Whether members are draws of a posterior in closed form, which no effort betters.
    """
    names = tuple(k for k, v in fields.items() if v.ndim > 1)
    sensors = Sensors(task.observations, names, task.interpolation)
    away = misfit(sensors, fields, tolerance).square()
    exact = sensors.sigma == 0
    there = torch.zeros(len(away), dtype=torch.bool) if residual is None else residual <= VANISHED
    missed = away[there][:, exact].mean(1)  # of members that are not held up by the model
    if missed.numel() and float(missed.min()) >= FAR:  # NaN where none is exact
        return (
            "no member that satisfies the equation comes near to the exact observations: "
            f"{solver} is not done (more effort, or the solver auto, may be); if none is, they "
            "contradict each other or it, or have noise (--sigma)"
        )
    size, n = float(away[:, ~exact].sum(1).mean()), int((~exact).sum())
    if not n or (chi2.sf(size, n) > DOUBT and (known or chi2.cdf(size, n) > DOUBT)):
        return "" if known or not n else _unlikely(size, n, solver, _remedy(there, residual))
    said = f"the members' chi squared is {size:.4g} for {n} observations with noise"
    if size < n:
        return (
            f"{said}, nearer than noise comes: the noise is smaller than sigma says, or {solver} "
            f"follows it and is not done ({_remedy(there, residual)} may be)"
        )
    # Consistent observations are as likely here as a wrong one, which the members cannot tell.
    farthest = _farthest(task, names, away[:, ~exact], ~exact)
    worst = f"--robust tells whether a sensor is wrong; the farthest: {farthest}"
    if known:
        return f"{said}, by the exact posterior: law, sigma or a sensor does not fit; {worst}"
    return f"{said}: {solver} is not done ({_remedy(there, residual)} may be); {worst}"


def _unlikely(size: float, n: int, solver: str, remedy: str) -> str:
    """Return what to say of a misfit that noise seldom makes; nothing of one that it often does."""
    more = size > n
    chance = float(chi2.sf(size, n) if more else chi2.cdf(size, n))
    if abs(size / n - 1) <= APART or chance > CHANCE:
        return ""
    than, or_ = ("larger", "") if more else ("smaller", " a sigma larger than the noise,")
    return (
        f"the members' chi squared is {size:.4g} for {n} observations with noise, which alone "
        f"makes it {than} in {100 * chance:.1g} % of all cases: chance,{or_} or {solver} is not "
        f"done ({remedy} may be)"
    )


def _remedy(there: Tensor, residual: Tensor | None) -> str:
    """Return what may come nearer."""
    if bool(there.any()):
        return "more effort, or the solver auto,"
    return "another solver" if residual is None else "--project or the solver hybrid"


def _farthest(task: Task, fields: tuple[str, ...], away: Tensor, chosen: Tensor) -> str:
    """Return the observations that the members miss by most, in their sigmas."""
    sizes = away.mean(0).sqrt()
    names = task.observations.places(fields)
    names = [name for name, own in zip(names, chosen.tolist(), strict=True) if own]
    order = sizes.argsort(descending=True)[:SUSPECTS].tolist()
    return "; ".join(f"{names[i]}, {float(sizes[i]):.1f} sigmas" for i in order)
