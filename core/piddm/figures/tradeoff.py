"""PDE error against distribution distance: neither is shown without the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from piddm.figures import labels
from piddm.figures.style import BLUE, GREY, INK, SMALL, VERMILLION, plain, readable_logarithm

COLOURS = {"truth": INK, "teacher": BLUE, "student": VERMILLION}
"""Colour of each source of samples."""

MARKERS = {"truth": "D", "teacher": "o", "student": "s"}
"""Marker of each source of samples."""

FAR_BELOW = 1e-3
"""A truth this much smaller than all else is shown at the lower edge: it would squeeze the rest."""

STRIDES = 60
"""Pieces of a line that labels keep away from."""


class Point(NamedTuple):
    """A source of samples; points of the teacher are joined in their order."""

    source: Literal["truth", "teacher", "student"]
    label: str
    energy_distance: float
    pde_error: float


def tradeoff(points: Sequence[Point]) -> Figure:
    """Draw normalised PDE error over energy distance, both logarithmic, every point labelled.

    A point without a positive distance and error has no place on these axes and is left out.
    """
    shown = [p for p in points if p.energy_distance > 0 and p.pde_error > 0]
    lowest = min((p.pde_error for p in shown if p.source != "truth"), default=0.0)
    figure = Figure(figsize=(5.4, 3.9), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    line = [p[2:] for p in shown if p.source == "teacher"]
    axes.plot([x for x, _ in line], [y for _, y in line], color=BLUE, linewidth=1.0, alpha=0.5)
    for i, point in enumerate(shown):
        marker = MARKERS[point.source]
        if point.source == "truth":
            axes.axvline(point.energy_distance, color=GREY, linewidth=0.8, linestyle=":")
            if point.pde_error < FAR_BELOW * lowest:
                label = f"{point.label}, PDE error {point.pde_error:.0e}, far below"
                shown[i] = point = point._replace(label=label, pde_error=lowest / 5)
                marker = "v"
        axes.plot(
            point.energy_distance, point.pde_error, color=COLOURS[point.source], marker=marker,
            markersize=6, linestyle="none",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.18)
    axes.set_xlabel("energy distance to held-out data", fontsize=SMALL, color=INK)
    axes.set_ylabel("PDE error, normalised", fontsize=SMALL, color=INK)
    plain(axes)
    readable_logarithm(axes, "x")
    readable_logarithm(axes, "y")
    # The layout settles when it is drawn, and labels go where there is room in it.
    canvas.draw()
    figure.set_layout_engine("none")
    _label(axes, canvas, shown)
    return figure


def _label(axes: Axes, canvas: FigureCanvasAgg, points: Sequence[Point]) -> None:
    frame = axes.get_window_extent()
    unit = canvas.figure.dpi / 72  # pixels in a point
    places = [
        (float(x), float(y))
        for x, y in (axes.transData.transform((p.energy_distance, p.pde_error)) for p in points)
    ]
    taken = [labels.square(x, y, 4 * unit) for x, y in places]
    joined = [place for p, place in zip(points, places, strict=True) if p.source == "teacher"]
    for (x0, y0), (x1, y1) in pairwise(joined):
        along = [i / STRIDES for i in range(STRIDES)]
        taken += [labels.square(x0 + (x1 - x0) * s, y0 + (y1 - y0) * s, unit) for s in along]
    truth = [x for p, (x, _) in zip(points, places, strict=True) if p.source == "truth"]
    taken += [Bbox.from_extents(x - unit, frame.y0, x + unit, frame.y1) for x in truth]
    tags = [
        labels.Tag(text, place, COLOURS[point.source])
        for point, text, place in _merged(points, places, 6 * unit)
    ]
    labels.write(axes, canvas, tags, taken)


def _merged(
    points: Sequence[Point], places: Sequence[tuple[float, float]], near: float
) -> list[tuple[Point, str, tuple[float, float]]]:
    """Return labels with their places; neighbours of one source that coincide share a label."""
    out: list[tuple[Point, list[str], tuple[float, float]]] = []
    for point, place in zip(points, places, strict=True):
        if out and out[-1][0].source == point.source and math.dist(out[-1][2], place) < near:
            out[-1][1].append(point.label)
        else:
            out.append((point, [point.label], place))
    return [(point, _joined(every), place) for point, every, place in out]


def _joined(every: Sequence[str]) -> str:
    """Return ``"teacher, 7, 19 calls"`` of ``["teacher, 7 calls", "teacher, 19 calls"]``."""
    words = [label.split() for label in every]
    if len(words) == 1 or len({len(w) for w in words}) > 1:
        return ", ".join(every)
    columns = [list(dict.fromkeys(column)) for column in zip(*words, strict=True)]
    return " ".join(", ".join(column) for column in columns)
