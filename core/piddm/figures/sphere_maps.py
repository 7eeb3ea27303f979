"""Images of a sphere: Mollweide's projection, in which equal areas are equal."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import FixedLocator

from piddm.figures.style import INK, SMALL
from piddm.grids.grid import Grid

PROJECTION = "mollweide"
"""Projection of maps of the sphere: Mollweide's keeps areas."""

RATIO = 0.5
"""Height over width."""


def draw_map(axes: Axes, image: np.ndarray, grid: Grid, norm: Normalize, cmap: str) -> None:
    """Draw ``(lat, lon)`` with longitude 0 in the middle; each node is the band it stands for.

    Args:
        axes: Axes of this projection.
        image: Values; where there is no number, the background shows.
        grid: A grid on a sphere.
        norm: Scale of the colours.
        cmap: The colours.
    """
    # Two cells for each node, as the seam goes through a node.
    count = image.shape[1]
    longitudes = np.linspace(-np.pi, np.pi, 2 * count + 1)
    middles = (longitudes[:-1] + longitudes[1:]) / 2
    nearest = np.rint(middles * count / (2 * np.pi)).astype(int) % count
    # A band has its share of the area, which goes with the sine.
    shares = grid.axes["lat"].weights()
    sines = -1 + 2 * np.append(0.0, np.cumsum(shares)) / len(shares)
    latitudes = np.arcsin(np.clip(sines, -1, 1))
    axes.pcolormesh(
        longitudes, latitudes, np.ma.masked_invalid(image[:, nearest]), cmap=cmap, norm=norm,
        shading="flat", rasterized=True, linewidth=0, antialiased=False,
    )  # fmt: skip
    axes.spines["geo"].set_linewidth(0.5)


def label_map(axes: Axes, labelled: bool) -> None:
    """Draw a few meridians and parallels; their degrees beside one map are enough."""
    axes.xaxis.set_major_locator(FixedLocator((-np.pi / 2, 0, np.pi / 2)))
    axes.yaxis.set_major_locator(FixedLocator((-np.pi / 4, 0, np.pi / 4)))
    axes.grid(color=INK, alpha=0.25, linewidth=0.4)
    axes.set_xticklabels([])
    axes.set_yticklabels(["45°S", "0°", "45°N"] if labelled else [], fontsize=SMALL - 1.5)
