"""Ablations, one question at a time: those of the paper's reviewers, as competitors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from piddm.bench.entries import BASELINE, OURS, TRUTH
from piddm.plugins.loader import current
from piddm.tools.errors import UsageError, nearest


@dataclass(frozen=True)
class Ablation:
    """One thing that is varied.

    Args:
        question: What it answers.
        labels: Competitors by what is shown of each; one of them is the default.
    """

    question: str
    labels: dict[str, str]


def _swept(key: str, values: tuple[object, ...], default: object) -> dict[str, str]:
    return {str(v): OURS if v == default else f"{OURS}:{key}={v}" for v in values}


ABLATIONS: dict[str, Ablation] = {
    "physics-weight": Ablation(
        "How much physics: lambda_train; 0 is distillation only.",
        _swept("physics_weight", (0, 1, 3, 10, 30, 100), 10),
    ),
    "teacher-steps": Ablation(
        "How many steps the teacher takes for a pair.", _swept("pairs.steps", (1, 2, 5, 10, 20), 5)
    ),
    "pairs": Ablation(
        "How many pairs there are at a time.", _swept("pairs.count", (256, 1024, 2560, 5120), 2560)
    ),
    "refresh": Ablation(
        "How many pairs are fresh every 160 steps.",
        _swept("pairs.refresh", (0, 128, 512, 2048), 512),
    ),
    "schedule": Ablation(
        "The teacher's noise schedule.",
        _swept(
            "teacher.schedule", ("linear", "trigonometric", "vp", "sub-vp", "edm"), "trigonometric"
        ),
    ),
    "norm": Ablation(
        "The residual's plain mean square against the distance to the nearest solution.",
        {
            "distance": OURS,
            "strong, 1": f"{OURS}:physics_norm=strong,physics_weight=1",
            "strong, 0.1": f"{OURS}:physics_norm=strong,physics_weight=0.1",
            "strong, 0.01": f"{OURS}:physics_norm=strong,physics_weight=0.01",
        },
    ),
    "energy": Ablation(
        "The energy score, a term that the paper has not.",
        _swept("energy_weight", (0, 4, 16, 64), 16),
    ),
    "order": Ablation(
        "Stencils of another order in training than in scoring.",
        {"2": OURS, "4": f"{OURS}:physics.order=4", "6": f"{OURS}:physics.order=6"},
    ),
    "grid": Ablation(
        "Scored on the grid of training, on half and on twice as many nodes an axis.",
        {
            f"{who}, {factor} x": label if factor == 1 else f"{label}+grid={factor}"
            for who, label in (
                ("truth", TRUTH),
                ("teacher", BASELINE),
                ("teacher, projected", f"{BASELINE}+projection"),
                ("student", OURS),
                ("student, projected", f"{OURS}+projection"),
            )
            for factor in (0.5, 1, 2)
        },
    ),
    "draws": Ablation(
        "Means over four draws of noise: one draw is a matter of luck, which those share that are "
        "given the same.",
        {
            "teacher, projected": f"{BASELINE}+projection+draws=4",
            "student": f"{OURS}+draws=4",
            "student, projected": f"{OURS}+projection+draws=4",
            "student without physics, projected": f"{OURS}:physics_weight=0+projection+draws=4",
        },
    ),
    "operator": Ablation(
        "Training on a wrong equation: its params times a factor.",
        _swept("physics.factor", (0.5, 0.9, 1, 1.1, 2), 1),
    ),
    "rows": Ablation(
        "The residual everywhere, at the ends of time, on the boundary of space.",
        _swept("physics.rows", ("all", "ends", "boundary"), "all"),
    ),
    "refinement": Ablation(
        "Refined noise of the student.",
        {
            "student": OURS,
            "student, 5 steps": f"{OURS}+refine=5",
            "student, 20 steps": f"{OURS}+refine=20",
            "student, 80 steps": f"{OURS}+refine=80",
        },
    ),
    "projection": Ablation(
        "Ending at the nearest solution.",
        {
            "teacher": BASELINE,
            "teacher, projected": f"{BASELINE}+projection",
            "student": OURS,
            "student, projected": f"{OURS}+projection",
        },
    ),
}
"""By name. Defaults are those of the preset ``default``."""


def ablations() -> dict[str, Ablation]:
    """Return :data:`ABLATIONS`, that of every student's physics, and what plugins declare."""
    plugins, labels = current(), dict[str, str]()
    for entry in plugins.list_all("student"):
        labels[entry.name] = entry.name
        labels[f"{entry.name}, no physics"] = f"{entry.name}:physics_weight=0"
    found = ABLATIONS | {"students": Ablation("Every student with physics and without.", labels)}
    for entry in plugins.list_all("ablation"):
        rows = plugins.get("ablation", entry.name)
        own = found.get(entry.name, Ablation(entry.summary, {}))
        found[entry.name] = replace(own, labels=own.labels | rows)
    return found


def labels_of(names: list[str]) -> list[str]:
    """Return the competitors of some ablations, or of ``all``.

    Raises:
        UsageError: If there is no such ablation.
    """
    known = ablations()
    if names == ["all"]:
        names = list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"no ablation {name!r}{nearest(name, ['all', *known])}")
    found = dict.fromkeys(v for name in names for v in known[name].labels.values())
    return [label for label in found if label != TRUTH]  # that is in every table
