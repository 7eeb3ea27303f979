"""Jensen's gap: every claim of docs/theory.md, against closed forms, brute force and quadrature."""

import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from piddm import Axis, Grid
from piddm.cli.app import app
from piddm.data.packing import Packing
from piddm.data.simulate import simulate
from piddm.interfaces import Residual, Rows
from piddm.metrics.jensen_gap import jensen_gap
from piddm.plugins import get_pde
from piddm.residuals.norms import term_scale
from piddm.teachers.ideal import IdealDenoiser
from piddm.teachers.sampling import last
from piddm.teachers.schedules import SCHEDULES
from piddm.tools.errors import PiddmError
from piddm.tools.randomness import generator
from returning import finished

ROUNDING, TINY = 1e-11, 1e-12
SIZE, COUNT = 16, 48
LINEAR = SCHEDULES["linear"]
THEORY = Path(__file__).parents[1] / "docs" / "theory.md"


def solutions(name, count=COUNT):
    """An equation's residual, its scale and exact data, float64."""
    pde = get_pde(name)
    grid = pde.grid.resized(SIZE)
    (fields,) = simulate(pde, grid, count, generator(0, name), chunk=count)
    fields, residual = {k: fields[k] for k in pde.field_names}, pde.bind(grid)
    return residual, term_scale(residual, fields), fields


def ideal_of(residual, fields, schedule=SCHEDULES["trigonometric"]):
    packing = Packing(residual.grid, residual.field_names, 256).double().fit(fields)
    return IdealDenoiser(fields, packing, schedule)


def measured(name, levels, draws=6):
    residual, scale, fields = solutions(name)
    return finished(jensen_gap(residual, scale, ideal_of(residual, fields), levels, draws))


# Spread levels: on 48 states of some hundred dimensions the posterior spreads from about here on.
SPREAD = (0.9, 0.95, 0.98, 1.0)


@pytest.mark.parametrize("name", ["poisson", "helmholtz", "advection"])
def test_an_affine_residual_has_no_gap(name):
    levels = measured(name, SPREAD)
    assert max(level.spread for level in levels) > 10
    assert max(level.gap for level in levels) < ROUNDING
    assert max(level.of_mean for level in levels) < 1e-9


@pytest.mark.parametrize(("name", "row"), [("darcy", "mass"), ("burgers", "momentum")])
def test_a_quadratic_residual_has_the_predicted_gap_exactly(name, row):
    levels = [level for level in measured(name, SPREAD) if level.row == row]
    for level in levels:
        assert level.spread > 1.5
        assert level.gap > 0.02
        assert level.predicted == pytest.approx(level.gap, rel=1e-7)
        assert level.missed < 1e-8
        # Data satisfy the equation: all of the mean's residual is the gap.
        assert level.mean_of < ROUNDING
        assert level.of_mean == pytest.approx(level.gap, rel=1e-9)


def test_a_cubic_residual_has_more_than_the_second_order_part():
    levels = [x for x in measured("allen-cahn", (1.0,)) if x.gap > 1e-3]
    assert levels
    assert max(level.missed / level.gap for level in levels) > 0.01


def test_a_smooth_residual_is_within_the_bounds():
    """R(x) = sin 3x, whose derivatives are at most 9 and 27, on finite posteriors at random."""
    draw = np.random.default_rng(0)
    for width in (0.03, 0.1, 0.3):
        x, w = draw.normal(draw.normal(), width, (200, 8)), draw.dirichlet(np.ones(8), 200)
        mean = (w * x).sum(1)
        off = x - mean[:, None]
        gap = (w * np.sin(3 * x)).sum(1) - np.sin(3 * mean)
        variance, third = (w * off**2).sum(1), (w * np.abs(off) ** 3).sum(1)
        assert (np.abs(gap) <= 9 / 2 * variance + TINY).all()
        assert (np.abs(gap + 9 / 2 * np.sin(3 * mean) * variance) <= 27 / 6 * third + TINY).all()


def test_the_gap_vanishes_without_noise_and_ends_at_that_of_the_data_mean():
    residual, scale, fields = solutions("burgers")
    early, late = finished(
        jensen_gap(residual, scale, ideal_of(residual, fields), (0.02, 1.0), draws=4)
    )
    assert early.gap < ROUNDING
    assert early.spread == pytest.approx(1)
    mean = {k: v.mean(0, keepdim=True) for k, v in fields.items()}
    of_mean, mean_of = residual(mean)["momentum"], residual(fields)["momentum"].mean(0)
    expected = float((mean_of - of_mean[0]).square().mean().sqrt()) / scale["momentum"]
    assert late.gap == pytest.approx(expected, rel=1e-9)
    assert late.spread == pytest.approx(COUNT)
    assert late.noise > 1e12
    assert late.to_dict()["noise"] is None


def test_averaged_over_noise_the_gap_is_that_of_the_mean_covariance():
    """E R(x0) - E R(m(xt)) = 1/2 D^2R : E (x0 - m)(x0 - m)^T, by Monte Carlo over pairs."""
    residual, _, fields = solutions("darcy")
    ideal = ideal_of(residual, fields)
    t = torch.full((4096,), 0.95, dtype=torch.float64)
    x0, xt = ideal.corrupt(t, generator(0, "pairs"))
    mean = ideal.denoise(xt, t)
    apart = [residual(ideal.packing.unpack(mean + s * (x0 - mean)))["mass"] for s in (-1, 0, 1)]
    predicted = (apart[0] + apart[2]) / 2 - apart[1]
    miss = (-apart[1] - predicted).mean(0)
    error = (apart[1] + predicted).std(0) / math.sqrt(len(t))
    assert float((miss / error).square().mean().sqrt()) < 1.5  # standard errors
    size = float(predicted.mean(0).square().mean().sqrt())
    assert size > 20 * float(error.square().mean().sqrt())


@pytest.fixture(params=[0, 4, 40], ids=["modes", "both", "components"])
def tiny(request):
    """Few smooth data whose colour is of modes, of components, or of both."""
    grid = Grid(x=Axis(0, 1, 5), y=Axis(0, 1, 4))
    draw = generator(0, "tiny")
    basis = torch.randn(3, 20, generator=draw, dtype=torch.float64)
    x = torch.randn(64, 3, generator=draw, dtype=torch.float64) @ basis
    if request.param == 4:  # less than a hundredth beside the components
        x = x + 0.05 * torch.randn(x.shape, generator=draw, dtype=torch.float64)
    fields = {"u": x.view(-1, 5, 4)}
    packing = Packing(grid, ("u",), request.param).double().fit(fields)
    expected = {0: (False, True), 4: (True, True), 40: (True, False)}[request.param]
    assert (bool(packing.strengths.any()), bool(packing.spectrum.any())) == expected
    return IdealDenoiser({"u": fields["u"][:7]}, packing, LINEAR)


def test_the_ideal_denoiser_is_bayes_rule(tiny):
    t = torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64)
    _, xt = tiny.corrupt(t, generator(1, "noise"))
    unit = torch.eye(20, dtype=torch.float64).view(20, 1, 5, 4)
    colour = tiny.packing.colour(unit).flatten(1).mT
    inverse = torch.linalg.pinv(colour @ colour.mT, rtol=1e-11, hermitian=True)
    for x, level, weights in zip(xt, t, tiny.weights(xt, t), strict=True):
        off = (x - (1 - level) * tiny.data).flatten(1)
        chances = [math.exp(-float(d @ inverse @ d) / (2 * float(level) ** 2)) for d in off]
        assert weights.tolist() == pytest.approx([c / sum(chances) for c in chances], abs=1e-6)
    mean = torch.tensordot(tiny.weights(xt, t), tiny.data, dims=1)
    assert torch.allclose(tiny.denoise(xt, t), mean)


def test_whitening_undoes_the_colour(tiny):
    white = torch.randn(6, 1, 5, 4, generator=generator(2, "white"), dtype=torch.float64)
    once = tiny.whiten(tiny.packing.colour(white))
    again = tiny.whiten(tiny.packing.colour(-white))
    assert torch.allclose(once, -again)
    if bool(tiny.packing.spectrum.any()):  # else what lies beside the components is lost
        sizes = white.flatten(1).square().sum(1)
        assert torch.allclose(once.square().sum(1), sizes, rtol=1e-6)


def test_an_ideal_denoiser_is_not_trained(tiny):
    with pytest.raises(PiddmError, match="exact as it is"):
        tiny.loss(tiny.data, generator(0))


class Circle(Residual):
    """R(x) = |x|^2 - 1 for the two values of each of 4 times 4 nodes' field: points on a circle."""

    grid = Grid(x=Axis(0, 1, 4), y=Axis(0, 1, 4))
    field_names = ("u",)

    def __init__(self):
        self.rows = {"circle": Rows(np.zeros((1, 2), dtype=int), [])}

    def __call__(self, fields):
        return {"circle": (fields["u"].flatten(1).square().sum(1) - 1)[:, None]}

    def terms(self, fields):
        return {"circle": {"square": fields["u"].flatten(1).square().sum(1)[:, None]}}


def two_points():
    x = torch.zeros(2, 4, 4, dtype=torch.float64)
    x[0, 0, 0], x[1, 0, 0] = 1, -1
    return x


def white_ideal(points):
    """Noise is white: packing as it is before a fit."""
    return IdealDenoiser({"u": points}, Packing(Circle.grid, ("u",)).double(), LINEAR)


def test_two_points_on_a_circle_have_the_closed_form():
    ideal, residual = white_ideal(two_points()), Circle()
    for level in (0.3, 0.5, 0.7):
        t = torch.full((5,), level, dtype=torch.float64)
        _, xt = ideal.corrupt(t, generator(0, "circle"))
        mean = ideal.denoise(xt, t)
        expected = -(torch.cosh((1 - level) * xt[:, 0, 0, 0] / level**2) ** -2)
        assert torch.allclose(residual({"u": mean})["circle"][:, 0], expected, atol=TINY)


@pytest.mark.parametrize("weight", [0.3, 1.0, 4.0])
def test_a_penalty_on_the_mean_chooses_a_point_that_nothing_tells(weight):
    guess = np.linspace(0, 1.2, 120001)  # where the mean is 0
    best = guess[np.argmin(1 + guess**2 + weight * (guess**2 - 1) ** 2)]
    assert best == pytest.approx(math.sqrt(max(0.0, 1 - 1 / (2 * weight))), abs=1e-4)


def test_the_bias_of_a_penalty_on_the_mean_is_first_order_in_the_gap():
    mean, weight = 0.6, 1e-4
    guess = np.linspace(0.59, 0.61, 2_000_001)
    loss = guess**2 - 2 * mean * guess + weight * (guess**2 - 1) ** 2
    gap = 1 - mean**2
    assert guess[np.argmin(loss)] - mean == pytest.approx(weight * 2 * mean * gap, rel=0.01)


def two_bumps(z, alpha, sigma, tau):
    """Posterior mean and variance for x0 from N(1, tau^2) or N(-1, tau^2), half each."""
    total = alpha**2 * tau**2 + sigma**2
    choice = np.tanh(alpha * z / total)
    gain = alpha * tau**2 / total
    mean = gain * z + sigma**2 / total * choice
    return mean, (tau * sigma) ** 2 / total + (sigma**2 / total) ** 2 * (1 - choice**2)


@pytest.mark.parametrize("tau", [0.1, 0.5])
@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
def test_the_mixture_has_the_closed_form(t, tau):
    alpha, sigma = 1 - t, t
    x = np.linspace(-6, 6, 40001)
    density = np.exp(-((x - 1) ** 2) / (2 * tau**2)) + np.exp(-((x + 1) ** 2) / (2 * tau**2))
    for z in (-1.3, 0.0, 0.4, 2.0):
        w = density * np.exp(-((z - alpha * x) ** 2) / (2 * sigma**2))
        w /= w.sum()
        mean, variance = two_bumps(z, alpha, sigma, tau)
        assert mean == pytest.approx(w @ x, abs=1e-9)
        gap = w @ (x**2 - 1) - ((w @ x) ** 2 - 1)
        assert gap == pytest.approx(variance, abs=1e-9)


def mean_gap(t):
    """The mean over x_t of the two points' gap, by quadrature."""
    alpha, sigma = 1 - t, t
    z = np.linspace(-alpha - 10 * sigma, alpha + 10 * sigma, 20001)
    density = np.exp(-((z - alpha) ** 2) / (2 * sigma**2))  # the other point's is its mirror image
    gap = np.cosh(np.clip(alpha * z / sigma**2, -300, 300)) ** -2.0
    return float(density @ gap / density.sum())


def test_the_numbers_of_the_page_are_right():
    rows = re.findall(r"^\| (0\.\d+) \| ([\d.e-]+) \|$", THEORY.read_text(), re.MULTILINE)
    assert len(rows) >= 5
    for t, gap in rows:
        assert mean_gap(float(t)) == pytest.approx(float(gap), rel=6e-3)


def test_the_exact_flow_ends_on_the_data_though_means_on_its_way_do_not():
    ideal, residual = white_ideal(two_points()), Circle()
    noise = torch.randn(32, 1, 4, 4, generator=generator(0, "flow"), dtype=torch.float64)

    def error(steps):
        return float(residual({"u": last(ideal.sample(noise, steps))[:, 0]})["circle"].abs().max())

    assert error(64) < 1e-6
    end = last(ideal.sample(noise, 64))
    # Which point it is, is a function of the noise: the sign of the component that tells them.
    assert torch.equal(end[:, 0, 0, 0].sign(), noise[:, 0, 0, 0].sign())
    halfway = ideal.denoise(noise, torch.full((32,), 0.9, dtype=torch.float64))
    assert float(residual({"u": halfway[:, 0]})["circle"].abs().mean()) > 0.9


def test_the_flow_of_a_mixture_is_exact_transport():
    """Euler's steps of the exact velocity converge to the map of quantiles: Cov(x0 | noise) = 0."""
    tau, z0 = 0.2, np.array([-1.5, -0.3, 0.2, 1.1])

    def normal(x):
        return (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2

    def arrived(steps):
        z, times = z0.copy(), np.linspace(1, 0, steps + 1)
        for now, then in pairwise(times):
            mean, _ = two_bumps(z, 1 - now, now, tau)
            z = z + (then - now) * (z - mean) / now  # v = eps - x0 = (z - m)/t
        return z

    def missed(steps):
        x = arrived(steps)
        return float(np.abs((normal((x - 1) / tau) + normal((x + 1) / tau)) / 2 - normal(z0)).max())

    assert missed(4000) < 1e-3
    assert missed(4000) < missed(400) / 5


def test_on_equations_the_exact_flow_arrives_at_solutions():
    residual, scale, fields = solutions("burgers")
    ideal = ideal_of(residual, fields, LINEAR)  # on straight lines the last step has no error
    noise = torch.randn(4, *ideal.data.shape[1:], generator=generator(3), dtype=torch.float64)
    rows = residual(ideal.packing.unpack(last(ideal.sample(noise, 60))))["momentum"]
    assert float(rows.square().mean().sqrt()) / scale["momentum"] < 1e-9


def test_the_command(tmp_path):
    arguments = ["jensen", "--pde", "burgers", "-n", "24", "--size", "16", "--draws", "2"]
    result = CliRunner().invoke(app, [*arguments, "--json", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data == json.loads((tmp_path / "jensen.json").read_text()) | {"figure": data["figure"]}
    last_level = data["levels"][-1]
    assert (last_level["noise"], last_level["teacher"]) == (None, None)
    assert last_level["gap"] == pytest.approx(last_level["predicted"])
    assert (tmp_path / "jensen.png").stat().st_size > 5000


def test_the_command_on_a_run(tiny_run, tmp_path):
    arguments = ["jensen", "--run", str(tiny_run.path), "-n", "16", "--draws", "2"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "teacher's R(E[x0|xt])" in result.stdout
    levels = json.loads((tmp_path / "jensen.json").read_text())["levels"]
    assert all(level["teacher"] > 0 and level["arrived"] > 0 for level in levels)
    # Where the teacher is asked at hardly any noise, its mean and its flow's end are one.
    assert levels[0]["teacher"] == pytest.approx(levels[0]["arrived"], rel=0.2)


def test_what_cannot_be_asked(tiny_run):
    for line, words in (
        (["jensen"], "--pde NAME"),
        (["jensen", "--pde", "darcy", "--run", str(tiny_run.path)], "a run of burgers"),
        (["jensen", "--run", str(tiny_run.path), "--size", "16"], "leave it out"),
    ):
        result = CliRunner().invoke(app, line)
        assert result.exit_code == 2
        assert words in result.stderr
