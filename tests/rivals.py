"""Problems whose answers are known, on which the rivals of `piddm_baselines` are tested."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from piddm.config import resolve
from piddm.data.packing import Packing
from piddm.data.simulate import simulate
from piddm.grids.grid import Grid
from piddm.interfaces import Residual
from piddm.numerics.projection import Projection
from piddm.plugins import get_pde
from piddm.residuals.norms import term_scale
from piddm.teachers.flow import FlowTeacher
from piddm.teachers.ideal import IdealDenoiser
from piddm.teachers.sampling import last
from piddm.teachers.schedules import SCHEDULES
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.pairs import PairPool

SMALL = {
    "student.batch": 8, "student.physics_batch": 8, "student.energy_weight": 0.0,
    "pairs.count": 64, "pairs.batch": 32, "pairs.steps": 8,
}  # fmt: skip


class Nothing(nn.Module):
    """A network that adds nothing to the linear part: the exact denoiser of Gaussian data.

    Its one weight multiplies zero, so that it can be trained like any other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return (0 * self.weight * x).repeat(1, 2, 1, 1)


def gaussian(
    folder: Path, name: str = "poisson", size: int = 8, **overrides: object
) -> TrainingContext:
    """A Gaussian law N(mean, S S^T) that knows nothing of an equation, and its exact teacher.

    With an equation that is affine, such as Poisson's, all laws and projections have closed forms;
    :func:`matrix` is the equation. Float64.
    """
    pde = get_pde(name)
    residual = pde.bind(grid := pde.grid.resized(size))
    g = torch.Generator().manual_seed(0)
    smooth = torch.linalg.inv(torch.eye(size) + 2 * _second(size)).double()
    fields = {
        k: 0.3 * i + smooth @ torch.randn(256, size, size, generator=g).double() @ smooth
        for i, k in enumerate(residual.field_names)
    }
    packing = Packing(grid, residual.field_names, 0).double().fit(fields)
    teacher = FlowTeacher(Nothing().double(), packing, SCHEDULES["trigonometric"])
    return _shared(folder, residual, grid, teacher, fields, overrides)


def ideal(
    folder: Path, name: str, size: int = 12, count: int = 24, **overrides: object
) -> TrainingContext:
    """Finite data that satisfy an equation, and their exact teacher. Float64."""
    pde = get_pde(name)
    residual = pde.bind(grid := pde.grid.resized(size))
    (found,) = simulate(pde, grid, count, generator(0, name), chunk=count)
    fields = {k: found[k] for k in pde.field_names}
    packing = Packing(grid, residual.field_names, 256).double().fit(fields)
    teacher = IdealDenoiser(fields, packing, SCHEDULES["trigonometric"])
    return _shared(folder, residual, grid, teacher, fields, overrides)


def _shared(
    folder: Path, residual: Residual, grid: Grid, teacher: FlowTeacher,
    fields: dict[str, Tensor], overrides: dict[str, object],
) -> TrainingContext:  # fmt: skip
    config = resolve("any", "quick", overrides=SMALL | overrides)
    packing = teacher.packing
    projection = Projection(residual, packing.norm(), term_scale(residual, fields))
    shape = (packing.channels, *packing.image)
    pool = PairPool(teacher, config.pairs, shape, folder / "pairs", 0, "test", torch.device("cpu"))
    g = torch.Generator().manual_seed(2)
    pool.noise = torch.randn((config.pairs.count, *shape), generator=g).double()
    teacher.eval().requires_grad_(False)
    pool.data = last(teacher.sample(pool.noise, config.pairs.steps))
    return TrainingContext(config, teacher, projection, packing.pack(fields), pool)


def _second(size: int) -> Tensor:
    eye = torch.eye(size)
    return 2 * eye - eye.roll(1, 0) - eye.roll(-1, 0)


def matrix(context: TrainingContext) -> tuple[Tensor, Tensor]:
    """Return A ``(rows, dimension)`` and b of an affine equation: its rows over their scales are
    A x + b of packed, flattened states x."""
    size = torch.Size(context.shape).numel()
    states = torch.cat([torch.zeros(1, size), torch.eye(size)]).double().view(-1, *context.shape)
    rows = context.projection.vector(context.packing.unpack(states)).double()
    return (rows[1:] - rows[0]).mT, rows[0]


def covariance_root(context: TrainingContext) -> Tensor:
    """Return S ``(dimension, dimension)``: the packed state is S times white noise."""
    size = torch.Size(context.shape).numel()
    white = torch.eye(size).to(context.data).view(-1, *context.shape)
    return context.packing.colour(white).flatten(1).mT


def noise(context: TrainingContext, count: int, seed: int = 1) -> Tensor:
    """Return white noise for as many samples."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn((count, *context.shape), generator=g).to(context.data)
