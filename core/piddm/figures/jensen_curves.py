"""Jensen's gap along the noise levels, a panel for each equation that has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from piddm.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    NORMAL,
    SMALL,
    VERMILLION,
    plain,
    readable_logarithm,
)

CURVES = {
    "of_mean": ("$R(E[x_0|x_t])$, exact", VERMILLION, "-"),
    "mean_of": ("$E[R(x_0)|x_t]$, exact", INK, "-"),
    "predicted": (r"$\frac{1}{2}D^2R:\mathrm{Cov}$", BLUE, "o"),
    "teacher": ("$R(E[x_0|x_t])$, teacher", VERMILLION, "--"),
    "arrived": ("$R$ at the end of the teacher's ODE", GREEN, "--"),
}
"""Label, colour and line of each column."""

PANELS = 3
"""Equations shown, those of the largest gap."""

LOWEST = 1e-16
"""Least value that is shown: smaller ones are rounding, or zero, and lie on the lower edge."""


def jensen(levels: Sequence[Mapping[str, float | str | None]]) -> Figure:
    """Draw the columns over sigma/alpha, both logarithmic.

    Args:
        levels: Measurements as plain data, see :class:`piddm.metrics.jensen_gap.Level`.
    """
    names = list(dict.fromkeys(str(level["row"]) for level in levels))
    rows = {name: [level for level in levels if level["row"] == name] for name in names}
    shown = sorted(rows, key=lambda name: -max(_values(rows[name], "gap")))[:PANELS]
    figure = Figure(figsize=(4.4 * len(shown), 3.7), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, shown, strict=True):
        _panel(axes, name, rows[name])
    panels[0].set_ylabel("residual, root mean square over scale", fontsize=SMALL, color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2 if len(shown) == 1 else 5,
        frameon=False, fontsize=SMALL, labelcolor=INK,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, name: str, rows: Sequence[Mapping[str, float | str | None]]) -> None:
    # Without signal there is no ratio: the last level lies a step beyond the one before.
    noise = np.array([np.nan if r["noise"] is None else float(r["noise"] or 0) for r in rows])
    beyond = np.isnan(noise)
    noise[beyond] = 3 * np.nanmax(noise)
    for column, (label, colour, line) in CURVES.items():
        if rows[0][column] is None:
            continue
        axes.plot(
            noise, np.maximum(_values(rows, column), LOWEST), line, label=label, color=colour,
            linewidth=1.4, markersize=6, markerfacecolor="none",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(LOWEST / 3, None)
    if beyond.any():
        axes.axvline(noise[beyond][0], color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        axes.annotate(
            "no signal", (noise[beyond][0], 0.5), xycoords=("data", "axes fraction"),
            xytext=(-3, 0), textcoords="offset points", rotation=90, ha="right", va="center",
            fontsize=SMALL, color=GREY,
        )  # fmt: skip
    axes.set_title(name, fontsize=NORMAL, color=INK, loc="left")
    axes.set_xlabel(r"noise over signal, $\sigma/\alpha$", fontsize=SMALL, color=INK)
    plain(axes)
    readable_logarithm(axes, "x")


def _values(rows: Sequence[Mapping[str, float | str | None]], column: str) -> list[float]:
    return [float(row[column] or 0.0) for row in rows]
