"""Scores as a table of text, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piddm.metrics import Scores

LABELS = {
    "pde_error": "PDE error, physical units",
    "pde_error_normalised": "PDE error, normalised",
    "constraint_distance": "distance to the constraint set",
    "mmse": "MMSE (mean)",
    "smse": "SMSE (standard deviation)",
    "energy_distance": "energy distance",
    "nfe": "network calls a sample",
    "milliseconds": "milliseconds a sample",
}
"""Quantities of the table, in order, with what they are called."""


def score_table(scores: Mapping[str, Scores]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows: a quantity each, a column for each source of samples."""
    rows = []
    for quantity, label in LABELS.items():
        values = [_quantity(s, quantity) for s in scores.values()]
        rows.append([label, *("-" if v is None else f"{v:.3g}" for v in values)])
    return ["", *scores], rows


def floor_text(floor: Mapping[str, float]) -> str:
    """Return the floor of data by equation and condition, as one line."""
    return ", ".join(f"{name} {value:.2g}" for name, value in floor.items())


def _quantity(scores: Scores, quantity: str) -> float | None:
    if quantity == "milliseconds":
        seconds = scores.seconds_per_sample
        return None if seconds is None else 1e3 * seconds
    return getattr(scores, quantity)
