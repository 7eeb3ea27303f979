"""Every solver on the same questions, beside the competition of generators.

The same as ``benchmarks/answers.py`` measures in depth, for one kind of task: a truth that no run
has seen, asked of each solver with its default settings.
"""

from __future__ import annotations

import statistics
from collections.abc import Generator as Steps

from pydantic import BaseModel, ConfigDict

from piddm.api import Run
from piddm.tasks.ensemble import EnsembleSampler
from piddm.tasks.synthetic import Case, question
from piddm.tasks.task import ask
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

TASKS = ("forward", "inverse", "reconstruct")
"""Kinds of questions that are asked."""

TRUTHS, MEMBERS, SHARE = 5, 16, 0.03
"""Questions of each task, members of each answer, share of the nodes that sensors see."""


class Answers(BaseModel):
    """A solver's answers to several truths: means over them.

    Attributes:
        relative_l2: Of the mean over members, field by field.
        coverage: Of the 90 % interval, mean over fields.
        residual: Normalised, mean over members.
        calls: Network calls of a member.
        seconds: Of all members of one truth.
        truths: How many.
    """

    model_config = ConfigDict(extra="forbid")

    relative_l2: dict[str, float]
    coverage: float
    residual: float
    calls: float
    seconds: float
    truths: int

    @property
    def worst(self) -> float:
        """The error of the field that is worst."""
        return max(self.relative_l2.values())


def answer(run: Run, task: str, solver: str) -> Steps[Progress, None, Answers]:
    """Ask a solver; return what its answers are worth.

    Raises:
        UsageError: If there is no such task.
    """
    if task not in TASKS:
        raise UsageError(f"no task {task!r}; there are {', '.join(TASKS)}")
    found = []
    for seed in range(TRUTHS):
        observations, truth = question(run, Case(task, share=SHARE), seed)
        asked = EnsembleSampler(run, ask(task, run.pde, observations), solver, MEMBERS, seed)
        for now in asked.work():
            values = {"truth": seed + 1.0, **now.values}
            yield Progress(f"{task} {solver}", now.done, now.total, values)
        found.append((asked.solution(), truth))
    errors = [solution.errors(truth) for solution, truth in found]

    def mean(values: list[float]) -> float:
        return statistics.fmean(values)

    return Answers(
        relative_l2={k: mean([e[k] for e in errors]) for k in errors[0]},
        coverage=mean([mean(list(s.covered(t, 0.9).values())) for s, t in found]),
        residual=mean([float(s.residual.mean()) for s, _ in found]),
        calls=mean([s.calls for s, _ in found]),
        seconds=mean([s.seconds for s, _ in found]),
        truths=len(found),
    )
