"""What an answer costs with a run's student and without one, measured on truths it never saw."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from piddm.data.dataset import Dataset
from piddm.solvers._choice import choose
from piddm.tasks.ensemble import EnsembleSampler
from piddm.tasks.model import Model
from piddm.tasks.synthetic import held_out_truth, place
from piddm.tasks.task import Task, ask
from piddm.tools.errors import PiddmError
from piddm.tools.files import read_json

FILE = "answers.json"
"""Where a run keeps it."""

SHARE, NOISE, FEWEST = 0.03, 0.02, 20
"""Sensors over nodes, noise over the deviation of the field that is seen, sensors at least."""

TRUTHS, MEMBERS = 3, 8
"""Truths that are asked about, at most, and members of each answer."""

ALLOWED, LEAST = 0.05, 1.0
"""Share of a training's seconds that this may take, and seconds without which it is not begun."""

STUDENTS = "hybrid"
"""The solver of a student's answers."""


class Answer(BaseModel):
    """Answers of one solver: seconds each, and their error."""

    model_config = ConfigDict(extra="forbid")

    solver: str
    seconds: float = Field(ge=0)
    """Of one answer; where there is no error, after which there was none yet."""
    error: float | None = Field(default=None, ge=0)
    """Relative L2 of the means, averaged over fields and truths."""


class Answers(BaseModel):
    """The content of ``answers.json``: the same questions with the student and without it."""

    model_config = ConfigDict(extra="forbid")

    field: str
    sensors: int = Field(ge=1)
    noise: float = Field(ge=0)
    truths: int = Field(ge=1)
    student: Answer
    without: Answer


def measured(run: Model, held_out: Dataset, price: float) -> Answers | None:
    """Return what answers cost; nothing where there is no equation, or no time to find out.

    The last field is seen by a few noisy sensors, and all fields are asked for, by ``hybrid`` and
    by the solver that ``auto`` takes where there is no student. Together they take :data:`ALLOWED`
    of the training's seconds, at most; a truth that one of them does not answer in time ends it.

    Args:
        run: The equation and its student.
        held_out: Truths.
        price: Seconds of the training.
    """
    allowed = ALLOWED * price
    if allowed < LEAST or not run.residual.rows:
        return None
    end, found = time.perf_counter() + allowed, dict[str, list[Answer]]()
    field, sensors = run.pde.field_names[-1], 0
    for seed in range(min(TRUTHS, len(held_out))):
        truth = held_out_truth(held_out, seed)
        share = max(SHARE, FEWEST / truth.fields[field][0].numel())
        try:
            seen = place(truth, run.pde, field, min(share, 1.0), NOISE, seed=seed)
            task = ask("reconstruct", run.pde, seen)
            without, _ = choose(run, task, trained=False)
            pair = [(name, _answered(run, task, name, seed, truth, end))
                    for name in (STUDENTS, without)]  # fmt: skip
        except PiddmError:  # a question that one of them does not take
            break
        late = any(own.error is None for _, own in pair)
        if late and (found or pair[0][1].error is None):
            break
        sensors = seen.count
        for name, own in pair:
            found.setdefault(name, []).append(own)
        if late or time.perf_counter() > end:
            break
    if len(found) < 2:  # nothing was answered, or by one and the same
        return None
    student, other = (_mean(own) for own in found.values())
    count = len(found[STUDENTS])
    return Answers(field=field, sensors=sensors, noise=NOISE, truths=count, student=student,
                   without=other)  # fmt: skip


def _answered(run: Model, task: Task, solver: str, seed: int, truth: Dataset, end: float) -> Answer:
    """Return an answer's cost and error; without an error where the time was up."""
    sampler, began = EnsembleSampler(run, task, solver, MEMBERS, seed), time.perf_counter()
    for _ in sampler.work():
        if time.perf_counter() > end and sampler.found < MEMBERS:
            return Answer(solver=solver, seconds=time.perf_counter() - began)
    seconds = time.perf_counter() - began
    true = {k: truth.fields[k][0] for k in run.pde.field_names}
    errors = sampler.solution().errors(true)
    return Answer(solver=solver, seconds=seconds, error=sum(errors.values()) / len(errors))


def _mean(own: list[Answer]) -> Answer:
    seconds = sum(a.seconds for a in own) / len(own)
    errors = [a.error for a in own if a.error is not None]
    error = sum(errors) / len(errors) if len(errors) == len(own) else None
    return Answer(solver=own[0].solver, seconds=seconds, error=error)


def read(folder: Path) -> Answers | None:
    """Return what a run keeps of it, if it does."""
    return read_json(folder / FILE, Answers) if (folder / FILE).exists() else None
