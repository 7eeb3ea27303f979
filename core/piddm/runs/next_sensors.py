"""Where to measure next: the law of what is unknown, candidates, and the check by asking again."""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from piddm.data import simulate
from piddm.data.dataset import Dataset
from piddm.solvers._affine import Affine, bent
from piddm.solvers._choice import choose
from piddm.symbolic.operators import Param, Slice
from piddm.tasks.ensemble import answer
from piddm.tasks.instruments import Evaluated
from piddm.tasks.model import Model
from piddm.tasks.observation_files import chosen
from piddm.tasks.observations import Observations
from piddm.tasks.placement import Picks, Placement, greedy
from piddm.tasks.quantities import quantity
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place, seen_at
from piddm.tasks.task import ask
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

DENSE = 40_000_000
"""Numbers of an exact square root of the covariance, at most: 320 MB."""

KNOWN = 1e-3
"""Noise of an exact sensor, over the deviation of its field."""


@dataclass(frozen=True)
class Wish:
    """What is to be found out, and by what.

    Args:
        fields: Where sensors may be, as ``piddm observe --fields`` takes it.
        count: How many.
        about: Names of fields, or quantities, whose variance is to fall; the unknown inputs where
            none is named.
        noise: Of the sensors, over the deviation of their field.
        members: Members of the ensemble, where the law is not known in closed form.
        seed: Its seed.
        solver: Of the ensemble given observations, and of the check; ``auto`` chooses.
        task: The question of the check.
    """

    fields: str
    count: int = 8
    about: Sequence[str] = ()
    noise: float = 0.02
    members: int = 256
    seed: int = 0
    solver: str = "auto"
    task: str = "reconstruct"


def place_sensors(
    model: Model, wish: Wish, observations: Observations | None = None, trained: bool = False
) -> Steps[Progress, None, Placement]:
    """Yield progress, and return the sensors that reduce the posterior variance most.

    Args:
        model: What is asked.
        wish: What is to be found out.
        observations: What is known already.
        trained: Whether the model has a student.

    Raises:
        UsageError: If there is no such place, field or quantity, or too few candidates.
    """
    pde, grid, names = model.pde, model.residual.grid, model.pde.field_names
    masks, params = chosen(wish.fields, pde, grid)
    if params or wish.count < 1 or wish.noise < 0:
        raise UsageError("sensors see fields, at least one of them, with no negative noise")
    nodes = sum(int(m.sum()) for m in masks.values())
    if wish.count > nodes:
        raise UsageError(f"there are {nodes} nodes of {wish.fields}, and {wish.count} sensors")
    about = list(wish.about) or _unknown(model, observations)
    others = [quantity(text, pde, grid) for text in about if text not in names]
    deviation = model.packing.field_scale()
    factor, states, count = yield from _law(model, wish, observations, trained)
    weight = torch.from_numpy(grid.weights()).flatten()
    root = (weight / weight.sum()).sqrt()
    parts = [factor[k].flatten(1) * root / deviation[k] for k in about if k in names]
    if others:
        at = Evaluated(others, grid, names, known=_known(model, observations))
        if count is None and at.formulas:
            title = others[at.formulas[0]].title
            raise UsageError(f"{title} is no linear function of the fields: ask with --members N")
        values = at(states)
        if count is not None:
            values = (values - values.mean(0)) / (count - 1) ** 0.5
        parts.append(values / values.square().sum(0).sqrt().clamp_min(1e-300))
    seen = torch.cat([factor[k].flatten(1)[:, m.flatten()] for k, m in masks.items()], dim=1)
    sigma = torch.cat([torch.full((int(m.sum()),), max(wish.noise, KNOWN) * deviation[k],
                                  dtype=torch.float64) for k, m in masks.items()])  # fmt: skip
    picks = greedy(torch.cat(parts, dim=1), seen, sigma, wish.count, count)
    yield Progress("place", 1, 1, {"left": picks.left[-1]})
    return _placement(model, masks, picks, [k for k in about if k in names], about, sigma, count)


def _unknown(model: Model, observations: Observations | None) -> list[str]:
    """Return the fields that are inputs; all where none is."""
    inputs = [g.field.name if isinstance(g, Slice) else g.name for g in model.pde.inputs
              if not isinstance(g, Param)]  # fmt: skip
    return list(dict.fromkeys(inputs)) or list(model.pde.field_names)


def _known(model: Model, observations: Observations | None) -> Mapping[str, float]:
    known = {p.name: p.value for p in model.pde.params if not p.free}
    return known | dict(observations.params if observations else {})


def _law(
    model: Model, wish: Wish, observations: Observations | None, trained: bool
) -> Steps[Progress, None, tuple[dict[str, Tensor], Mapping[str, Tensor], int | None]]:
    """Return a square root of the fields' covariance, states, and how many draws they are.

    In closed form the states are the root, and no draws.
    """
    pde, residual, names = model.pde, model.residual, model.pde.field_names
    known = observations.params if observations else {}
    sensors = Sensors(observations, names) if observations else None
    dense = any(rows.dense for rows in residual.rows.values())
    curved = sensors is not None and sensors.curved
    if not dense and not curved and pde.inputs and not bent(pde, residual, known):
        affine = Affine(pde, residual, known, "place")
        if affine.size * affine.columns <= DENSE:
            yield Progress("law", 1, 1, {})
            root = affine.states(torch.eye(affine.size, dtype=torch.float64)) - affine.origin
            if sensors is not None:
                root = _told(root, sensors, model)
            fields = affine.fields(root)
            return fields, fields, None
    if observations is None:
        made: Dataset = yield from simulate.solve(pde, residual.grid, wish.members, wish.seed + 1)
        fields = {k: v.double() for k, v in made.fields.items()}
    else:
        task = ask(wish.task, pde, observations)
        solver = choose(model, task, trained)[0] if wish.solver == "auto" else wish.solver
        found = answer(model, task, solver, wish.members, seed=wish.seed, progress=False)
        yield Progress("law", 1, 1, {})
        fields = dict(found.fields)
    count = len(fields[names[0]])
    root = {k: (fields[k] - fields[k].mean(0)) / (count - 1) ** 0.5 for k in names}
    return root, fields, count


def _told(root: Tensor, sensors: Sensors, model: Model) -> Tensor:
    """Return a square root of the covariance given observations of linear sensors."""
    h = csr_matrix(sensors.matrix(root.shape[1]))
    seen = torch.from_numpy((h @ root.numpy().T).T)
    least = KNOWN * seen.square().sum(0).sqrt()
    for k in range(len(sensors)):
        along, sigma = seen[:, k].clone(), sensors.sigma[k].maximum(least[k]).square()
        total = along.square().sum() + sigma
        if float(total) <= 0:
            continue
        beta = 1 / (total + (sigma * total).sqrt())
        for part in (root, seen):
            part -= beta * torch.outer(along, along @ part)
    return root


def _placement(
    model: Model, masks: Mapping[str, Tensor], picks: Picks, fields: list[str], about: list[str],
    sigma: Tensor, count: int | None,
) -> Placement:  # fmt: skip
    grid = model.residual.grid
    nodes = Observations.at_nodes(grid, {k: torch.zeros(grid.shape) for k in masks}, masks)
    points = [(k, p.tolist()) for k in masks for p in nodes.points[k]]
    order = [points[i] for i in picks.chosen]
    at = {k: torch.tensor([p for name, p in order if name == k], dtype=torch.float64)
          for k in dict.fromkeys(name for name, _ in order)}  # fmt: skip
    own = {k: torch.stack([sigma[i] for i, (name, _) in zip(picks.chosen, order, strict=True)
                           if name == k]) for k in at}  # fmt: skip
    places = Observations(grid, at, {k: torch.zeros(len(v)).double() for k, v in at.items()}, own)
    gains, start = {}, 0
    for k, m in masks.items():
        size = int(m.sum())
        gains[k] = torch.full(grid.shape, torch.nan, dtype=torch.float64)
        gains[k][m] = picks.gains[start : start + size]
        start += size
    deviation, maps = model.packing.field_scale(), {}
    weight = torch.from_numpy(grid.weights())
    area = weight / weight.sum()
    for which, variance in (("before", picks.before), ("after", picks.after)):
        parts = variance[: len(fields) * area.numel()].view(len(fields), *grid.shape)
        maps[which] = {k: (part / area).clamp_min(0.0).sqrt() * deviation[k]
                       for k, part in zip(fields, parts, strict=True)}  # fmt: skip
    return Placement(places, order, picks.left, gains, about, **maps, exact=count is None)


def checked(
    model: Model, wish: Wish, found: Placement, truths: int, seed: int = 0, samples: int = 16,
    observations: Observations | None = None, trained: bool = False,
) -> Steps[Progress, None, Placement]:  # fmt: skip
    """Ask again: yield progress, and return the placement with errors of placed and random sensors.

    Args:
        model: What is asked.
        wish: What was to be found out.
        found: The sensors.
        truths: How many truths are looked for.
        seed: Seed of the first.
        samples: Members of each answer.
        observations: What is known beside, whose places are read of each truth.
        trained: Whether the model has a student.
    """
    pde, grid, names = model.pde, model.residual.grid, model.pde.field_names
    fields = [k for k in found.about if k in names] or _unknown(model, observations)
    errors: dict[str, list[float]] = {"placed": [], "random": [], "twice as many random": []}
    masks, _ = chosen(wish.fields, pde, grid)
    share = wish.count / sum(int(m.sum()) for m in masks.values())
    for k in range(truths):
        own = seed + k
        truth = draw_truth(pde, grid, own)
        asked = {"placed": seen_at(truth, pde, found.places.points, wish.noise, own)}
        for label, more in (("random", 1), ("twice as many random", 2)):
            asked[label] = place(truth, pde, wish.fields, min(1.0, more * share), wish.noise,
                                 seed=own)  # fmt: skip
        for label, seen in asked.items():
            if observations is not None:
                old = seen_at(truth, pde, observations.points, wish.noise, own + 1)
                seen = _joined(seen, old)
            task = ask(wish.task, pde, seen)
            solver = choose(model, task, trained)[0] if wish.solver == "auto" else wish.solver
            answered = answer(model, task, solver, samples, seed=own, progress=False)
            one = answered.errors({n: truth.fields[n][0] for n in fields})
            errors[label].append(sum(one.values()) / len(one))
        yield Progress("check", k + 1, truths, {n: v[-1] for n, v in errors.items()})
    return replace(found, errors=errors)


def _joined(one: Observations, other: Observations) -> Observations:
    """Return what both sets of sensors see."""

    def both(name: str) -> dict[str, Tensor]:
        a, b = getattr(one, name), getattr(other, name)
        return {k: torch.cat([p[k] for p in (a, b) if k in p]) for k in {**a, **b}}

    return Observations(one.grid, both("points"), both("values"), both("sigma"))
