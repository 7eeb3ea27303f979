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

from piddm.figures.style import BLUE, GREY, INK, SMALL, VERMILLION, plain, readable_logarithm

COLOURS = {"truth": INK, "teacher": BLUE, "student": VERMILLION}
MARKERS = {"truth": "D", "teacher": "o", "student": "s"}

FAR_BELOW = 1e-3
"""A truth this much smaller than all else is shown at the lower edge: it would squeeze the rest."""

CLOSE = 8.0
"""Distance of a label in points, up to which it needs no line to its point."""


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
    """Write each label near its point, at the first place where it covers nothing."""
    renderer, frame = canvas.get_renderer(), axes.get_window_extent()
    unit = canvas.figure.dpi / 72  # pixels in a point
    to_axes = axes.transAxes.inverted()
    places = [
        (float(x), float(y))
        for x, y in (axes.transData.transform((p.energy_distance, p.pde_error)) for p in points)
    ]
    taken = [_square(x, y, 4 * unit) for x, y in places]
    joined = [place for p, place in zip(points, places, strict=True) if p.source == "teacher"]
    for (x0, y0), (x1, y1) in pairwise(joined):
        along = [i / STRIDES for i in range(STRIDES)]
        taken += [_square(x0 + (x1 - x0) * s, y0 + (y1 - y0) * s, unit) for s in along]
    truth = [x for p, (x, _) in zip(points, places, strict=True) if p.source == "truth"]
    taken += [Bbox.from_extents(x - unit, frame.y0, x + unit, frame.y1) for x in truth]
    for point, label, (x, y) in _merged(points, places, 6 * unit):
        text = axes.text(
            0, 0, label, transform=axes.transAxes, fontsize=SMALL, va="center",
            color=COLOURS[point.source],
        )  # fmt: skip
        size = text.get_window_extent(renderer)
        found: list[tuple[float, float, Bbox]] = []
        for far, dx, dy, share in _offsets():
            left = x + dx * unit - share * size.width
            low = y + dy * unit - size.height / 2
            box = Bbox.from_bounds(left, low, size.width, size.height)
            covered = sum(_overlap(box, other) for other in taken) + 3 * _outside(box, frame)
            found.append((covered, far, box))
            if covered == 0:
                break
        _, far, box = min(found, key=lambda f: f[0])
        taken.append(box.padded(2 * unit))
        middle = (box.y0 + box.y1) / 2
        # In fractions of the axes, so that it stays in place at another resolution.
        text.set_position(tuple(to_axes.transform((box.x0, middle))))
        if far > CLOSE:
            end = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
            ends = to_axes.transform([(x, y), end])
            axes.plot(*ends.T, transform=axes.transAxes, color=GREY, linewidth=0.5, zorder=0)


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
    return [(point, _joined(labels), place) for point, labels, place in out]


def _joined(labels: Sequence[str]) -> str:
    """Return ``"teacher, 7, 19 calls"`` of ``["teacher, 7 calls", "teacher, 19 calls"]``."""
    words = [label.split() for label in labels]
    if len(words) == 1 or len({len(w) for w in words}) > 1:
        return ", ".join(labels)
    columns = [list(dict.fromkeys(column)) for column in zip(*words, strict=True)]
    return " ".join(", ".join(column) for column in columns)


def _offsets() -> list[tuple[float, float, float, float]]:
    """Return candidates, the preferred first: distance, offset in points, share left of it."""
    out = []
    for far in (CLOSE, 14.0, 22.0, 32.0, 44.0, 58.0):
        aside, up = 0.7 * far, 0.8 * far
        out += [(far, far, 0.0, 0.0), (far, aside, up, 0.0), (far, aside, -up, 0.0)]
        out += [(far, 0.0, far + 2, 0.5), (far, 0.0, -far - 2, 0.5), (far, -far, 0.0, 1.0)]
        out += [(far, -aside, up, 1.0), (far, -aside, -up, 1.0)]
    return out


def _square(x: float, y: float, half: float) -> Bbox:
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _overlap(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _overlap(box, frame) if box.width else 0.0
