"""Fields on a line: their curve, coloured as an image of them would be."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize

from piddm.figures.style import GREY, SMALL
from piddm.grids.grid import Axis, Grid

RATIO = 0.8
"""Height of a panel over its width."""

MARGIN = 0.06
"""Room above and below a curve, over the range of its colours."""


def draw_curve(
    axes: Axes, values: np.ndarray, grid: Grid, norm: Normalize, cmap: str, labelled: bool
) -> None:
    """Draw the values of a field at the nodes of a line; the ends are labelled where asked for."""
    frame(axes, grid, norm, labelled)
    at = next(iter(grid.axes.values())).coordinates()
    points = np.stack([at, values], axis=1)
    known = np.isfinite(values[1:] + values[:-1])
    parts = np.stack([points[:-1], points[1:]], axis=1)[known]
    middles = (values[1:] + values[:-1])[known] / 2
    curve = LineCollection(list(parts), cmap=cmap, norm=norm, linewidths=1.6, capstyle="round")
    curve.set_array(middles)
    axes.add_collection(curve)


def frame(axes: Axes, grid: Grid, norm: Normalize, labelled: bool) -> None:
    """Set the ranges of a panel, and the labels of its line's ends."""
    axes.set_facecolor("#eeeeee")
    (name,), own = grid.names, next(iter(grid.axes.values()))
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    if isinstance(norm, LogNorm):
        axes.set_yscale("log")
        axes.set_ylim(low * (low / high) ** MARGIN, high * (high / low) ** MARGIN)
    else:
        axes.set_ylim(low - MARGIN * (high - low), high + MARGIN * (high - low))
    axes.set_xlim(*own.ends)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    axes.yaxis.set_tick_params(which="minor", length=0)
    axes.set_xticks(own.ends if labelled else [])
    if labelled:
        axes.set_xticklabels([f"{v:.3g}" for v in own.ends], fontsize=SMALL)
        axes.xaxis.set_tick_params(length=2, color=GREY, pad=1)
        axes.set_xlabel(name, fontsize=SMALL, labelpad=-7)


def cell_edges(axis: Axis) -> np.ndarray:
    """Return the ends of the pixels around nodes, those at walls up to them."""
    at = axis.coordinates()
    inner = (at[1:] + at[:-1]) / 2
    low, high = 2 * at[0] - inner[0], 2 * at[-1] - inner[-1]
    if not axis.uniform and axis.bounded:
        low, high = axis.ends
    return np.concatenate([[low], inner, [high]])
