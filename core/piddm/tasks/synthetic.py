"""Problems to try solvers on: a truth from the equation's own law, seen by random sensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from piddm.data.dataset import Dataset
from piddm.data.simulate import finite, simulate
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.derived_solver import held
from piddm.residuals.formulas import Formulas
from piddm.residuals.norms import mean_squares, term_scale
from piddm.symbolic.operators import Param
from piddm.tasks.instruments import Evaluated
from piddm.tasks.model import Model
from piddm.tasks.observation_files import chosen
from piddm.tasks.observations import Observations
from piddm.tasks.quantities import Quantity
from piddm.tasks.readings import Reading
from piddm.tasks.sensors import Sensors
from piddm.tools.errors import UsageError
from piddm.tools.randomness import generator


def draw_truth(pde: PDE, grid: Grid, seed: int = 0) -> Dataset:
    """Return one solution, float64, that is in no run's data whatever its seed.

    Raises:
        UsageError: If the equation has only so many samples, which a run may have learnt from.
    """
    if (count := finite(pde)) is not None:
        raise UsageError(
            f"{pde.name} has {count} samples of its own, and a run may have learnt from any: take "
            "one that a run held out, --run RUN"
        )
    (fields,) = simulate(pde, grid, 1, generator(seed, "truth"))
    residual = pde.bind(grid)
    scale = term_scale(residual, fields)
    floor = {k: float(v) for k, v in mean_squares(residual, fields, scale).items()}
    return Dataset(pde.name, grid, {k: v.double() for k, v in fields.items()}, scale, floor, seed)


def held_out_truth(held_out: Dataset, seed: int = 0) -> Dataset:
    """Return one of the samples that a run held out, which one the seed says."""
    index = int(torch.randint(len(held_out), (), generator=generator(seed, "truth")))
    fields = {k: v[index : index + 1].double() for k, v in held_out.fields.items()}
    return dataclasses.replace(held_out, fields=fields, seed=seed, fingerprint="")


def place(
    truth: Dataset,
    pde: PDE,
    fields: str,
    share: float = 1.0,
    noise: float = 0.0,
    between: bool = False,
    seed: int = 0,
    interpolation: str = "linear",
    reads: Sequence[Quantity] = (),
    bias: float = 0.0,
) -> Observations:
    """Return what random sensors see of a dataset's first sample.

    Args:
        truth: The dataset.
        pde: The equation.
        fields: What is seen, as :func:`piddm.tasks.observation_files.read_observations` takes it.
        share: Number of sensors, over the nodes of what is seen; spread evenly over the area.
        noise: Its standard deviation, over that of the field.
        between: Put sensors anywhere between nodes, and at any time, rather than at nodes; along
            an axis with a chosen value (``u@t=0``) they stay.
        seed: Seed of places and noise.
        interpolation: ``linear`` or ``cubic``: the truth between its nodes.
        reads: What instruments read beside; their noise is over the deviation of their expression.
        bias: Deviation of a bias that all sensors of a field have in common, over that of the
            field; they are then a group of its name.

    Raises:
        UsageError: If share or noise is not one, or there is no such field.
    """
    if not 0 < share <= 1 or noise < 0 or bias < 0:
        raise UsageError("the share of nodes is over 0 and at most 1, and noise is not negative")
    masks, params = chosen(fields, pde, truth.grid) if fields or not reads else ({}, [])
    weights = torch.from_numpy(truth.grid.weights())
    points, values, sigma = {}, {}, {}
    groups: dict[str, list[str]] = {}
    deviations: dict[str, float] = {}
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
        if bias:
            deviations[name] = bias * float(truth.fields[name].std())
            shift = torch.randn(1, generator=generator(seed, "bias", name), dtype=torch.float64)
            values[name] = values[name] + deviations[name] * shift
            groups[name] = [name] * count
    known = {k: float(truth.fields[k][0]) for k in params}
    return Observations(
        truth.grid, points, values, sigma, known, bias=deviations, groups=groups,
        readings=_read(truth, pde, reads, noise, seed, interpolation, known),
    )  # fmt: skip


def seen_at(
    truth: Dataset, pde: PDE, points: Mapping[str, Tensor], noise: float = 0.0, seed: int = 0,
    interpolation: str = "linear",
) -> Observations:  # fmt: skip
    """Return what sensors at given points see of a dataset's first sample.

    Args:
        truth: The dataset.
        pde: The equation.
        points: Field name to coordinates ``(n, axes)``.
        noise: Its standard deviation, over that of the field.
        seed: Seed of the noise.
        interpolation: ``linear`` or ``cubic``.
    """
    own = {k: truth.fields[k][:1].double() for k in pde.field_names}
    values, sigma = {}, {}
    for name, at in points.items():
        there = Observations.at_points(truth.grid, {name: at}, {name: torch.zeros(len(at))})
        size = noise * float(truth.fields[name].std())
        exact = Sensors(there, pde.field_names, interpolation)(own)[0]
        draw = generator(seed, "noise", name)
        values[name] = exact + size * torch.randn(len(at), generator=draw, dtype=torch.float64)
        sigma[name] = torch.full_like(exact, size)
    return Observations(truth.grid, points, values, sigma)


def _read(
    truth: Dataset, pde: PDE, reads: Sequence[Quantity], noise: float, seed: int,
    interpolation: str, known: dict[str, float],
) -> list[Reading]:  # fmt: skip
    """Return what instruments read of a dataset's first sample."""
    own = {k: v[:1].double() for k, v in truth.fields.items()}
    at = Evaluated(reads, truth.grid, pde.field_names, interpolation)
    exact = (at(own) + at.offset)[0]
    found = []
    for k, quantity in enumerate(reads):
        spread = own[quantity.fields[0]] if quantity.weights else Formulas(
            truth.grid, [quantity.expression])(own)[0]  # fmt: skip
        size = quantity.measure(truth.grid) if quantity.integral else 1.0
        sigma = noise * size * float(spread.std())
        draw = generator(seed, "reading", quantity.text, k)
        value = float(exact[k]) + sigma * float(torch.randn(1, generator=draw, dtype=torch.float64))
        found.append(Reading(quantity, value, sigma))
    return found


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


@dataclasses.dataclass(frozen=True)
class Case:
    """A question.

    Args:
        task: Its kind.
        share: Share of the nodes of every field with a sensor; the whole input or solution for
            forward and inverse tasks.
        noise: Sigma, over the field's deviation.
        law: ``same``, ``rougher`` (correlation length over 2) or ``contrast`` (of two phases).
    """

    task: str = "reconstruct"
    share: float = 0.03
    noise: float = 0.0
    law: Literal["same", "rougher", "contrast"] = "same"


def shifted(prior: Any, law: str) -> Any:
    """Return another law of the same kind: "rougher" or "contrast", by two or as "rougher*1.5"."""
    changes: dict[str, Any] = {}
    told, (law, _, given) = law, law.partition("*")
    factor = float(given or 2)
    if hasattr(prior, "underlying"):
        changes["underlying"] = shifted(prior.underlying, told)
    if law == "rougher" and hasattr(prior, "tau"):
        changes["tau"] = factor * prior.tau
    if law == "contrast" and hasattr(prior, "high"):
        changes["high"] = factor * prior.high
    return dataclasses.replace(prior, **changes) if changes else prior


def drawn_from(pde: PDE, law: str) -> PDE | None:
    """Return the equation with the law of a case; nothing where that changes nothing."""
    if law != "same" and pde.simulate is not None:
        return None  # it draws by itself, whatever the law says
    inputs = {k: shifted(p, law) for k, p in pde.inputs.items()}
    if law != "same" and all(inputs[k] == p for k, p in pde.inputs.items()):
        return None
    return dataclasses.replace(pde, inputs=inputs)


def question(run: Model, case: Case, seed: int) -> tuple[Observations, dict[str, torch.Tensor]]:
    """Return what is seen of a truth, and the truth."""
    pde, grid = run.pde, run.residual.grid
    other = drawn_from(pde, case.law)
    assert other is not None
    truth = draw_truth(other, grid, seed)
    fields = {k: truth.fields[k][0] for k in pde.field_names}
    draw = torch.Generator().manual_seed(seed)
    inputs = held(pde, grid, (g for g in pde.inputs if not isinstance(g, Param)))
    mask = {}
    for name in fields:
        own = torch.from_numpy(inputs[name])
        random = torch.rand(grid.shape, generator=draw) < case.share
        mask[name] = {"forward": own, "inverse": ~own, "reconstruct": random}[case.task]
        if case.task == "inverse" and not own.all():
            # Of a field that is an input at its first time only: the last time is what is seen.
            mask[name] = torch.zeros_like(own)
            mask[name][-1] = own.any()
            if not own.any():
                mask[name][:] = True
    scale = run.packing.field_scale()
    noisy = {
        k: v + case.noise * scale[k] * torch.randn(grid.shape, generator=draw, dtype=v.dtype)
        for k, v in fields.items()
    }
    seen = Observations.at_nodes(grid, noisy, mask)
    sigma = {k: torch.full_like(v, case.noise * scale[k]) for k, v in seen.values.items()}
    free = [g.name for g in pde.inputs if isinstance(g, Param)]
    params = {k: float(truth.fields[k][0]) for k in free if case.task == "forward"}
    return dataclasses.replace(seen, sigma=sigma, params=params), fields
