"""Methods side by side: PDE error against energy distance, by cost, a panel for each equation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from piddm.figures import labels
from piddm.figures.pareto_points import COLOURS, LEAST, MORE, ParetoPoint, area, front_of
from piddm.figures.style import (
    GREY,
    INK,
    NORMAL,
    SMALL,
    plain,
    readable_logarithm,
)

ACROSS = 3
"""Panels beside each other, at most."""

UPPER, LINE = 3.4, 0.155
"""Heights in inches: of what is above round-off, and of a line below it."""

PROJECTED = "+projection"
"""Names lose this where hollow markers tell it."""


def pareto(points: Sequence[ParetoPoint], cost: str = "network calls per sample") -> Figure:
    """Draw normalised PDE error over energy distance, both logarithmic, every point labelled.

    Areas grow with the logarithm of the cost; projected variants are hollow. What satisfies the
    equation to round-off is below a break of the axis, the nearest to the data first: none is
    better there for a smaller error. The line joins what no method above the break beats in both.

    Args:
        points: The methods; one without a positive distance and a finite error is left out.
        cost: What their cost is.
    """
    shown = [
        p for p in points
        if 0 < p.energy_distance < math.inf and 0 <= p.pde_error < math.inf
    ]  # fmt: skip
    # Zero has no place on the axis: it is rounding like what is next to it.
    shown = [p._replace(pde_error=max(p.pde_error, 1e-30)) for p in shown]
    equations = list(dict.fromkeys(p.equation for p in shown))
    across = max(1, min(ACROSS, len(equations)))
    down = max(1, math.ceil(len(equations) / across))
    lines = max((sum(p.low for p in shown if p.equation == e) for e in equations), default=0)
    size = 4.9 * across, (UPPER + LINE * lines + 0.7) * down + 0.3
    figure = Figure(figsize=size, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.get_layout_engine().set(hspace=0.06, wspace=0.05)  # pyright: ignore
    parts = figure.subfigures(down, across, squeeze=False)
    cheapest = min((p.cost for p in shown if p.family != "truth" and p.cost > 0), default=1.0)
    drawn: list[tuple[Axes, list[ParetoPoint]]] = []
    for part, equation in zip(parts.ravel(), equations, strict=False):
        own = [p for p in shown if p.equation == equation]
        if upper := _panel(part, equation, own, cheapest, lines):
            drawn.append((upper, [p for p in own if not p.low]))
    _legend(figure, shown, cheapest, cost)
    # The layout settles when it is drawn, and labels go where there is room in it.
    canvas.draw()
    figure.set_layout_engine("none")
    for axes, own in drawn:
        _label(axes, canvas, own, cheapest)
    return figure


def _panel(
    part: Figure, equation: str, points: list[ParetoPoint], cheapest: float, lines: int
) -> Axes | None:
    """Draw an equation's points; return the axes of those above round-off, if there are any."""
    high = [p for p in points if not p.low]
    low = [p for p in points if p.low]
    heights = [h for h, band in ((UPPER, high), (LINE * lines, low)) if band]
    rows = part.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in rows:
        axes.set_xscale("log")
        axes.set_xlim(
            *_limits([p.energy_distance for p in points], [p.distance_error for p in points])
        )
        for point in points:
            if point.family == "truth":
                axes.axvline(
                    point.energy_distance, color=INK, linewidth=0.9, linestyle=":", zorder=1
                )
    if high:
        _band(rows[0], high, cheapest)
        rows[0].set_ylabel("PDE error, normalised", fontsize=SMALL, color=INK)
    if low:
        _strip(rows[-1], low, cheapest, lines)
        rows[-1].set_ylabel("to round-off", fontsize=SMALL, color=GREY)
    rows[0].set_title(equation, fontsize=NORMAL, color=INK, loc="left")
    rows[-1].set_xlabel("energy distance to held-out data", fontsize=SMALL, color=INK)
    if len(rows) == 2:
        rows[0].spines["bottom"].set_visible(False)
        rows[0].tick_params(axis="x", which="both", length=0)
        _break(rows[0], 0.0)
        _break(rows[1], 1.0)
    return rows[0] if high else None


def _band(axes: Axes, band: Sequence[ParetoPoint], cheapest: float) -> None:
    """Draw what is above round-off, with its front."""
    axes.set_yscale("log")
    axes.set_ylim(*_limits([p.pde_error for p in band], [p.pde_error_error for p in band]))
    front = front_of(band)
    if front:
        left, low = front[0].energy_distance, front[-1].pde_error
        # What lies above and right of the line is beaten by a point on it, to the frame's edges.
        axes.step(
            [left, *(p.energy_distance for p in front), axes.get_xlim()[1]],
            [axes.get_ylim()[1], *(p.pde_error for p in front), low],
            where="post", color=INK, linewidth=0.9, alpha=0.4, zorder=1,
        )  # fmt: skip
    for point in band:
        _mark(axes, point, point.pde_error, cheapest)
    plain(axes)
    readable_logarithm(axes, "x")
    readable_logarithm(axes, "y")


def _strip(axes: Axes, band: Sequence[ParetoPoint], cheapest: float, lines: int) -> None:
    """Draw what is at round-off, each on a line of its own: distances are all that differs."""
    axes.set_facecolor("#F6F6F6")
    axes.set_ylim(-0.7, lines - 0.3)
    axes.yaxis.set_major_locator(NullLocator())
    low, high = map(math.log10, axes.get_xlim())
    order = sorted(band, key=lambda p: p.energy_distance)
    for line, point in enumerate(order):
        height = lines - 1 - line
        _mark(axes, point, height, cheapest)
        error = point.distance_error or 0.0
        x = point.energy_distance
        right = (math.log10(x) - low) / (high - low) < 0.55  # where there is room for its name
        axes.annotate(
            point.label.removesuffix(PROJECTED), (x + error if right else max(x - error, 0.1 * x),
            height), (4 if right else -4, 0), textcoords="offset points", va="center_baseline",
            ha="left" if right else "right", fontsize=6.8, color=COLOURS[point.family],
        )  # fmt: skip
    plain(axes)
    readable_logarithm(axes, "x")


def _mark(axes: Axes, point: ParetoPoint, height: float, cheapest: float) -> None:
    """Draw a point and its errors: of rounding there is none to speak of."""
    x, colour = point.energy_distance, COLOURS[point.family]
    axes.errorbar(
        x, height, xerr=_whisker(x, point.distance_error),
        yerr=None if point.low else _whisker(height, point.pde_error_error),
        fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.7, zorder=2,
    )  # fmt: skip
    axes.scatter(
        [x], [height], s=area(point, cheapest), marker="D" if point.family == "truth" else "o",
        facecolor="white" if point.projected else colour, edgecolor=colour,
        linewidth=1.3 if point.projected else 0.6, zorder=3, alpha=0.95,
    )  # fmt: skip


def _whisker(value: float, error: float | None) -> list[list[float]] | None:
    if not error or not math.isfinite(error):
        return None
    # One that would end below zero goes to the edge of the frame.
    return [[min(error, value * (1 - 1e-9))], [error]]


def _limits(values: Sequence[float], errors: Sequence[float | None]) -> tuple[float, float]:
    """Return ends of a logarithmic axis with room for markers and labels."""
    low = math.log10(min(values))
    ends = [v + e for v, e in zip(values, errors, strict=True) if e and math.isfinite(e)]
    high = math.log10(max([*values, *ends]))
    room = max(0.14 * (high - low), 0.12)
    return 10 ** (low - room), 10 ** (high + 1.3 * room)


def _break(axes: Axes, height: float) -> None:
    """Mark the end of the axis of PDE errors as cut."""
    axes.plot([0], [height], transform=axes.transAxes, marker=[(-1, -0.5), (1, 0.5)], markersize=7,
              linestyle="none", color=GREY, clip_on=False, markeredgewidth=1)  # fmt: skip


def _legend(figure: Figure, points: Sequence[ParetoPoint], cheapest: float, cost: str) -> None:
    methods = [p for p in points if p.family != "truth"]
    names = {"ours": "students", "teacher": "teacher", "rival": "rivals"}
    families = [f for f in names if any(p.family == f for p in methods)]

    def marker(label: str, colour: str, face: str, area: float) -> Line2D:
        return Line2D([], [], linestyle="none", marker="o", color=colour, markerfacecolor=face,
                      markersize=math.sqrt(area), label=label)  # fmt: skip

    handles = [marker(names[f], COLOURS[f], COLOURS[f], 34.0) for f in families]
    if any(p.projected for p in methods):
        handles.append(marker("projected", INK, "white", 34.0))
    if any(p.family == "truth" for p in points):
        handles.append(Line2D([], [], color=INK, linestyle=":", label="another draw of data"))
    handles.append(
        Line2D([], [], color=INK, alpha=0.45, linewidth=0.9, label="front above round-off")
    )
    dearest = max((p.cost for p in methods), default=cheapest)
    if dearest > cheapest:
        last = math.log10(dearest / cheapest)
        sizes = [cheapest * 10**n for n in range(math.floor(last) + 1)][:: 1 + int(last // 4)]
        # Of one size there is nothing to compare with.
        for size in sizes if len(sizes) > 1 else (cheapest, dearest):
            text = f"{size:g}" if cheapest >= 1 else f"{size:.1g}"
            handles.append(marker(text, GREY, GREY, LEAST + MORE * math.log10(size / cheapest)))
        handles[-1].set_label(f"{handles[-1].get_label()}  {cost}")
    narrow = figure.get_figwidth() < 6
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if narrow else len(handles),
                  frameon=False, fontsize=SMALL, labelcolor=INK, handletextpad=0.4,
                  columnspacing=1.2)  # fmt: skip


def _label(
    axes: Axes, canvas: FigureCanvasAgg, points: Sequence[ParetoPoint], cheapest: float
) -> None:
    unit, frame = canvas.figure.dpi / 72, axes.get_window_extent()
    places = [
        (float(x), float(y)) for x, y in (axes.transData.transform(p.position) for p in points)
    ]
    taken: list[Bbox] = []
    for point, (x, y) in zip(points, places, strict=True):
        half = (math.sqrt(area(point, cheapest)) / 2 + 1) * unit
        taken.append(labels.square(x, y, half))
        if point.family == "truth":
            taken.append(Bbox.from_extents(x - unit, frame.y0, x + unit, frame.y1))
        for error, way in ((point.distance_error, (1, 0)), (point.pde_error_error, (0, 1))):
            if error and math.isfinite(error):
                v = point.position
                end = axes.transData.transform((v[0] + way[0] * error, v[1] + way[1] * error))
                taken.append(Bbox.from_extents(x - unit, y - unit, *(end + unit)))
    tags = [
        labels.Tag(point.label, place, COLOURS[point.family], 6.8)
        for point, place in zip(points, places, strict=True)
    ]
    front = [axes.transData.transform(p.position) for p in front_of(points)]
    if front:
        front = [(front[0][0], frame.y1), *front, (frame.x1, front[-1][1])]
    for (x0, y0), (x1, y1) in pairwise(front):
        taken.append(Bbox.from_extents(x0, y0 - unit, x1, y0 + unit))
        taken.append(Bbox.from_extents(x1 - unit, y1, x1 + unit, y0))
    # The ones that matter most choose first.
    order = sorted(range(len(tags)), key=lambda i: list(COLOURS).index(points[i].family))
    labels.write(axes, canvas, [tags[i] for i in order], taken)
