"""Print the table of trained models from their cards: ``python benchmarks/models_table.py``."""

from __future__ import annotations

from pathlib import Path

from piddm.metrics.scores import Metrics, Scores
from piddm.runs.model_card import read_card

FOLDER = Path(__file__).parents[1] / "plugins" / "piddm_students"
ROWS = ("truth", "student", "student, corrected", "gaussian inputs, solved")
"""Sources that are shown, in order, where a card has them."""

HEAD = (
    "model", "source", "PDE error", "self-consistency", "energy distance", "one-point distance",
    "spectrum distance", "ms a sample",
)  # fmt: skip


def main() -> None:
    """Print."""
    print(f"| {' | '.join(HEAD)} |")
    print("|---" * len(HEAD) + "|")
    for card in sorted(FOLDER.glob("*/model.json")):
        scores = Metrics.model_validate(read_card(card.parent).metrics).scores()
        for row in ROWS:
            if (s := scores.get(row)) is None:
                continue
            seconds = "" if s.seconds_per_sample is None else f"{1e3 * s.seconds_per_sample:.2g}"
            near = "" if s.self_consistency is None else f"{100 * s.self_consistency:.2g} %"
            names = ("energy_distance", "one_point_distance", "spectrum_distance")
            shown = [told(s, name) for name in names]
            cells = [card.parent.name, row, f"{s.pde_error_normalised:.2g}", near, *shown, seconds]
            print(f"| {' | '.join(cells)} |")


def told(scores: Scores, name: str) -> str:
    """Return a distance with the standard error of the mean over its draws."""
    value, error = scores.value(name), scores.errors.get(name)
    if value is None:
        return ""
    return f"{value:.4f}" + (f" ± {error:.4f}" if error else "")


if __name__ == "__main__":
    main()
