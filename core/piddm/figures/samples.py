"""Samples beside each other: every field, and beside it the residual map of every equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from piddm.figures import curves
from piddm.figures.curves import cell_edges
from piddm.figures.sphere_maps import PROJECTION, RATIO, draw_map, label_map
from piddm.figures.style import FIELD, GREY, INK, NORMAL, RESIDUAL, SIGNED_FIELD, SMALL
from piddm.grids.grid import Grid
from piddm.grids.means import node_weights
from piddm.residuals.residual import Fields, Residual
from piddm.symbolic import Field

PANELS = 8
"""Panels in a row, about."""

DECADES = 6
"""Most that a residual map shows below its largest value."""

# Lengths in inches.
WIDTH, GAP, WIDE_GAP, LEFT, TOP, BOTTOM = 1.3, 0.08, 0.3, 1.2, 0.3, 1.05
"""Of an image, the gaps between images and between samples, and the margins; inches."""

MAP_WIDTH = 2.0
"""Width of a map of the sphere, inches."""


@dataclass(frozen=True)
class _Kind:
    """A kind of panel: a field or the residual of an equation."""

    title: str
    label: str
    images: dict[str, np.ndarray]
    norm: Normalize
    cmap: str


def samples(
    rows: Mapping[str, Fields],
    residual: Residual,
    scale: Mapping[str, float],
    fields: Sequence[Field],
    caption: str = "",
) -> Figure:
    """Draw samples: a row for each source, groups of columns for the first few samples.

    Grids of three axes show the last slice along the first, spheres a map, lines a curve. Colours
    mean the same in all rows: each field has one scale, each equation one logarithmic scale.

    Args:
        rows: Label of a source to its samples; text after a line break is printed smaller.
        residual: The equation.
        scale: Row scales, by which residuals are divided.
        fields: The fields, with what they are called.
        caption: A line of text below.
    """
    kinds, grid = _kinds(rows, residual, scale, fields), residual.grid
    wide, draw = (MAP_WIDTH, _map) if grid.spherical else (WIDTH, _image)
    draw = _curve if len(grid.axes) == 1 else draw
    most = max(1, int(PANELS * WIDTH / wide) // len(kinds))
    count = min(most, *(next(iter(f.values())).shape[0] for f in rows.values()))
    height = wide * _ratio(grid)
    group = len(kinds) * (wide + GAP) - GAP
    total_width = LEFT + count * (group + WIDE_GAP)
    total_height = TOP + len(rows) * (height + GAP) + BOTTOM
    figure = Figure(figsize=(total_width, total_height))

    def place(left: float, top: float, width: float, tall: float, how: str | None = None) -> Axes:
        box = (left, total_height - top - tall, width, tall)
        x, y, w, h = (b / s for b, s in zip(box, (total_width, total_height) * 2, strict=True))
        return figure.add_axes((x, y, w, h), projection=how)

    for r, row in enumerate(rows):
        top = TOP + r * (height + GAP)
        _row_label(figure, row, LEFT / total_width, 1 - (top + height / 2) / total_height)
        for s in range(count):
            for k, kind in enumerate(kinds):
                left = LEFT + s * (group + WIDE_GAP) + k * (wide + GAP)
                axes = place(left, top, wide, height, PROJECTION if grid.spherical else None)
                axes.set_facecolor("#dddddd")
                image, labelled = kind.images[row][s], (s, k, r) == (0, 0, len(rows) - 1)
                draw(axes, grid, kind, image, labelled)
                if kind.cmap == RESIDUAL:
                    _root_mean_square(axes, image, grid)
                if r == 0:
                    axes.set_title(kind.title, fontsize=SMALL, color=INK, pad=4)
    share = (total_width - LEFT - WIDE_GAP) / len(kinds)
    for k, kind in enumerate(kinds):
        bar = place(LEFT + k * share + 0.1, total_height - 0.62, min(share - 0.3, 2.4), 0.09)
        _colour_bar(figure, bar, kind)
    if caption:
        figure.text(LEFT / total_width, 0.05 / total_height, caption, fontsize=SMALL, color=GREY)
    return figure


def _kinds(
    rows: Mapping[str, Fields],
    residual: Residual,
    scale: Mapping[str, float],
    fields: Sequence[Field],
) -> list[_Kind]:
    kinds = []
    for field in fields:
        images = {row: _last(f[field.name].detach().cpu().numpy()) for row, f in rows.items()}
        name = f"{field.name}, {field.doc}" if field.doc else field.name
        unit = f" [{field.unit}]" if field.unit else ""
        kinds.append(_Kind(field.name, name + unit, images, *_field_colours(images)))
    with torch.no_grad():
        maps = {
            row: residual({k: v.double().cpu() for k, v in f.items()}) for row, f in rows.items()
        }
    for name, place in residual.rows.items():
        if place.boundary:
            continue
        images = {}
        for row, values in maps.items():
            relative = (values[name] / scale[name]).abs().numpy()
            images[row] = _last(_on_grid(relative, place.nodes, residual.grid.shape))
        norm = _residual_colours(images)
        label = f"|residual| / scale, {name}"
        kinds.append(_Kind(f"|R|, {name}", label, images, norm, RESIDUAL))
    return kinds


def _on_grid(values: np.ndarray, nodes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Put each row at its node; nodes without a row, such as the rim, hold no number."""
    image = np.full((len(values), *shape), np.nan)
    image[(slice(None), *nodes.T)] = values.reshape(len(values), -1)
    return image


def _last(images: np.ndarray) -> np.ndarray:
    """Return ``(sample, *image)``: of three axes the last slice that has any number."""
    if images.ndim < 4:
        return images
    known = np.isfinite(images).any(axis=(0, 2, 3))
    return images[:, np.flatnonzero(known)[-1]] if known.any() else images[:, -1]


def _field_colours(images: Mapping[str, np.ndarray]) -> tuple[Normalize, str]:
    values = np.concatenate([v.ravel() for v in images.values()])
    # A stray value must not wash out all the others.
    low, high = np.nanpercentile(values, [0.2, 99.8])
    # The first row says whether a field has both signs: a poor sample of a positive one may too.
    first = next(iter(images.values()))
    if min(-first.min(), first.max()) > 0.1 * max(-first.min(), first.max()):
        return Normalize(-max(-low, high), max(-low, high)), SIGNED_FIELD
    return Normalize(low, high if high > low else low + 1), FIELD


def _residual_colours(images: Mapping[str, np.ndarray]) -> LogNorm:
    values = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in images.values()])
    if not len(values):
        return LogNorm(1e-16, 1e-15, clip=True)
    low, high = np.percentile(values, [2, 99.8])
    return LogNorm(max(low, high * 10.0**-DECADES), high if high > low else 10 * low, clip=True)


def _ratio(grid: Grid) -> float:
    """Height over width of an image: true to the domain, unless time is one of its axes."""
    if grid.spherical:
        return RATIO
    if len(grid.axes) == 1:
        return curves.RATIO
    across, up = list(grid.axes.values())[-2:]
    if across.time or up.time:
        return 1.0
    return min(max((up.upper - up.lower) / (across.upper - across.lower), 0.4), 2.5)


def _image(axes: Axes, grid: Grid, kind: _Kind, image: np.ndarray, labelled: bool) -> None:
    names = grid.names[-2:]
    across, up = (grid.axes[name].ends for name in names)
    own = [grid.axes[name] for name in names]
    if all(axis.uniform for axis in own):
        axes.imshow(
            image.T, origin="lower", extent=(*across, *up), aspect="auto",
            cmap=kind.cmap, norm=kind.norm, interpolation="nearest",
        )  # fmt: skip
    else:
        x, y = map(cell_edges, own)
        axes.pcolormesh(x, y, image.T, cmap=kind.cmap, norm=kind.norm, rasterized=True)
    _ticks(axes, names, (*across, *up), labelled)


def _curve(axes: Axes, grid: Grid, kind: _Kind, image: np.ndarray, labelled: bool) -> None:
    curves.draw_curve(axes, image, grid, kind.norm, kind.cmap, labelled)


def _map(axes: Axes, grid: Grid, kind: _Kind, image: np.ndarray, labelled: bool) -> None:
    draw_map(axes, image, grid, kind.norm, kind.cmap)
    label_map(axes, labelled)


def _ticks(axes: Axes, names: Sequence[str], extent: Sequence[float], labelled: bool) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not labelled:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    for axis, name, ends in (
        (axes.xaxis, names[0], extent[:2]),
        (axes.yaxis, names[1], extent[2:]),
    ):
        axis.set_ticks(ends, [f"{v:g}" for v in ends], fontsize=SMALL)
        axis.set_tick_params(length=2, color=GREY, pad=1)
        axis.set_label_text(name, fontsize=SMALL)
    axes.xaxis.labelpad = axes.yaxis.labelpad = -7


def _root_mean_square(axes: Axes, image: np.ndarray, grid: Grid) -> None:
    """Write the size of a residual into its map: the colours may not reach that far down."""
    squares, weights = image**2, node_weights(grid)
    if weights is not None:
        shares = weights.numpy().reshape(-1, *image.shape)[-1]
        squares = squares * shares / np.mean(shares[np.isfinite(squares)])
    size = float(np.sqrt(np.nanmean(squares)))
    axes.text(
        0.04, 0.04, f"rms {size:.2g}", transform=axes.transAxes, fontsize=6.5, color="white",
        bbox={"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _row_label(figure: Figure, label: str, right: float, middle: float) -> None:
    name, _, detail = label.partition("\n")
    x = right - 0.42 / figure.get_figwidth()
    step = 0.16 / figure.get_figheight()
    lines = detail.count("\n") + 1 if detail else 0
    y = middle + step * lines / 2
    figure.text(x, y, name, ha="right", va="center", fontsize=NORMAL, color=INK)
    figure.text(x, y - 0.5 * step, detail, ha="right", va="top", fontsize=SMALL, color=GREY)


def _colour_bar(figure: Figure, axes: Axes, kind: _Kind) -> None:
    mappable = ScalarMappable(kind.norm, kind.cmap)
    bar = figure.colorbar(mappable, cax=axes, orientation="horizontal")
    if not isinstance(kind.norm, LogNorm):
        bar.locator = MaxNLocator(4)  # more would run into each other
        bar.update_ticks()
    bar.outline.set_visible(False)  # pyright: ignore
    axes.tick_params(labelsize=SMALL, length=2, pad=1, color=GREY)
    axes.tick_params(which="minor", length=0)
    axes.set_title(kind.label, fontsize=SMALL, color=INK, pad=3, loc="left")
