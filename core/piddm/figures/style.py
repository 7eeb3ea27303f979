"""The style that all figures share: colours, sizes, saving."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from piddm.tools.files import atomic_path

# Okabe and Ito's colours: told apart with every kind of colour vision.
BLUE, VERMILLION, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#767676", "#222222"
"""Colours that colour-blind people tell apart (Okabe and Ito, 2008), a grey and an ink."""

SMALL, NORMAL = 7.5, 9.0
"""Sizes of letters, points."""

FIELD, SIGNED_FIELD, RESIDUAL = "viridis", "RdBu_r", "magma"
"""Perceptually uniform colour maps; the diverging one is only for fields of both signs."""


def plain(axes: Axes) -> None:
    """Take away what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(labelsize=SMALL, color=GREY, labelcolor=INK, which="both")


def readable_logarithm(axes: Axes, name: Literal["x", "y"]) -> None:
    """Label a logarithmic axis by powers of ten, or by plain numbers where it spans less."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
    if math.floor(math.log10(high)) <= math.ceil(math.log10(low)):  # one power of ten, or none
        axis.set_major_locator(MaxNLocator(4) if high < 4 * low else LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG: the whole file, or nothing.

    Raises:
        PiddmError: If it cannot be written.
    """
    with atomic_path(path) as part:
        # Without metadata, equal figures are equal files.
        figure.savefig(part, format="png", dpi=130, facecolor="white", metadata={"Software": None})
