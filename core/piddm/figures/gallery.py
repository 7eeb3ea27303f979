"""Fields without residuals beside them: the data of an equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from piddm.figures import curves
from piddm.figures.sphere_maps import PROJECTION, RATIO, draw_map
from piddm.figures.style import FIELD, GREY, INK, SIGNED_FIELD, SMALL
from piddm.grids.grid import Grid
from piddm.symbolic import Field

COLUMNS, EVOLVING = 4, 2
"""Images in a row; samples of fields of three axes, each with a row of times."""

# Lengths in inches.
WIDTH, GAP, LEFT, TOP, BOTTOM, RIGHT = 1.5, 0.1, 0.72, 0.34, 0.26, 0.72
"""Of an image, the gaps between images, and the margins; inches."""

MAP_WIDTH = 1.9
"""Width of a map of the sphere, inches."""

LETTERS = 15
"""Letters of a label in an inch."""


@dataclass(frozen=True)
class _Row:
    label: str
    images: Sequence[np.ndarray]
    titles: Sequence[str]
    norm: Normalize
    cmap: str


def gallery(fields: Sequence[Field], data: Mapping[str, Tensor], grid: Grid) -> Figure:
    """Draw a few samples: a row for each field, on its own scale, a column for each sample.

    Grids of three axes have a row for each field of each of two samples, and a column for each of
    a few values along the first axis. Spheres are drawn as Mollweide's equal-area map, fields on a
    line as curves.

    Args:
        fields: The fields, with what they are called.
        data: Values of each, ``(count, *grid.shape)``, and of free params, ``(count,)``.
        grid: Where they live.
    """
    rows = _evolving(fields, data, grid) if len(grid.shape) == 3 else _still(fields, data, grid)
    wide = MAP_WIDTH if grid.spherical else WIDTH
    height = wide * _ratio(grid)
    count = len(rows[0].images)
    width = LEFT + count * (wide + GAP) + RIGHT
    # A new sample has titles of its own.
    titled = [r == 0 or row.titles != rows[r - 1].titles for r, row in enumerate(rows)]
    tall = sum(TOP if t else GAP for t in titled) + len(rows) * height + BOTTOM
    figure, top = Figure(figsize=(width, tall)), 0.0

    def box(left: float, broad: float, high: float) -> tuple[float, float, float, float]:
        return left / width, (tall - top - high) / tall, broad / width, high / tall

    for r, row in enumerate(rows):
        top += TOP if titled[r] else GAP
        for k, image in enumerate(row.images):
            place = box(LEFT + k * (wide + GAP), wide, height)
            axes = figure.add_axes(place, projection=PROJECTION if grid.spherical else None)
            labelled = r == len(rows) - 1 and k == 0
            _draw(axes, image, row, grid, labelled)
            if len(grid.axes) > 1:
                _ticks(axes, grid, labelled)
            if titled[r]:
                axes.set_title(row.titles[k], fontsize=SMALL, color=INK, pad=4)
        x, y, _, high = box(LEFT + count * (wide + GAP), 0.08, height)
        bar = figure.colorbar(
            ScalarMappable(row.norm, row.cmap), figure.add_axes((x, y, 0.08 / width, high))
        )
        bar.locator = MaxNLocator(4)
        bar.update_ticks()
        bar.outline.set_visible(False)  # pyright: ignore
        bar.ax.tick_params(labelsize=SMALL, length=2, pad=1, color=GREY)
        margin = LEFT - (0.1 if grid.spherical else 0.36)  # axes have their own labels there
        middle = 1 - (top + height / 2) / tall
        figure.text(
            margin / width, middle, fill(row.label, int(LETTERS * height), break_long_words=False),
            rotation=90, ha="right", va="center", multialignment="center",
            fontsize=SMALL, color=INK,
        )  # fmt: skip
        top += height
    return figure


def _still(fields: Sequence[Field], data: Mapping[str, Tensor], grid: Grid) -> list[_Row]:
    free = {k: v for k, v in data.items() if v.ndim == 1}
    count = min(COLUMNS, *(len(v) for v in data.values()))
    titles = [
        ", ".join(f"{k} = {float(v[s]):.2g}" for k, v in free.items()) or f"sample {s + 1}"
        for s in range(count)
    ]
    rows = []
    for field in fields:
        images = data[field.name].cpu().numpy()[:count]
        rows.append(_Row(_label(field), list(images), titles, *_colours(images)))
    return rows


def _evolving(fields: Sequence[Field], data: Mapping[str, Tensor], grid: Grid) -> list[_Row]:
    name, rows = grid.names[0], []
    where = np.linspace(0, grid.shape[0] - 1, COLUMNS).round().astype(int)
    at = grid.axes[name].coordinates()[where]
    shown = {f.name: data[f.name].cpu().numpy()[:EVOLVING, where] for f in fields}
    for s in range(len(next(iter(shown.values())))):
        titles = [f"sample {s + 1}, {name} = {value:.3g}" for value in at]
        for field in fields:
            images = shown[field.name]
            rows.append(_Row(_label(field), list(images[s]), titles, *_colours(images)))
    return rows


def _label(field: Field) -> str:
    name = f"{field.name}, {field.doc}" if field.doc else field.name
    return f"{name} [{field.unit}]" if field.unit else name


def _colours(images: np.ndarray) -> tuple[Normalize, str]:
    # A stray value must not wash out all the others.
    low, high = np.percentile(images, [0.2, 99.8])
    if min(-low, high) > 0.1 * max(-low, high):
        size = max(-low, high)
        return Normalize(-size, size), SIGNED_FIELD
    return Normalize(low, high if high > low else low + 1), FIELD


def _draw(axes: Axes, image: np.ndarray, row: _Row, grid: Grid, labelled: bool) -> None:
    if grid.spherical:
        draw_map(axes, image, grid, row.norm, row.cmap)
        return
    if len(grid.axes) == 1:
        curves.draw_curve(axes, image, grid, row.norm, row.cmap, labelled)
        return
    own = [*grid.axes.values()][-2:]
    if all(axis.uniform for axis in own):
        axes.imshow(
            image.T, origin="lower", aspect="auto", cmap=row.cmap, norm=row.norm,
            interpolation="antialiased",
        )  # fmt: skip
        return
    # The ticks count in nodes, as those of an image do.
    x, y = (
        a.size * (curves.cell_edges(a) - a.lower) / (a.upper - a.lower) - 0.5 for a in own
    )  # fmt: skip
    axes.pcolormesh(x, y, image.T, cmap=row.cmap, norm=row.norm, rasterized=True)


def _ratio(grid: Grid) -> float:
    """Height over width of an image: true to the domain, unless time is one of its axes."""
    if grid.spherical:
        return RATIO
    if len(grid.axes) == 1:
        return curves.RATIO
    across, up = [*grid.axes.values()][-2:]
    if across.time or up.time:
        return 0.8
    return min(max((up.upper - up.lower) / (across.upper - across.lower), 0.4), 2.5)


def _ticks(axes: Axes, grid: Grid, labelled: bool) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if grid.spherical:
        return
    axes.spines[:].set_visible(False)
    if not labelled:
        return
    for axis, name, size in zip(
        (axes.xaxis, axes.yaxis), grid.names[-2:], grid.shape[-2:], strict=True
    ):
        ends = grid.axes[name].ends
        axis.set_ticks((-0.5, size - 0.5), [f"{v:.3g}" for v in ends], fontsize=SMALL)
        axis.set_tick_params(length=2, color=GREY, pad=1)
        axis.set_label_text(name, fontsize=SMALL)
    axes.xaxis.set_label_coords(0.5, -0.04)
    axes.yaxis.set_label_coords(-0.04, 0.5)
