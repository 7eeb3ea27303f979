"""Where to measure next: gains, deviations before and after, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from piddm.figures.panels import Panel, draw_panel
from piddm.figures.style import BLUE, GREY, INK, NORMAL, SMALL, VERMILLION, plain
from piddm.grids.grid import Grid

if TYPE_CHECKING:
    from piddm.tasks.placement import Placement

SPREAD = "cividis"
"""Colours of gains and deviations."""


def placements(found: Placement) -> Figure:
    """Draw the gain of a first sensor by place with all sensors in order, and what they do.

    Of a grid of three axes the maps are of the time in the middle of the domain.
    """
    grid = found.places.grid
    maps: list[tuple[str, Tensor, str | None, float | None]] = [
        (f"share of a first sensor of {k}", v, k, None) for k, v in found.gains.items()
    ]
    for k, before in found.before.items():
        most = float(before.max())
        maps += [(f"deviation of {k} before", before, None, most),
                 (f"and after {len(found.order)} sensors", found.after[k], None, most)]  # fmt: skip
    figure = Figure(figsize=(2.6 * (len(maps) + 1), 2.5), layout="constrained")
    axes = figure.subplots(1, len(maps) + 1, squeeze=False)[0]
    for k, (title, values, field, most) in enumerate(maps):
        image = values.numpy()
        image = image if image.ndim < 3 else image[image.shape[0] // 2]
        top = most or float(np.nanmax(image)) or 1.0
        draw_panel(axes[k], Panel(title, image, Normalize(0, top), SPREAD), grid, labelled=k == 0)
        axes[k].set_title(title, fontsize=SMALL, color=INK)
        if field is not None:
            _numbers(axes[k], found, field, grid)
    last = axes[-1]
    last.plot(range(1, len(found.left) + 1), found.left, "o-", color=BLUE, markersize=3)
    last.set(ylim=(0, 1), xlim=(0, len(found.left) + 1))
    last.set_xlabel("sensors", fontsize=SMALL)
    said = "variance that is left" if found.exact else "variance that is left, by the ensemble"
    last.set_title(said, fontsize=NORMAL, color=INK, loc="left")
    last.axhline(0, color=GREY, linewidth=0.6)
    plain(last)
    return figure


def _numbers(axes: Axes, found: Placement, field: str, grid: Grid) -> None:
    for k, (name, point) in enumerate(found.order, 1):
        if name != field:
            continue
        across, up = (point[-2], point[-1]) if len(grid.names) > 1 else (point[0], 0.0)
        if grid.spherical:
            across, up = (point[-1] + np.pi) % (2 * np.pi) - np.pi, point[-2]
        axes.plot(across, up, "o", color=VERMILLION, markersize=9, clip_on=False)
        axes.annotate(
            str(k), (across, up), ha="center", va="center", fontsize=6, color="white",
            annotation_clip=False,
        )  # fmt: skip
