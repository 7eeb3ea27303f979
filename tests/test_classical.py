"""The classical solver against closed forms of the posterior, finite differences and its data."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from piddm import PDE, Axis, Dirichlet, Grid, UsageError, get_pde
from piddm.data.simulate import simulate
from piddm.numerics.jacobian import Jacobian
from piddm.priors import (
    GaussianField,
    Inverse,
    KarhunenLoeve,
    LogNormal,
    Sines,
    TwoPhase,
    Uniform,
    UnitRange,
    ZeroOnEdge,
)
from piddm.runs.asking import equation_model
from piddm.solvers._sensitivity import Inputs, Sensitivity
from piddm.solvers.classical import ClassicalSolver
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm.tasks.ensemble import answer
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth
from piddm.tasks.task import ask

a, u = Field("a"), Field("u")
NU = Param("nu", 0.03, free=True)
BOX = Grid(x=Axis(0, 1, 9), y=Axis(0, 1, 9))
SPACE_TIME = Grid(t=Axis(0, 1, 12, time=True), x=Axis(0, 1, 12, periodic=True))
POISSON = PDE("poisson-9", "", BOX, [a, u], {"balance": laplace(u, [x, y]) - a},
              inputs={a: GaussianField(2.0, 3.0)},
              conditions={"wall": Dirichlet(u, 0)})  # fmt: skip
MEDIUM = PDE("medium", "", BOX, [a, u], {"mass": D(a * D(u, x), x) + D(a * D(u, y), y) + 1},
             inputs={a: LogNormal(KarhunenLoeve(0.3, 6))},
             conditions={"wall": Dirichlet(u, 0)})  # fmt: skip
BURGERS = PDE("burgers-12", "", SPACE_TIME, [u],
              {"momentum": D(u, t) + D(u**2 / 2, x) - NU * D(u, x, 2)}, params=[NU],
              inputs={u.at(t=0): GaussianField(2.5, 7.0), NU: Uniform(0.01, 0.1)})  # fmt: skip


def opened(pde):
    """Return a run's equation, truths and scales, without models."""
    (truth,) = simulate(pde, pde.grid, 2, torch.Generator().manual_seed(5))
    scale = {k: float(truth[k].std()) for k in pde.field_names}
    packing = SimpleNamespace(field_scale=lambda: scale)
    return SimpleNamespace(pde=pde, residual=pde.bind(pde.grid), packing=packing), truth


def seen(pde, values, share, sigma, **more):
    generator = torch.Generator().manual_seed(1)
    mask = {k: torch.rand(v.shape, generator=generator) < share for k, v in values.items()}
    noisy = {k: v + sigma * torch.randn(v.shape, generator=generator, dtype=torch.float64)
             for k, v in values.items()}  # fmt: skip
    return Observations.at_nodes(pde.grid, noisy, mask, sigma, **more)


def solved(run, task, count, **settings):
    steps = ClassicalSolver(run, **settings).solve(task, count, torch.Generator().manual_seed(2))
    values = []
    while True:
        try:
            values.append(next(steps).values)
        except StopIteration as end:
            return end.value.fields, values


@pytest.mark.parametrize("share", [0.1, 1.0], ids=["fewer-than-unknowns", "more-than-unknowns"])
def test_linear_members_are_samples_of_the_gaussian_posterior(share):
    """Mean and covariance of a, over members, against the formula of Gaussian conditioning."""
    (run, truth), count = opened(POISSON), 120
    sigma = 0.3 * float(truth["u"].std())
    obs = seen(POISSON, {"a": truth["a"][0], "u": truth["u"][0]}, share, sigma)
    fields, values = solved(run, ask("reconstruct", POISSON, obs), count)
    assert len(values) == 2  # in closed form: told what it found, then that it is done
    root = GaussianField(2.0, 3.0).from_white(BOX, torch.eye(81, dtype=torch.float64)).flatten(1).T
    every = POISSON.solve({a: torch.eye(81, dtype=torch.float64).view(81, 9, 9)}, BOX)
    h = Sensors(obs, ("a", "u"))(every).T.numpy()
    prior, y_ = (root @ root.T).numpy(), Sensors(obs, ("a", "u")).values.numpy()
    gain = prior @ h.T @ np.linalg.inv(h @ prior @ h.T + sigma**2 * np.eye(len(y_)))
    mean, covariance = gain @ y_, prior - gain @ h @ prior
    deviation = np.sqrt(covariance.diagonal())
    got = fields["a"].flatten(1).numpy()
    wrong = (got.mean(0) - mean) / deviation  # each of unit variance over the root of their count
    assert np.sqrt(np.square(wrong).mean()) < 3 / math.sqrt(count)
    # The covariance of so many samples errs by this much in the mean: Wishart's law.
    error = math.sqrt((covariance.trace() ** 2 + np.square(covariance).sum()) / count)
    assert np.linalg.norm(np.cov(got.T) - covariance) < 1.3 * error
    assert np.linalg.norm(prior - covariance) > 0.3 * np.linalg.norm(prior)  # data tell


@pytest.mark.parametrize("pde", [BURGERS, MEDIUM], ids=["burgers-with-nu", "lognormal"])
@pytest.mark.parametrize("share", [0.03, 0.9], ids=["adjoint", "tangent"])
def test_derivatives_are_those_of_finite_differences(pde, share):
    run, truth = opened(pde)
    obs = seen(pde, {"u": truth["u"][0]}, share, 0.0)
    sensors = Sensors(obs, pde.field_names)
    inputs = Inputs(pde, pde.grid, pde.inputs)
    assert (len(sensors) < inputs.size) == (share < 0.5)
    jacobian = Jacobian(run.residual, params=pde.free_params)
    slopes = Sensitivity(pde, jacobian, inputs, list(pde.inputs), sensors)
    z = torch.randn(2, inputs.size, generator=torch.Generator().manual_seed(3)).double()
    along, h = torch.randn(inputs.size, generator=torch.Generator().manual_seed(4)).double(), 1e-5
    up, down = (sensors(pde.solve(inputs(z + s * h * along), pde.grid)) for s in (1, -1))
    expected = (up - down) / (2 * h)
    found = torch.stack([g @ along for g in slopes(pde.solve(inputs(z), pde.grid), z)])
    assert float((found - expected).norm() / expected.norm()) < 1e-6


def test_a_nonlinear_equation_fits_exact_data_and_finds_its_viscosity():
    run, truth = opened(BURGERS)
    task = ask("reconstruct", BURGERS, seen(BURGERS, {"u": truth["u"][1]}, 0.6, 0.0))
    fields, values = solved(run, task, 4)
    assert values[-1]["misfit"] < 2
    error = (fields["u"] - truth["u"][1]).flatten(1).norm(dim=1) / truth["u"][1].norm()
    assert float(error.max()) < 0.02
    assert fields["nu"].tolist() == pytest.approx([float(truth["nu"][1])] * 4, rel=0.05)
    rows = run.residual(fields)["momentum"]
    assert float(rows.abs().max()) < 1e-8


def test_no_member_stays_where_a_film_has_decayed():
    """One exact value of a heat equation's last time: far from it no slope leads there."""
    pde = get_pde("heat")
    model = equation_model(pde, 24, progress=False)
    truth = draw_truth(pde, model.residual.grid, 0).fields["u"][0]
    mask = torch.zeros(truth.shape, dtype=torch.bool)
    mask[-1, 1] = True
    observed = Observations.at_nodes(model.residual.grid, {"u": truth}, {"u": mask})
    found = answer(model, ask("inverse", pde, observed), "classical", 8, progress=False)
    assert float(found.misfit.max()) < chi2.isf(1e-6, 1)  # without a second start 8,700
    assert len(set(found.misfit.tolist())) == 8  # each has noise of its own


def test_a_known_param_is_held():
    run, truth = opened(BURGERS)
    obs = seen(BURGERS, {"u": truth["u"][1]}, 0.6, 0.0, params={"nu": float(truth["nu"][1])})
    fields, _ = solved(run, ask("reconstruct", BURGERS, obs), 2)
    assert "nu" not in fields
    assert float((fields["u"] - truth["u"][1]).norm() / truth["u"][1].norm()) < 0.04


def test_a_forward_task_is_one_solve():
    pde = get_pde("darcy")
    pde = PDE("two-phase", "", BOX, pde.fields, pde.equations, pde.inputs,
              conditions=pde.conditions)  # fmt: skip
    run, truth = opened(pde)
    obs = Observations.at_nodes(BOX, {"a": truth["a"][0]})
    fields, _ = solved(run, ask("forward", pde, obs), 3)
    assert fields["u"].shape == (3, 9, 9)
    assert float((fields["u"] - truth["u"][0]).abs().max()) < 1e-12
    with pytest.raises(UsageError, match=r"TwoPhase.*has no derivative"):
        solved(run, ask("inverse", pde, Observations.at_nodes(BOX, {"u": truth["u"][0]})), 1)


def test_noisy_inputs_are_not_taken_at_their_word():
    run, truth = opened(POISSON)
    obs = seen(POISSON, {"a": truth["a"][0]}, 1.0, 0.1)
    fields, _ = solved(run, ask("forward", POISSON, obs), 40)
    assert 0.02 < float(fields["a"].std(0).mean()) < 0.1


def test_members_depend_on_the_generator_alone():
    run, truth = opened(MEDIUM)
    task = ask("reconstruct", MEDIUM, seen(MEDIUM, {"u": truth["u"][0]}, 0.3, 1e-3))
    assert torch.equal(solved(run, task, 2)[0]["a"], solved(run, task, 2)[0]["a"])


def test_a_domain_too_large_to_factorise_is_refused():
    cube = Grid(t=Axis(0, 1, 32, time=True), x=Axis(0, 1, 32, periodic=True),
                y=Axis(0, 1, 32))  # fmt: skip
    pde = PDE("cube", "", cube, [u], {"heat": D(u, t) - laplace(u, [x, y]) / 100},
              conditions={"wall": Dirichlet(u, 0)},
              inputs={u.at(t=0): GaussianField(2.5, 7.0)})  # fmt: skip
    run = SimpleNamespace(pde=pde, residual=pde.bind(cube),
                          packing=SimpleNamespace(field_scale=lambda: {"u": 1.0}))  # fmt: skip
    obs = Observations.at_points(cube, {"u": torch.full((1, 3), 0.5)},
                                 {"u": torch.ones(1)}, 0.1)  # fmt: skip
    with pytest.raises(UsageError, match=r"too many"):
        solved(run, ask("reconstruct", pde, obs), 1)


LINE = Grid(x=Axis(0, 1, 16, periodic=True))


@pytest.mark.parametrize(
    ("prior", "grid"),
    [
        (GaussianField(2.5, 7.0), LINE),
        (KarhunenLoeve(0.3, 6), BOX),
        (LogNormal(GaussianField(2.0, 3.0)), BOX),
        (ZeroOnEdge(GaussianField(2.0, 3.0)), BOX),
        (UnitRange(Sines(2, (2, 2))), LINE),
        (Sines(2, (1, 1), (0.5, 1.5), (0.1, 0.3)), LINE),
        (Inverse(Uniform(2.0, 20.0)), LINE),
    ],
    ids=str,
)
def test_maps_of_white_noise_have_the_law_that_is_drawn(prior, grid):
    """Mean and deviation at every node, of 4,000 draws each, within five standard errors."""
    noise = torch.randn(
        4000, prior.white(grid), generator=torch.Generator().manual_seed(6)
    ).double()
    mapped = prior.from_white(grid, noise.double())
    drawn = prior.sample(grid, 4000, torch.Generator().manual_seed(7))
    assert mapped.shape == drawn.shape
    size = drawn.std(0).mean()
    assert float((mapped.mean(0) - drawn.mean(0)).abs().max()) < 5 * float(size) / 40
    assert float((mapped.std(0) - drawn.std(0)).abs().max()) < 5 * float(size) / 40


@pytest.mark.parametrize("prior", [TwoPhase(GaussianField(2.0, 3.0), 0.0, 1.0), Sines(1, (1, 2))])
def test_laws_with_steps_have_no_derivative(prior):
    with pytest.raises(UsageError, match=r"has no derivative"):
        prior.white(LINE)
