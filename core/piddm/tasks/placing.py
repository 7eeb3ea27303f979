"""Problems to try solvers on: a truth from the equation's own law, seen by random sensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.dataset import Dataset
from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.physics import mean_squares, term_scale
from piddm.randomness import generator
from piddm.simulate import simulate
from piddm.tasks.observations import Observations
from piddm.tasks.reading import chosen
from piddm.tasks.sensors import Sensors

if TYPE_CHECKING:
    from piddm.pde import PDE


def draw_truth(pde: PDE, grid: Grid, seed: int = 0) -> Dataset:
    """Return one solution, float64, that is in no run's data whatever its seed."""
    (fields,) = simulate(pde, grid, 1, generator(seed, "truth"))
    residual = pde.bind(grid)
    scale = term_scale(residual, fields)
    floor = {k: float(v) for k, v in mean_squares(residual, fields, scale).items()}
    return Dataset(pde.name, grid, {k: v.double() for k, v in fields.items()}, scale, floor, seed)


def place(
    truth: Dataset,
    pde: PDE,
    fields: str,
    share: float = 1.0,
    noise: float = 0.0,
    between: bool = False,
    seed: int = 0,
    interpolation: str = "linear",
) -> Observations:
    """Return what random sensors see of a dataset's first sample.

    Args:
        truth: The dataset.
        pde: The equation.
        fields: What is seen, as :func:`piddm.tasks.reading.read_observations` takes it.
        share: Number of sensors, over the nodes of what is seen; spread evenly over the area.
        noise: Its standard deviation, over that of the field.
        between: Put sensors anywhere between nodes, and at any time, rather than at nodes; along
            an axis with a chosen value (``u@t=0``) they stay.
        seed: Seed of places and noise.
        interpolation: ``linear`` or ``cubic``: the truth between its nodes.

    Raises:
        UsageError: If share or noise is not one, or there is no such field.
    """
    if not 0 < share <= 1 or noise < 0:
        raise UsageError("the share of nodes is over 0 and at most 1, and noise is not negative")
    masks, params = chosen(fields, pde, truth.grid)
    weights = torch.from_numpy(truth.grid.weights())
    points, values, sigma = {}, {}, {}
    for name, mask in masks.items():
        draw = generator(seed, "sensors", name)
        count = max(1, round(share * int(mask.sum())))
        picked = torch.multinomial(weights[mask], count, generator=draw)
        every = Observations.at_nodes(truth.grid, {name: truth.fields[name][0]}, {name: mask})
        at = every.points[name][picked]
        if between:
            at = _moved(at, mask, truth.grid, draw)
        there = Observations.at_points(truth.grid, {name: at}, {name: torch.zeros(count)})
        seen = Sensors(there, pde.field_names, interpolation)
        exact = seen({k: truth.fields[k].double() for k in pde.field_names})[0]
        size = noise * float(truth.fields[name].std())
        sigma[name] = torch.full_like(exact, size)
        values[name] = exact + size * torch.randn(count, generator=draw, dtype=torch.float64)
        points[name] = at
    known = {k: float(truth.fields[k][0]) for k in params}
    return Observations(truth.grid, points, values, sigma, known)


def _moved(points: Tensor, mask: Tensor, grid: Grid, draw: torch.Generator) -> Tensor:
    """Move points by up to half a spacing along the axes of which the whole is seen."""
    at = points.clone()
    for dim, axis in enumerate(grid.axes.values()):
        lines = mask.movedim(dim, 0).flatten(1)
        if not bool((lines == lines[:1]).all()):
            continue
        step = (torch.rand(len(at), generator=draw, dtype=torch.float64) - 0.5) * axis.spacing
        moved = at[:, dim] + step
        if axis.periodic:
            at[:, dim] = axis.lower + (moved - axis.lower) % (axis.upper - axis.lower)
        else:
            # Beyond an end a point comes back inside: two would fall together at the end itself.
            outside = (moved < axis.lower) | (moved > axis.upper)
            at[:, dim] = torch.where(outside, at[:, dim] - step, moved)
    return at
