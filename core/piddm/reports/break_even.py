r"""After how many samples a student has paid for its training, in words.

.. math:: n = \frac{T}{t_b - t_s},

T being the seconds of all stages up to the student, :math:`t_s` its seconds a sample,
:math:`t_b` those of the fastest source without a network that is as good: as near to the data, and
as near to the equation. Where the data were simulated that is always a draw of the law, solved,
whose only error is that of a finite number of draws. Of an answer it is the same, with questions
that a solver with the student and one without were asked (:mod:`piddm.runs.answering`). Source:
the break-even complexity of learned solvers (arXiv 2605.15399).
"""

from __future__ import annotations

from collections.abc import Mapping

from piddm.metrics.scores import Metrics, Scores
from piddm.reports.verdict import ROUND_OFF
from piddm.runs.answering import ALLOWED, LEAST, Answers

STAGES = ("simulate", "train", "pairs", "distill")
"""Stages that are the price of a student."""

ALIKE = 2.0
"""Standard errors of the truth's energy distance within which two sources are alike."""

AS_GOOD = 1.05
"""Times the error of a student's answers up to which others are as good."""


def price_of(seconds: Mapping[str, float]) -> float:
    """Return the seconds that a student cost, of those of each stage."""
    return sum(seconds.get(stage, 0.0) for stage in STAGES)


def answers_even(found: Answers, price: float) -> str:
    """Return a sentence on answers with the student, and without one.

    Args:
        found: What was measured.
        price: Seconds of the training.
    """
    own, other = found.student, found.without
    said = (
        f"An answer ({found.sensors} sensors of {found.field} with {100 * found.noise:g} % of "
        f"noise, {found.truths} of the held-out solutions): {own.solver} takes {own.seconds:.2g} s"
    )
    if other.error is None or own.error is None:
        return (
            f"{said}; {other.solver}, which needs no network, had none after "
            f"{other.seconds:.2g} s, and was waited for no longer."
        )
    said += (
        f" and errs by {100 * own.error:.2g} %; {other.solver}, which needs no network, "
        f"{other.seconds:.2g} s and {100 * other.error:.2g} %"
    )
    if other.error > AS_GOOD * own.error:
        return f"{said}: it is not as good, and there is nothing to break even with."
    if other.seconds <= own.seconds:
        return f"{said}: the training, {price:.3g} s, is never paid."
    count = price / (other.seconds - own.seconds)
    return f"{said}: the training, {price:.3g} s, is paid after {count:,.0f} answers."


def unmeasured(price: float) -> str:
    """Return why nothing was measured of answers, and what tells it.

    Args:
        price: Seconds of the training.
    """
    why = (
        "no question was answered with the student and without it in a twentieth of the training"
        if ALLOWED * price >= LEAST
        else f"the training, {price:.3g} s, leaves no time for it"
    )
    return (
        f"Answers: not measured, for {why}; piddm solve with the run, and with --size for the "
        "equation alone, tells the seconds of both."
    )


def break_even(metrics: Metrics, seconds: Mapping[str, float], simulated: int) -> list[str]:
    """Return a sentence for the student as it is and for each way its samples are corrected.

    Args:
        metrics: Scores of the run.
        seconds: What each stage took.
        simulated: Samples that were simulated; 0 where the data were read.
    """
    price = price_of(seconds)
    if not price or "distill" not in seconds:
        return []
    rivals = {k: v for k, v in metrics.baselines.items() if not v.nfe and v.seconds_per_sample}
    drawn = seconds.get("simulate", 0.0) / simulated if simulated else 0.0
    own = {"student": metrics.student}
    own |= {k: v for k, v in metrics.baselines.items() if v.nfe and k.startswith("student,")}
    return [_sentence(k, v, metrics.truth, rivals, drawn, price) for k, v in own.items()
            if v.seconds_per_sample]  # fmt: skip


def _sentence(
    name: str, own: Scores, truth: Scores, rivals: Mapping[str, Scores], drawn: float, price: float
) -> str:
    margin = ALIKE * truth.errors.get("energy_distance", 0.0)
    taken = {
        label: scores.seconds_per_sample or 0.0
        for label, scores in rivals.items()
        if scores.energy_distance <= own.energy_distance + margin
        and (scores.pde_error_normalised or 0.0) <= max(own.pde_error_normalised or 0.0, ROUND_OFF)
    }
    if drawn:
        taken["a draw of the law, solved"] = drawn
    said = f"{name[0].upper()}{name[1:]}: {own.seconds_per_sample:.2g} s a sample"
    if not taken:
        return f"{said}, and no source without a network is as good: nothing to break even with."
    label, best = min(taken.items(), key=lambda pair: pair[1])
    rival = f"{label}, which is as good or better, takes {best:.2g} s"
    if best <= (own.seconds_per_sample or 0.0):
        return f"{said}; {rival}: the training, {price:.3g} s, is never paid."
    count = price / (best - (own.seconds_per_sample or 0.0))
    return f"{said}; {rival}: the training, {price:.3g} s, is paid after {count:,.0f} samples."
