"""Whether an ensemble means what it says, in two pictures: coverage, and ranks of the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from piddm.figures.style import BLUE, GREEN, GREY, INK, NORMAL, SMALL, VERMILLION, plain
from piddm.residuals.residual import Fields

if TYPE_CHECKING:
    from piddm.tasks.solution import Solution

LEVELS = np.linspace(0.1, 0.9, 9)
"""Nominal shares of the central intervals."""

BINS = 11
"""Bars of a rank histogram, at most."""

COLOURS = (BLUE, VERMILLION, GREEN, GREY)
"""Colours of the fields, in order."""


def calibration(found: Solution, truth: Fields) -> Figure:
    """Draw the coverage of intervals of all sizes, and the histogram of the truth's ranks.

    Over many truths a calibrated ensemble is on the diagonal, and its histogram is flat. Of one
    truth neighbouring nodes are alike, so that either strays. Nodes where all members have the
    true value are left out.

    Args:
        found: The answer.
        truth: Fields ``(*grid.shape)`` and params.
    """
    figure = Figure(figsize=(6.2, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    right.axhline(1, color=GREY, linewidth=0.8, linestyle="--")
    names = [k for k, v in truth.items() if v.ndim and k in found.fields]
    for k, name in enumerate(names):
        colour = COLOURS[k % len(COLOURS)]
        true = {name: truth[name]}
        shares = [found.covered(true, float(level))[name] for level in LEVELS]
        left.plot(LEVELS, shares, "o-", color=colour, markersize=3, linewidth=1.2, label=name)
        right.stairs(*density(found.ranks(true)[name]), color=colour, linewidth=1.2)
    left.set(xlim=(0, 1), ylim=(0, 1))
    left.set_xlabel("interval", fontsize=SMALL)
    left.set_title("share of nodes whose truth is inside", fontsize=NORMAL, color=INK, loc="left")
    left.legend(fontsize=SMALL, frameon=False, loc="upper left")
    right.set(xlim=(0, 1), ylim=(0, None))
    right.set_xlabel("rank of the truth among the members", fontsize=SMALL)
    right.set_title("density of ranks", fontsize=NORMAL, color=INK, loc="left")
    for axes in (left, right):
        plain(axes)
    return figure


def density(counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the bars of a rank histogram and their edges: 1 everywhere for a calibrated ensemble.

    Args:
        counts: How often 0, 1, ... of the members were below the truth.
    """
    bins = min(BINS, len(counts))
    # Ranks are cells of equal chance; a bin holds as many of them as of its width.
    places = (np.arange(len(counts)) + 0.5) / len(counts)
    held, edges = np.histogram(places, bins, (0, 1), weights=np.asarray(counts, float))
    cells = np.histogram(places, bins, (0, 1))[0]
    return held / max(held.sum(), 1) / (cells / cells.sum()), edges
