"""PDE error against distribution distance: neither is shown without the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from piddm.figures.style import BLUE, GREY, INK, SMALL, VERMILLION, plain

COLOURS = {"truth": INK, "teacher": BLUE, "student": VERMILLION}


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
    figure = Figure(figsize=(5.4, 3.9), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    line = [(p.energy_distance, p.pde_error) for p in shown if p.source == "teacher"]
    axes.plot(*zip(*line, strict=True), color=BLUE, linewidth=1.0, alpha=0.5) if line else None
    for point in shown:
        axes.plot(
            point.energy_distance, point.pde_error, color=COLOURS[point.source], linestyle="none",
            marker="o" if point.source == "teacher" else "D", markersize=6,
        )  # fmt: skip
        if point.source == "truth":
            axes.axvline(point.energy_distance, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.18)
    axes.set_xlabel("energy distance to held-out data", fontsize=SMALL, color=INK)
    axes.set_ylabel("PDE error, normalised", fontsize=SMALL, color=INK)
    plain(axes)
    # The layout settles when it is drawn, and labels go where there is room in it.
    canvas.draw()
    figure.set_layout_engine("none")
    _label(axes, canvas, shown)
    return figure


def _label(axes: Axes, canvas: FigureCanvasAgg, points: Sequence[Point]) -> None:
    """Write each label near its point, at the first place where it covers nothing."""
    renderer, frame = canvas.get_renderer(), axes.get_window_extent()
    unit = renderer.points_to_pixels(1.0)
    places = [axes.transData.transform((p.energy_distance, p.pde_error)) for p in points]
    taken = [Bbox.from_extents(x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit)
             for x, y in places]  # fmt: skip
    for point, (x, y) in zip(points, places, strict=True):
        text = axes.text(0, 0, point.label, transform=None, fontsize=SMALL, va="center",
                         color=COLOURS[point.source])  # fmt: skip
        size = text.get_window_extent(renderer)
        best, least = None, float("inf")
        for dx, dy, align in _offsets():
            left = x + dx * unit - {"left": 0.0, "center": 0.5, "right": 1.0}[align] * size.width
            middle = y + dy * unit
            box = Bbox.from_bounds(left, middle - size.height / 2, size.width, size.height)
            cover = sum(_overlap(box, other) for other in taken)
            inside = frame.containsx(box.x0) and frame.containsx(box.x1)
            inside = inside and frame.containsy(box.y0) and frame.containsy(box.y1)
            cover += 0.0 if inside else 1e6
            if cover < least:
                best, least = (left, middle, box), cover
            if cover == 0:
                break
        if best is not None:
            left, middle, box = best
            fraction = axes.transAxes.inverted().transform((left, middle))
            # In fractions of the axes, so that it stays in place at another resolution.
            text.set_transform(axes.transAxes)
            text.set_position(tuple(fraction))
            taken.append(box)


def _offsets() -> list[tuple[float, float, str]]:
    """Candidate places in points, the preferred ones first."""
    out = []
    for far in (8.0, 14.0, 22.0, 32.0, 44.0):
        out += [(far, 0.0, "left"), (far * 0.7, far * 0.8, "left"), (far * 0.7, -far * 0.8, "left")]
        out += [(0.0, far + 2, "center"), (0.0, -far - 2, "center"), (-far, 0.0, "right")]
        out += [(-far * 0.7, far * 0.8, "right"), (-far * 0.7, -far * 0.8, "right")]
    return out


def _overlap(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0
