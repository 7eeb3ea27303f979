"""The guided flow: against the posterior of Gaussian data, whose best denoiser is a number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from piddm import UsageError
from piddm.data.packing import Packing
from piddm.grids.grid import Axis, Grid
from piddm.interfaces import Task
from piddm.residuals.norms import mean_squares
from piddm.solvers import guided
from piddm.solvers.guided import GuidedSolver, covariance
from piddm.tasks.observations import Observations
from piddm.teachers.flow import FlowTeacher
from piddm.teachers.schedules import SCHEDULES

SIZE, TOLERANCE = 6, 0.1


class Nothing(nn.Module):
    """A network that adds nothing to the linear part: the denoiser of Gaussian data."""

    def forward(self, x, t):
        return torch.zeros_like(x).repeat(1, 2, 1, 1)


@pytest.fixture(scope="module")
def gaussian():
    """Return a run on Gaussian data, a task, and the covariance of packed states."""
    grid = Grid(x=Axis(0, 1, SIZE), y=Axis(0, 1, SIZE))
    g = torch.Generator().manual_seed(0)
    at = torch.arange(SIZE) / SIZE
    root = torch.linalg.cholesky((-8 * (at[:, None] - at).square()).exp() + 0.05 * torch.eye(SIZE))
    data = root @ torch.randn(4000, SIZE, SIZE, generator=g) @ root.mT
    packing = Packing(grid, ("u",)).fit({"u": 3 + 2 * data})
    teacher = FlowTeacher(Nothing(), packing, SCHEDULES["trigonometric"])
    one = data[7].double() * 2 + 3
    mask = torch.rand(grid.shape, generator=g) < 0.2
    task = Task("reconstruct", Observations.at_nodes(grid, {"u": one}, {"u": mask}))
    run = SimpleNamespace(teacher=teacher, packing=packing)
    eye = torch.eye(SIZE**2).view(-1, 1, SIZE, SIZE)
    return run, task, covariance(packing, eye).flatten(1).double()


def answer(run, task, count, seed=1, **settings):
    solver = GuidedSolver(run, tolerance=TOLERANCE, physics=0.0, **settings)
    steps = solver.solve(task, count, torch.Generator().manual_seed(seed))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def posterior(run, task, prior):
    """Return mean and covariance of packed states, in closed form."""
    observed = task.observations
    at = (observed.points["u"] * (SIZE - 1)).round().long()
    h = torch.zeros(len(at), SIZE**2, dtype=torch.float64)
    h[torch.arange(len(at)), at[:, 0] * SIZE + at[:, 1]] = 1.0
    flat = run.packing.mean.double().flatten()
    away = (observed.values["u"] - flat[h.argmax(1)]) / run.packing.field_scale()["u"]
    gain = prior @ h.mT @ torch.linalg.inv(h @ prior @ h.mT + TOLERANCE**2 * torch.eye(len(at)))
    return gain @ away, prior - gain @ h @ prior


def test_gaussian_data_has_the_posterior_in_closed_form(gaussian):
    run, task, prior = gaussian
    mean, spread = posterior(run, task, prior)
    count = 2000
    x = run.packing.pack(answer(run, task, count, steps=200).fields).flatten(1).double()
    # Five standard errors of each mean, and 2 % of the prior's for the steps' own.
    slack = 5 * (spread.diagonal() / count).sqrt() + 0.02 * prior.diagonal().sqrt()
    assert bool(((x.mean(0) - mean).abs() < slack).all())
    assert float((x.T.cov() - spread).norm() / spread.norm()) < 0.15
    assert float(spread.norm() / prior.norm()) < 0.7  # what was seen says something


def test_observations_are_met_as_far_as_the_tolerance_says(gaussian):
    run, task, _ = gaussian
    x = answer(run, task, 64, steps=64).fields["u"].double()
    at = (task.observations.points["u"] * (SIZE - 1)).round().long()
    away = x[:, at[:, 0], at[:, 1]] - task.observations.values["u"]
    found = float(away.square().mean().sqrt()) / run.packing.field_scale()["u"]
    assert 0.7 * TOLERANCE < found < 1.3 * TOLERANCE


def test_a_weight_of_nothing_leaves_the_prior(gaussian):
    run, task, prior = gaussian
    x = run.packing.pack(answer(run, task, 2000, weight=0.0, steps=20).fields).flatten(1).double()
    assert float((x.T.cov() - prior).norm() / prior.norm()) < 0.15


def test_chance_comes_from_the_generator_alone_and_calls_are_counted(gaussian):
    run, task, _ = gaussian
    once, again, other = (answer(run, task, 3, seed=s, steps=5) for s in (1, 1, 2))
    assert torch.equal(once.fields["u"], again.fields["u"])
    assert not torch.equal(once.fields["u"], other.fields["u"])
    assert once.calls == 10


def test_the_residual_is_led_to_zero(tiny_run):
    """Estimates that are moved all the way end at the residual of one Gauss-Newton step."""
    grid = tiny_run.residual.grid
    one = {"u": tiny_run.sample(1)["u"][0].double()}
    mask = {"u": torch.zeros(grid.shape, dtype=torch.bool)}
    mask["u"][::5, ::5] = True
    task = Task("reconstruct", Observations.at_nodes(grid, one, mask))
    left = []
    for physics in (0.0, 1.0):
        solver = GuidedSolver(tiny_run, steps=12, physics=physics)
        steps = solver.solve(task, 2, torch.Generator().manual_seed(0))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                x = {k: v.double() for k, v in end.value.fields.items()}
                break
        rows = mean_squares(tiny_run.residual, x, tiny_run.scale)
        left.append(float(torch.stack(list(rows.values())).sum()))
    assert left[1] < 1e-2 * left[0]


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"weight": -1.0}, {"tolerance": 0.0}, {"physics": 2.0}, {"share": -1.0}]
)
def test_settings_are_checked(wrong):
    none: Any = SimpleNamespace()
    with pytest.raises(UsageError, match="guided"):
        GuidedSolver(none, **wrong)


def test_no_step_is_longer_than_observations_call_for():
    move = torch.tensor([0.5, 9.0, 300.0])[:, None, None, None] * torch.ones(3, 1, 4, 4)
    kept = guided._limited(move)
    torch.testing.assert_close(kept[:2], move[:2])
    assert float(kept[2].square().mean().sqrt()) == pytest.approx(guided.LONGEST)
