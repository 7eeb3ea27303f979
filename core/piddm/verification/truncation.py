"""Truncation errors: a residual's values on chosen fields, less the equation's own."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Axis, Grid
from piddm.residuals.compiler import NEWMARK, TIME_WEIGHTS
from piddm.residuals.residual import Residual
from piddm.residuals.row_places import steps_in_time
from piddm.symbolic.analysis import derivative_order
from piddm.symbolic.operators import Coordinate, D
from piddm.verification.evaluate import at_nodes, over_space
from piddm.verification.jumps import smooth_rows
from piddm.verification.manufactured import Manufactured

NUDGE = 1e-11
"""Relative change of the fields by which rounding is measured."""

DRAWS = 4
"""Random changes of that size."""


def errors(made: Manufactured, residual: Residual) -> dict[str, Tensor]:
    """Return each row's error: its value on the chosen fields less the exact one, ``(rows,)``.

    Of rows that see a jump or a kink it is none (nan): nothing exact is differenced there.
    """
    found = residual(made.fields(residual.grid))
    out = {}
    for name, rows in residual.rows.items():
        value = found[name].flatten()
        wanted = _wanted(made, residual.grid, name, rows.nodes)
        # A corner belongs to either of the ends that meet there.
        error = torch.stack([value - w for w in wanted]).abs().nan_to_num(torch.inf).amin(0)
        if name in made.original.equations:
            equation = made.original.equations[name]
            smooth = smooth_rows(made, residual.grid, equation, rows)
            if smooth is not None:
                error = torch.where(torch.from_numpy(smooth), error, torch.nan)
        out[name] = error
    return out


def rounding(made: Manufactured, residual: Residual) -> dict[str, float]:
    """Return about how large an error round-off makes in each equation's rows, at most.

    A change of the fields by some parts in 10^11 that looks like round-off, scaled down.
    """
    generator = torch.Generator().manual_seed(0)
    fields = made.fields(residual.grid)
    moved = {k: v.expand(DRAWS, *v.shape[1:]) for k, v in fields.items()}
    for name in residual.field_names:
        shape = (DRAWS, *residual.grid.shape)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        moved[name] = fields[name] * (1 + NUDGE * noise)
    before, after = residual(fields), residual(moved)
    unit = torch.finfo(torch.float64).eps / 2
    found = {
        k: max(float((after[k] - before[k]).abs().max()) * unit / NUDGE, 1e-15) for k in before
    }
    terms = residual.terms(fields)
    for name in made.original.integrals:
        # Adding up so many values rounds as well, in the sum and in its reference.
        size = max(float(v.abs().max()) for v in terms[name].values())
        found[name] = max(found[name], unit * size * float(np.prod(residual.grid.shape)) ** 0.5)
    return found


def _wanted(made: Manufactured, grid: Grid, name: str, nodes: np.ndarray) -> list[Tensor]:
    """Return the exact values that the rows may have: one, or one for each end of an axis."""
    pde = made.original
    if name in pde.equations:
        return [_of_equation(made, grid, pde.equations[name], nodes)]
    if name in pde.integrals:
        return [_of_integral(made, grid, name, nodes)]
    condition = pde.conditions[name]
    found = []
    for axis, end in condition.ends(grid):
        left = sympy.Add(*condition.parts(axis, end, grid)) - condition.value
        dim = grid.index(axis)
        here = nodes[:, dim] == (0 if end < 0 else grid.shape[dim] - 1)
        wall = {axis: grid.axes[axis].ends[end > 0]}
        value = at_nodes(made.value(left), grid, nodes, wall)
        found.append(torch.where(torch.from_numpy(here), value, torch.nan))
    return found


def _of_equation(made: Manufactured, grid: Grid, equation: Any, nodes: np.ndarray) -> Tensor:
    exact = made.value(equation)
    dim = steps_in_time(equation, made.original, grid)
    time = next((d for d, a in enumerate(grid.axes.values()) if a.time), 0)
    if (
        dim is None
        and derivative_order(equation, grid.names[time]) > 1
        and (made.original.time_scheme == "newmark")
    ):
        step = np.eye(nodes.shape[1], dtype=int)[time]
        return sum(
            (w * at_nodes(exact, grid, nodes + o * step) for o, w in NEWMARK),
            start=torch.zeros(len(nodes), dtype=torch.float64),
        )
    if dim is None:
        return at_nodes(exact, grid, nodes)
    # Of a step, the source is taken where the scheme takes all else that is not differenced.
    before, after = TIME_WEIGHTS[made.original.time_scheme]
    earlier = nodes - np.eye(nodes.shape[1], dtype=int)[dim]
    return before * at_nodes(exact, grid, earlier) + after * at_nodes(exact, grid, nodes)


def _of_integral(made: Manufactured, grid: Grid, name: str, nodes: np.ndarray) -> Tensor:
    integral = made.original.integrals[name]
    time = next((a for a in grid.axes.values() if a.time), None)
    times = None if time is None else time.coordinates()
    total = over_space(made.value(integral.integrand), grid, times)
    if times is None:
        return total - float(made.value(integral.value))
    if integral.conserved:
        return total[nodes[:, 0]] - total[nodes[:, 0] - 1]
    return (total - at_nodes(made.value(integral.value), grid, _first(grid)))[nodes[:, 0]]


def _first(grid: Grid) -> np.ndarray:
    nodes = np.zeros((grid.shape[0], len(grid.axes)), dtype=int)
    nodes[:, 0] = np.arange(grid.shape[0])
    return nodes


def with_times(grid: Grid, count: int, fraction: float) -> Grid:
    """Return the grid with a few times over the first part of its axis of time."""
    axes = {}
    for name, axis in grid.axes.items():
        upper = axis.lower + fraction * (axis.upper - axis.lower)
        axes[name] = dataclasses.replace(axis, upper=upper, size=count) if axis.time else axis
    return Grid(**axes)


def with_intervals(grid: Grid, n: int) -> Grid:
    """Return the grid with n intervals along each axis of space, or n latitudes of a sphere.

    What walls are away from the nodes next to them counts, up to half a spacing that may be left.
    """
    sizes = {k: n + 1 - round(_beyond(a)) for k, a in grid.axes.items() if not a.time}
    if grid.spherical:
        sizes |= {"lat": n, "lon": 2 * n}
    return grid.resized(sizes)


def _beyond(axis: Axis) -> float:
    """Return how many spacings of an axis are beyond its first and its last node."""
    if axis.periodic:
        return 1
    at = axis.coordinates()
    near = at[1] - at[0], at[-1] - at[-2]
    # Of unequal steps half of the first is beyond a node in the middle of its cell.
    if axis.uniform:
        return sum(axis.gaps) / axis.spacing
    return sum(0.5 * (gap > 0.25 * h) for gap, h in zip(axis.gaps, near, strict=True))


def without_time_errors(made: Manufactured) -> Grid:
    """Return the grid with a few times such that differences in time are exact, or nearly so.

    Of what is linear in time they are exact whatever the step; else it must be short, and digits
    are lost.
    """
    pde = made.original
    for name, axis in pde.grid.axes.items():
        if axis.time:
            low = 2 if pde.time_scheme in ("backward-euler", "bdf2") else 3
            rates = {
                d for e in pde.equations.values() for d in e.atoms(D) if d.parts[1].name == name
            }
            exact = all(made.value(d.parts[0]).diff(Coordinate(name), low) == 0 for d in rates)
            return with_times(pde.grid, 5, 1.0) if exact else with_times(pde.grid, 3, 2e-4)
    return pde.grid


def space_of(grid: Grid) -> list[str]:
    """Return the names of the axes of space."""
    return [k for k, a in grid.axes.items() if not a.time]


def twice_in_time(pde: PDE) -> bool:
    """Return whether an equation has a second derivative in time."""
    times = [k for k, a in pde.grid.axes.items() if a.time]
    return any(derivative_order(e, k) > 1 for e in pde.equations.values() for k in times)
