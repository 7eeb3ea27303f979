r"""One small problem, on which whatever a plugin brings is tried.

Diffusion with decay between a source and two walls,

.. math:: u - \tfrac{1}{20}\nabla^2 u = a,

periodic along x, zero at both ends of y, on 16 by 16 nodes. Its data, teacher and student take a
second. The network is small and its weights are random: nothing is learnt, and all of it is there.
The source is Gaussian, or one of two values, for what takes laws that jump only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from piddm.config import Config, resolve
from piddm.data.packing import Packing
from piddm.data.simulate import simulate
from piddm.equation import PDE
from piddm.grids.grid import Axis, Grid
from piddm.numerics.projection import Projection
from piddm.priors import GaussianField, TwoPhase
from piddm.residuals.norms import term_scale
from piddm.residuals.residual import Residual
from piddm.students.one_step import OneStepStudent
from piddm.students.student import Student
from piddm.symbolic.conditions import Dirichlet
from piddm.symbolic.operators import D, Field, x, y
from piddm.teachers.flow import FlowTeacher
from piddm.teachers.schedules import SCHEDULES
from piddm.teachers.teacher import Teacher
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.pairs import PairPool

COUNT = 32
"""Solutions that are the data."""

SMALL = {
    "student.batch": 4, "student.physics_batch": 2, "student.steps": 8,
    "student.operator": {"widths": [8], "fold": 2},
    "pairs.count": 8, "pairs.batch": 4, "pairs.steps": 2, "pairs.refresh": 4,
}  # fmt: skip
"""Settings on top of the quick preset."""

_a, _u = Field("a", doc="source"), Field("u", doc="solution")

SCREENED = PDE(
    name="screened",
    summary="diffusion with decay between two walls",
    grid=Grid(x=Axis(0, 1, 16, periodic=True), y=Axis(0, 1, 16)),
    fields=[_a, _u],
    equations={"balance": _u - (D(_u, x, 2) + D(_u, y, 2)) / 20 - _a},
    conditions={"walls": Dirichlet(_u, 0)},
    inputs={_a: GaussianField(alpha=2.5, tau=4.0)},
)
"""Diffusion with decay; the source is Gaussian."""


PHASES = replace(
    SCREENED, name="screened-phases", summary="the same, with a source of two values",
    inputs={_a: TwoPhase(GaussianField(alpha=2.5, tau=4.0), 3.0, 1.0)},
)  # fmt: skip
"""The same with a source of two values."""


class Backbone(nn.Module):
    """Two convolutions of the state and its time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels + 1, 8, 3, padding=1)
        self.leave = nn.Conv2d(8, 2 * channels, 3, padding=1)
        with torch.no_grad():  # a small correction to the linear part, as one that was trained is
            self.leave.weight.mul_(0.1)

    def forward(self, state: Tensor, t: Tensor) -> Tensor:
        """Return offset and gate, ``(batch, 2 channel, *image)``."""
        time = t[:, None, None, None].expand(-1, 1, *state.shape[2:])
        return self.leave(torch.tanh(self.enter(torch.cat([state, time.to(state)], dim=1))))


@dataclass(frozen=True)
class TrialModel:
    """A :class:`piddm.tasks.model.Model` of nothing that is on a disk."""

    pde: PDE
    residual: Residual
    scale: dict[str, float]
    packing: Packing
    teacher: Teacher
    student: Student
    model_error: float = 0.3

    @property
    def soft_residual(self) -> Residual:
        """The residual that answers are brought to: the equation's own."""
        return self.residual


class Problem:
    """An equation, its data and its models."""

    def __init__(self, pde: PDE = SCREENED) -> None:
        self.pde, self.grid = pde, pde.grid
        self.residual: Residual = self.pde.bind(self.grid)
        self.schedule = SCHEDULES["trigonometric"]
        self.config: Config = resolve(self.pde.name, "quick", overrides=SMALL)

    @cached_property
    def fields(self) -> dict[str, Tensor]:
        """Solutions, float32."""
        (found,) = simulate(self.pde, self.grid, COUNT, generator(0, "conformance"), COUNT)
        return {k: found[k].float() for k in self.pde.field_names}

    @cached_property
    def scale(self) -> dict[str, float]:
        """Scale of each row over the data."""
        return term_scale(self.residual, {k: v.double() for k, v in self.fields.items()})

    def unfitted(self) -> Packing:
        """Return a packing that has seen no data."""
        return Packing(self.grid, self.pde.field_names)

    @cached_property
    def packing(self) -> Packing:
        """Normalisation and colour of the data."""
        return self.unfitted().fit(self.fields)

    def network(self) -> Backbone:
        """Return a new backbone, of the same weights each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Backbone(self.packing.channels)

    def teacher(self, packing: Packing | None = None) -> FlowTeacher:
        """Return a frozen teacher."""
        made = FlowTeacher(self.network(), packing or self.packing, self.schedule)
        return made.eval().requires_grad_(False)

    def noise(self, count: int) -> Tensor:
        """Return white noise for so many samples."""
        shape = (count, self.packing.channels, *self.packing.image)
        return torch.randn(shape, generator=generator(1, "conformance"))

    def context(self, folder: Path, teacher: Teacher | None = None) -> TrainingContext:
        """Return what methods and students are trained with; pairs are kept in the folder."""
        teacher = self.teacher() if teacher is None else teacher
        packing, settings = teacher.packing, self.config.pairs
        shape = (packing.channels, *packing.image)
        pool = PairPool(teacher, settings, shape, folder, 0, "conformance", packing.mean.device)
        for _ in pool.advance(0):
            pass
        projection = Projection(self.residual, packing.norm(), self.scale)
        return TrainingContext(self.config, teacher, projection, packing.pack(self.fields), pool)

    def model(self, teacher: Teacher | None = None, student: Student | None = None) -> TrialModel:
        """Return what solvers are given."""
        teacher = self.teacher() if teacher is None else teacher
        if student is None:
            student = OneStepStudent(teacher).eval().requires_grad_(False)
        return TrialModel(self.pde, self.residual, self.scale, teacher.packing, teacher, student)


@cache
def problem(phases: bool = False) -> Problem:
    """Return the problem, with a source of two values or a Gaussian one, made once."""
    return Problem(PHASES if phases else SCREENED)
