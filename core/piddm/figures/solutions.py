"""An answer: what was known, the ensemble's mean and spread, and where it errs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from piddm.figures.style import FIELD, GREY, INK, NORMAL, RESIDUAL, SIGNED_FIELD, SMALL
from piddm.grid import Axis, Grid
from piddm.interfaces import Fields, Residual
from piddm.symbolic import Field

if TYPE_CHECKING:
    from piddm.tasks.solution import Solution

LETTERS = 13
"""Letters in a line of what a field is."""

SLICES = 3
"""Slices of a grid of three axes: the first, the last and some between."""

DECADES = 6
"""Most that a residual map shows below its largest value."""

GROUND = "#dddddd"
SPREAD = "cividis"

# Lengths in inches.
WIDTH, GAP, BAR, LEFT, TOP, BOTTOM = 1.5, 0.08, 0.58, 1.2, 0.4, 0.38


@dataclass(frozen=True)
class _Panel:
    title: str
    image: np.ndarray | None
    norm: Normalize
    cmap: str
    dots: tuple[np.ndarray, np.ndarray] | None = None
    bar: bool = False
    row: str = ""


def solution(
    found: Solution,
    residual: Residual,
    scale: Mapping[str, float],
    fields: Sequence[Field],
    truth: Fields | None = None,
) -> Figure:
    """Draw an answer, a row for each field, and for each of a few slices of three axes.

    From left to right: the truth where it is known, the observations at their places, mean and
    standard deviation of the members, the mean's error on the same scale as the deviation, and the
    residual map of the first member: the mean of solutions solves no nonlinear equation.

    Args:
        found: The answer.
        residual: The equation.
        scale: Row scales, by which residuals are divided.
        fields: The fields, with what they are called.
        truth: Fields ``(*grid.shape)`` and params, where they are known.
    """
    grid = found.grid
    rows = list(_rows(found, _maps(found, residual, scale), fields, truth))
    plane = list(grid.axes.values())[-2:]
    height = WIDTH * (0.5 if grid.spherical else _ratio(*plane))
    panels = max((panels for _, panels in rows), key=len)
    total_width = LEFT + sum(WIDTH + (BAR if p.bar else GAP) for p in panels)
    total_height = TOP + len(rows) * (height + 2 * GAP) + BOTTOM
    figure = Figure(figsize=(total_width, total_height))

    def place(left: float, top: float, width: float) -> tuple[float, float, float, float]:
        low = total_height - top - height
        return left / total_width, low / total_height, width / total_width, height / total_height

    for r, (label, own) in enumerate(rows):
        left, top = LEFT, TOP + r * (height + 2 * GAP)
        middle = 1 - (top + height / 2) / total_height
        name, _, detail = label.partition("\n")
        right = (LEFT - 0.3) / total_width
        figure.text(right, middle, name, ha="right", va="bottom", fontsize=NORMAL, color=INK)
        figure.text(right, middle, detail, ha="right", va="top", fontsize=SMALL, color=GREY)
        for k, panel in enumerate(own):
            projection = "mollweide" if grid.spherical else None
            axes = figure.add_axes(place(left, top, WIDTH), projection=projection)
            _draw(axes, panel, grid, labelled=k == 0 and r == len(rows) - 1)
            if r == 0:
                axes.set_title(panel.title, fontsize=SMALL, color=INK, pad=4)
            left += WIDTH
            if panel.bar:
                bar = figure.add_axes(place(left + 0.06, top, 0.08))
                _colour_bar(figure, bar, panel)
            left += BAR if panel.bar else GAP
    figure.text(LEFT / total_width, 0.08 / total_height, _caption(found, truth), fontsize=SMALL,
                color=GREY)  # fmt: skip
    return figure


def _caption(found: Solution, truth: Fields | None) -> str:
    text = [f"{found.task.kind}, {len(found)} members of {found.solver}, "
            f"{found.task.observations.count} observations"]  # fmt: skip
    for name, values in found.fields.items():
        if values.ndim == 1:
            own = f"{name} = {float(found.mean[name]):.4g} ± {float(found.std[name]):.2g}"
            known = truth.get(name) if truth else None
            text.append(own + (f" (truth {float(known):.4g})" if known is not None else ""))
    return "; ".join(text)


def _maps(found: Solution, residual: Residual, scale: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return the first member's residual over its scale, by equation, NaN where it has no row."""
    member = {k: v[:1] for k, v in found.fields.items()}
    params = found.task.observations.params
    given = {k: torch.tensor([v], dtype=torch.float64) for k, v in params.items()}
    with torch.no_grad():
        values = residual(given | member)
    maps = {}
    for name, place in residual.rows.items():
        if not place.boundary:
            maps[name] = np.full(found.grid.shape, np.nan)
            maps[name][tuple(place.nodes.T)] = (values[name] / scale[name]).abs().numpy().ravel()
    return maps


def _rows(
    found: Solution,
    maps: Mapping[str, np.ndarray],
    fields: Sequence[Field],
    truth: Fields | None,
) -> Iterator[tuple[str, list[_Panel]]]:
    """Return what each row is called, and its panels."""
    grid, mean, std = found.grid, found.mean, found.std
    cuts: list[int | None] = [None]
    if len(grid.shape) == 3:
        cuts = [int(i) for i in np.linspace(0, grid.shape[0] - 1, SLICES).round()]
    equations = list(maps.items())
    for i in range(max(len(fields), len(equations))):
        for cut in cuts:
            panels: list[_Panel] = []
            label = ""
            if i < len(fields):
                name = fields[i].name
                true = truth.get(name) if truth else None
                panels = _field_panels(found, name, mean[name], std[name], true, cut)
                doc = fill(fields[i].doc, LETTERS) if fields[i].doc else ""
                label = f"{name}\n{doc if cut is None else _at(grid, cut)}"
            if i < len(equations):
                name, values = equations[i]
                panels.append(
                    _Panel(
                        "|residual| / scale\nof member 1", _cut(values, cut),
                        _residual_colours(values), RESIDUAL, bar=True, row=name,
                    )
                )  # fmt: skip
            yield label, panels


def _field_panels(
    found: Solution,
    name: str,
    mean: torch.Tensor,
    std: torch.Tensor,
    truth: torch.Tensor | None,
    cut: int | None,
) -> list[_Panel]:
    exact = None if truth is None else truth.double().numpy()
    middle, spread = mean.numpy(), std.numpy()
    colours = _field_colours(middle if exact is None else np.stack([exact, middle]))
    error = None if exact is None else np.abs(middle - exact)
    widths = spread if error is None else np.stack([spread, error])
    norm = Normalize(0, float(np.percentile(widths, 99.8)) or 1.0)
    panels = [] if exact is None else [_Panel("truth", _cut(exact, cut), *colours)]
    panels += [
        _Panel("observations", None, *colours, dots=_dots(found, name, cut)),
        _Panel("mean", _cut(middle, cut), *colours, bar=True),
        _Panel("standard deviation", _cut(spread, cut), norm, SPREAD, bar=error is None),
    ]
    if error is not None:
        panels.append(_Panel("|mean - truth|", _cut(error, cut), norm, SPREAD, bar=True))
    return panels


def _at(grid: Grid, cut: int) -> str:
    name = grid.names[0]
    return f"{name} = {grid.axes[name].coordinates()[cut]:.3g}"


def _cut(image: np.ndarray, cut: int | None) -> np.ndarray:
    return image if cut is None else image[cut]


def _dots(found: Solution, name: str, cut: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return places ``(n, 2)`` and values of what was seen, of a slice those nearest to it."""
    seen, grid = found.task.observations, found.grid
    if name not in seen.values:
        return np.zeros((0, 2)), np.zeros(0)
    points, values = seen.points[name].numpy(), seen.values[name].numpy()
    if cut is not None:
        first = grid.axes[grid.names[0]]
        near = np.abs(points[:, 0] - first.coordinates()[cut]) <= 0.5 * first.spacing
        points, values = points[near], values[near]
    return points[:, -2:], values


def _field_colours(values: np.ndarray) -> tuple[Normalize, str]:
    # A stray value must not wash out all the others.
    low, high = np.percentile(values, [0.2, 99.8])
    if min(-low, high) > 0.1 * max(-low, high):
        return Normalize(-max(-low, high), max(-low, high)), SIGNED_FIELD
    return Normalize(low, high if high > low else low + 1), FIELD


def _residual_colours(values: np.ndarray) -> LogNorm:
    known = values[np.isfinite(values) & (values > 0)]
    if not len(known):
        return LogNorm(1e-16, 1e-15, clip=True)
    low, high = np.percentile(known, [2, 99.8])
    return LogNorm(max(low, high * 10.0**-DECADES), high if high > low else 10 * low, clip=True)


def _ratio(across: Axis, up: Axis) -> float:
    """Height over width of an image: true to the domain, unless time is one of its axes."""
    if across.time or up.time:
        return 1.0
    return min(max((up.upper - up.lower) / (across.upper - across.lower), 0.4), 2.5)


def _draw(axes: Axes, panel: _Panel, grid: Grid, labelled: bool) -> None:
    across, up = list(grid.axes.values())[-2:]
    axes.set_facecolor(GROUND)
    if panel.image is not None:
        x, y, image = _edges(across), _edges(up), panel.image.T
        if grid.spherical:
            # Greenwich in the middle, north up.
            x, y, image = y - np.pi, x, np.roll(panel.image, up.size // 2, 1)
        axes.pcolormesh(x, y, image, cmap=panel.cmap, norm=panel.norm, rasterized=True)
        if panel.cmap == RESIDUAL:
            _root_mean_square(axes, panel.image, panel.row)
    if panel.dots is not None:
        _draw_dots(axes, panel, grid)
    names = grid.names[-2:]
    if grid.spherical:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(GREY)
        return
    axes.spines[:].set_visible(False)
    for axis, name, own in ((axes.xaxis, names[0], across), (axes.yaxis, names[1], up)):
        axis.set_ticks(np.clip(own.ends, *_edges(own)[[0, -1]]) if labelled else [])
        axis.set_tick_params(length=2, color=GREY, pad=1, labelsize=SMALL)
        if labelled:
            axis.set_ticklabels([f"{v:.3g}" for v in own.ends])
            axis.set_label_text(name, fontsize=SMALL)
            axis.labelpad = -7
    axes.set_xlim(*_edges(across)[[0, -1]])
    axes.set_ylim(*_edges(up)[[0, -1]])


def _edges(axis: Axis) -> np.ndarray:
    """Return the ends of the pixels around nodes."""
    at = axis.coordinates()
    inner = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - inner[0]], inner, [2 * at[-1] - inner[-1]]])


def _draw_dots(axes: Axes, panel: _Panel, grid: Grid) -> None:
    assert panel.dots is not None
    places, values = panel.dots
    axes.text(
        0.04, 0.04, str(len(values)) if len(values) else "none", transform=axes.transAxes,
        fontsize=6.5, color=INK, zorder=3,
        bbox={"facecolor": GROUND, "alpha": 0.9, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip
    x, y = (_inside(places[:, k], a) for k, a in enumerate(list(grid.axes.values())[-2:]))
    if grid.spherical:
        x, y = (places[:, 1] + np.pi) % (2 * np.pi) - np.pi, places[:, 0]
    # As large as they can be without covering each other.
    size = min(16.0, (72 * WIDTH) ** 2 / max(len(values), 1))
    few = size > 6
    size *= 0.6 if few else 1.0
    axes.scatter(
        x, y, c=values, s=size, cmap=panel.cmap, norm=panel.norm, marker="o" if few else "s",
        linewidths=0.3 if few else 0, edgecolors=INK if few else "none",
    )  # fmt: skip


def _inside(places: np.ndarray, axis: Axis) -> np.ndarray:
    """Return places as near to the nodes as they are across the seam."""
    low, high = _edges(axis)[[0, -1]]
    return low + (places - low) % (high - low) if axis.periodic else places


def _root_mean_square(axes: Axes, image: np.ndarray, row: str) -> None:
    """Write an equation's name and size into its map: colours may not reach that far down."""
    known = image[np.isfinite(image)]
    text = f"{row}, rms {np.sqrt(np.mean(known**2)):.2g}" if len(known) else f"{row}: no rows here"
    axes.text(
        0.04, 0.04, text, transform=axes.transAxes, fontsize=6.5, color="white",
        bbox={"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _colour_bar(figure: Figure, axes: Axes, panel: _Panel) -> None:
    bar = figure.colorbar(ScalarMappable(panel.norm, panel.cmap), cax=axes)
    bar.locator = LogLocator(numticks=4) if isinstance(panel.norm, LogNorm) else MaxNLocator(4)
    if not isinstance(panel.norm, LogNorm):
        bar.formatter = ScalarFormatter()
        bar.formatter.set_powerlimits((-2, 3))
        axes.yaxis.get_offset_text().set_fontsize(SMALL)
    bar.update_ticks()
    bar.outline.set_visible(False)  # pyright: ignore
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=SMALL, length=2, pad=1, color=GREY)
    axes.tick_params(which="minor", length=0)
