"""The few calls that do everything: distil an equation, open a run, sample from it.

The command line is made of the same calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from piddm import dataset
from piddm.config import Config, resolve
from piddm.dataset import Dataset
from piddm.engine import Distillation
from piddm.errors import PiddmError, UsageError
from piddm.generation import forget_parts, solve
from piddm.interfaces import Fields, Residual
from piddm.metrics import Scores
from piddm.packing import Packing
from piddm.pde import PDE
from piddm.physics import NORMS, PhysicsLoss, mean_squares
from piddm.plugins import get_pde
from piddm.progress import follow
from piddm.projection import Projection
from piddm.report import write_report
from piddm.runs import find_run
from piddm.sampling import last, noises, refine
from piddm.shared import TOGETHER
from piddm.students.one_step import OneStepStudent
from piddm.tasks.answering import BATCH, Answering
from piddm.tasks.asking import ask
from piddm.tasks.observations import Observations
from piddm.tasks.reading import read_observations
from piddm.tasks.solution import Solution
from piddm.teachers.flow import FlowTeacher
from piddm.training import Progress
from piddm.weighting import mean_square, node_weights


def distill(
    pde: str | PDE,
    preset: str = "default",
    *,
    config: Config | Path | str | None = None,
    overrides: Sequence[str] | Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str = "cpu",
    out: Path | str | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> Run:
    """Do all that turns an equation into a scored one-step student, and reuse what is there.

    Args:
        pde: Name of a registered equation, or an equation.
        preset: ``quick``, ``default`` or ``paper``.
        config: A TOML or YAML file on top of the preset, or a whole configuration in its place.
        overrides: ``{"student.steps": 500}`` or ``["student.steps=500"]``.
        seed: Seed of data, training and evaluation.
        device: ``cpu`` or a CUDA device.
        out: Folder of the run; one under ``runs/`` where none is given.
        fresh: Start a new run even where one of this configuration exists.
        progress: Whether to show progress, on standard error.

    Raises:
        UsageError: If a name or a value is not valid.
        PiddmError: If a stage fails; what was made before it is kept.
    """
    job = prepare(
        pde, preset, config=config, overrides=overrides, seed=seed, device=device, out=out,
        fresh=fresh,
    )  # fmt: skip
    complete(job, progress)
    return Run(job)


Source = Literal["student", "teacher"]


def load_run(path: Path | str, *, pde: PDE | None = None, device: str = "cpu") -> Run:
    """Open the folder of a run.

    Args:
        path: The folder.
        pde: The equation, where it is not a registered one.
        device: Where to sample.

    Raises:
        PiddmError: If the folder is not a run.
    """
    path = Path(path)
    config, manifest = find_run(path)
    job = Distillation(config, pde or get_pde(config.pde), device, path)
    if manifest.fingerprints != job.marks:
        raise PiddmError(
            f"{path} is a run of {config.pde} as another version of it or of piddm has it; distil "
            "it again, or use the version that made it"
        )
    return Run(job)


class Run:
    """A run's folder and what can be asked of it; files are read when they are first needed.

    Args:
        distillation: The run's engine.
    """

    def __init__(self, distillation: Distillation) -> None:
        self.distillation = distillation

    @property
    def path(self) -> Path:
        """The folder."""
        return self.distillation.folder

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.distillation.config

    @property
    def pde(self) -> PDE:
        """The equation."""
        return self.distillation.pde

    @property
    def residual(self) -> Residual:
        """The equation's residual on the run's grid."""
        return self.distillation.residual

    @property
    def metrics(self) -> dict[str, Scores]:
        """Scores of ``truth``, ``teacher`` and ``student``."""
        return self.distillation.scores()

    @property
    def model_error(self) -> float:
        """How far the student's samples are from solutions: root mean square, over deviations.

        Raises:
            PiddmError: If there is no student, or it was not scored.
        """
        _ = self.student  # which says so where there is none
        return self.metrics["student"].constraint_distance ** 0.5

    @property
    def teacher(self) -> FlowTeacher:
        """The trained teacher."""
        return self.distillation.teacher

    @property
    def student(self) -> OneStepStudent:
        """The distilled student; it needs this folder alone, so a run can be copied elsewhere."""
        return self.distillation.student

    @cached_property
    def packing(self) -> Packing:
        """Normalisation and colour of samples: the teacher's, which its student takes over."""
        student, teacher = (self.path / f"{k}.safetensors" for k in ("student", "teacher"))
        unfinished = teacher.exists() and not student.exists()
        return self.teacher.packing if unfinished else self.student.packing

    @cached_property
    def scale(self) -> dict[str, float]:
        """Scale of each row of the residual: its largest term's root mean square over data."""
        kept = self.path / "samples.h5"
        return dataset.read(kept).scale if kept.exists() else self.distillation.scale

    @cached_property
    def _physics(self) -> PhysicsLoss:
        return NORMS[self.config.student.physics_norm](self._projection, self.packing)

    @cached_property
    def _projection(self) -> Projection:
        return Projection(self.residual, self.packing.norm(), self.scale)

    def sample(
        self, count: int, seed: int = 0, refine: int = 0, source: Source = "student"
    ) -> dict[str, Tensor]:
        """Draw physical fields ``{name: (count, *axes)}``.

        Args:
            count: How many; the first ones do not depend on it.
            seed: Seed of the noise.
            refine: Gradient steps on the noise against the residual (PIDDM-ref).
            source: The student, one network call each, or the teacher, with the steps that made
                the student's pairs.
        """
        if count < 1 or refine < 0:
            raise UsageError("ask for at least 1 sample and at least 0 steps of refinement")
        if source not in get_args(Source):
            raise UsageError(f"there are no samples of {source!r}; choose student or teacher")
        if refine and source == "teacher":
            raise UsageError("the refinement is the student's: drop refine or take the student")
        shape = (self.packing.channels, *self.packing.image)
        device = self.distillation.device
        parts = [self._generate(z, refine, source) for z in noises(shape, count, seed, device)]
        return self.packing.unpack(torch.cat(parts))

    def _generate(self, noise: Tensor, steps: int, source: Source) -> Tensor:
        if steps:
            return refine(self.student, noise, self._physics, steps)
        with torch.no_grad():
            if source == "teacher":
                return last(self.teacher.sample(noise, self.config.pairs.steps))
            return self.student(noise)

    def project(self, fields: Fields, progress: bool = False) -> dict[str, Tensor]:
        """Return the nearest fields that satisfy the equation to round-off, float64.

        Of a sample too far off for that, what was reached: look at :meth:`pde_error`.

        Nearest in the fields' own units: each divided by its standard deviation over data.

        Args:
            fields: Physical fields, from anywhere.
            progress: Whether to show progress, on standard error.
        """
        parts: list[dict[str, Tensor]] = []
        if fields.keys() < set(self.pde.field_names) or not fields:
            raise UsageError(f"give all of {', '.join(self.pde.field_names)}, (count, *grid) each")

        def work() -> Iterator[Progress]:
            count = len(next(iter(fields.values())))
            for start in range(0, count, TOGETHER):
                chunk = {k: v[start : start + TOGETHER].double() for k, v in fields.items()}
                parts.append(self._projection(chunk, strict=False))
                yield Progress("project", min(start + TOGETHER, count), count, {})

        follow(work(), quiet=not progress)
        return {k: torch.cat([part[k] for part in parts]) for k in parts[0]}

    def moved(self, before: Fields, after: Fields) -> float:
        """Return the mean square of what a step changed, fields over their standard deviations."""
        scale, weights = self.packing.field_scale(), node_weights(self.residual.grid)
        parts = [mean_square(((after[k] - before[k]) / scale[k]).double(), weights) for k in scale]
        return float(torch.stack(parts).mean())

    @torch.no_grad()
    def pde_errors(self, fields: Fields) -> dict[str, float]:
        """Return the normalised PDE error of fields for each equation and condition."""
        exact = {k: v.double() for k, v in fields.items()}
        return {k: float(v) for k, v in mean_squares(self.residual, exact, self.scale).items()}

    def pde_error(self, fields: Fields) -> float:
        """Return the normalised PDE error of fields, summed over equations and conditions."""
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
            task: ``forward``, ``inverse`` or ``reconstruct``; see :func:`piddm.tasks.asking.ask`.
            observations: What is known, or a file of it.
            solver: Name of a registered solver.
            samples: How many members.
            seed: Seed of the members.
            batch: Members that are looked for together.
            settings: The solver's own, by name.
            interpolation: ``linear`` or ``cubic``, between nodes.
            project: End at the nearest fields that satisfy the equation to round-off and keep to
                the observations, see :mod:`piddm.tasks.finishing`.
            progress: Whether to show progress, on standard error.

        Raises:
            UsageError: If the observations or a name cannot be used.
            PiddmError: If the solver fails.
        """
        if not isinstance(observations, Observations):
            observations = read_observations(observations, self.pde, self.residual.grid)
        question = ask(task, self.pde, observations, interpolation)
        answering = Answering(self, question, solver, samples, seed, batch, settings, project)
        try:
            follow(answering.work(), quiet=not progress)
            return answering.solution()
        except KeyboardInterrupt:
            answering.take()
            if not answering.found:
                raise
        return answering.solution()

    def evaluate(self, progress: bool = True) -> dict[str, Scores]:
        """Score again and write the report anew; if that fails, the old scores stay."""
        follow(self._evaluation(), quiet=not progress)
        write_report(self.distillation)
        return self.metrics

    def _evaluation(self) -> Iterator[Progress]:
        # Data are cheap to make again; a teacher that is gone is not, and shows as an error.
        yield from self.distillation.simulate()
        yield from self.distillation.evaluate(force=True)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def prepare(
    pde: str | PDE,
    preset: str = "default",
    *,
    config: Config | Path | str | None = None,
    overrides: Sequence[str] | Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str = "cpu",
    out: Path | str | None = None,
    fresh: bool = False,
) -> Distillation:
    """Check everything that can be checked before any work; the arguments are :func:`distill`'s."""
    pde = get_pde(pde) if isinstance(pde, str) else pde
    if isinstance(config, Config):
        if overrides or seed is not None or config.pde != pde.name:
            raise UsageError(
                "a Config is whole: its pde must agree, and no overrides or seed beside"
            )
    else:
        file = None if config is None else Path(config)
        config = resolve(pde.name, preset, file, overrides or (), seed)
    return Distillation(config, pde, device, None if out is None else Path(out), fresh)


def complete(job: Distillation, progress: bool = True) -> bool:
    """Do what is missing of a run, report included; return whether anything was."""
    worked = follow(job.run(), quiet=not progress) > 0
    scores, report = job.folder / "metrics.json", job.folder / "report.html"
    # An interruption may have fallen between the two.
    if worked or not report.exists() or report.stat().st_mtime < scores.stat().st_mtime:
        write_report(job)
        return True
    return False


def make_dataset(
    pde: str | PDE,
    count: int,
    *,
    size: int | None = None,
    seed: int = 0,
    path: Path | None = None,
    progress: bool = True,
) -> Dataset:
    """Draw inputs and solve the equation's own discrete residual for the rest.

    Args:
        pde: Name of a registered equation, or an equation.
        count: How many solutions.
        size: Nodes along every axis; the equation's own resolution where none is given.
        seed: Seed of the inputs.
        path: HDF5 file to write; solutions then survive an interruption until it is written.
        progress: Whether to show progress, on standard error.
    """
    pde = get_pde(pde) if isinstance(pde, str) else pde
    if count < 1:
        raise UsageError("ask for at least 1 sample")
    grid = pde.grid if size is None else pde.grid.resized(size)
    made: list[Dataset] = []

    def work() -> Iterator[Progress]:
        made.append((yield from solve(pde, grid, count, seed, keep=path is not None)))

    follow(work(), quiet=not progress)
    if path is not None:
        dataset.write(made[0], path)
        forget_parts(pde, grid, count, seed)
    return made[0]
