"""An answer: what was known, the ensemble's mean and spread, and where it errs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from piddm.figures import curves
from piddm.figures.panels import WIDTH, Panel, colour_bar, draw_panel
from piddm.figures.style import FIELD, GREY, INK, NORMAL, RESIDUAL, SIGNED_FIELD, SMALL
from piddm.grids.grid import Axis, Grid
from piddm.residuals.residual import Fields, Residual
from piddm.symbolic import Field

if TYPE_CHECKING:
    from piddm.tasks.solution import Solution

LETTERS = 13
"""Letters in a line of what a field is."""

SLICES = 3
"""Slices of a grid of three axes: the first, the last and some between."""

DECADES = 6
"""Most that a residual map shows below its largest value."""

SPREAD = "cividis"
"""Colour map of standard deviations and errors."""

# Lengths in inches.
GAP, BAR, LEFT, TOP, BOTTOM = 0.08, 0.58, 1.2, 0.4, 0.38
"""Gaps between images, room for a colour bar, and the margins; inches."""


def solution(
    found: Solution,
    residual: Residual | None = None,
    scale: Mapping[str, float] | None = None,
    fields: Sequence[Field] = (),
    truth: Fields | None = None,
) -> Figure:
    """Draw an answer, a row for each field, and for each of a few slices of three axes.

    From left to right: the truth where it is known, the observations at their places, mean and
    standard deviation of the members, the mean's error on the same scale as the deviation, and the
    residual map of the first member: the mean of solutions solves no nonlinear equation.

    Args:
        found: The answer.
        residual: The equation; without it there are no residual maps.
        scale: Row scales, by which residuals are divided.
        fields: The fields, with what they are called.
        truth: Fields ``(*grid.shape)`` and params, where they are known.
    """
    grid = found.grid
    maps = {} if residual is None else _maps(found, residual, scale or {})
    rows = list(_rows(found, maps, fields, truth))
    height = WIDTH * (0.5 if grid.spherical else _ratio(*list(grid.axes.values())[-2:]))
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
            draw_panel(axes, panel, grid, labelled=k == 0 and r == len(rows) - 1)
            if r == 0:
                axes.set_title(panel.title, fontsize=SMALL, color=INK, pad=4)
            left += WIDTH
            if panel.bar:
                bar = figure.add_axes(place(left + 0.06, top, 0.08))
                colour_bar(figure, bar, panel)
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
) -> Iterator[tuple[str, list[Panel]]]:
    """Return what each row is called, and its panels."""
    grid, mean, std = found.grid, found.mean, found.std
    cuts: list[int | None] = [None]
    if len(grid.shape) == 3:
        cuts = [int(i) for i in np.linspace(0, grid.shape[0] - 1, SLICES).round()]
    equations = list(maps.items())
    for i in range(max(len(fields), len(equations))):
        for cut in cuts:
            panels: list[Panel] = []
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
                    Panel(
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
) -> list[Panel]:
    exact = None if truth is None else truth.double().numpy()
    middle, spread = mean.numpy(), std.numpy()
    colours = _field_colours(middle if exact is None else np.stack([exact, middle]))
    error = None if exact is None else np.abs(middle - exact)
    widths = spread if error is None else np.stack([spread, error])
    norm = Normalize(0, float(np.percentile(widths, 99.8)) or 1.0)
    panels = [] if exact is None else [Panel("truth", _cut(exact, cut), *colours)]
    panels += [
        Panel(
            "observations",
            None,
            *colours,
            dots=_dots(found, name, cut),
            boxes=_boxes(found, name, cut),
        ),
        Panel("mean", _cut(middle, cut), *colours, bar=True),
        Panel("standard deviation", _cut(spread, cut), norm, SPREAD, bar=error is None),
    ]
    if error is not None:
        panels.append(Panel("|mean - truth|", _cut(error, cut), norm, SPREAD, bar=True))
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
        return np.zeros((0, min(2, len(grid.axes)))), np.zeros(0)
    points, values = seen.points[name].numpy(), seen.values[name].numpy()
    if cut is not None:
        first = grid.axes[grid.names[0]]
        near = np.abs(points[:, 0] - first.coordinates()[cut]) <= 0.5 * first.spacing
        points, values = points[near], values[near]
    return points[:, -2:], values


def _boxes(
    found: Solution, name: str, cut: int | None
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the regions of what instruments read of a field, of a slice those that it cuts."""
    grid, boxes = found.grid, []
    for own in found.task.observations.readings:
        if name not in own.quantity.fields or own.quantity.weights is not None:
            continue
        ends = own.quantity.ends(grid)
        if cut is not None:
            first = grid.axes[grid.names[0]]
            at, slack = first.coordinates()[cut], 0.5 * first.spacing
            if not ends[0][0] - slack <= at <= ends[0][1] + slack:
                continue
        # Across a seam a region is shown as far as the end of the axis.
        plane = [(low, high if high >= low else grid.axes[k].upper)
                 for (low, high), k in zip(ends[-2:], grid.names[-2:], strict=True)]  # fmt: skip
        boxes.append((plane[0], plane[-1]))
    return boxes


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


def _ratio(across: Axis, up: Axis | None = None) -> float:
    """Height over width of an image: true to the domain, unless time is one of its axes."""
    if up is None:
        return curves.RATIO
    if across.time or up.time:
        return 1.0
    return min(max((up.upper - up.lower) / (across.upper - across.lower), 0.4), 2.5)
