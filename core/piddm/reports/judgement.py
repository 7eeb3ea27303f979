"""Whether a run is good, in a few sentences made from its scores, and what to do next.

Distances are compared in units of the spread that a draw of data has against held-out data: within
:data:`ALIKE` of them two sources cannot be told apart by as many samples.
"""

from __future__ import annotations

from collections.abc import Mapping

from piddm.config import Config
from piddm.metrics.scores import Scores

ALIKE = 2.0
"""Spreads of a draw of data within which two sources are alike."""

LEAST = 0.05
"""Spread that is assumed at the least, over the truth's value: few draws may agree by chance."""

LATER = {
    "student, corrected": "after the correction",
    "student, projected": "after the projection",
}
"""Sources of the student's samples once they are on the equation, with what was done to them."""


def judgement(scores: Mapping[str, Scores], config: Config) -> list[str]:
    """Return the sentences: the data, a Gaussian and the teacher, the equation, what comes next.

    Args:
        scores: Scores by source; ``truth``, ``teacher`` and ``student`` at least.
        config: The run's configuration.
    """
    truth, teacher, student = (scores[name] for name in ("truth", "teacher", "student"))
    spread = _spread(truth)
    return [
        _data(student, truth, spread),
        *_others(scores, spread),
        *_equation(scores),
        _next(student, teacher, truth, spread, config),
    ]


def _spread(truth: Scores) -> float:
    """Return the standard deviation of the energy distance over draws of data."""
    error = truth.errors.get("energy_distance", 0.0)
    return max(error * truth.draws**0.5, LEAST * truth.energy_distance)


def _data(student: Scores, truth: Scores, spread: float) -> str:
    own, data = student.energy_distance, truth.energy_distance
    said = f"energy distance {own:.2g}, other data have {data:.2g} ± {spread:.1g}"
    beyond = (own - data) / spread if spread else 0.0
    if beyond <= ALIKE:
        return f"The student's samples are as near to the data as other data are: {said}."
    return (f"The student's samples are farther from the data than other data are, by "
            f"{beyond:.2g} spreads of a draw: {said}.")  # fmt: skip


def _others(scores: Mapping[str, Scores], spread: float) -> list[str]:
    """Return where the student stands against a Gaussian of the data and against its teacher."""
    own = scores["student"].energy_distance
    names = {"gaussian": "a Gaussian of the data", "teacher": "its teacher"}
    parts = [
        f"{_compared(own, scores[key].energy_distance, spread)} {name} "
        f"({scores[key].energy_distance:.2g})"
        for key, name in names.items()
        if key in scores and scores[key].count == scores["student"].count
    ]
    return [f"It is {' and '.join(parts)}."] if parts else []


def _compared(own: float, other: float, spread: float) -> str:
    if abs(own - other) <= ALIKE * spread:
        return "as near as"
    return "nearer than" if own < other else "farther than"


def _equation(scores: Mapping[str, Scores]) -> list[str]:
    errors = {key: own.pde_error_normalised for key, own in scores.items()}
    said = {"student": "as drawn", **LATER, "truth": "in the data"}
    parts = [f"{error:.2g} {done}" for key, done in said.items()
             if (error := errors.get(key)) is not None]  # fmt: skip
    if not parts:  # there is no equation
        return []
    return [f"Its PDE error, 1 being an equation's largest term, is {', '.join(parts)}."]


def _next(student: Scores, teacher: Scores, truth: Scores, spread: float, config: Config) -> str:
    """Return what would make the samples better, if anything would."""
    own, taught, data = (s.energy_distance for s in (student, teacher, truth))
    more = f"student.steps (now {config.student.steps:,})"
    if own <= data + ALIKE * spread:
        return "Next: more training would hardly show in so many samples; use the run."
    if config.preset == "quick":
        return "Next: quick only shows that all works; --preset default trains in earnest."
    if own > taught + ALIKE * spread:
        return f"Next: the student is behind its teacher; raise {more} or pairs.count."
    return (
        "Next: the student is as good as what it learns from; raise teacher.steps (now "
        f"{config.teacher.steps:,}) or data.train (now {config.data.train:,}), then {more}."
    )
