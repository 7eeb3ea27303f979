"""A run, and what can be asked of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from piddm.api.pushing import push
from piddm.api.shown_run import ShownRun
from piddm.data.no_equation import needed
from piddm.grids.means import mean_square, node_weights
from piddm.metrics.scores import Scores
from piddm.numerics.correction import Corrected, Move
from piddm.reports.run_page import write_report
from piddm.residuals.norms import mean_squares
from piddm.residuals.residual import Fields, Residual
from piddm.runs.asking import question
from piddm.runs.chaining import chained
from piddm.students.refinement import refine
from piddm.tasks.ensemble import BATCH, answer
from piddm.tasks.observation_files import read_observations
from piddm.tasks.observations import Observations
from piddm.tasks.solution import Solution
from piddm.teachers.sampling import last, noises
from piddm.tools.errors import UsageError
from piddm.tools.memory import require
from piddm.tools.progress import follow
from piddm.training.physics import NORMS, PhysicsLoss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Source = Literal["student", "start", "teacher"]

UNMEASURED = 0.01
"""A generator's own error over the fields' deviations, where no equation measures it: as much as
the solver ``guided`` takes a teacher's to be."""


class Run(ShownRun):
    """A run's folder and what can be asked of it; files are read when they are first needed.

    What it has is told in :class:`piddm.runs.workspace.Workspace`, what is done for it in
    :class:`piddm.runs.stages.Distillation`, whose arguments are the same.
    """

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder

    @property
    def metrics(self) -> dict[str, Scores]:
        """Scores of ``truth``, ``teacher``, ``student`` and the baselines."""
        return self.scores()

    @property
    def model_error(self) -> float:
        """How far the student's samples are from solutions: root mean square, over deviations.

        Without an equation nothing measures it, and :data:`UNMEASURED` stands for it.

        Raises:
            PiddmError: If there is no student, or it was not scored.
        """
        _ = self.student  # which says so where there is none
        distance = self.metrics["student"].constraint_distance
        return UNMEASURED if distance is None else distance**0.5

    @cached_property
    def _physics(self) -> PhysicsLoss:
        return NORMS[self.config.student.physics_norm](self.projection, self.packing)

    def sample(
        self,
        count: int,
        seed: int = 0,
        refine: int = 0,
        source: Source = "student",
        correct: bool | Move = False,
    ) -> dict[str, Tensor]:
        """Draw physical fields ``{name: (count, *axes)}``.

        Args:
            count: How many; the first ones do not depend on it.
            seed: Seed of the noise.
            refine: Gradient steps on the noise against the residual (PIDDM-ref).
            source: The student, one network call each, ``start``, which is the same as a correction
                takes it up, or the teacher, with the steps that made the student's pairs.
            correct: Whether to bring the samples onto the equation, and which values move for it:
                see :meth:`correct`, which also says which of them got there.

        Raises:
            UsageError: If a number or a source is none, or there is no equation to refine by.
        """
        if count < 1 or refine < 0:
            raise UsageError("ask for at least 1 sample and at least 0 steps of refinement")
        if source not in get_args(Source):
            raise UsageError(f"there are no samples of {source!r}; choose student or teacher")
        if refine and source == "teacher":
            raise UsageError("the refinement is the student's: drop refine or take the student")
        if refine or correct:
            needed(self.residual, "a refinement or a correction")
        source = "start" if correct and source == "student" else source
        shape = (self.packing.channels, *self.packing.image)
        require(3 * count * math.prod(shape), f"{count} samples at once", "ask for fewer", 4)
        batches = noises(shape, count, seed, self.device)
        parts = [self._generate(noise, refine, source) for noise in batches]
        fields = self.packing.unpack(torch.cat(parts))
        made = self.correct(fields, None if correct is True else correct) if correct else None
        return {k: made.fields[k] if made else v for k, v in fields.items()}

    def chain(self, fields: Fields, count: int, correct: bool = False) -> dict[str, Tensor]:
        """Return films of so many windows of time, each the student's from the last state before.

        Args:
            fields: The first window, such as samples.
            count: How many, the first among them; :func:`piddm.runs.chaining.lengthened` is their
                grid.
            correct: Whether each is brought onto the equation, its first state as it is.

        Raises:
            UsageError: If windows do not follow from one another, or the student only draws.
        """
        move = (lambda x: self.correct(x, "solution").fields) if correct else None
        return chained(self.pde, self.grid, fields, count, self.predict, move)

    def correct(
        self, fields: Fields, move: Move | None = None, tolerance: float | None = None
    ) -> Corrected:
        """Bring samples onto the equation in a few cheap steps, in their own precision.

        The result says of each sample how far it came; none is worse than it was. For its cost see
        :mod:`piddm.numerics.correction` and ``benchmarks/correction_cost.py``.

        Args:
            fields: Physical fields, from anywhere.
            move: ``nearest``, where all values move, or ``solution``, where inputs stay as they
                are; what suits the equation where None is given.
            tolerance: Normalised PDE error at which a sample is good; by precision where None is
                given.

        Raises:
            UsageError: If a field is missing, or there is no such move.
        """
        needed(self.residual, "a correction")
        return self.corrections.correct(fields, move, tolerance)

    def _generate(self, noise: Tensor, steps: int, source: Source) -> Tensor:
        if steps:
            return refine(self.student, noise, self._physics, steps)
        with torch.no_grad():
            if source == "teacher":
                return last(self.teacher.sample(noise, self.config.pairs.steps))
            return self.student.begun(noise) if source == "start" else self.student(noise)

    def project(
        self, fields: Fields, progress: bool = False, move: Move | None = None
    ) -> dict[str, Tensor]:
        """Return fields that satisfy the equation to round-off, float64, near the given ones.

        By the correction; where that fails, with factorised matrices. Of a sample too far off for
        both, what was reached: look at :meth:`pde_error`.

        Args:
            fields: Physical fields, from anywhere.
            progress: Whether to show progress, on standard error.
            move: See :meth:`correct`; ``nearest`` is in units of the fields' deviations.
        """
        needed(self.residual, "a projection")
        return self.corrections.project(fields, move, progress)

    def moved(self, before: Fields, after: Fields) -> float:
        """Return the mean square of what a step changed, fields over their standard deviations.

        Args:
            before: Fields ``{name: (count, *axes)}``.
            after: The same, after the step.
        """
        scale, weights = self.packing.field_scale(), node_weights(self.residual.grid)
        parts = [mean_square(((after[k] - before[k]) / scale[k]).double(), weights) for k in scale]
        return float(torch.stack(parts).mean())

    @torch.no_grad()
    def pde_errors(self, fields: Fields, residual: Residual | None = None) -> dict[str, float]:
        """Return the normalised PDE error of fields for each equation and condition.

        Args:
            fields: The fields.
            residual: On their grid, where that is not the run's.
        """
        exact = {k: v.double() for k, v in fields.items()}
        found = mean_squares(residual or self.residual, exact, self.scale)
        return {k: float(v) for k, v in found.items()}

    def pde_error(self, fields: Fields) -> float:
        """Return the normalised PDE error of fields, summed over equations and conditions.

        Raises:
            UsageError: If there is no equation.
        """
        needed(self.residual, "a PDE error")
        return sum(self.pde_errors(fields).values())

    def solve(
        self,
        task: str,
        observations: Observations | Path | str,
        solver: str = "latent",
        samples: int = 32,
        *,
        seed: int = 0,
        batch: int = BATCH,
        settings: Mapping[str, Any] | None = None,
        interpolation: str = "linear",
        project: bool = False,
        progress: bool = True,
    ) -> Solution:
        """Answer a question with an ensemble.

        Interrupted (Ctrl-C), it returns the members that are there, fewer than ``asked`` or the
        last ones ``unfinished``; where there are none, the interruption goes on.

        Args:
            task: ``forward``, ``inverse`` or ``reconstruct``; see :func:`piddm.tasks.task.ask`.
            observations: What is known, or a file of it.
            solver: Name of a registered solver; ``auto`` chooses by what the equation is.
            samples: How many members.
            seed: Seed of the members.
            batch: Members that are looked for together.
            settings: The solver's own, by name.
            interpolation: ``linear`` or ``cubic``, between nodes.
            project: End at the nearest fields that satisfy the equation to round-off and keep to
                the observations, see :mod:`piddm.tasks.nearest`.
            progress: Whether to show progress, on standard error.

        Raises:
            UsageError: If the observations or a name cannot be used.
            PiddmError: If the solver fails.
        """
        if not isinstance(observations, Observations):
            observations = read_observations(observations, self.pde, self.residual.grid)
        asked = question(self, task, observations, solver, interpolation, True, progress)
        return answer(
            self, *asked, samples, seed=seed, batch=batch, settings=settings,
            project=project, progress=progress,
        )  # fmt: skip

    def evaluate(self, progress: bool = True) -> dict[str, Scores]:
        """Score again and write the report anew; if that fails, the old scores stay."""
        with self.alone():
            # Data are cheap to make again; a teacher that is gone is not, and shows as an error.
            follow(self.simulate(), quiet=not progress)
            follow(self.score(force=True), quiet=not progress)
            write_report(self)
        return self.metrics

    def push(
        self, to: str, *, teacher: bool = True, private: bool = False, licence: str = "",
        progress: bool = True,
    ) -> str:  # fmt: skip
        """Send the student to the Hugging Face hub, with a page made from its scores.

        Others open it by ``piddm.load_model("hf://user/name")``. Weights are sent in half precision
        as safetensors, scored anew as they are sent; the run's own folder stays as it is.

        Args:
            to: ``user/name``.
            teacher: Whether the teacher is sent too.
            private: Whether a repository that is made is nobody else's to see.
            licence: Licence of the weights, as the hub names it: ``"mit"``.
            progress: Whether to show progress, on standard error.

        Returns:
            The address of what was sent.

        Raises:
            UsageError: If the extra ``hub`` is missing, or nobody is signed in who may do that.
            PiddmError: If there is no student, or the hub cannot be reached.
        """
        return push(self, to, teacher=teacher, private=private, licence=licence, progress=progress)

    def plot(self, count: int = 3, seed: int = 0, source: Source = "student") -> Figure:
        """Return a picture of samples, each with its residual over the equation's scale.

        Args:
            count: Samples; as many as fit are drawn.
            seed: Seed of the noise.
            source: ``student`` or ``teacher``.
        """
        from piddm import figures  # matplotlib comes with it

        fields = self.sample(count, seed, source=source)
        return figures.samples({source: fields}, self.residual, self.scale, self.pde.fields)
