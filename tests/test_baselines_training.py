"""PIDM and PBFM: losses and gradients against closed forms, and what training with them does."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from piddm.interfaces import Method
from piddm.plugins import current
from piddm.teachers.flow import FlowTeacher
from piddm.teachers.sampling import last
from piddm.teachers.schedules import SCHEDULES
from piddm.tools.errors import UsageError
from piddm.tools.randomness import generator
from piddm.training.optimisation import Optimisation
from piddm_baselines._trained import trainable
from piddm_baselines.pbfm import Pbfm, config, joined
from piddm_baselines.pidm import FLOOR, Pidm, SampledPidm
from rivals import gaussian, ideal, matrix, noise

ROUNDING = 1e-10
"""Relative, in float64."""


class Gain(nn.Module):
    """A network of one weight: its offset is the weight times its input, and it has no gate."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x, t):
        return torch.cat([self.weight * x, 0 * x], dim=1)


def gained(tmp_path, weight, **overrides):
    """The Gaussian problem with a teacher whose network is a gain: losses are quadratic in it."""
    context = gaussian(tmp_path, **overrides)
    teacher = FlowTeacher(Gain(weight), context.packing, context.teacher.schedule)
    return dataclasses.replace(context, teacher=teacher.requires_grad_(False))


def rows(context, x):
    """Return the mean square residual of each sample, summed over equations, by the matrix."""
    a, b = matrix(context)
    fields = context.packing.unpack(x[:1])
    sizes = [v[0].numel() for v in context.residual(fields).values()]
    parts = (x.flatten(1) @ a.mT + b).split(sizes, dim=1)
    return torch.stack([p.square().mean(1) for p in parts]).sum(0)


def wanted(batch):
    """Return the target of the preconditioned network, on a schedule whose states have size 1."""
    noise = (batch.xt - batch.alpha * batch.x0) / batch.sigma
    return batch.sigma * batch.x0 - batch.alpha * noise


def slope(context, method, weights, weight):
    """Return d/dw of the flow matching loss and of the weighted residual of one call, by hand.

    With G the damping of a network's output, F(x) = w G x and the size of states 1 (the schedule is
    trigonometric), D = alpha x + sigma F. What is squared is linear in w: a central difference of a
    square is exact.
    """
    batch = method.draw(0)
    a, s = batch.alpha, batch.sigma
    grown = context.packing.shape(batch.xt)
    flow = 2 * ((weight * grown - wanted(batch)) * grown).mean()

    def residual(w):
        return (weights * rows(context, a * batch.xt + s * w * grown)).mean()

    return float(flow), float(residual(weight + 1) - residual(weight - 1)) / 2


def backward(method, step=0):
    method.trained.zero_grad()
    method.loss(method.trained, step)["loss"].backward()
    return method.trained


def physics(method):
    """Return the plain residual of predictions in the first step of training."""
    return float(method.loss(method.trained, 0)["physics"].detach())


def test_the_mean_of_a_gaussian_has_the_residual_of_its_closed_form(tmp_path):
    # D = alpha x_t for a Gaussian law under its own colour, and R is A x + b: no gap.
    context = gaussian(tmp_path)
    method = Pidm(context, weight=0.5)
    batch = method.draw(3)
    values = {k: float(v.detach()) for k, v in method.loss(method.trained, 3).items()}
    expected = float(rows(context, batch.alpha * batch.xt).mean())
    assert values["physics"] == pytest.approx(expected, rel=ROUNDING)
    assert values["flow"] == pytest.approx(float(wanted(batch).square().mean()), rel=1e-8)
    assert values["loss"] == pytest.approx(values["flow"] + 0.5 * expected, rel=ROUNDING)


def test_the_flow_loss_is_the_teachers_own(tmp_path):
    context = gained(tmp_path, 0.3, **{"student.batch": 16})
    draw = generator(context.config.seed, "pidm", 5)
    index = torch.randint(len(context.data), (16,), generator=draw)
    method = Pidm(context)
    own = float(context.teacher.loss(context.data[index], draw))
    found = method.loss(method.trained, 5)["flow"]
    assert float(found.detach()) == pytest.approx(own, rel=1e-8)


def test_pidm_weighs_residuals_by_their_variance(tmp_path):
    context = gained(tmp_path, 0.3, **{"student.batch": 16})
    method = Pidm(context, weight=0.2)
    variance = method.draw(0).sigma.flatten() ** 2
    assert float(variance.min()) < 0.02 < 0.9 < float(variance.max())  # weights differ 45-fold
    flow, physics = slope(context, method, 1 / variance.clamp_min(FLOOR), 0.3)
    trained = backward(method)
    assert float(trained.network.weight.grad) == pytest.approx(flow + 0.2 * physics, rel=1e-8)
    assert abs(physics) > 0.1 * abs(flow)


@pytest.mark.parametrize("unroll", [2, 5])
def test_a_sample_of_a_gaussian_has_its_closed_form(tmp_path, unroll):
    # A step of DDIM from t to t' multiplies by cos(pi (t - t')/2): n of them by cos(pi t/2n)^n.
    context = gaussian(tmp_path)
    method = SampledPidm(context, unroll=unroll)
    batch = method.draw(0)
    shrunk = torch.cos(math.pi / 2 * batch.t / unroll) ** unroll
    expected = rows(context, shrunk[:, None, None, None] * batch.xt).mean()
    assert physics(method) == pytest.approx(float(expected), rel=ROUNDING)


def test_steps_of_a_prediction_are_eulers_on_a_linear_schedule(tmp_path):
    context = gained(tmp_path, 0.5)
    teacher = FlowTeacher(Gain(0.5), context.packing, SCHEDULES["linear"])
    context = dataclasses.replace(context, teacher=teacher)
    method = SampledPidm(context, unroll=4)
    batch = method.draw(0)
    x, t = batch.xt, batch.t
    for n in range(4):
        x = x - (t / 4)[:, None, None, None] * teacher.velocity(x, t * (4 - n) / 4)
    found = method.predict(method.trained, batch, 4)[1]
    assert torch.allclose(found, x, rtol=1e-9, atol=1e-9)


def test_solutions_mean_has_jensens_gap_and_their_sample_has_not(tmp_path):
    # The exact denoiser of Burgers solutions: its mean's residual is the gap, its flow's end none.
    many = {"student.batch": 64}
    context = ideal(tmp_path, "burgers", **many)
    mean, sampled = physics(Pidm(context)), physics(SampledPidm(context, unroll=64))
    assert mean > 1e-3
    assert sampled < 1e-2 * mean
    assert physics(Pidm(ideal(tmp_path, "poisson", **many))) < 1e-12


def test_the_gap_is_that_of_the_posterior_mean(tmp_path):
    context = ideal(tmp_path, "burgers", **{"student.batch": 32})
    method = Pidm(context)
    batch = method.draw(0)
    weights = context.teacher.weights(batch.xt, batch.t)
    means = torch.tensordot(weights, context.teacher.data, dims=1)
    assert physics(method) == pytest.approx(float(context.strong(means)), rel=1e-8)


def test_two_gradients_are_combined_as_the_paper_does():
    def away(a, b):
        rest = b - (a @ b) / (a @ a) * a
        return rest / rest.norm()

    for seed in range(20):
        g = torch.Generator().manual_seed(seed)
        a, b = torch.randn(2, 7, generator=g, dtype=torch.float64) * torch.tensor([[1.0], [30.0]])
        u = away(a, b) + away(b, a)
        u = u / u.norm()
        found = config(a, b)
        assert torch.allclose(found, (a @ u + b @ u) * u, rtol=1e-9)
        assert float(found @ a) > 0
        assert float(found @ b) > 0
        assert float(found @ a / a.norm()) == pytest.approx(float(found @ b / b.norm()), rel=1e-9)


def test_two_gradients_in_a_plane():
    # (1, 0) and (0, 2): u = (1, 1)/sqrt 2, slopes 1/sqrt 2 and 2/sqrt 2, together 3/sqrt 2.
    a, b = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 2.0]).double()
    assert torch.allclose(config(a, b), torch.tensor([1.5, 1.5]).double())
    assert torch.allclose(config(a, 3 * a), 4 * a)
    assert torch.allclose(config(a, 0 * a), a)
    assert torch.equal(config(a, -2 * a), 0 * a)


def test_the_joined_loss_has_the_value_of_a_sum_and_the_combined_gradient():
    weight, bias = (nn.Parameter(torch.tensor(v).double()) for v in ([1.0, 2.0], [3.0]))
    one, other = weight.square().sum(), (weight[0] - weight[1] + 2 * bias).sum()
    loss = joined(one, other, [weight, bias])
    assert float(loss.detach()) == pytest.approx(5 + 5)
    loss.backward()
    expected = config(
        torch.tensor([2.0, 4.0, 0.0]).double(), torch.tensor([1.0, -1.0, 2.0]).double()
    )
    assert torch.allclose(torch.cat([weight.grad, bias.grad]), expected)


@pytest.mark.parametrize("power", [0.0, 1.0, 3.0])
def test_pbfm_weighs_residuals_by_a_power_of_time(tmp_path, power):
    # Of one weight, whose two slopes agree in sign, the combined gradient is their sum.
    context = gained(tmp_path, 4.0, **{"student.batch": 16})
    method = Pbfm(context, power=power)
    flow, physics = slope(context, method, (1 - method.draw(0).t) ** power, 4.0)
    assert flow > 0
    assert physics > 0.05 * flow
    trained = backward(method)
    assert float(trained.network.weight.grad) == pytest.approx(flow + physics, rel=1e-8)


def test_pbfm_unrolls_further_as_training_goes_on(tmp_path):
    context = gaussian(tmp_path, **{"student.steps": 40})
    method, calls = Pbfm(context), []
    method.trained.network.register_forward_hook(lambda *_: calls.append(1))
    counted = []
    for step in (0, 9, 10, 20, 30, 39):
        calls.clear()
        method.loss(method.trained, step)
        counted.append(len(calls))
    assert counted == [1, 1, 2, 3, 4, 4]


@pytest.mark.parametrize("name", ["pidm", "pidm-sampled", "pbfm"])
def test_methods_are_registered_and_sample_by_the_trained_flow(tmp_path, name):
    context = gained(tmp_path, 0.0)
    method = current().build("method", name, Method, context, steps=3)
    assert not any(p.requires_grad for p in context.teacher.parameters())
    assert all(p.requires_grad for p in method.trained.parameters())
    with torch.no_grad():
        method.trained.network.weight.fill_(0.4)
        white = noise(context, 2)
        expected = last(
            FlowTeacher(Gain(0.4), context.packing, context.teacher.schedule).sample(white, 3)
        )
        found = method.sample(white, torch.Generator())
    assert torch.equal(found, expected)
    assert not torch.equal(found, last(context.teacher.sample(white, 3)))


def test_a_copy_of_what_is_trained_denoises_by_its_own_weights(tmp_path):
    # The optimisation's average is a copy.
    context = gained(tmp_path, 0.0)
    trained = trainable(context.teacher)
    other = copy.deepcopy(trained)
    x, t = noise(context, 2), torch.tensor([0.3, 0.8]).double()
    with torch.no_grad():
        other.network.weight.fill_(1.0)
        assert torch.equal(trained(x, t), context.teacher.denoise(x, t))
        assert torch.equal(other(x, t), other.denoise(x, t))
        assert not torch.equal(other(x, t), trained(x, t))


def test_training_lowers_the_residual_at_little_cost(tiny_run, tmp_path):
    """From a network that has hardly learnt anything, in the same number of steps."""
    context = tiny_run.context
    student = context.config.student.model_copy(
        update={"steps": 40, "batch": 8, "learning_rate": 3e-3, "warmup": 5}
    )
    context = dataclasses.replace(
        context, config=context.config.model_copy(update={"student": student})
    )

    def trained(method):
        job = Optimisation("x", method.trained, student, tmp_path / "c", "f", context.device)
        list(job.run(method.loss))
        fit = Pidm(context)
        with torch.no_grad():
            flows = [float(fit.loss(job.module, 1000 + n)["flow"]) for n in range(8)]
            x = method.sample(noise(context, 32), torch.Generator())
            return sum(flows) / len(flows), float(context.strong(x))

    plain = trained(Pidm(context, weight=0.0))
    for method in (Pidm(context, weight=1.0), SampledPidm(context, weight=1.0), Pbfm(context)):
        flow, physics = trained(method)
        assert physics < 0.8 * plain[1], method.name
        assert flow < 1.2 * plain[0], method.name


@pytest.mark.parametrize("name", ["sphere-poisson", "shallow-water", "heat"])
@pytest.mark.parametrize("norm", ["strong", "distance"])
def test_any_equation_will_do(tmp_path, name, norm):
    """On a sphere, with three axes, with free params: the residual's own value, and a slope."""
    context = ideal(tmp_path, name, size=8, count=8, **{"student.batch": 2})
    teacher = FlowTeacher(Gain(0.5), context.packing, context.teacher.schedule)
    context = dataclasses.replace(context, teacher=teacher)
    for method in (Pidm(context, norm=norm), Pbfm(context, norm=norm)):
        assert float(backward(method).network.weight.grad) != 0
        batch = method.draw(0)
        expected = method.physics(teacher.denoise(batch.xt, batch.t))
        assert physics(method) == pytest.approx(float(expected.detach()), rel=1e-8)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (Pidm, {"weight": -1.0}),
        (Pidm, {"weight": math.inf}),
        (Pidm, {"norm": "weak"}),
        (Pidm, {"steps": 0}),
        (SampledPidm, {"unroll": 1}),
        (Pbfm, {"unroll": 0}),
        (Pbfm, {"power": -1.0}),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, make, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        make(gaussian(tmp_path), **wrong)
