"""Whether a network was worth it: a run's student against samplers without one, in words."""

from __future__ import annotations

from piddm.metrics.scores import Metrics, Scores

NAMES = {
    "energy_distance": "energy distance",
    "spectrum_distance": "spectrum distance",
    "one_point_distance": "one-point distance",
    "self_consistency": "self-consistency",
    "pde_error_normalised": "PDE error",
}
"""Measures that the verdict compares, with what they are called."""

ROUND_OFF = 1e-9
"""A PDE error or inconsistency below this is rounding: it is as good as any other such."""


def verdict(metrics: Metrics) -> list[str]:
    """Return a sentence for each measure: did the student beat every baseline without a network?

    Two values are alike where they differ by no more than twice the standard error that draws of
    data have among themselves. Only baselines of as many samples are compared.
    """
    return list(filter(None, (_sentence(metrics, *item) for item in NAMES.items())))


def _sentence(metrics: Metrics, measure: str, name: str) -> str:
    own = getattr(metrics.student, measure)
    others = {
        label: value
        for label, scores in metrics.baselines.items()
        if not scores.nfe and scores.count == metrics.student.count
        and (value := getattr(scores, measure)) is not None
    }  # fmt: skip
    if own is None or not others:
        return ""
    label, best = min(others.items(), key=lambda pair: pair[1])
    least = metrics.truth.pde_error_normalised
    if measure == "pde_error_normalised" and least is not None:  # nothing satisfies it better
        own, best = max(own, least), max(best, least)
    margin = 2 * metrics.truth.errors.get(measure, 0.0)
    if max(own, best) < ROUND_OFF or abs(own - best) <= margin:
        said = f"In {name} the student is no better and no worse than {label}"
    elif own < best:
        said = f"In {name} the student beats every sampler without a network, the best is {label}"
    else:
        said = f"In {name} the student is beaten by {label}, which calls no network"
    return f"{said}: {own:.3g} against {best:.3g}{_floor(metrics.truth, measure)}."


def _floor(truth: Scores, measure: str) -> str:
    value, error = getattr(truth, measure), truth.errors.get(measure)
    if value is None:
        return ""
    return f" (data against data {value:.3g}" + (f" ± {error:.1g})" if error else ")")
