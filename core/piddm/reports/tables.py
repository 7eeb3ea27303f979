"""Scores as a table of text, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from piddm.plugins.loader import current

if TYPE_CHECKING:
    from piddm.metrics.scores import Scores

LABELS = {
    "pde_error": "PDE error, physical units",
    "pde_error_normalised": "PDE error, normalised",
    "constraint_distance": "distance to solutions",
    "mmse": "MMSE (mean)",
    "smse": "SMSE (standard deviation)",
    "energy_distance": "energy distance",
    "one_point_distance": "one-point distance, worst field",
    "spectrum_distance": "spectrum distance",
    "self_consistency": "self-consistency",
    "count": "samples",
    "nfe": "network calls a sample",
    "milliseconds": "milliseconds a sample",
}
"""Quantities of the table, in order, with what they are called."""


PHYSICS = ("pde_error", "pde_error_normalised", "constraint_distance", "self_consistency")
"""Quantities that take an equation."""


def score_table(scores: Mapping[str, Scores]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows: a quantity each, a column for each source of samples."""
    rows = []
    for quantity, label in labels(scores).items():
        rows.append([label, *(_cell(s, quantity) for s in scores.values())])
    return ["", *scores], rows


def labels(scores: Mapping[str, Scores]) -> dict[str, str]:
    """Return the quantities of a table with what they are called: registered metrics come last.

    Of data without an equation there are none of physics.
    """
    physics = any(s.pde_error is not None for s in scores.values())
    own = {k: v for k, v in LABELS.items() if physics or k not in PHYSICS}
    known = {entry.name: entry.summary for entry in current().list_all("metric")}
    names = dict.fromkeys(name for s in scores.values() for name in s.more)
    return own | {name: known.get(name, name) for name in names}


def floor_text(floor: Mapping[str, float]) -> str:
    """Return the floor of data by equation and condition, as one line."""
    return ", ".join(f"{name} {value:.2g}" for name, value in floor.items())


def _cell(scores: Scores, quantity: str) -> str:
    """Return a value, with its standard error where several draws were scored."""
    value, error = _quantity(scores, quantity), scores.errors.get(quantity)
    if value is None:
        return "-"
    return f"{value:.3g} ± {error:.1g}" if error else f"{value:.3g}"


def _quantity(scores: Scores, quantity: str) -> float | None:
    if quantity == "milliseconds":
        seconds = scores.seconds_per_sample
        return None if seconds is None else 1e3 * seconds
    return scores.value(quantity)
