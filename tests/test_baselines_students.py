"""Variants of the student, on Gaussian data: the teacher's flow is then xi -> S xi exactly.

``Answer`` is a network of one weight w whose answer is F(x, t) = w k(t) x. At w = 0 the teacher is
exact, and so is every student; elsewhere all that they do has a closed form.
"""

from __future__ import annotations

import copy
import importlib
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from piddm.config import OptimiserConfig
from piddm.interfaces import Student
from piddm.networks.unet import UNet
from piddm.plugins import current
from piddm.students.euler_steps import FewStepStudent
from piddm.teachers.flow import FlowTeacher
from piddm.teachers.sampling import last
from piddm.teachers.schedules import SCHEDULES
from piddm.training import losses
from piddm.training.context import TrainingContext
from piddm.training.optimisation import Optimisation
from piddm_baselines.consistency import KEEP, LEVELS, ends, heun
from piddm_baselines.distribution_matching import difference
from rivals import covariance_root, gaussian, noise

ROUNDING = {"rtol": 1e-9, "atol": 1e-10}
CALLS = {
    "reflow": 1, "consistency": 1, "dmd": 1, "diff-instruct": 1, "two-step": 2, "four-step": 4,
}  # fmt: skip
NAMES = list(CALLS)
MATCHING = ["dmd", "diff-instruct"]
W = 0.3


class Answer(nn.Module):
    """A network with F(x, t) = w k(t) x, whatever the packing does to its answer."""

    def __init__(self, packing, factor=torch.ones_like, weight=0.0):
        super().__init__()
        self.factor = factor
        size = packing.mean.numel()
        eye = torch.eye(size).to(packing.mean).view(size, *packing.mean.shape)
        self.register_buffer("undo", torch.linalg.inv(packing.shape(eye).flatten(1)))
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x, t):
        offset = (x.flatten(1) @ self.undo).view_as(x)
        offset = offset * (self.weight * self.factor(t))[:, None, None, None]
        return torch.cat([offset, torch.zeros_like(offset)], dim=1)


def problem(folder, schedule="trigonometric", **overrides):
    """A Gaussian law, with a teacher that is exact and can be moved."""
    settings = {"student.physics_weight": 0.0, **overrides}
    context = gaussian(folder, **settings)
    packing = context.packing
    teacher = FlowTeacher(Answer(packing), packing, SCHEDULES[schedule])
    return replace(context, teacher=teacher.requires_grad_(False))


def student_of(context, name, weight=0.0):
    student = current().build("student", name, Student, context.teacher).requires_grad_(True)
    student.network.weight.data.fill_(weight)
    return student


def slope(value, module):
    """Return the derivative in a network's weight; zero where there is none."""
    (found,) = torch.autograd.grad(value, [module.weight], retain_graph=True, allow_unused=True)
    return 0.0 if found is None else float(found)


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_map_is_where_each_begins_and_stays(name, tmp_path):
    """At w = 0 each loss is zero and flat; the fake's own is flat in the mean only."""
    context = problem(tmp_path, **{"student.batch": 256})
    student = student_of(context, name)
    white = noise(context, 3)
    torch.testing.assert_close(student(white), context.packing.colour(white), **ROUNDING)
    assert student.calls == CALLS[name]
    values = student.objective(context)(student, 0)
    own = sum(v for k, v in values.items() if k not in ("loss", "fake"))
    assert float(own.detach()) < 1e-18
    assert abs(slope(values["loss"], student.network)) < 1e-12
    if name in MATCHING:
        # Both are means over 256 fields of 128 values with strong modes.
        assert abs(slope(values["fake"], student.fake)) < 0.1 * float(values["fake"].detach())


@pytest.mark.parametrize("name", NAMES)
def test_training_leads_back_to_the_exact_map(name, tmp_path):
    context = problem(tmp_path)
    student = student_of(context, name, W)
    settings = OptimiserConfig(steps=150, batch=8, learning_rate=2e-2, warmup=0)
    job = Optimisation("student", student, settings, tmp_path / "c", "f", torch.device("cpu"))
    list(job.run(student.objective(context)))
    # Student and fake chase each other: their way there is a damped oscillation.
    assert abs(float(job.average.network.weight.detach())) < (0.1 if name in MATCHING else 0.04)


def power(context):
    """Return the mean square of a state."""
    return float(covariance_root(context).square().sum(1).mean())


def test_reflow_is_the_error_of_the_velocity_along_lines(tmp_path):
    """Both ends of a line are S xi, and so is all between: the loss is w^2 E|S xi|^2."""
    context = problem(tmp_path, **{"student.batch": 2048, "pairs.count": 1024})
    student = student_of(context, "reflow", W)
    values = student.objective(context)(student, 0)
    assert float(values["velocity"].detach()) == pytest.approx(W**2 * power(context), rel=0.05)
    x = noise(context, 4)
    t = torch.tensor([0.0, 0.2, 0.7, 1.0]).double()
    torch.testing.assert_close(student(x, t), -W * x, **ROUNDING)
    torch.testing.assert_close(student(x), (1 + W) * context.packing.colour(x), **ROUNDING)


def test_reflow_learns_lines_between_ends_that_differ(tmp_path):
    r"""For pairs x_0 = c S xi the line is x_t = (1 - t) c S xi + t S xi and v = (1 - c) S xi.

    With F = w x the error is w x_t + (1 - c) S xi, of mean square E|S xi|^2 times
    (w (c + t (1 - c)) + (1 - c))^2: half of it the integral over t, half at t = 1.
    """
    c = 0.5
    context = problem(tmp_path, **{"student.batch": 2048, "pairs.count": 1024})
    context.pairs.data = c * context.packing.colour(context.pairs.noise)
    student = student_of(context, "reflow", W)
    t = torch.linspace(0, 1, 10001).double()
    error = (W * (c + t * (1 - c)) + (1 - c)).square()
    expected = float(error.mean() + error[-1]) / 2 * power(context)
    values = student.objective(context)(student, 0)
    assert float(values["velocity"].detach()) == pytest.approx(expected, rel=0.03)


def test_consistency_is_the_difference_of_neighbouring_levels(tmp_path):
    r"""Nothing moves, hence f(x, t) = (1 + w sin(pi t/2)) x, and the target has a weight of its
    own, 1 - KEEP of the way to w after its first step. States have the data's covariance at every
    level: the loss is w^2 E|S xi|^2 times the sum over levels of
    (sin(pi (j+1)/2N) - (1 - KEEP) sin(pi j/2N))^2.
    """
    context = problem(tmp_path, **{"student.batch": 2048})
    student = student_of(context, "consistency", W)
    values = student.objective(context)(student, 0)
    assert float(student.target.weight) == pytest.approx((1 - KEEP) * W)
    s = torch.linspace(0, math.pi / 2, LEVELS + 1).double().sin()
    expected = W**2 * float((s[1:] - (1 - KEEP) * s[:-1]).square().sum()) * power(context)
    assert float(values["consistency"].detach()) == pytest.approx(expected, rel=0.05)
    assert slope(values["loss"], student.network) > 0
    assert not student.target.weight.requires_grad


class Single(UNet):
    """A network with weights at random, in single precision, between double states."""

    def __init__(self, context):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(context.shape[0], context.shape[1:], (False, False), (8, 8), fold=2)
            for parameter in self.parameters():
                nn.init.normal_(parameter, std=0.1)

    def forward(self, x, t):
        return super().forward(x.float(), t.float()).double()


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_consistency_is_the_identity_at_the_data_end(schedule, tmp_path):
    context = problem(tmp_path, schedule)
    x = noise(context, 3)
    turn = FlowTeacher(Single(context), context.packing, SCHEDULES[schedule]).turn
    zero = x.new_zeros(3)
    there = ends(turn, SCHEDULES[schedule], x, zero)
    torch.testing.assert_close(there, x, rtol=0, atol=0)
    away = ends(turn, SCHEDULES[schedule], x, zero + 0.1)
    assert float((away - x).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_consistency_follows_the_teacher_s_own_sampler(schedule, tmp_path):
    context = problem(tmp_path, schedule)
    teacher = FlowTeacher(Single(context), context.packing, SCHEDULES[schedule]).requires_grad_(
        False
    )
    white = noise(context, 3)
    x = context.packing.colour(white)
    times = teacher.schedule.times(5).double()
    for n, state in enumerate(teacher.sample(white, 5)):
        x = heun(teacher, x, times[n].expand(3), times[n + 1].expand(3))
        torch.testing.assert_close(x, state, rtol=1e-5, atol=1e-5)  # the network is float32


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_few_steps_are_euler_s_method_on_the_teacher_s_flow(schedule, tmp_path):
    """dy/d theta = -w y over a right angle: (1 + w pi/2k)^k after k steps on the arc, and
    exp(w pi/2) in the limit, which is also where the teacher's own sampler arrives."""
    context = problem(tmp_path, schedule)
    network = Answer(context.packing, weight=W)
    teacher = FlowTeacher(network, context.packing, SCHEDULES[schedule]).requires_grad_(False)
    white = noise(context, 2)
    x = context.packing.colour(white)
    arc = float(torch.atan2(*(v(torch.ones(1).double()) for v in _levels(teacher)))[0])
    limit = math.exp(W * arc) * x
    torch.testing.assert_close(last(teacher.sample(white, 400)), limit, rtol=1e-4, atol=1e-6)
    errors = []
    for calls in (64, 128):
        made = FewStepStudent(teacher, calls)(white)
        errors.append(float((made - limit).detach().norm() / limit.norm()))
    assert errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1), "of first order"
    if schedule == "trigonometric":
        for name in ("two-step", "four-step"):
            k = CALLS[name]
            made = current().build("student", name, Student, teacher)(white)
            torch.testing.assert_close(made, (1 + W * math.pi / 2 / k) ** k * x, **ROUNDING)


def _levels(teacher):
    return teacher.schedule.sigma, teacher.schedule.alpha


def test_a_few_step_student_begins_as_the_teacher_s_euler_sampler(tmp_path):
    """With any network, on the arc; through the teacher's velocity, which has its own formula."""
    context = problem(tmp_path)
    teacher = FlowTeacher(Single(context), context.packing, SCHEDULES["trigonometric"])
    white = noise(context, 2)
    for name in ("two-step", "four-step"):
        x, calls = context.packing.colour(white), CALLS[name]
        for n in range(calls):
            t = torch.full((2,), 1 - n / calls).double()
            x = x - teacher.velocity(x, t) / calls
        made = current().build("student", name, Student, teacher)
        torch.testing.assert_close(made(white), x, rtol=1e-5, atol=1e-5)  # the network is float32


def scaled(context, c):
    """Return the exact teacher of N(0, c^2 S S^T): D = alpha c^2/(alpha^2 c^2 + sigma^2) x_t."""

    def factor(t):
        a, s = torch.cos(math.pi / 2 * t), torch.sin(math.pi / 2 * t)
        return a * s * (c**2 - 1) / (a**2 * c**2 + s**2)

    network = Answer(context.packing, factor, weight=1.0)
    return FlowTeacher(network, context.packing, context.teacher.schedule).requires_grad_(False)


@pytest.mark.parametrize("c", [0.5, 1.0, 1.7])
def test_matching_is_the_difference_of_two_gaussians_scores(c, tmp_path):
    r"""The samples' law is N(0, c^2 C), the teacher's N(0, C), C = S S^T. The diffused scores are
    -C^-1 x_t over alpha^2 c^2 + sigma^2 and over 1; their difference, in the metric sigma^2/alpha C
    and over mean |x - alpha x_t| of each sample, is what moves the student."""
    context = problem(tmp_path)
    white, more = noise(context, 5), noise(context, 5, seed=2)
    x, eps = c * context.packing.colour(white), context.packing.colour(more)
    t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.95]).double()
    found = difference(context.teacher, scaled(context, c), x, eps, t)
    root = covariance_root(context)
    c_inverse = torch.linalg.inv(root @ root.mT)
    a, s = (v[:, None] for v in (torch.cos(math.pi / 2 * t), torch.sin(math.pi / 2 * t)))
    xt = a * x.flatten(1) + s * eps.flatten(1)
    fake, real = (-xt @ c_inverse / (a**2 * v**2 + s**2) for v in (c, 1.0))
    metric = s**2 / a * ((fake - real) @ (root @ root.mT))
    size = (x.flatten(1) - a * xt).abs().mean(1, keepdim=True)
    torch.testing.assert_close(found.flatten(1), metric / size, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", MATCHING)
@pytest.mark.parametrize("weight", [-W, W])
def test_matching_widens_what_is_narrow_and_narrows_what_is_wide(name, weight, tmp_path):
    context = problem(tmp_path, **{"student.batch": 64})
    student = student_of(context, name, weight)
    exact = scaled(context, 1 + weight).network
    student.fake.factor = exact.factor
    student.fake.weight.data.fill_(1.0)
    values = student.objective(context)(student, 0)
    assert slope(values["matching"], student.network) * weight > 0
    # The fake is the exact law of the samples: its own loss is flat there, and not at the teacher's
    at_law = slope(values["fake"], student.fake)
    student.fake.weight.data.fill_(0.0)
    at_teacher = slope(student.objective(context)(student, 0)["fake"], student.fake)
    assert abs(at_law) < 0.3 * abs(at_teacher)
    assert ("pair" in values) == (name == "dmd")


@pytest.mark.parametrize("name", MATCHING)
def test_student_and_fake_do_not_move_each_other(name, tmp_path):
    context = problem(tmp_path, **{"student.physics_weight": 1.0, "student.energy_weight": 1.0})
    student = student_of(context, name, W)
    student.fake.weight.data.fill_(-W)
    values = student.objective(context)(student, 0)
    fake = values.pop("fake")
    assert slope(fake, student.fake) != 0
    assert slope(fake, student.network) == 0
    for key, value in values.items():
        if key != "loss":
            assert slope(value, student.fake) == 0, key
            assert slope(value, student.network) != 0, key
    assert slope(values["loss"], student.fake) == pytest.approx(slope(fake, student.fake))


@pytest.mark.parametrize("name", NAMES)
def test_physics_is_of_the_student_s_own_samples_and_can_be_left_out(name, tmp_path, monkeypatch):
    white = noise(problem(tmp_path), 5)
    student = student_of(problem(tmp_path), name, W)
    where = importlib.import_module(student.objective.__module__)
    where = where if hasattr(where, "fresh") else losses  # where the noise is drawn
    monkeypatch.setattr(where, "fresh", lambda context, draw: white)
    seen = []

    def physics(self):
        return lambda x: seen.append(x.detach()) or x.square().mean()

    monkeypatch.setattr(TrainingContext, "physics", property(physics))
    for weight in (0.0, 2.0):
        context = problem(tmp_path, **{"student.physics_weight": weight})
        values = copy.deepcopy(student).objective(context)(student, 0)
        assert ("physics" in values) == bool(weight)
        weights = {"physics": weight}
        expected = sum(
            weights.get(k, 1.0) * float(v.detach()) for k, v in values.items() if k != "loss"
        )
        assert float(values["loss"].detach()) == pytest.approx(expected)
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], student(white).detach(), **ROUNDING)


@pytest.mark.parametrize("name", ["consistency", "dmd"])
def test_a_resumed_student_with_a_second_network_repeats_an_uninterrupted_one(name, tmp_path):
    context = problem(tmp_path)

    def job(path):
        student = student_of(context, name, W)
        loss = student.objective(context)
        settings = OptimiserConfig(steps=12, batch=8, learning_rate=1e-2, warmup=0)
        return Optimisation("student", student, settings, path, "f", torch.device("cpu")), loss

    whole, loss = job(tmp_path / "whole")
    list(whole.run(loss))
    first, loss = job(tmp_path / "part")
    for progress in first.run(loss):
        if progress.done == 5:
            first.save()
        if progress.done == 7:  # two steps are lost, as by a kill
            break
    second, loss = job(tmp_path / "part")
    assert second.step == 5
    list(second.run(loss))
    for one, two in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(one, two)
    assert whole.history == second.history
