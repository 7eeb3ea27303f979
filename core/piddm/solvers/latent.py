r"""PIDDM's own answers: search the student's noise (Algorithm 3 of arXiv 2505.22391).

Every member is a draw of the posterior, about, by randomised maximum likelihood: it has noise of
its own, :math:`\epsilon_k \sim N(0, I)`, observations perturbed by their own uncertainty, and
minimises

.. math:: \tfrac12\Big\|\frac{y + s\,\xi_k - H d(\epsilon)}{s}\Big\|^2
    + \lambda\,\text{physics} + \tfrac12\|\epsilon - \epsilon_k\|^2

(:mod:`piddm.solvers._posterior`), by :mod:`piddm.solvers._search`, and ends on the equation. For a
linear generator that is exact sampling. The last term keeps the noise on its shell without a weight
to tune. Source: Bardsley et al., Randomize-then-optimize, SIAM Journal on Scientific Computing 36,
2014; Chen and Oliver, Mathematical Geosciences 44, 2012.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping
from dataclasses import replace

from torch import Generator

from piddm.data.correcting import Corrections
from piddm.residuals.wrappers import with_params
from piddm.solvers._posterior import Posterior
from piddm.solvers._search import Search
from piddm.tasks.model import Model
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

WEIGHT, STEPS = 0.1, 20
"""Weight of physics, and evaluations. Measured on sparse sensors: 0.1 is nearer and better
calibrated than 1, and more than 20 evaluations gain nothing that a projection does not."""

FORWARD_WEIGHT, FORWARD_STEPS = 5.0, 80
"""The same for a forward task, whose solution nothing but the equation tells. Measured on Burgers:
1 and 20 have an error of 7.0 %, 1 and 80 of 3.5 %, 5 and 80 of 2.6 %, as 20 and 80."""


class LatentSolver(Solver):
    """Optimises the student's noise, many members in one batch.

    Args:
        run: A run with a student.
        rounds: Calls of the student before its gradient is asked for.
        steps: Evaluations of L-BFGS; where None is given, 80 for a forward task, and 20 else.
        weight: lambda, the weight of physics; where None is given, 5 for a forward task, whose
            solution nothing but the equation tells, and 0.1 else.
        tolerance: The model's own error, over the fields' deviation; the student's measured one
            where None is given.
        correct: Whether members are brought onto the equation, by
            :mod:`piddm.numerics.correction`, after the search; where that is cheap, on planes, if
            None is given.
    """

    def __init__(
        self, run: Model, *, rounds: int = 8, steps: int | None = None,
        weight: float | None = None, tolerance: float | None = None,
        correct: bool | None = None,
    ) -> None:  # fmt: skip
        if (
            rounds < 1
            or (steps is not None and steps < 0)
            or (weight is not None and weight < 0)
            or (tolerance is not None and tolerance <= 0)
        ):
            raise UsageError(
                "latent: rounds are at least 1, steps and weight at least 0, the tolerance positive"
            )
        self.run, self.rounds, self.steps = run, rounds, steps
        self.weight, self.tolerance, self.correct = weight, tolerance, correct
        self._kept: tuple[Mapping[str, float], Corrections] | None = None

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return members that the student generates."""
        forward = task.kind == "forward"
        weight, steps = (FORWARD_WEIGHT, FORWARD_STEPS) if forward else (WEIGHT, STEPS)
        weight = weight if self.weight is None else self.weight
        steps = steps if self.steps is None else self.steps
        search = Search(Posterior(self.run, task, weight, self.tolerance), count, generator)
        self.so_far = search.members
        for done, values in search.work(self.rounds, steps):
            yield Progress("latent", done, self.rounds + steps, values)
        found = search.members()
        by = self._corrections(task)
        if not (by.cheap if self.correct is None else self.correct):
            return found
        # The shortest move keeps to what was observed later than the first time.
        return replace(found, fields=by.correct(found.fields, marched=False).fields)

    def _corrections(self, task: Task) -> Corrections:
        run, known = self.run, dict(task.observations.params)
        if self._kept is None or self._kept[0] != known:  # else as for the question before
            residual = with_params(run.soft_residual, known)
            self._kept = known, Corrections(run.pde, residual, run.packing, run.scale)
        return self._kept[1]
