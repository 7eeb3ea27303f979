r"""Latent, then data space: the student's answer, moved to the equation and the observations.

The latent search can come no nearer than what the student can draw; a projection can go all the
way but knows no data, and moves the nearest way from where it starts. The one begins where the
other ends: see :mod:`piddm.solvers.latent` and :mod:`piddm.tasks.finishing`.
"""

from __future__ import annotations

from collections.abc import Generator as Steps

from torch import Generator

from piddm.interfaces import Members, Task
from piddm.solvers.latent import LatentSolver
from piddm.tasks.finishing import Finisher
from piddm.training import Progress


class HybridSolver(LatentSolver):
    """Takes the settings of :class:`~piddm.solvers.latent.LatentSolver`.

    What it offers when it is interrupted are the latent search's states, and of those the nearest
    fields as far as they are found.
    """

    exact = True

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return members that satisfy the equation to round-off."""
        finish = Finisher(self.run, task, self.tolerance)
        found = yield from super().solve(task, count, generator)
        return (yield from finish.end(self, found, generator))
