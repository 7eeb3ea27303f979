"""One thing varied at a time: both errors relative to the default's, a column for each ablation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from piddm.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    NORMAL,
    SMALL,
    VERMILLION,
    plain,
    readable_logarithm,
)

COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", INK, "#E69F00", "#56B4E9")
"""Colours of the equations' curves, in order."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Markers of the same."""

ACROSS = 4
"""Panels beside each other, at most."""

CROWDED = 8
"""Names at most that are written slantwise; more stand upright, each below its own point."""

FAR = 1e-4
"""Ratio to the default's value below which a point lies at the lower edge, since it would squeeze
the rest."""


class Curve(NamedTuple):
    """An ablation on one equation.

    Args:
        title: What is varied.
        equation: On what.
        values: What was tried, in order: numbers, or names.
        pde_error: Mean for each value; None where it failed.
        energy_distance: Likewise.
        default: Index of the default among the values.
        pde_error_error: Standard errors, where there are any.
        energy_distance_error: Likewise.
    """

    title: str
    equation: str
    values: Sequence[float | str]
    pde_error: Sequence[float | None]
    energy_distance: Sequence[float | None]
    default: int
    pde_error_error: Sequence[float | None] | None = None
    energy_distance_error: Sequence[float | None] | None = None


def ablation(curves: Sequence[Curve]) -> Figure:
    """Draw PDE errors above energy distances, over their defaults', both logarithmic.

    Numbers are along a logarithmic axis where they are far enough from each other there, else, and
    names always, at equal distances. A failure leaves a gap, an error without a default no curve.
    """
    titles = list(dict.fromkeys(c.title for c in curves))
    equations = list(dict.fromkeys(c.equation for c in curves))
    across = max(1, min(ACROSS, len(titles)))
    down = max(1, math.ceil(len(titles) / across))
    figure = Figure(figsize=(max(2.7 * across, 3.2), 3.7 * down + 0.3), layout="constrained")
    parts = figure.subfigures(down, across, squeeze=False, hspace=0.05).ravel()
    for i, (part, title) in enumerate(zip(parts, titles, strict=False)):
        rows = part.subplots(2, 1, sharex=True)
        own = [c for c in curves if c.title == title]
        rows[0].set_title(title, fontsize=NORMAL, color=INK, loc="left")
        for curve in own:
            look = equations.index(curve.equation)
            _draw(rows[0], curve, curve.pde_error, curve.pde_error_error, look)
            _draw(rows[1], curve, curve.energy_distance, curve.energy_distance_error, look)
        for axes in rows:
            _finish(axes, own)
        if i % across == 0:
            rows[0].set_ylabel("PDE error\nover default's", fontsize=SMALL, color=INK)
            rows[1].set_ylabel("energy distance\nover default's", fontsize=SMALL, color=INK)
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)],
               markersize=4.5, linewidth=1.2, label=name)
        for i, name in enumerate(equations)
    ]  # fmt: skip
    ring = Line2D([], [], color=INK, marker="o", markersize=6, markerfacecolor="white",
                  linestyle="none", label="default")  # fmt: skip
    figure.legend(handles=[*handles, ring], loc="outside lower center", ncols=len(handles) + 1,
                  frameon=False, fontsize=SMALL, labelcolor=INK)  # fmt: skip
    return figure


def _draw(
    axes: Axes, curve: Curve, means: Sequence[float | None],
    errors: Sequence[float | None] | None, look: int,
) -> None:  # fmt: skip
    base = means[curve.default]
    if not base:
        return
    colour, marker = COLOURS[look % len(COLOURS)], MARKERS[look % len(MARKERS)]
    x = _places(curve.values)
    y = [math.nan if m is None else m / base for m in means]
    far = [not math.isnan(v) and v < FAR for v in y]
    near = [math.nan if f else v for v, f in zip(y, far, strict=True)]
    named = any(isinstance(v, str) for v in curve.values)
    axes.plot(x, near, color=colour, linewidth=1.2, marker=marker, markersize=4.5,
              linestyle="none" if named else "-", zorder=2)  # fmt: skip
    for xs, v, e in zip(x, near, errors or [None] * len(y), strict=True):
        if e and math.isfinite(e) and not math.isnan(v):
            part = e / base
            axes.errorbar(xs, v, yerr=[[min(part, v * (1 - 1e-9))], [part]], fmt="none",
                          ecolor=colour, elinewidth=0.8, alpha=0.7, zorder=1)  # fmt: skip
    axes.plot(x[curve.default], 1.0, color=colour, marker=marker, markersize=6,
              markerfacecolor="white", zorder=4)  # fmt: skip
    for xs, f in zip(x, far, strict=True):
        if f:
            axes.plot(xs, 0.04, marker="v", color=colour, markersize=5, clip_on=False, zorder=4,
                      transform=axes.get_xaxis_transform())  # fmt: skip
            axes.annotate("far below", (xs, 0.04), xycoords=("data", "axes fraction"),
                          xytext=(0, 5), textcoords="offset points", fontsize=6, color=GREY,
                          ha="center", va="bottom")  # fmt: skip


def _finish(axes: Axes, curves: Sequence[Curve]) -> None:
    values = max((c.values for c in curves), key=len)
    x = _places(values)
    axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    axes.set_yscale("log")
    drawn = [
        np.asarray(line.get_ydata(), float)
        for line in axes.lines
        if line.get_transform() == axes.transData
    ]
    found = [float(v) for v in np.concatenate(drawn) if math.isfinite(v) and v > 0]
    low, high = math.log10(min(found)), math.log10(max(found))
    # Half a power of ten at the least: what is nearly equal shall look like that.
    room = max(0.15 * (high - low), (0.5 - (high - low)) / 2)
    axes.set_ylim(10 ** (low - room), 10 ** (high + room))
    side = 0.07 * (x[-1] - x[0]) + 0.1 * (x[1] - x[0] if len(x) > 1 else 1.0)
    axes.set_xlim(x[0] - side, x[-1] + side)
    texts = [v if isinstance(v, str) else f"{v:g}" for v in values]
    axes.set_xticks(x, texts)
    plain(axes)
    readable_logarithm(axes, "y")
    if sum(map(len, texts)) > 24:
        slope = 30 if len(texts) <= CROWDED else 90
        for label in axes.get_xticklabels():
            label.set(rotation=slope, ha="right", va="center" if slope == 90 else "top",
                      rotation_mode="anchor")  # fmt: skip


def _places(values: Sequence[float | str]) -> list[float]:
    """Return where the values lie; zero is a step left of the least positive one."""
    equal = [float(i) for i in range(len(values))]
    numbers = [v for v in values if not isinstance(v, str)]
    positive = [math.log10(v) for v in numbers if v > 0]
    rising = all(a < b for a, b in pairwise(numbers))
    zeros = len(numbers) - len(positive)
    if len(numbers) < len(values) or len(positive) < 2 or not rising or zeros > 1:
        return equal
    steps = [b - a for a, b in pairwise(positive)]
    if max(steps) > 4 * min(steps):
        return equal
    mean = sum(steps) / len(steps)
    return [positive[0] - mean] * zeros + positive
