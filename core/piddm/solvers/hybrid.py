r"""Latent, then data space: the student's answer, moved to the equation and the observations.

The latent search can come no nearer than what the student can draw; a projection can go all the
way but knows no data, and moves the nearest way from where it starts. The one begins where the
other ends: see :mod:`piddm.solvers.latent` and :mod:`piddm.tasks.nearest`.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from typing import final

from torch import Generator

from piddm.solvers.latent import LatentSolver
from piddm.tasks.model import Model
from piddm.tasks.nearest import MemberProjection
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.progress import Progress


@final
class HybridSolver(Solver):
    """The latent search, ended at the nearest fields that satisfy equation and observations.

    What it offers when it is interrupted are the latent search's states, and of those the nearest
    fields as far as they are found.

    Args:
        run: A run with a student.
        rounds: See :class:`~piddm.solvers.latent.LatentSolver`, as for all that follow.
        steps: Evaluations of L-BFGS.
        weight: lambda, the weight of physics.
        tolerance: The model's own error, over the fields' deviation.
        correct: Whether members are brought onto the equation in between.
    """

    exact = True

    def __init__(
        self, run: Model, *, rounds: int = 8, steps: int | None = None,
        weight: float | None = None, tolerance: float | None = None, correct: bool = False,
    ) -> None:  # fmt: skip
        self._run, self._tolerance = run, tolerance
        self._latent = LatentSolver(
            run, rounds=rounds, steps=steps, weight=weight, tolerance=tolerance, correct=correct
        )

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return members that satisfy the equation to round-off."""
        finish = MemberProjection(self._run, task, self._tolerance)
        search = self._latent.solve(task, count, generator)
        while True:
            try:
                now = next(search)
            except StopIteration as end:
                found: Members = end.value
                break
            self.so_far = self._latent.so_far
            yield now
        return (yield from finish.end(self, found, generator))
