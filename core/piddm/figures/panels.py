"""One panel of a figure of answers: a map of a field, what was seen of it, its colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from piddm.figures import curves
from piddm.figures.curves import cell_edges
from piddm.figures.style import GREY, INK, RESIDUAL, SMALL
from piddm.grids.grid import Axis, Grid

GROUND = "#dddddd"
"""Colour of what has no value."""

WIDTH = 1.5
"""Width of a panel, in inches."""


@dataclass(frozen=True)
class Panel:
    """A map, dots on it, how both are coloured, and regions that are outlined on it."""

    title: str
    image: np.ndarray | None
    norm: Normalize
    cmap: str
    dots: tuple[np.ndarray, np.ndarray] | None = None
    boxes: Sequence[tuple[tuple[float, float], tuple[float, float]]] = ()
    bar: bool = False
    row: str = ""


def draw_panel(axes: Axes, panel: Panel, grid: Grid, labelled: bool) -> None:
    """Draw a map and its dots; ends of axes are labelled where asked for."""
    axes.set_facecolor(GROUND)
    if len(grid.axes) == 1:
        _draw_on_a_line(axes, panel, grid, labelled)
        return
    across, up = list(grid.axes.values())[-2:]
    if panel.image is not None:
        x, y, image = cell_edges(across), cell_edges(up), panel.image.T
        if grid.spherical:
            # Greenwich in the middle, north up.
            x, y, image = y - np.pi, x, np.roll(panel.image, up.size // 2, 1)
        axes.pcolormesh(x, y, image, cmap=panel.cmap, norm=panel.norm, rasterized=True)
        if panel.cmap == RESIDUAL:
            _root_mean_square(axes, panel.image, panel.row)
    if panel.dots is not None:
        _draw_dots(axes, panel, grid)
    for along, upwards in panel.boxes if not grid.spherical else ():
        # At a wall half of the line would be outside.
        axes.plot(
            [along[0], along[1], along[1], along[0], along[0]],
            [upwards[0], upwards[0], upwards[1], upwards[1], upwards[0]],
            color=INK, linewidth=1.0, marker="x" if along[0] == along[1] and upwards[0] ==
            upwards[1] else None, markersize=4, clip_on=False, zorder=4,
        )  # fmt: skip
    names = grid.names[-2:]
    if grid.spherical:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(GREY)
        return
    axes.spines[:].set_visible(False)
    for axis, name, own in ((axes.xaxis, names[0], across), (axes.yaxis, names[1], up)):
        axis.set_ticks(np.clip(own.ends, *cell_edges(own)[[0, -1]]) if labelled else [])
        axis.set_tick_params(length=2, color=GREY, pad=1, labelsize=SMALL)
        if labelled:
            axis.set_ticklabels([f"{v:.3g}" for v in own.ends])
            axis.set_label_text(name, fontsize=SMALL)
            axis.labelpad = -7
    axes.set_xlim(*cell_edges(across)[[0, -1]])
    axes.set_ylim(*cell_edges(up)[[0, -1]])


def _draw_on_a_line(axes: Axes, panel: Panel, grid: Grid, labelled: bool) -> None:
    if panel.image is None:
        curves.frame(axes, grid, panel.norm, labelled)
    else:
        curves.draw_curve(axes, panel.image, grid, panel.norm, panel.cmap, labelled)
        if panel.cmap == RESIDUAL:
            _root_mean_square(axes, panel.image, panel.row)
    if panel.dots is not None:
        places, values = panel.dots
        _count(axes, panel, values)
        for along, _ in panel.boxes:
            axes.axvspan(*along, color=GREY, alpha=0.25, linewidth=0)
        at = _inside(places[:, 0], next(iter(grid.axes.values())))
        axes.scatter(
            at, values, c=values, s=8, cmap=panel.cmap, norm=panel.norm,
            linewidths=0.3, edgecolors=INK,
        )  # fmt: skip


def _count(axes: Axes, panel: Panel, values: np.ndarray) -> None:
    axes.text(
        0.04, 0.04, str(len(values) + len(panel.boxes) or "none"), transform=axes.transAxes,
        fontsize=6.5, color=INK, zorder=3,
        bbox={"facecolor": GROUND, "alpha": 0.9, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _draw_dots(axes: Axes, panel: Panel, grid: Grid) -> None:
    assert panel.dots is not None
    places, values = panel.dots
    _count(axes, panel, values)
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
    low, high = cell_edges(axis)[[0, -1]]
    return low + (places - low) % (high - low) if axis.periodic else places


def _root_mean_square(axes: Axes, image: np.ndarray, row: str) -> None:
    """Write an equation's name and size into its map: colours may not reach that far down."""
    known = image[np.isfinite(image)]
    text = f"{row}, rms {np.sqrt(np.mean(known**2)):.2g}" if len(known) else f"{row}: no rows here"
    axes.text(
        0.04, 0.04, text, transform=axes.transAxes, fontsize=6.5, color="white",
        bbox={"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def colour_bar(figure: Figure, axes: Axes, panel: Panel) -> None:
    """Draw a panel's colour bar into axes of its own."""
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
