"""What a calibration found: ranks of truths, coverage before, and factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from piddm.figures.reliability import COLOURS, density
from piddm.figures.style import GREY, INK, NORMAL, SMALL, plain

if TYPE_CHECKING:
    from piddm.tasks.interval_calibration import Calibration


def calibrations(found: Calibration) -> Figure:
    """Draw the rank histogram over all truths, and the factors of intervals and bands."""
    figure = Figure(figsize=(6.2, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axhline(1, color=GREY, linewidth=0.8, linestyle="--")
    for k, (name, counts) in enumerate(found.ranks.items()):
        label = f"{name}, chance {found.chance[name]:.2g}" if name in found.chance else name
        left.stairs(*density(counts), color=COLOURS[k % len(COLOURS)], linewidth=1.2, label=label)
    left.set(xlim=(0, 1), ylim=(0, None))
    left.set_xlabel("rank of the truth among the members", fontsize=SMALL)
    left.set_title("density of ranks", fontsize=NORMAL, color=INK, loc="left")
    left.legend(fontsize=SMALL, frameon=False)
    names, bars = list(found.like.pointwise), []
    for factors, what in ((found.like, ""), *((v, f", {k}") for k, v in found.unlike.items())):
        bars.append((f"interval{what}", [factors.pointwise[k] for k in names]))
        bars.append((f"band{what}", [factors.joint[k] or 0.0 for k in names]))
    width = 0.8 / len(bars)
    for k, (label, heights) in enumerate(bars):
        places = [i - 0.4 + (k + 0.5) * width for i in range(len(names))]
        right.bar(places, heights, width, color=COLOURS[k % len(COLOURS)], label=label)
    right.axhline(1, color=GREY, linewidth=0.8, linestyle="--")
    right.set_xticks(range(len(names)), names)
    right.set_title(f"factors for {100 * found.level:g} %", fontsize=NORMAL, color=INK, loc="left")
    right.legend(fontsize=SMALL, frameon=False)
    for axes in (left, right):
        plain(axes)
    return figure
