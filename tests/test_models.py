"""Packing, schedules, teacher and student: against closed forms and an ideal denoiser."""

import math

import pytest
import torch

from piddm import PiddmError, UsageError
from piddm.config import resolve
from piddm.data.packing import Packing
from piddm.data.simulate import simulate
from piddm.interfaces import Teacher
from piddm.metrics.energy import energy_score
from piddm.networks.head import respond
from piddm.networks.unet import UNet
from piddm.runs.model_files import build_student, build_teacher, load_model, save_model
from piddm.teachers.flow import FlowTeacher
from piddm.teachers.sampling import last, noises
from piddm.teachers.schedules import SCHEDULES
from piddm.tools.randomness import generator, white
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY


@pytest.fixture(scope="module")
def darcy():
    grid = DARCY.grid.resized(16)
    (fields,) = simulate(DARCY, grid, 64, torch.Generator().manual_seed(0), chunk=64)
    return grid, {k: v.float() for k, v in fields.items()}


def test_packing_round_trip_and_moments(darcy):
    grid, fields = darcy
    packing = Packing(grid, DARCY.field_names).fit(fields)
    x = packing.pack(fields)
    assert x.shape == (64, 2, 16, 16)
    torch.testing.assert_close(packing.unpack(x)["u"], fields["u"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(x.mean(0), torch.zeros(2, 16, 16), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.square().mean((0, 2, 3)), torch.ones(2), atol=1e-4, rtol=0)


def test_three_axes_fold_the_first_into_channels():
    from piddm import Axis, Grid

    grid = Grid(t=Axis(0, 1, 3, time=True), x=Axis(0, 1, 4), y=Axis(0, 1, 5))
    fields = {k: torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0)) for k in "ab"}
    packing = Packing(grid, ("a", "b")).fit(fields)
    assert packing.pack(fields).shape == (6, 6, 4, 5)
    back = packing.unpack(packing.pack(fields))
    for k, value in fields.items():
        torch.testing.assert_close(back[k], value, rtol=1e-4, atol=1e-5)


def test_coloured_noise_has_the_data_s_spectrum(darcy):
    grid, fields = darcy
    packing = Packing(grid, DARCY.field_names).fit(fields)
    noise = packing.colour(white((4000, 2, 16, 16), torch.device("cpu"), 0, "test"))
    for own, wanted in ((noise, packing.spectrum),):
        modes = packing.basis_0.mT @ own @ packing.basis_1
        torch.testing.assert_close(modes.square().mean(0).sqrt(), wanted, rtol=0.08, atol=1e-4)
    walls = torch.cat([noise[:, 1, 0].flatten(), noise[:, 1, :, -1].flatten()])
    assert float(walls.abs().max()) < 1e-4, "where the data do not vary, noise does not"


def test_a_dead_field_is_named(darcy):
    grid, fields = darcy
    with pytest.raises(UsageError, match="field u does not vary"):
        Packing(grid, DARCY.field_names).fit({**fields, "u": torch.ones_like(fields["u"])})


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules(name):
    schedule = SCHEDULES[name]
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert float(schedule.alpha(t)[0]) == 1
    assert float(schedule.sigma(t)[0]) == 0
    # VP, sub-VP and EDM end at a little signal by their definition: tests/test_schedules.py.
    assert float(schedule.sigma(t)[-1]) == pytest.approx(1, abs=1e-4)
    for level, rate in zip((schedule.alpha, schedule.sigma), schedule.rates(t), strict=True):
        step = 1e-6
        numeric = (level(t + step) - level(t - step)) / (2 * step)
        torch.testing.assert_close(rate, numeric, rtol=1e-6, atol=1e-8)


class Ideal(torch.nn.Module):
    """The exact network for Gaussian data whose modes are c times the colour: linear, known."""

    def __init__(self, teacher: FlowTeacher, c: float) -> None:
        super().__init__()
        self.teacher, self.c = teacher, c

    def forward(self, x, t):
        schedule = self.teacher.schedule
        a, s = (v(t)[:, None, None, None] for v in (schedule.alpha, schedule.sigma))
        size, c2 = (a**2 + s**2).sqrt(), self.c**2
        xt = x * size
        data = a * c2 / (a**2 * c2 + s**2) * xt
        noise = s / (a**2 * c2 + s**2) * xt
        offset = (s * data - a * noise) / size
        return torch.cat([offset, torch.zeros_like(offset)], dim=1)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("c", [1.0, 0.5])
def test_sampler_follows_the_exact_flow_of_gaussian_data(name, c):
    """For data N(0, c^2 I) the flow maps noise to c times noise; Heun's error falls with h^2."""
    packing = Packing(BURGERS.grid.resized(4), ("u",))
    packing.spectrum.fill_(1e4)  # the gain of an output is then 1
    teacher = FlowTeacher(torch.nn.Identity(), packing, SCHEDULES[name])
    teacher.network = Ideal(teacher, c)
    packing.colour = lambda white: white
    noise = white((3, 1, 4, 4), torch.device("cpu"), 0, "exact")
    errors = [float((last(teacher.sample(noise, n)) - c * noise).abs().max()) for n in (20, 40)]
    if c == 1.0 and name != "linear":  # on the arc such data stand still
        assert errors[0] < 1e-5
    else:
        assert errors[1] < 2e-2
        assert math.log2(errors[0] / errors[1]) > 1.6
    t = torch.full((3,), 0.3)
    a, s = float(SCHEDULES[name].alpha(t)[0]), float(SCHEDULES[name].sigma(t)[0])
    expected = a * c**2 / (a**2 * c**2 + s**2) * noise
    torch.testing.assert_close(teacher.denoise(noise, t), expected, rtol=1e-4, atol=1e-5)


def test_a_gate_passes_the_input(darcy):
    """With no offset and a gate of minus one everywhere, the student's input is taken away."""
    grid, fields = darcy
    packing = Packing(grid, DARCY.field_names).fit(fields)
    packing.spectrum.fill_(1e4)  # the gain of an output is then 1
    x = packing.pack(fields)

    def network(x, t):
        return torch.cat([torch.zeros_like(x), -torch.ones_like(x)], dim=1)

    torch.testing.assert_close(
        respond(packing, network, x, torch.ones(1)), -x, atol=1e-3, rtol=1e-3
    )


def test_student_starts_from_the_teacher_and_calls_the_network_once(darcy):
    grid, fields = darcy
    config = resolve("darcy", "quick", overrides={"data.size": 16, "packing.rank": 8})
    teacher = build_teacher(config, DARCY, grid)
    teacher.packing.fit(fields)
    student = build_student(config, teacher, DARCY)
    for own, other in zip(student.network.parameters(), teacher.network.parameters(), strict=True):
        assert own is not other
        torch.testing.assert_close(own, other)
    calls = []
    student.network.register_forward_hook(lambda *_: calls.append(1))
    (noise,) = noises((2, 16, 16), 3, 0, torch.device("cpu"))
    assert student(noise).shape == noise.shape
    assert calls == [1]
    assert isinstance(teacher, Teacher)


def test_noise_of_a_sample_does_not_depend_on_the_count():
    cpu = torch.device("cpu")
    few, many = noises((1, 4, 4), 3, 7, cpu), noises((1, 4, 4), 70, 7, cpu, batch=32)
    torch.testing.assert_close(few[0], torch.cat(many)[:3])
    assert not torch.equal(few[0], noises((1, 4, 4), 3, 8, cpu)[0])


def test_generators_are_named_and_global_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    config = resolve("darcy", "quick")
    first = build_teacher(config, DARCY, DARCY.grid.resized(32))
    second = build_teacher(config, DARCY, DARCY.grid.resized(32))
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert generator(1, "a").initial_seed() != generator(1, "b").initial_seed()


def test_network_wraps_along_periodic_axes_only():
    """Shifting by a whole fold along a periodic axis shifts the output; along a bounded one not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(1, (16, 16), (False, True), widths=(8, 8), fold=2)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    x = white((1, 1, 16, 16), torch.device("cpu"), 0, "shift")
    t = torch.tensor([0.5])
    with torch.no_grad():
        plain, moved = network(x, t), network(x.roll(4, -1), t)
        torch.testing.assert_close(plain.roll(4, -1), moved, rtol=1e-3, atol=1e-3)
        along = network(x.roll(4, -2), t)
    assert float((plain.roll(4, -2) - along).abs().max()) > 0.05


def test_energy_score_is_smallest_for_equal_laws():
    """N(0, s^2 I) against N(0, I): E|X - Y| is sqrt(1 + s^2) times the mean of a chi law."""
    cpu, dimension = torch.device("cpu"), 20
    data = white((2000, dimension), cpu, 0, "data")
    chi = math.sqrt(2) * math.gamma((dimension + 1) / 2) / math.gamma(dimension / 2)
    got = []
    for s in (0.5, 1.0, 1.5):
        x = s * white((2000, dimension), cpu, 0, "samples")
        got.append(float(energy_score(x, data)))
        expected = (2 * math.sqrt(1 + s**2) - math.sqrt(2) * s) * chi / math.sqrt(dimension)
        assert got[-1] == pytest.approx(expected, rel=0.01)
    assert got[1] < min(got[0], got[2])


def test_energy_score_is_that_of_all_pairs():
    """Value and slope against the plain formula, a sample that is a datum included."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn((5, 3, 4), generator=draw).double().requires_grad_()
    y = torch.cat([x.detach()[:1], torch.randn((6, 3, 4), generator=draw).double()])
    one, two = x.flatten(1), y.flatten(1)
    across = sum((a - b).norm() for a in one for b in two) / 35
    within = sum((one[i] - one[j]).norm() for i in range(5) for j in range(i)) / 10
    plain = (2 * across - within) / math.sqrt(12)
    found = energy_score(x, y)
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-14)
    slopes = [torch.autograd.grad(v, x)[0] for v in (found, plain)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-14)


def test_what_a_grid_tells_may_stand_in_an_older_file(tmp_path):
    """It was kept once, and is made anew; anything else that does not belong is refused."""

    class Model(torch.nn.Module):
        def __init__(self, kept):
            super().__init__()
            self.linear = torch.nn.Linear(2, 1)
            self.register_buffer("coordinates", torch.zeros(3), persistent=kept)

    old, new = Model(True), Model(False)
    save_model(tmp_path / "student.safetensors", "student", old, {})
    load_model(tmp_path / "student.safetensors", "student", new)
    assert torch.equal(new.linear.weight, old.linear.weight)
    old.register_buffer("other", torch.zeros(2))
    save_model(tmp_path / "other.safetensors", "student", old, {})
    with pytest.raises(PiddmError, match="does not fit"):
        load_model(tmp_path / "other.safetensors", "student", new)
