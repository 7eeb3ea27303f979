"""Records of scores, and the content of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from pydantic import BaseModel, ConfigDict


class Scores(BaseModel):
    """Metrics of one source of samples.

    A PDE error needs a distance to the data beside it: any constant may have a small one.
    On a sphere every mean over nodes is one over its area.

    Of data without an equation there are no errors and no distance to solutions: None.

    Attributes:
        pde_error: Mean R squared in physical units, summed over equations and conditions.
        pde_error_normalised: The same of R over the scale of its equation's largest term.
        pde_error_by_row: The normalised error of each equation and condition.
        constraint_distance: Mean squared distance to the nearest solution, normalised fields, to
            first order: the length of one Gauss-Newton step.
        mmse: Mean square difference of the pointwise mean to held-out data, normalised fields.
        smse: The same of the pointwise standard deviation.
        energy_distance: Energy distance to held-out data, normalised fields, per root of dimension.
        one_point_distance: The largest over fields of :mod:`piddm.metrics.one_point`.
        one_point_by_field: Each field's.
        spectrum_distance: See :mod:`piddm.metrics.spectra`; normalised fields.
        self_consistency: Mean over ``solved_count`` samples of the relative distance to the
            solution that belongs to a sample's own inputs, :mod:`piddm.metrics.self_consistency`;
            None where an equation declares no inputs, or nothing solves for the rest.
        nfe: Network calls for one sample; None for data.
        seconds_per_sample: Wall-clock; None for data.
        count: Samples used; ``distance_count`` of them for the distance.
        seed: Seed of the samples' noise.
        draws: Draws that the values are means over; of data, to know the floor.
        errors: Standard errors of those means, by name.
        more: Values of the metrics that are registered, by name
            (:func:`piddm.metrics.comparison.registered`).

    Records of runs before there was a measure lack it: None, or nothing by field.
    """

    model_config = ConfigDict(extra="forbid")

    pde_error: float | None
    pde_error_normalised: float | None
    pde_error_by_row: dict[str, float]
    constraint_distance: float | None
    mmse: float
    smse: float
    energy_distance: float
    one_point_distance: float | None = None
    one_point_by_field: dict[str, float] = {}
    spectrum_distance: float | None = None
    self_consistency: float | None = None
    solved_count: int = 0
    nfe: int | None
    seconds_per_sample: float | None
    count: int
    distance_count: int
    seed: int
    draws: int = 1
    errors: dict[str, float] = {}
    more: dict[str, float] = {}

    def value(self, name: str) -> float | None:
        """Return a metric's value by name, a registered one's too; None where there is none."""
        own = name in type(self).model_fields
        return getattr(self, name) if own else self.more.get(name)


MEASURES = (
    "energy_distance", "spectrum_distance", "one_point_distance", "mmse", "smse",
    "self_consistency", "pde_error_normalised", "constraint_distance",
)  # fmt: skip
"""Measures of samples, less being better: first how like the data, then how physical."""


def mean_scores(draws: Sequence[Scores]) -> Scores:
    """Return the means of several draws' scores, with their standard errors."""
    first, count = draws[0], len(draws)
    if count == 1:
        return first
    names = (*MEASURES, *first.more)
    columns = {name: [v for s in draws if (v := s.value(name)) is not None] for name in names}
    means = {name: fmean(values) for name, values in columns.items() if values}
    errors = {name: stdev(values) / count**0.5 for name, values in columns.items() if values}
    more = {name: means.pop(name) for name in first.more}
    by_field = {k: fmean(s.one_point_by_field[k] for s in draws) for k in first.one_point_by_field}
    by_row = {k: fmean(s.pde_error_by_row[k] for s in draws) for k in first.pde_error_by_row}
    physical = [s.pde_error for s in draws if s.pde_error is not None]
    means |= {"pde_error": fmean(physical)} if physical else {}
    means |= {"draws": count, "errors": errors}
    if first.seconds_per_sample is not None:
        means["seconds_per_sample"] = fmean(s.seconds_per_sample or 0.0 for s in draws)
    return first.model_copy(
        update=means | {"one_point_by_field": by_field, "pde_error_by_row": by_row, "more": more}
    )


def in_calls(count: int | None) -> str:
    """Return ``1 call`` or ``5 calls``, for labels."""
    return f"{count} call" if count == 1 else f"{count} calls"


class TradeoffPoint(BaseModel):
    """A point of the trade between PDE error and distribution distance."""

    model_config = ConfigDict(extra="forbid")

    label: str
    steps: int
    pde_error_normalised: float | None
    energy_distance: float


class Metrics(BaseModel):
    """The content of ``metrics.json``; ``floor`` is the residual of the data, as in their file."""

    model_config = ConfigDict(extra="forbid")

    truth: Scores
    teacher: Scores
    student: Scores
    baselines: dict[str, Scores] = {}
    tradeoff: list[TradeoffPoint] = []
    floor: dict[str, float] = {}

    def scores(self) -> dict[str, Scores]:
        """Return the scores by name: the truth, what calls no network, then what learns most."""
        plain = {name: s for name, s in self.baselines.items() if not s.nfe}
        own = {"truth": self.truth, **plain, "teacher": self.teacher, "student": self.student}
        return own | self.baselines
