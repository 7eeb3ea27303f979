"""Errors under refinement with the slopes that they should have, and the size of each term."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", INK)
"""Colours of the rows' curves, in order."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""Markers of the same; more of them, so that pairs repeat late."""

ACROSS = 3
"""Panels beside each other, at most."""


def convergence(panels: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure | None:
    """Draw error over spacing, both logarithmic: a panel a check, a colour a method.

    Dashed lines have the nominal slope; points near round-off are pale. Rows that are exact
    on every grid are only named.

    Args:
        panels: Title to the lines of a check, as :class:`piddm.verification.result.Line` has them.

    Returns:
        The figure, or nothing where no line has an order to show.
    """
    shown = {t: v for t, v in panels.items() if any(li["order"] is not None for li in v)}
    if not shown:
        return None
    columns = min(ACROSS, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(3.9 * columns, 4.1 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (title, of_panel) in zip(axes, shown.items(), strict=False):
        _panel(panel, title, of_panel)
    for panel in axes[len(shown) :]:
        panel.set_visible(False)
    return figure


def _panel(axes: Axes, title: str, every: Sequence[Mapping[str, Any]]) -> None:
    lines = [line for line in every if line["order"] is not None]
    exact = sorted({li["rows"] for li in every} - {li["rows"] for li in lines})
    methods = list(dict.fromkeys(line["method"] for line in lines))
    rows = list(dict.fromkeys(line["rows"] for line in lines))
    for line in lines:
        colour = COLOURS[methods.index(line["method"]) % len(COLOURS)]
        marker = MARKERS[rows.index(line["rows"]) % len(MARKERS)]
        h, e = np.array(line["steps"]), np.array(line["errors"])
        trusted = e > 20 * np.array(line["rounding"])
        axes.plot(h, e, color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(h[~trusted], e[~trusted], color=colour, marker=marker, linestyle="none",
                  markersize=3.5, alpha=0.25, markeredgewidth=0)  # fmt: skip
        axes.plot(h[trusted], e[trusted], color=colour, marker=marker, linestyle="none",
                  markersize=4, markeredgewidth=0,
                  label=f"{line['rows']}, {line['method']}: {line['order']:.2f}")  # fmt: skip
        if trusted.any():
            last = np.flatnonzero(trusted)[-1]
            axes.plot(h, e[last] * (h / h[last]) ** line["nominal"], color=colour, linewidth=0.9,
                      linestyle=(0, (4, 3)))  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    positive = np.concatenate([np.array(li["errors"]) for li in lines])
    positive = positive[positive > 0]
    axes.set_ylim(positive.min() / 3, positive.max() * 3)
    axes.set_title(title, fontsize=NORMAL, color=INK, loc="left")
    unit = "time step" if title.endswith("time") else "spacing"
    axes.set_xlabel(f"{unit} / length of the axis", fontsize=SMALL, color=INK)
    axes.set_ylabel("error", fontsize=SMALL, color=INK)
    if exact:
        axes.text(0.98, 0.03, f"exact: {', '.join(exact)}", transform=axes.transAxes, ha="right",
                  fontsize=SMALL, color=GREY)  # fmt: skip
    plain(axes)
    readable_logarithm(axes, "x")
    readable_logarithm(axes, "y")
    axes.legend(
        fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16),
        ncols=1 if len(lines) < 5 else 2, handletextpad=0.2, columnspacing=0.8, labelspacing=0.3,
    )  # fmt: skip


def scales(terms: Mapping[str, Mapping[str, float]], floor: Mapping[str, float]) -> Figure:
    """Draw the root mean square of each term of each equation over data, and of the residual.

    Args:
        terms: Name of equation to the terms and their sizes.
        floor: Name of equation to the root mean square of the residual, in the same units.
    """
    count = sum(len(parts) + 2 for parts in terms.values())
    figure = Figure(figsize=(6.4, 0.5 + 0.24 * count), layout="constrained")
    axes = figure.add_subplot()
    ticks: list[float] = []
    labels: list[str] = []
    at = 0.0
    for name, parts in terms.items():
        for text, size in sorted(parts.items(), key=lambda item: -item[1]):
            axes.barh(at, size, color=BLUE, height=0.7)
            ticks.append(at)
            labels.append(text if len(text) < 44 else text[:41] + "...")
            _write(axes, at, size)
            at += 1
        axes.barh(at, floor[name], color=VERMILLION, height=0.7)
        ticks.append(at)
        labels.append(f"residual, {name}")
        _write(axes, at, floor[name])
        at += 2
    sizes = [v for parts in terms.values() for v in parts.values()] + list(floor.values())
    positive = [v for v in sizes if v > 0] or [1.0]
    axes.set_xscale("log")
    axes.set_xlim(min(positive) / 10, max(positive) * 30)
    axes.set_ylim(at - 1.2, -0.8)
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("root mean square on data", fontsize=SMALL, color=INK)
    plain(axes)
    axes.tick_params(axis="y", length=0)
    return figure


def _write(axes: Axes, at: float, size: float) -> None:
    text = f"{size:.2g}" if size else "0"
    axes.annotate(
        text, (size or axes.get_xlim()[0], at), xytext=(3, 0), textcoords="offset points",
        va="center", fontsize=6.5, color=GREY,
    )  # fmt: skip
