"""Loss curves of teacher and student, raw and smoothed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from piddm.figures.style import (
    BLUE,
    GREEN,
    INK,
    NORMAL,
    SMALL,
    VERMILLION,
    plain,
    readable_logarithm,
)

COLOURS = {"loss": BLUE, "pair": GREEN, "physics": VERMILLION, "energy": BLUE}
"""Colour of each part of a loss."""

WINDOW = 40
"""A curve is smoothed over one part in so many."""


def training(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw a panel for each stage; where a loss has parts, its parts.

    Args:
        histories: Stage to its steps, each with ``step``, ``loss`` and perhaps ``pair``,
            ``physics`` and ``energy``.
    """
    figure = Figure(figsize=(4.2 * len(histories), 2.9), layout="constrained")
    panels = figure.subplots(1, len(histories), squeeze=False)[0]
    for axes, (stage, history) in zip(panels, histories.items(), strict=True):
        _panel(axes, stage, history)
    return figure


def _panel(axes: Axes, stage: str, history: Sequence[Mapping[str, float]]) -> None:
    steps = np.array([h["step"] for h in history])
    parts = [name for name in ("pair", "physics", "energy") if name in history[0]] or ["loss"]
    ends = {}
    for name in parts:
        values = np.array([h[name] for h in history], dtype=float)
        colour = COLOURS[name]
        smooth = _smooth(values)
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.7)
        axes.plot(steps, smooth, color=colour, linewidth=1.6)
        ends[name] = smooth[-1]
    axes.set_yscale("log")
    axes.set_xlim(0, steps[-1])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("step", fontsize=SMALL, color=INK)
    axes.set_title(f"{stage}: loss", fontsize=NORMAL, color=INK, loc="left")
    plain(axes)
    readable_logarithm(axes, "y")
    for name, height in _apart(axes, ends).items():
        axes.annotate(
            name, (1.0, height), xycoords="axes fraction", xytext=(4, 0), va="center",
            textcoords="offset points", fontsize=SMALL, color=COLOURS[name],
        )  # fmt: skip


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the running geometric mean, over fewer values at the ends."""
    width = max(1, len(values) // WINDOW)
    kernel = np.ones(2 * width + 1)
    logs = np.log(np.maximum(values, 1e-300))
    counts = np.convolve(np.ones(len(logs)), kernel, mode="full")
    sums = np.convolve(logs, kernel, mode="full")
    inner = slice(width, width + len(logs))
    return np.exp(sums[inner] / counts[inner])


def _apart(axes: Axes, ends: Mapping[str, float], least: float = 0.07) -> dict[str, float]:
    """Return heights of labels as fractions of the axes, moved apart where curves end together."""
    to_axes = axes.transAxes.inverted()
    out: dict[str, float] = {}
    for name, value in sorted(ends.items(), key=lambda item: item[1]):
        height = float(to_axes.transform(axes.transData.transform((0, value)))[1])
        below = max(out.values(), default=-1.0)
        out[name] = max(height, below + least)
    return out
