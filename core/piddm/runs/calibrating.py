"""Scoring and correcting a solver's intervals on truths that are known."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator as Steps
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.metrics.calibration import ranks
from piddm.metrics.conformal import exceeded, needed, own_width
from piddm.runs.fingerprints import describe, digest
from piddm.runs.folder import home
from piddm.runs.interval_factors import Scored, made_of
from piddm.solvers._choice import choose
from piddm.solvers._laws import LEAST, NUMBERS, RANK, SOLUTIONS, Laws
from piddm.tasks.ensemble import answer
from piddm.tasks.interval_calibration import Calibration
from piddm.tasks.model import Model
from piddm.tasks.solution import Solution
from piddm.tasks.synthetic import draw_truth, drawn_from, place
from piddm.tasks.task import ask
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator

LAWS = ("same", "rougher", "contrast")
"""The law of the data, and those that a question may be of without anybody knowing."""

FIRST_SEED = 100_000
"""Seeds of truths that nobody else asks for by chance."""

FLOOR, OWN_FLOOR = 1e-3, 0.1
"""What stands beside half an interval, over a field's deviation and over the mean half interval of
the answer: all members may agree somewhere, and err."""

FEWEST, MOST, SECONDS = 39, 399, 120.0
"""Truths where no number is given: as many as take so long, but for these."""

TRIED = 3
"""Truths that tell how long one takes."""


@dataclass(frozen=True)
class Question:
    """What is asked of each truth.

    Args:
        task: ``forward``, ``inverse`` or ``reconstruct``.
        fields: What is seen, as ``piddm observe --fields`` takes it.
        share: Number of sensors over that of nodes.
        noise: Over the deviation of a field.
        between: Whether sensors are anywhere rather than at nodes.
        solver: Name of the solver; ``auto`` chooses.
        samples: Members of each ensemble.
        settings: The solver's own.
        project: Whether members end on the equation.
    """

    task: str = "reconstruct"
    fields: str = ""
    share: float = 0.03
    noise: float = 0.0
    between: bool = False
    solver: str = "auto"
    samples: int = 32
    settings: Mapping[str, Any] = field(default_factory=dict)
    project: bool = False


def scored(model: Model, solution: Solution, laws: Laws) -> dict[str, float]:
    """Return what tells of which law a question is, and how far off: by the name of each score."""
    evidence = laws.evidence(solution.task, model.packing)
    own = evidence.pop(LAWS[0])
    return {
        "chi squared of the observations": own.chi_squared,
        "misfit": max(float(solution.misfit.mean()), 1e-12),
        **{k: v.logarithm - own.logarithm for k, v in evidence.items()},
    }


def laws_of(pde: PDE, grid: Grid, names: Sequence[str]) -> Laws:
    """Return laws by what is kept of their solutions; those of which nothing is are simulated."""

    def kept(other: PDE, name: str) -> Path:
        mark = digest([describe(other), grid.to_dict(), name, SOLUTIONS, LEAST, NUMBERS, RANK])
        return home() / "cache" / "laws" / f"{pde.name}-{mark}.safetensors"

    return Laws(pde, grid, names, kept)


def calibrated(
    model: Model, solution: Solution, calibration: Calibration, path: str, laws: Laws | None = None
) -> Solution:
    """Return an answer with its intervals stretched by a calibration.

    Args:
        model: What was asked.
        solution: The answer.
        calibration: Of such answers.
        path: What the calibration is called in messages.
        laws: The laws that it knows, where they are at hand; see :func:`laws_of` else.

    Raises:
        UsageError: If that is of another equation, task, solver or grid.
    """
    calibration.check(
        solution.pde, solution.task.kind, solution.solver, solution.grid.shape, path
    )  # fmt: skip
    if laws is None:
        laws = laws_of(model.pde, model.residual.grid, (LAWS[0], *calibration.limits))
    scores = scored(model, solution, laws)
    said = "; ".join(filter(None, (solution.caution, calibration.told(scores))))
    return replace(solution, calibration=calibration, scores=scores, caution=said)


def asked_of(
    model: Model, case: Question, law: str, seed: int, trained: bool = False
) -> tuple[Solution, dict[str, Tensor]] | None:
    """Answer the question of one truth; nothing where the law says the same as the data's.

    Args:
        model: What is asked.
        case: The question.
        law: One of :data:`LAWS`.
        seed: Seed of truth, sensors and members.
        trained: Whether the model has a student.
    """
    other = drawn_from(model.pde, law)
    if other is None:
        return None
    grid = model.residual.grid
    truth = draw_truth(other, grid, seed)
    fields = case.fields or ",".join(model.pde.field_names)
    seen = place(truth, model.pde, fields, case.share, case.noise, case.between, seed)
    task = ask(case.task, model.pde, seen)
    solver = choose(model, task, trained)[0] if case.solver == "auto" else case.solver
    found = answer(
        model, task, solver, case.samples, seed=seed, settings=case.settings, project=case.project,
        progress=False,
    )  # fmt: skip
    return found, found.shared({k: v[0].double() for k, v in truth.fields.items()})


def calibrate(
    model: Model, case: Question, truths: int | None = None, seed: int = FIRST_SEED,
    level: float = 0.9, laws: Sequence[str] = LAWS, trained: bool = False,
) -> Steps[Progress, None, Calibration]:  # fmt: skip
    """Yield progress, and return the calibration of a solver on random truths.

    Args:
        model: What is asked.
        case: The question.
        truths: How many of the data's law; half as many of each other law that is another one
            here. Where None is given, as many as take :data:`SECONDS`, but for :data:`FEWEST`.
        seed: Seed of the first truth.
        level: Share that intervals are to hold.
        laws: Which laws; the first is the data's.
        trained: Whether the model has a student.

    Raises:
        UsageError: If there are too few truths for the level.
    """
    if truths is not None and exceeded([0.0] * truths, level) == float("inf"):
        raise UsageError(f"{truths} truths cannot tell intervals of {level:g}: take more, as 39")
    known = laws_of(model.pde, model.residual.grid, laws)
    floor = {k: FLOOR * v for k, v in model.packing.field_scale().items()}
    found: dict[str, list[Scored]] = {}
    solution, began = None, time.perf_counter()
    plan = _plan(truths or FEWEST, known.names)
    for done in itertools.count():
        if truths is None and done == TRIED:
            each = (time.perf_counter() - began) / TRIED * (1 + 0.5 * (len(known.names) - 1))
            plan = _plan(min(MOST, max(FEWEST, int(SECONDS / each))), known.names)
        if done == len(plan):
            break
        law, number = plan[done]
        answered = asked_of(model, case, law, seed + number, trained)
        assert answered is not None
        solution, truth = answered
        found.setdefault(law, []).append(
            scored_case(model, solution, truth, known, floor, level, seed + number)
        )
        yield Progress("calibrate", done + 1, len(plan), {})
    assert solution is not None
    return made_of(solution, _said(case), found, floor, OWN_FLOOR, level)


def _plan(truths: int, laws: Sequence[str]) -> list[tuple[str, int]]:
    """Return laws and numbers of truths: all of the data's law, then those of the others."""
    return [(law, k) for law in laws
            for k in range(truths if law == LAWS[0] else max(1, truths // 2))]  # fmt: skip


def scored_case(
    model: Model, solution: Solution, truth: Mapping[str, Tensor], laws: Laws,
    floor: Mapping[str, float], level: float, seed: int,
) -> Scored:  # fmt: skip
    """Return what an answer's intervals need to hold a truth, and its scores.

    Args:
        model: What was asked.
        solution: The answer.
        truth: Fields and params.
        laws: The laws that it may be of.
        floor: What stands beside half an interval, by field.
        level: Share that intervals are to hold.
        seed: Of the node whose rank is taken.
    """
    low, high = (solution.raw_quantile((1 + sign * level) / 2) for sign in (-1, 1))
    mean, draw = solution.mean, generator(seed, "rank")
    case = Scored({}, {}, scored(model, solution, laws), {}, {})
    for name, true in truth.items():
        members = solution.fields[name]
        open_ = (members != true).any(0)
        least = floor.get(name, 0.0) + OWN_FLOOR * own_width(low[name], high[name])
        factor = needed(true, mean[name], low[name], high[name], least)
        case.factors[name] = factor[open_]
        hits = ((low[name] <= true) & (true <= high[name]))[open_]
        case.covered[name] = float(hits.double().mean()) if len(hits) else 1.0
        case.ranks[name] = ranks(members, true)
        if len(hits):
            k = int(torch.randint(len(hits), (1,), generator=draw))
            below = int((members[:, open_][:, k] < true[open_][k]).sum())
            ties = int((members[:, open_][:, k] == true[open_][k]).sum())
            # Of phases many members have the truth: any rank among them is as good.
            case.one[name] = below + int(torch.randint(ties + 1, (1,), generator=draw))
    return case


def _said(case: Question) -> str:
    where = "anywhere" if case.between else "at nodes"
    return (
        f"{case.fields or 'all fields'}, {case.share:g} of the nodes, noise {case.noise:g}, {where}"
    )
