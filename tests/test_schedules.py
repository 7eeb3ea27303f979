"""Noise schedules: their formulas, their rates, and the flow that they lead."""

import math
from itertools import pairwise

import pytest
import torch
from torch.func import jvp

from piddm.teachers.probability_flow import ProbabilityFlow
from piddm.teachers.sampling import last
from piddm.teachers.schedules import SCHEDULES, Linear, Paced, Trigonometric
from rivals import gaussian

PACED = ("vp", "sub-vp", "edm")
T = torch.linspace(0, 1, 101, dtype=torch.float64)
every = pytest.mark.parametrize("name", SCHEDULES)


@every
def test_rates_are_the_derivatives_of_the_levels(name):
    schedule = SCHEDULES[name]
    for level, rate in zip((schedule.alpha, schedule.sigma), schedule.rates(T), strict=True):
        slope = jvp(level, (T,), (torch.ones_like(T),))[1]
        torch.testing.assert_close(rate, slope, rtol=1e-12, atol=1e-12)
        assert bool(rate.isfinite().all())


@every
def test_levels_go_from_data_to_noise_of_unit_size(name):
    schedule = SCHEDULES[name]
    alpha, sigma = schedule.alpha(T), schedule.sigma(T)
    assert float(alpha[0]) == 1
    assert float(sigma[0]) == 0
    assert 0 <= float(alpha[-1]) < 0.013  # EDM's 1/80 is the largest
    assert float(alpha[-1] ** 2 + sigma[-1] ** 2) == pytest.approx(1, abs=1e-15)
    assert bool((alpha.diff() < 0).all())
    assert bool((sigma.diff() > 0).all())


def test_vp_and_sub_vp_are_the_integral_of_beta():
    pace = torch.linspace(0, 1, 2001, dtype=torch.float64)
    beta = 0.1 + 19.9 * pace
    integral = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(beta, pace)])
    for name, power in (("vp", 0.5), ("sub-vp", 1.0)):
        alpha, sigma = SCHEDULES[name].levels(pace)
        torch.testing.assert_close(alpha, torch.exp(-integral / 2), rtol=1e-12, atol=0)
        torch.testing.assert_close(sigma, (1 - alpha**2) ** power, rtol=1e-9, atol=1e-12)
    assert float(SCHEDULES["vp"].alpha(T)[-1]) == pytest.approx(math.exp(-5.025), rel=1e-12)


def test_edm_goes_from_its_least_to_its_largest_noise():
    schedule = SCHEDULES["edm"]
    alpha, sigma = schedule.levels(torch.linspace(0, 1, 3, dtype=torch.float64))
    middle = ((0.002 ** (1 / 7) + 80 ** (1 / 7)) / 2) ** 7
    assert sigma.tolist() == pytest.approx([0.002, middle, 80.0], rel=1e-12)
    assert alpha.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", PACED)
def test_stops_are_at_the_noise_over_signal_of_the_authors_own_times(name):
    schedule = SCHEDULES[name]
    assert isinstance(schedule, Paced)
    share = torch.linspace(1, 0, 9, dtype=torch.float64)
    alpha, sigma = schedule.levels(schedule.stops(share))
    times = schedule.times(8)
    assert times.dtype == torch.float32
    assert (float(times[0]), float(times[-1])) == (1, 0)
    t = schedule.angle(schedule.stops(share)) / schedule.end
    torch.testing.assert_close(times[:-1].double(), t[:-1], rtol=1e-6, atol=0)
    ratio = schedule.sigma(t) / schedule.alpha(t)
    torch.testing.assert_close(ratio, sigma / alpha, rtol=1e-9, atol=1e-12)


@every
def test_training_times_are_stratified_and_follow_the_authors_law(name):
    schedule, g = SCHEDULES[name], torch.Generator().manual_seed(0)
    drawn = schedule.draw(1000, g).double()
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
    share = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    if name == "edm":
        sigma = torch.tan(schedule.end * drawn.sort()[0])
        inner = slice(5, -5)  # the first of all are below 0.002
        z = (sigma.log()[inner] + 1.2) / 1.2
        torch.testing.assert_close(torch.special.ndtr(z), share[inner], rtol=0, atol=6e-4)
    elif name in PACED:
        t = (schedule.angle(share) / schedule.end).float().double()
        # The share of times below each t, to half a stratum and the rounding of float32 near 1.
        found = torch.searchsorted(drawn.sort()[0], t) / 1000
        torch.testing.assert_close(found.double(), share, rtol=0, atol=1.1e-3)
    else:
        torch.testing.assert_close(drawn.sort()[0], share, rtol=0, atol=6e-4)
    assert not bool((drawn.diff() > 0).all())


class Narrow(ProbabilityFlow):
    """Exact for Gaussian data whose variance is a share of the noise's."""

    share = 0.2

    def predict(self, xt, t):
        a, s = (v(t)[:, None, None, None] for v in (self.schedule.alpha, self.schedule.sigma))
        whole = a**2 * self.share + s**2
        return a * self.share / whole * xt, s / whole * xt

    def loss(self, x0, generator):
        raise NotImplementedError("it is exact as it is")


@pytest.mark.parametrize("name", [*PACED, "trigonometric"])
def test_data_of_the_noise_s_own_law_stand_still_in_the_flow(name, tmp_path):
    teacher = gaussian(tmp_path).teacher
    teacher.schedule = SCHEDULES[name]
    white = torch.randn(4, teacher.packing.channels, 8, 8, dtype=torch.float64)
    x = last(teacher.sample(white, 3))
    torch.testing.assert_close(x, teacher.packing.colour(white), rtol=1e-6, atol=1e-12)


@every
def test_the_flow_converges_to_its_closed_form_at_order_two(name, tmp_path):
    r"""Of data with variance v the flow keeps :math:`x_t/\sqrt{\alpha^2 v + \sigma^2}`."""
    packing = gaussian(tmp_path).packing
    teacher = Narrow(torch.nn.Identity(), packing, schedule := SCHEDULES[name])
    white = torch.ones(1, packing.channels, 8, 8, dtype=torch.float64)
    one = T[-1:]
    factor = Narrow.share / (schedule.alpha(one) ** 2 * Narrow.share + schedule.sigma(one) ** 2)
    exact = packing.colour(white) * factor.sqrt()
    steps = (20, 40, 80, 160)
    errors = [float((last(teacher.sample(white, n)) - exact).norm() / exact.norm()) for n in steps]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[-1] < 2e-3
    assert orders[-1] == pytest.approx(2, abs=0.25), (errors, orders)


def test_levels_and_times_of_the_first_two_are_what_they_were():
    """Results that are kept were made with them."""
    t = torch.linspace(0, 1, 7)
    assert torch.equal(Linear().alpha(t), 1 - t)
    assert torch.equal(Trigonometric().sigma(t), torch.sin(t * math.pi / 2))
    for schedule in (Linear(), Trigonometric()):
        assert torch.equal(schedule.times(4), torch.tensor([1, 0.75, 0.5, 0.25, 0]))
