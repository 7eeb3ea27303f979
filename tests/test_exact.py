"""The exact posterior against dense algebra written down from the residual by itself."""

import dataclasses
import math
from dataclasses import replace

import pytest
import torch

import piddm
from piddm import PDE, Axis, Dirichlet, Grid
from piddm.data.dataset import Dataset
from piddm.priors import GaussianField, LogNormal, Uniform
from piddm.runs.asking import equation_model
from piddm.solvers._affine import Affine, bent
from piddm.solvers.exact import ExactSolver, LinearPosterior
from piddm.symbolic import Field, Param, laplace, x, y
from piddm.tasks.ensemble import answer
from piddm.tasks.equation_model import EquationModel
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm.tools.errors import UsageError
from returning import finished

N = 9


def dense_prior(pde, grid):
    """Return mean and covariance of all fields, flattened, from autograd of residual and law."""
    (prior,) = pde.inputs.values()
    residual, n = pde.bind(grid), math.prod(grid.shape)

    def rows(flat):
        a, u = flat.view(2, 1, *grid.shape)
        return torch.cat([v.flatten() for v in residual({"a": a, "u": u}).values()])

    zero = torch.zeros(2 * n, dtype=torch.float64)
    jacobian, rest = torch.func.jacfwd(rows)(zero), rows(zero)
    by_a, by_u = jacobian[:, :n], jacobian[:, n:]
    white = torch.zeros(prior.white(grid), dtype=torch.float64)
    law = torch.func.jacfwd(lambda z: prior.from_white(grid, z[None]).flatten())(white)
    solve = torch.linalg.lstsq(by_u, torch.cat([by_a @ law, rest[:, None]], 1)).solution
    root = torch.cat([law, -solve[:, :-1]])
    return torch.cat([zero[:n], -solve[:, -1]]), root @ root.mT


def solved(solver, task, count, seed=0):
    return finished(solver.solve(task, count, torch.Generator().manual_seed(seed)))


def model_of(name, size, **changes):
    pde = dataclasses.replace(piddm.get_pde(name), **changes)
    grid = pde.grid.resized(size)
    return EquationModel(pde, piddm.make_dataset(pde, 8, size=size, progress=False)), grid


@pytest.mark.parametrize("name", ["poisson", "helmholtz"])
@pytest.mark.parametrize("seen", ["u", "a", "a,u"])
def test_mean_and_deviations_are_those_of_dense_algebra(name, seen):
    model, grid = model_of(name, N)
    truth = draw_truth(model.pde, grid, 3)
    observed = place(truth, model.pde, seen, 0.3, 0.05, between=True, seed=2)
    mean, covariance = dense_prior(model.pde, grid)
    sensors = Sensors(observed, model.pde.field_names)
    h = torch.from_numpy(sensors.matrix(len(mean)).toarray())
    inner = h @ covariance @ h.mT + torch.diag(sensors.sigma**2)
    gain = torch.linalg.solve(inner, h @ covariance).mT
    mean = mean + gain @ (sensors.values - h @ mean)
    deviation = (covariance - gain @ h @ covariance).diagonal().clamp_min(0).sqrt()
    found = solved(ExactSolver(model), ask("reconstruct", model.pde, observed), 4)
    assert found.mean is not None
    assert found.deviation is not None
    for part, exact in ((found.mean, mean), (found.deviation, deviation)):
        flat = torch.cat([part["a"].flatten(), part["u"].flatten()])
        # Both are algebra in float64; the difference of two covariances loses half the digits.
        torch.testing.assert_close(flat, exact, rtol=1e-6, atol=1e-7 * float(exact.abs().max()))


def test_draws_have_the_posterior_covariance():
    model, grid = model_of("poisson", N)
    observed = place(draw_truth(model.pde, grid, 3), model.pde, "u", 0.2, 0.02, seed=2)
    sensors = Sensors(observed, ("a", "u"))
    posterior = LinearPosterior(Affine(model.pde, model.residual, {}), sensors)
    draws = posterior.draws(20_000, torch.Generator().manual_seed(1))
    deviation = posterior.deviation(torch.Generator(), every=True)
    # Of 20,000 draws a deviation is off by 0.5 %, a mean by 0.7 % of one: five times that.
    open_ = deviation > 1e-9
    torch.testing.assert_close(draws.std(0)[open_], deviation[open_], rtol=0.025, atol=0)
    away = (draws.mean(0) - posterior.mean)[open_] / deviation[open_]
    assert float(away.abs().max()) < 0.036
    mean, covariance = dense_prior(model.pde, grid)
    h = torch.from_numpy(sensors.matrix(len(mean)).toarray())
    seen = torch.from_numpy(sensors.matrix(posterior.affine.columns).toarray()) @ draws.mT
    inner = h @ covariance @ h.mT
    noise = torch.diag(sensors.sigma**2)
    exact = inner - inner @ torch.linalg.solve(inner + noise, inner)
    # Of what sensors see the whole covariance, entries of which are off by 1 % of the largest.
    assert float((torch.cov(seen) - exact).abs().max()) < 0.05 * float(exact.abs().max())


def test_large_states_take_variances_of_the_law_and_of_draws(monkeypatch):
    from piddm.solvers import exact

    model, grid = model_of("poisson", 15)
    observed = place(draw_truth(model.pde, grid, 3), model.pde, "u", 0.1, 0.02, seed=2)
    posterior = LinearPosterior(
        Affine(model.pde, model.residual, {}), Sensors(observed, ("a", "u"))
    )
    whole = posterior.affine.fields(posterior.deviation(torch.Generator(), every=True)[None])
    monkeypatch.setattr(exact, "EVERY", 10)
    monkeypatch.setattr(exact, "DRAWS", 4000)
    found = posterior.affine.fields(posterior.deviation(torch.Generator().manual_seed(0))[None])
    torch.testing.assert_close(found["a"], whole["a"], rtol=1e-7, atol=1e-9)
    inside = whole["u"] > 1e-9
    torch.testing.assert_close(found["u"][inside], whole["u"][inside], rtol=0.06, atol=0)


def test_exact_sensors_walls_and_the_same_place_twice():
    model, grid = model_of("poisson", N)
    truth = draw_truth(model.pde, grid, 3)
    where = torch.zeros(grid.shape, dtype=torch.bool)
    where[0], where[2::3, 2::3] = True, True  # a whole wall, of which the law says nothing
    observed = Observations.at_nodes(grid, {"u": truth.fields["u"][0]}, {"u": where})
    found = solved(ExactSolver(model), ask("inverse", model.pde, observed), 3)
    sensors = Sensors(observed, ("a", "u"))
    size = float(truth.fields["u"].std())
    assert float((sensors(found.fields) - sensors.values).abs().max()) < 1e-5 * size
    rows = model.residual(found.fields)
    assert float(rows["balance"].abs().max()) < 1e-10


def test_coverage_over_truths_is_nominal():
    model, grid = model_of("poisson", 16)
    hits = []
    for seed in range(40):
        truth = draw_truth(model.pde, grid, seed)
        observed = place(truth, model.pde, "u", 0.1, 0.02, seed=seed)
        found = answer(model, ask("inverse", model.pde, observed), "exact", 2, progress=False)
        hits.append(found.covered({"a": truth.fields["a"][0]}, 0.9)["a"])
    # Nodes of one truth are alike, so that the mean over 40 truths has an error of about 1 %.
    assert abs(sum(hits) / len(hits) - 0.9) < 0.03


def test_observations_that_the_law_excludes_are_told():
    model, grid = model_of("poisson", N)
    truth = draw_truth(model.pde, grid, 3)
    observed = place(truth, model.pde, "u", 0.3, 0.05, seed=2)
    far = dataclasses.replace(observed, values={"u": 30 * observed.values["u"]})
    task = ask("inverse", model.pde, far)
    found = answer(model, task, "exact", 2, progress=False)
    assert "chi squared" in found.caution
    assert "excludes" in found.caution
    task = ask("inverse", model.pde, observed)
    assert not answer(model, task, "exact", 2, progress=False).caution


def test_what_is_not_linear_or_not_gaussian_is_named():
    darcy, poisson, burgers = (piddm.get_pde(k) for k in ("darcy", "poisson", "burgers"))
    (law,) = poisson.inputs.values()
    wavy = dataclasses.replace(poisson, inputs={poisson.fields[0]: LogNormal(law)})
    for pde, why in (
        (darcy, "no derivative"), (wavy, "not Gaussian"), (burgers, "momentum is not linear"),
    ):  # fmt: skip
        residual = pde.bind(pde.grid.resized(12))
        assert why in bent(pde, residual, {})
    pde = poisson
    assert not bent(pde, pde.bind(pde.grid.resized(12)), {})
    model, grid = model_of("burgers", 12)
    observed = place(draw_truth(model.pde, grid, 3), model.pde, "u", 0.3, 0.05, seed=2)
    with pytest.raises(UsageError, match="take classical"):
        solved(ExactSolver(model), ask("reconstruct", model.pde, observed), 2)


def test_a_scalar_whose_law_is_not_gaussian_is_refused_with_what_can():
    """A source of unknown strength: linear, but a Uniform is no Gaussian law."""
    a, u, c = Field("a"), Field("u"), Param("c", 0.5, free=True)
    box = Grid(x=Axis(0, 1, 8), y=Axis(0, 1, 8))
    pde = PDE("sourced", "", box, [a, u], {"balance": laplace(u, [x, y]) - a - c},
              inputs={a: GaussianField(2.0, 3.0), c: Uniform(0, 1)}, params=[c],
              conditions={"wall": Dirichlet(u, 0)})  # fmt: skip
    model = equation_model(pde, progress=False)
    seen = place(draw_truth(pde, box, 0), pde, "u", 0.3, 0.02)
    with pytest.raises(UsageError, match="the law of c is not Gaussian; take classical"):
        answer(model, ask("inverse", pde, seen), "exact", 2, progress=False)
    found = answer(model, ask("inverse", pde, seen), "classical", 4, progress=False)
    assert found.fields["c"].shape == (4,)


def test_an_exact_answer_is_done_whatever_was_observed():
    """Readings that the law all but excludes: no effort would bring an exact posterior nearer."""
    model, grid = model_of("poisson", N)
    observed = place(draw_truth(model.pde, grid, 3), model.pde, "u", 0.1, 0.02, seed=2)
    wild = replace(observed, values={k: 1e4 * v for k, v in observed.values.items()})
    found = answer(model, ask("inverse", model.pde, wild), "exact", 4, progress=False)
    assert "the law of the inputs all but excludes the observations" in found.caution
    assert "not done" not in found.doubt
    assert "law, sigma or a sensor does not fit" in found.doubt
    for said in (found.in_words(), str(found.summary()["intervals"])):
        assert "exact for the law of the inputs; not calibrated for any other" in said


def test_what_would_not_fit_is_refused_before_memory_is_taken(monkeypatch):
    from piddm.solvers import exact

    def taken(*_):
        raise AssertionError("the equation is factorised before its memory is told")

    monkeypatch.setattr(exact, "LARGEST", 1e-6)
    monkeypatch.setattr(exact, "Affine", taken)
    model, grid = model_of("poisson", N)
    observed = place(draw_truth(model.pde, grid, 3), model.pde, "u", 0.3, 0.05, seed=2)
    with pytest.raises(UsageError, match=r"would take .* GB .*or ensemble-kalman"):
        solved(ExactSolver(model), ask("inverse", model.pde, observed), 2)


@pytest.mark.parametrize("periodic", [False, True])
def test_the_variance_of_a_law_is_that_of_its_modes(periodic):
    axis = piddm.Axis(0, 2, 6, periodic=periodic)
    grid = piddm.Grid(x=axis, y=piddm.Axis(0, 1, 5))
    law = GaussianField(alpha=2.0, tau=3.0)
    torch.testing.assert_close(law.variance(grid), super(GaussianField, law).variance(grid))


def test_a_linear_equation_in_time_has_it_too():
    (start,) = piddm.get_pde("advection").inputs
    model, grid = model_of("advection", 12, inputs={start: GaussianField(alpha=2.5, tau=7.0)})
    observed = place(draw_truth(model.pde, grid, 1), model.pde, "u", 0.2, 0.02, seed=1)
    found = answer(model, ask("reconstruct", model.pde, observed), "exact", 30, progress=False)
    assert found.residual.max() < 1e-20
    assert 0.5 < float(found.misfit.mean()) < 2


def test_data_in_place_of_simulated_solutions():
    pde = piddm.get_pde("poisson")
    data = piddm.make_dataset(pde, 8, size=N, progress=False)
    model = equation_model(pde, data=data)
    assert isinstance(model.data, Dataset)
    assert model.residual.grid == data.grid
    with pytest.raises(UsageError, match="are of poisson"):
        equation_model("darcy", data=data)
    with pytest.raises(UsageError, match="leave the size out"):
        equation_model(pde, size=N + 1, data=data)
