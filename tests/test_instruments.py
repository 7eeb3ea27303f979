"""What sensors read that see no point: averages, fluxes, functions of fields, a common bias."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

import piddm
from piddm.grids.grid import Axis, Grid
from piddm.priors import GaussianField, LogNormal, Uniform
from piddm.solvers._affine import Affine
from piddm.solvers._choice import choose
from piddm.solvers.exact import LinearPosterior
from piddm.symbolic import D, Field, Param, laplace, x, y
from piddm.symbolic.formula import formula_text, parse
from piddm.tasks.bias import bias_of, whitened
from piddm.tasks.ensemble import answer
from piddm.tasks.equation_model import EquationModel
from piddm.tasks.observation_files import read_observations
from piddm.tasks.observations import Observations
from piddm.tasks.quantities import Quantity, quantity
from piddm.tasks.readings import Reading
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm.tools.errors import UsageError

a, u = Field("a"), Field("u")
nu = Param("nu", 0.1, free=True)
N = 9


def model_of(name, size=N, **changes):
    pde = dataclasses.replace(piddm.get_pde(name), **changes)
    return EquationModel(pde, piddm.make_dataset(pde, 6, size=size, progress=False))


@pytest.fixture(scope="module")
def poisson():
    return model_of("poisson")


def read(model, *texts, sigma=0.01, seed=3, seen="", share=0.1, **more):
    """Return what instruments, and sensors of a field, see of a solution; and it."""
    grid = model.residual.grid
    truth = draw_truth(model.pde, grid, seed)
    asked = [quantity(t, model.pde, grid) for t in texts]
    made = place(truth, model.pde, seen, share, sigma, reads=asked, seed=seed, **more)
    return made, {k: v[0] for k, v in truth.fields.items()}


@pytest.mark.parametrize(
    "text",
    ["a*D(u,x)", "-a*D(u, x) + 0.1*sqrt(u**2+1)", "D(a*D(u,x), y, 2)", "nu*u^-2/3"],
)
def test_a_formula_is_read_as_it_is_written(text):
    found = parse(text, [a, u], [nu], ["x", "y"])
    assert parse(formula_text(found), [a, u], [nu], ["x", "y"]) == found
    assert parse("a*D(u,x) + 2*nu", [a, u], [nu], ["x"]) == a * D(u, x) + 2 * nu


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends too early"), ("a*", "ends too early"), ("(u", "not closed"),
        ("__import__('os')", "no place"), ("open(u)", "no function 'open'"),
        ("u.diff", "no place"), ("q", "no 'q'"), ("9**9**9", "exponent"),
        ("((((9**12)**12)**12)**12)", "no value"), ("1/0", "by zero"), ("u**nu", "exponent"),
        ("exp(1000)", "no value"), ("D(u, 1)", "coordinate"), ("D(u)", "derivative is"),
        ("u u", "follow"), ("sin(u, a)", "one argument"), ("(" * 40 + "u" + ")" * 40, "brackets"),
        ("u+" * 400 + "u", "longer"),
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused_in_a_line(text, why):
    with pytest.raises(UsageError, match=why) as error:
        parse(text, [a, u], [nu], ["x", "y"])
    assert "\n" not in str(error.value)


def test_regions_and_derivatives_are_those_of_calculus():
    """Of u = x^2 (1 + 2y): differences of second order are exact, the mean is off by h^2/6."""
    pde = piddm.get_pde("poisson")
    grid = pde.grid.resized(17)
    at = torch.linspace(0, 1, 17, dtype=torch.float64)
    fields = {"a": torch.ones(1, 17, 17).double(), "u": (at[:, None] ** 2 * (1 + 2 * at))[None]}
    exact = {
        "u @ x=0.5, y=0.2:0.4": 0.4, "integral(D(u, x)) @ x=1": 4.0, "u": 2 / 3,
        "D(u, x, 2)": 4.0, "a*D(u, x) @ x=0.5, y=0.5": 2.0, "integral(u) @ x=0:0.5": 1 / 12,
        "integral(u) @ x=0.3:0.4, y=0.1:0.7": (0.4**3 - 0.3**3) / 3 * (0.6 + 0.48),
        "integral(u + 1)": 5 / 3,
    }  # fmt: skip
    readings = [Reading(quantity(t, pde, grid), 0.0, 0.1) for t in exact]
    sensors = Sensors(Observations(grid, {}, {}, {}, readings=readings), ("a", "u"))
    found = sensors(fields)[0] - sensors.values
    expected = torch.tensor(list(exact.values()), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    assert sensors.curved
    row = sensors.matrix(2 * 17 * 17, fields).toarray()[4]
    moved = {k: v + 1e-6 * torch.randn(v.shape, generator=torch.Generator().manual_seed(0),
                                       dtype=v.dtype) for k, v in fields.items()}  # fmt: skip
    flat = [torch.cat([v["a"].flatten(), v["u"].flatten()]) for v in (moved, fields)]
    change = float((sensors(moved) - sensors(fields))[0, 4])
    assert change == pytest.approx(float(row @ (flat[0] - flat[1]).numpy()), rel=1e-4)


def test_a_range_goes_across_a_seam():
    grid = Grid(x=Axis(0, 1, 20, periodic=True))
    own = [Reading(Quantity(u, {"x": (0.9, 0.1)}), 0.0, 1.0), Reading(Quantity(u), 0.0, 1.0)]
    sensors = Sensors(Observations(grid, {}, {}, {}, readings=own), ("u",))
    at = torch.from_numpy(grid.axes["x"].coordinates())
    found = sensors({"u": torch.cos(2 * math.pi * at)[None]})[0]
    # The trapezoidal rule on a quarter of a wave with 4 intervals is right to a percent.
    assert float(found[0]) == pytest.approx(math.sin(0.2 * math.pi) / (0.2 * math.pi), rel=0.01)
    assert abs(float(found[1])) < 1e-12


def test_the_mean_over_a_sphere_is_by_area():
    pde = piddm.get_pde("sphere-poisson")
    grid = pde.grid.resized(12)
    name = pde.field_names[0]
    texts = [f"integral({name})", f"{name} @ lat=0:1.5707963267948966"]
    own = [Reading(quantity(t, pde, grid), 0.0, 1.0) for t in texts]
    sensors = Sensors(Observations(grid, {}, {}, {}, readings=own), pde.field_names, "cubic")
    lat = torch.from_numpy(grid.axes["lat"].coordinates())
    fields = {k: torch.zeros(1, *grid.shape).double() for k in pde.field_names}
    fields[name] = fields[name] + (lat.sin() ** 2)[:, None]
    found = sensors(fields)[0]
    # The integral of sin^2 over the unit sphere is 4 pi / 3; cubics, one-sided at the poles.
    assert float(found[0]) == pytest.approx(4 * math.pi / 3, rel=2e-3)
    assert float(found[1]) == pytest.approx(1 / 3, rel=2e-3)


def test_a_bias_integrated_out_is_the_dense_likelihood():
    draw = np.random.default_rng(0)
    sigma, groups = draw.uniform(0.1, 1, 7), ["p", "", "p", "q", "p", "q", ""]
    bias, values = {"p": 0.7, "q": 2.0}, draw.standard_normal(7)
    mix, own = whitened(groups, bias, sigma)
    full = np.diag(sigma**2)
    for name, b in bias.items():
        at = np.array([g == name for g in groups], dtype=float)
        full += b**2 * np.outer(at, at)
    # Independent, of the same determinant, and of the same chi squared.
    np.testing.assert_allclose(mix @ full @ mix.T, np.diag(own**2), atol=1e-12)
    chi = float(((mix @ values) ** 2 / own**2).sum())
    assert chi == pytest.approx(values @ np.linalg.solve(full, values), rel=1e-10)
    mean, deviation = bias_of(torch.tensor(values)[None], groups, bias, torch.tensor(sigma))["p"]
    at = np.array([g == "p" for g in groups])
    precision = 1 / 0.49 + (1 / sigma[at] ** 2).sum()
    assert float(mean) == pytest.approx((values[at] / sigma[at] ** 2).sum() / precision)
    assert deviation == pytest.approx(precision**-0.5)


def test_the_posterior_of_linear_readings_is_that_of_dense_algebra(poisson):
    """Averages, a flux through a wall, weights of nodes and a biased group, all in closed form."""
    weights = torch.zeros(N, N, dtype=torch.float64)
    weights[2, 3], weights[5, 5] = 1.0, -2.0
    seen, truth = read(poisson, "u @ x=0.5, y=0.2:0.6", "integral(D(u,x)) @ x=1", "integral(a)",
                       sigma=0.02, seen="u", bias=0.5)  # fmt: skip
    at = Reading(Quantity(weights={"u": weights}), float((weights * truth["u"]).sum()), 0.001)
    seen = dataclasses.replace(seen, readings=[*seen.readings, at])
    task = ask("reconstruct", poisson.pde, seen)
    affine = Affine(poisson.pde, poisson.residual, {})
    prior = affine.rows(csr_matrix(np.eye(affine.columns)))
    covariance = (prior @ prior.mT).numpy()
    plain = Sensors(dataclasses.replace(seen, groups={}, bias={}), ("a", "u"))
    h, count = plain.matrix(affine.columns).toarray(), len(plain)
    noise = np.diag(plain.sigma.numpy() ** 2)
    own = np.array([g == "u" for g in seen.all_groups(("a", "u"))], dtype=float)
    noise += seen.bias["u"] ** 2 * np.outer(own, own)
    assert own.sum() == count - 4
    gain = np.linalg.solve(h @ covariance @ h.T + noise, h @ covariance).T
    mean = affine.origin.numpy() + gain @ (plain.values.numpy() - h @ affine.origin.numpy())
    spread = np.sqrt(np.diag(covariance - gain @ h @ covariance).clip(0))
    found = answer(poisson, task, "exact", 4, progress=False)
    for exact, law in ((mean, found.mean), (spread, found.std)):
        flat = torch.cat([law["a"].flatten(), law["u"].flatten()]).numpy()
        np.testing.assert_allclose(flat, exact, rtol=1e-5, atol=1e-6 * abs(exact).max())
    assert found.solver == "exact"
    assert set(found.summary()["bias"]) == {"u"}


def test_solvers_of_the_same_posterior_agree_on_readings(poisson):
    """Ensemble Kalman with many members against the closed form: damped, so to 15 % of it."""
    seen, _ = read(poisson, "u @ x=0.5", "integral(D(u,x)) @ x=1", seen="u", bias=0.3, sigma=0.05)
    task = ask("reconstruct", poisson.pde, seen)
    exact = answer(poisson, task, "exact", 2, progress=False)
    found = answer(poisson, task, "ensemble-kalman", 1000, settings={"ensemble": 1000}, batch=1000,
                   progress=False)  # fmt: skip
    away = (found.mean["a"] - exact.mean["a"]).square().mean().sqrt()
    assert float(away) < 0.2 * float(exact.std["a"].mean())
    assert abs(float(found.std["a"].mean() / exact.std["a"].mean()) - 1) < 0.1


def test_a_flow_meter_is_no_linear_function_and_classical_takes_it():
    """A product of two fields: members meet the readings to within their noise."""
    law = LogNormal(GaussianField(alpha=2.0, tau=3.0))
    model = model_of("darcy", 10, inputs={Field("a"): law})
    texts = ["a*D(u,x) @ x=0.25, y=0.5", "integral(-a*D(u,x)) @ x=1", "u @ x=0.3:0.6, y=0.5"]
    seen, _ = read(model, *texts, seen="u", share=0.1)
    task = ask("inverse", model.pde, seen)
    assert Sensors(seen, ("a", "u")).curved
    assert choose(model, task, trained=False)[0] == "classical"
    found = answer(model, task, "classical", 4, progress=False)
    assert float(found.residual.max()) < 1e-20
    assert float(found.misfit.mean()) < 3
    for solver in ("exact", "gaussian"):
        with pytest.raises(UsageError, match="classical"):
            answer(model, task, solver, 2, progress=False)


@pytest.mark.parametrize("solver", ["level-set", "ensemble-kalman"])
def test_a_flow_meter_in_a_medium_of_phases(solver):
    model = model_of("darcy", 10)
    seen, _ = read(model, "a*D(u,x) @ x=0.25, y=0.5", "integral(-a*D(u,x)) @ x=1", seen="u",
                   sigma=0.05)  # fmt: skip
    task = ask("inverse", model.pde, seen)
    found = answer(model, task, solver, 4, settings={"steps": 6}, progress=False)
    assert float(found.residual.max()) < 1e-20
    assert float(found.misfit.mean()) < 10


def test_members_end_on_the_equation_and_on_readings(poisson):
    """The Gaussian's members, projected: box averages, a flux and a bias are met as points are."""
    seen, _ = read(poisson, "u @ x=0.2:0.8", "integral(D(u,x)) @ x=1", "a*u @ x=0.5, y=0.5",
                   seen="u", sigma=0.02, bias=0.2)  # fmt: skip
    linear = dataclasses.replace(seen, readings=seen.readings[:2])
    for observed, solver, more in ((linear, "gaussian", {}), (seen, "data-space", {"steps": 200})):
        task = ask("reconstruct", poisson.pde, observed)
        found = answer(_Tolerant(poisson), task, solver, 6, project=True, settings=more,
                       progress=False)  # fmt: skip
        assert float(found.residual.max()) < 1e-12
        assert 0.1 < float(found.misfit.mean()) < 2.5


class _Tolerant(EquationModel):
    """The same with an error of its own, as a generator has it."""

    def __init__(self, model):
        super().__init__(model.pde, model.data)

    @property
    def model_error(self):
        return 0.05


def test_an_unknown_param_in_a_condition_is_read_by_a_flux():
    """u'' = 0 with u = p on one side: the flux -p is read, and p follows."""
    from piddm import PDE, Dirichlet

    p, f, w = Param("p", 1.0, free=True), Field("f"), Field("w")
    pde = PDE(
        name="slab", summary="", grid=Grid(x=Axis(0, 1, 12), y=Axis(0, 1, 12, periodic=True)),
        fields=[f, w], params=[p], equations={"balance": laplace(w, [x, y]) - f},
        conditions={"low": Dirichlet(w.at(x=0), p), "high": Dirichlet(w.at(x=1), 0)},
        inputs={f: GaussianField(alpha=2.0, tau=3.0, scale=0.01), p: Uniform(0.5, 2.5)},
    )  # fmt: skip
    model = EquationModel(pde, piddm.make_dataset(pde, 6, progress=False))
    flux = quantity("integral(-D(w,x)) @ x=1", pde)
    seen = Observations(pde.grid, {}, {}, {}, readings=[Reading(flux, 1.7, 0.001)])
    found = answer(model, ask("inverse", pde, seen), "classical", 8, progress=False)
    assert float(found.mean["p"]) == pytest.approx(1.7, abs=0.02)


@pytest.mark.parametrize("ending", ["csv", "h5"])
def test_readings_come_back_from_files(poisson, tmp_path, ending):
    from piddm.tasks.csv_files import write_csv
    from piddm.tasks.hdf5_files import write_hdf5

    seen, _ = read(poisson, "u @ x=0.5, y=0.2:0.6", "integral(-a*D(u,x)) @ x=1", seen="u", bias=0.1)
    path = tmp_path / f"seen.{ending}"
    if ending == "h5":
        weights = {"u": torch.rand(N, N, dtype=torch.float64)}
        more = Reading(Quantity(weights=weights, name="probe"), 0.3, 0.1)
        seen = dataclasses.replace(seen, readings=[*seen.readings, more])
        write_hdf5(seen, path, "poisson")
    else:
        write_csv(seen, path)
    again = read_observations(path, poisson.pde, seen.grid)
    assert [own.quantity.title for own in again.readings] == [
        own.quantity.title for own in seen.readings
    ]
    state = {k: torch.rand(2, N, N, dtype=torch.float64) for k in ("a", "u")}
    one, other = (Sensors(s, ("a", "u")) for s in (seen, again))
    assert one(state).equal(other(state))
    assert one.sigma.equal(other.sigma)
    assert one.values.equal(other.values)
    assert again.bias == seen.bias


def test_a_table_for_each_sensor(poisson, tmp_path):
    path = tmp_path / "seen.toml"
    path.write_text(
        'bias = { wall = 0.1 }\n[[sensor]]\nreads = "u"\nat = { x = 0.5, y = 0.25 }\nvalue = 1\n'
        'sigma = 0.1\n[[sensor]]\nreads = "integral(-D(u, x))"\nat = { x = 1, y = [0.2, 0.4] }\n'
        'value = 2\nsigma = 0.2\ngroup = "wall"\nname = "east"\n'
    )
    seen = read_observations(path, poisson.pde, poisson.residual.grid)
    assert seen.count == 2
    assert seen.points["u"].tolist() == [[0.5, 0.25]]
    assert seen.readings[0].quantity.region == {"x": (1, 1), "y": (0.2, 0.4)}
    assert seen.readings[0].group == "wall"
    path.write_text(path.read_text().replace("wall = 0.1", "roof = 0.1"))
    with pytest.raises(UsageError, match="group wall has no deviation"):
        read_observations(path, poisson.pde, poisson.residual.grid)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("u @ x=2", "outside the domain"), ("u @ x=0.6:0.2", "goes up"), ("q", "no 'q'"),
        ("u @ z=1", "no axis 'z'"), ("u @ x=abc", "neither a number"), ("x + 1", "no function of"),
        ("u @ x", "write a place"), ("D(u, t)", "no 't'"),
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_refused_in_a_line(poisson, text, why):
    with pytest.raises(UsageError, match=why) as error:
        quantity(text, poisson.pde)
    assert "\n" not in str(error.value)


def test_an_inverse_task_knows_no_average_of_the_inputs(poisson):
    seen, _ = read(poisson, "integral(a)", seen="u")
    with pytest.raises(UsageError, match="knows nothing of the inputs"):
        ask("inverse", poisson.pde, seen)


def test_the_evidence_of_a_bias_is_felt(poisson):
    """A shift of all sensors that one trusts spoils the answer; as a bias of theirs it does not."""
    seen, truth = read(poisson, seen="u", share=0.4, sigma=0.01)
    shift = 0.3 * float(truth["u"].std())
    moved = dataclasses.replace(seen, values={"u": seen.values["u"] + shift})
    told = dataclasses.replace(moved, bias={"u": shift}, groups={"u": ["u"] * seen.count})
    errors = []
    for observed in (seen, moved, told):
        posterior = LinearPosterior(
            Affine(poisson.pde, poisson.residual, {}), Sensors(observed, ("a", "u"))
        )
        mean = posterior.affine.fields(posterior.mean[None])["a"][0]
        errors.append(float((mean - truth["a"]).norm() / truth["a"].norm()))
    assert errors[1] > 1.5 * errors[0]
    assert errors[2] < 1.2 * errors[0]


@pytest.mark.parametrize("solver", ["latent", "hybrid", "guided", "hamiltonian", "gaussian"])
def test_solvers_with_networks_take_readings(tiny_run, solver):
    """Nothing is learnt, but what is read and a common bias go through every step of them."""
    grid = tiny_run.residual.grid
    truth = draw_truth(tiny_run.pde, grid, 1)
    (name,) = tiny_run.pde.field_names
    texts = [f"{name} @ t=0.5", f"integral({name}) @ t=0.2:0.6", f"{name}*D({name},x) @ t=1"]
    asked = [quantity(t, tiny_run.pde, grid) for t in texts[: 2 + (solver != "gaussian")]]
    seen = place(truth, tiny_run.pde, name, 0.05, 0.05, reads=asked, bias=0.2)
    few = {"latent": {"steps": 2}, "hybrid": {"steps": 2}, "guided": {"steps": 3},
           "hamiltonian": {"steps": 2, "search": 2, "leapfrog": 2}, "gaussian": {}}  # fmt: skip
    found = answer(
        tiny_run, ask("reconstruct", tiny_run.pde, seen), solver, 2, settings=few[solver],
        project=solver == "gaussian", progress=False,
    )  # fmt: skip
    assert all(bool(v.isfinite().all()) for v in found.fields.values())
    assert set(found.bias) == {name}
    if solver == "gaussian":
        assert float(found.residual.max()) < 1e-12
        assert float(found.misfit.mean()) < 3


def test_a_problem_with_instruments_is_made_and_asked(tmp_path, monkeypatch):
    import json

    from typer.testing import CliRunner

    from piddm.cli.app import app

    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    made = run.invoke(app, ["observe", "--pde", "poisson", "--size", "12", "--fields", "u",
                            "--share", "0.1", "--noise", "0.02", "--bias", "0.3",
                            "--reads", "integral(D(u,x)) @ x=1",
                            "--reads", "u @ x=0.2:0.6, y=0.3:0.7"])  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "integral(D(u, x))" in made.stdout
    found = run.invoke(app, ["solve", "inverse", "--pde", "poisson", "--size", "12",
                             "--observations", "observations.csv", "--truth", "truth.h5",
                             "--samples", "4", "--json", "--out", "answer"])  # fmt: skip
    assert found.exit_code == 0, found.output
    summary = json.loads(found.stdout)
    assert summary["solver"] == "exact"
    assert set(summary["bias"]) == {"u"}
    assert (tmp_path / "answer/figures/solution.png").stat().st_size > 0
