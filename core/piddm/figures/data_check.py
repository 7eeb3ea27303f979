"""What a check of data found: errors by order, by sample, and where the worst sample's are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from piddm.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    NORMAL,
    RESIDUAL,
    SMALL,
    VERMILLION,
    plain,
    readable_logarithm,
)

if TYPE_CHECKING:
    from piddm.checking.findings import Report

LOWEST = 1e-16
"""What is smaller is rounding, or zero, and lies on the lower edge."""

DECADES = 1e-4
"""Share of the largest residual at which the picture of the worst sample begins."""

WIDER = 3.0
"""Factor by which the axis of samples goes on at both ends: it has a decade to be read by."""

MARKERS, COLOURS = "os^Dv", (BLUE, VERMILLION, GREEN, INK, GREY)
"""Marker and colour of each equation or condition, in turn."""


def checked(found: Report) -> Figure:
    """Draw the PDE error by order, its distribution over samples, and the worst sample's rows."""
    count = 2 + bool(len(found.picture))
    figure = Figure(figsize=(4.0 * count, 3.4), layout="constrained")
    panels = figure.subplots(1, count)
    _orders(panels[0], found)
    _samples(panels[1], found)
    if count == 3:
        _worst(panels[2], found)
    figure.suptitle(f"{found.pde}: {found.errors.count} samples", fontsize=NORMAL, color=INK)
    return figure


def _orders(axes: Axes, found: Report) -> None:
    for i, row in enumerate(found.tested):
        values = [max(v, LOWEST) for v in row.error.values()]
        axes.plot(
            list(row.error), values, color=COLOURS[i % len(COLOURS)], label=row.name,
            marker=MARKERS[i % len(MARKERS)], linewidth=1, markersize=5,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("order of the stencils", fontsize=SMALL, color=INK)
    axes.set_ylabel("normalised PDE error", fontsize=SMALL, color=INK)
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK)
    plain(axes)
    readable_logarithm(axes, "y")


def _samples(axes: Axes, found: Report) -> None:
    values = np.maximum(found.errors.samples.numpy(), LOWEST)
    low, high = values.min() / 1.3, values.max() * 1.3
    axes.hist(values, np.geomspace(low, high, 24), color=BLUE)
    axes.set_xscale("log")
    axes.set_xlim(low / WIDER, high * WIDER)
    axes.set_xlabel("normalised PDE error of a sample", fontsize=SMALL, color=INK)
    axes.set_ylabel("samples", fontsize=SMALL, color=INK)
    plain(axes)
    readable_logarithm(axes, "x")


def _worst(axes: Axes, found: Report) -> None:
    name, values = next(iter(found.picture.items()))
    top = max(float(np.nanmax(values)), LOWEST)
    drawn = axes.imshow(
        np.maximum(values, DECADES * top).T, origin="lower", cmap=RESIDUAL, aspect="auto",
        norm=LogNorm(DECADES * top, top), interpolation="nearest",
    )  # fmt: skip
    axes.set_title(f"abs(R)/scale of {name}, sample {found.worst[0][0]}", fontsize=SMALL, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(found.axes[0], fontsize=SMALL, color=INK)
    axes.set_ylabel(found.axes[1], fontsize=SMALL, color=INK)
    colours = axes.figure.colorbar(drawn, ax=axes, shrink=0.85)  # pyright: ignore
    colours.ax.tick_params(labelsize=SMALL)
