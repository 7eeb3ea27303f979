"""The last step of an answer, against dense algebra and the derived solver."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from piddm import PDE, Axis, Dirichlet, Grid, Integral, Neumann
from piddm.data.simulate import simulate
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.projection import Projection
from piddm.priors import GaussianField, Uniform
from piddm.residuals.norms import mean_squares, term_scale
from piddm.residuals.wrappers import with_params
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm.tasks.likelihood import EXACT
from piddm.tasks.nearest import MemberProjection
from piddm.tasks.observations import Observations
from piddm.tasks.observed_rows import SEEN, Observed
from piddm.tasks.sensors import Sensors
from piddm.tasks.task import ask

a, u = Field("a"), Field("u")
NU, C = Param("nu", 0.03, free=True), Param("c", 0.0, free=True)
BOX = Grid(x=Axis(0, 1, 8), y=Axis(0, 1, 8))
SPACE_TIME = Grid(t=Axis(0, 1, 8, time=True), x=Axis(0, 1, 8, periodic=True))
SMOOTH = GaussianField(2.5, 7.0)
POISSON = PDE("poisson-8", "", BOX, [a, u], {"balance": laplace(u, [x, y]) - a},
              inputs={a: GaussianField(2.0, 3.0)},
              conditions={"wall": Dirichlet(u, 0)})  # fmt: skip
BURGERS = PDE("burgers-8", "", SPACE_TIME, [u],
              {"momentum": D(u, t) + D(u**2 / 2, x) - D(u, x, 2) / 30},
              inputs={u.at(t=0): SMOOTH})  # fmt: skip
VISCOUS = PDE("viscous-8", "", SPACE_TIME, [u],
              {"momentum": D(u, t) + D(u**2 / 2, x) - NU * D(u, x, 2)}, params=[NU],
              inputs={u.at(t=0): SMOOTH, NU: Uniform(0.01, 0.1)})  # fmt: skip
NEUMANN = PDE("neumann-8", "", BOX, [a, u], {"balance": laplace(u, [x, y]) + a - C},
              inputs={a: SMOOTH}, params=[C], conditions={"wall": Neumann(u, 0)},
              integrals={"mean": Integral(u, 0)})  # fmt: skip
ALGEBRAS = ("banded", "gradients")
TAU = 0.05


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def opened(pde, count=3):
    """Return what a finisher needs of a run, without models, and truths."""
    (truth,) = simulate(pde, pde.grid, count, draw(5))
    size, residual = {k: float(truth[k].std()) for k in pde.field_names}, pde.bind(pde.grid)
    packing = SimpleNamespace(field_scale=lambda: size, norm=lambda: size)
    return SimpleNamespace(
        pde=pde, residual=residual, soft_residual=residual, packing=packing,
        scale=term_scale(residual, truth), model_error=TAU,
    ), truth  # fmt: skip


def off(run, truth, noise=TAU):
    """Return members that are off the truth."""
    size, chance = run.packing.norm(), draw(3)
    return {
        k: truth[k] + noise * s * torch.randn(truth[k].shape, generator=chance).double()
        for k, s in size.items()
    }


def scattered(pde, truth, count, names=("u",), sigma=0.0, interpolation="linear"):
    """Return observations of the first truth at points between nodes, noise of so many sigma."""
    points = {
        k: torch.rand(count, 2, generator=draw(8 + i), dtype=torch.float64)
        for i, k in enumerate(names)
    }
    nothing = {k: torch.zeros(count) for k in names}
    there = Sensors(Observations.at_points(pde.grid, points, nothing), pde.field_names,
                    interpolation)  # fmt: skip
    seen = there({k: truth[k][:1] for k in pde.field_names})[0]
    noisy = seen + sigma * torch.randn(len(seen), generator=draw(9), dtype=torch.float64)
    values = dict(zip(names, noisy.split(count), strict=True))
    return Observations.at_points(pde.grid, points, values, sigma)


def finished(run, task, members, **more):
    steps = MemberProjection(run, task, **more)(members, draw(1))
    done = []
    while True:
        try:
            done.append(next(steps))
        except StopIteration as end:
            return end.value, done


def residual_of(run, fields, **params):
    given = {k: torch.full((len(fields["u"]),), v, dtype=torch.float64) for k, v in params.items()}
    return sum(map(float, mean_squares(run.residual, given | fields, run.scale).values()))


# Observations as rows.


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("pde", [POISSON, BURGERS, VISCOUS], ids=lambda p: p.name)
def test_rows_and_reaches_are_those_of_automatic_differentiation(pde, interpolation):
    """Sensors in cells at walls, and on both sides of a periodic seam."""
    run, truth = opened(pde, 2)
    edge = [[0.0, 0.99], [0.99, 0.01], [1.0, 0.5], [0.3, 0.93], [0.999, 0.9999], [0.0, 0.0]]
    points = torch.cat([torch.tensor(edge), torch.rand(9, 2, generator=draw(1))]).double()
    values = torch.randn(15, generator=draw(2))
    seen = Observations.at_points(
        pde.grid, dict.fromkeys(pde.field_names, points), dict.fromkeys(pde.field_names, values)
    )
    sensors = Sensors(seen, pde.field_names, interpolation)
    unit = torch.linspace(0.5, 2, len(sensors), dtype=torch.float64)
    observed = Observed(run.residual, sensors, unit)
    state = off(run, truth) | {k: truth[k] for k in pde.free_params}
    state[SEEN] = sensors.values.expand(2, -1)
    scale = {**run.scale, SEEN: 1.0}
    jacobian = Jacobian(observed, params=pde.free_params)
    rows, entries = jacobian.values(state, scale)
    torch.testing.assert_close(rows[:, -len(unit) :], (sensors(state) - sensors.values) / unit)
    terms = observed.terms(state)[SEEN]
    torch.testing.assert_close(terms["seen"] + terms["observed"], rows[:, -len(unit) :])
    for k in range(2):
        one = {name: v[k : k + 1] for name, v in state.items()}

        def all_rows(flat, one=one):
            parts = flat.split([one[name].numel() for name in jacobian.names])
            moving = {n: p.view_as(one[n]) for n, p in zip(jacobian.names, parts, strict=True)}
            return jacobian.vector({**one, **moving}, scale)[0]

        at = torch.cat([one[name].flatten() for name in jacobian.names])
        dense = torch.autograd.functional.jacobian(all_rows, at)
        sparse = torch.zeros_like(dense)
        place = torch.from_numpy(jacobian.row), torch.from_numpy(jacobian.column)
        sparse.index_put_(place, entries[:, k], accumulate=True)
        torch.testing.assert_close(sparse, dense, rtol=1e-10, atol=1e-10)


# Soft rows.


def softly(pde, slack, algebra, seed=3):
    """Return the projection with every field seen at points, its input, result and the run."""
    run, truth = opened(pde)
    seen = scattered(pde, truth, 12, pde.field_names, 0.1)
    sensors = Sensors(seen, pde.field_names)
    scale = run.packing.field_scale()
    unit = torch.tensor([scale[k] for k in sensors.names], dtype=torch.float64)[sensors.field]
    observed = Observed(run.residual, sensors, unit)
    soft = {SEEN: np.full(len(sensors), slack) * np.linspace(0.5, 2, len(sensors))}
    rows = {**run.scale, SEEN: 1.0}
    projection = Projection(observed, run.packing.norm(), rows, slack=soft, algebra=algebra)
    state = off(run, truth) | {SEEN: sensors.values.expand(3, -1)}
    return run, projection, state, projection(state, steps=40, nearest=30), soft[SEEN]


@pytest.mark.parametrize("algebra", ALGEBRAS)
@pytest.mark.parametrize("pde", [POISSON, NEUMANN], ids=lambda p: p.name)
@pytest.mark.parametrize("slack", [1e-3, 1.0])
def test_soft_rows_of_a_linear_equation_against_dense_algebra(pde, slack, algebra):
    r"""min |v|^2 + e^T S^-1 e with J (x - W v) = e on soft rows, 0 on hard ones, by its KKT."""
    run, projection, state, found, variance = softly(pde, slack, algebra)
    size, names = run.packing.norm(), pde.field_names
    fitted = run.residual.fit({k: state[k] for k in names})

    def all_rows(flat):
        parts = flat[: 64 * len(names)].view(len(names), 1, 8, 8)
        one = {k: p * size[k] for k, p in zip(names, parts, strict=True)}
        one |= {k: flat[64 * len(names) + i].view(1) for i, k in enumerate(pde.free_params)}
        return projection.vector(one | {SEEN: state[SEEN][:1]})[0]

    start = [state[k][0].flatten() / size[k] for k in names]
    at = torch.cat([*start, *(fitted[k][:1] for k in pde.free_params)])
    matrix = torch.autograd.functional.jacobian(all_rows, at).numpy()
    rows, moves = len(matrix), 64 * len(names)
    sigma = np.concatenate([np.zeros(rows - len(variance)), variance])
    free = matrix.shape[1] - moves
    kkt = np.block([
        [matrix[:, :moves] @ matrix[:, :moves].T + np.diag(sigma), matrix[:, moves:]],
        [matrix[:, moves:].T, np.zeros((free, free))],
    ])  # fmt: skip
    target = np.append(all_rows(at).numpy(), np.zeros(free))
    solved = np.linalg.lstsq(kkt, target, rcond=1e-13)[0]
    move = torch.from_numpy(matrix[:, :moves].T @ solved[:rows])
    wanted = at[:moves] - move
    got = torch.cat([found[k][0].flatten() / size[k] for k in names])
    assert float((got - wanted).norm() / move.norm()) < 1e-5
    for i, k in enumerate(pde.free_params):
        assert float(found[k][0]) == pytest.approx(
            float(at[moves + i]) - solved[rows + i], abs=1e-5
        )
    fields = {k: found[k] for k in (*names, *pde.free_params)}
    assert residual_of(run, fields) < 1e-18


@pytest.mark.parametrize("algebra", ALGEBRAS)
def test_between_met_and_ignored(algebra):
    """No slack meets the observations, endless slack is the plain projection."""
    run, projection, state, met, _ = softly(POISSON, 1e-12, algebra)
    rows = projection.residual(met)[SEEN]
    assert float(rows.abs().max()) < 1e-5
    run, projection, state, free, _ = softly(POISSON, 1e12, algebra)
    plain = Projection(run.residual, run.packing.norm(), run.scale)({k: state[k] for k in "au"})
    for k, size in run.packing.norm().items():
        assert float((free[k] - plain[k]).abs().max()) < 1e-5 * size
    assert float(projection.residual(free)[SEEN].abs().max()) > 0.1


def test_the_border_of_soft_rows_saves_iterations(monkeypatch):
    """Its diagonal takes tens of them; the answer is the same."""
    _, projection, _, found, _ = softly(POISSON, 1e-4, "gradients")
    assert projection.normal.iterations <= 4
    monkeypatch.setattr("piddm.numerics.normal_by_gradients.BORDER", 0)
    _, plain, _, same, _ = softly(POISSON, 1e-4, "gradients")
    assert plain.normal.iterations > 20
    for k in "au":
        assert float((found[k] - same[k]).norm() / same[k].norm()) < 1e-4


@pytest.mark.parametrize("algebra", ALGEBRAS)
def test_hard_rows_of_a_nonlinear_equation_vanish(algebra):
    run, projection, state, found, variance = softly(BURGERS, 1e-3, algebra)
    assert residual_of(run, {"u": found["u"]}) < 1e-20
    # No other solution nearby costs less: the gradient of the cost lies in the span of J^T.
    size = run.packing.norm()["u"]
    weight = torch.from_numpy(1 / variance)
    sensors, seen = projection.residual.sensors, state[SEEN]

    def cost(fields):
        v = (fields["u"] - state["u"]).flatten(1) / size
        e = (sensors(fields) - seen) / size
        return v.square().sum(1) + (e.square() * weight).sum(1)

    plain = Projection(run.residual, run.packing.norm(), run.scale)
    lowest = cost(found)
    for k in range(20):
        step = 1e-3 * size * torch.randn(found["u"].shape, generator=draw(k)).double()
        beside = plain({"u": found["u"] + step})
        assert bool((cost(beside) > lowest).all())


@pytest.mark.parametrize("algebra", ALGEBRAS)
def test_soft_rows_do_not_feel_the_last_steps(algebra, monkeypatch):
    """Without them those steps come to the same, to far within what may stay of them."""
    _, projection, _, found, variance = softly(BURGERS, 1e-3, algebra)
    monkeypatch.setattr("piddm.numerics.projection.UNFELT", 0.0)
    *_, all_the_way, _ = softly(BURGERS, 1e-3, algebra)
    assert not torch.equal(found["u"], all_the_way["u"])
    apart = projection.residual(found)[SEEN] - projection.residual(all_the_way)[SEEN]
    assert float(apart.abs().max()) < 1e-3 * variance.min() ** 0.5


# The finisher.


@pytest.mark.parametrize("pde", [POISSON, VISCOUS], ids=lambda p: p.name)
def test_a_forward_task_becomes_a_solve(pde):
    """Other observations and far members make no difference; a param is taken to its last digit."""
    run, truth = opened(pde)
    whole = truth[pde.field_names[0]][0]
    mask = torch.ones(8, 8, dtype=torch.bool)
    if pde is VISCOUS:
        mask[1:] = False
    params = {k: float(truth[k][0]) for k in pde.free_params}
    name = pde.field_names[0]
    inputs = Observations.at_nodes(pde.grid, {name: whole}, {name: mask}, params=params)
    extra = scattered(pde, truth, 5)
    both = Observations(
        pde.grid,
        *(
            {k: torch.cat([part[k] for part in parts if k in part]) for k in pde.field_names}
            for parts in (
                (inputs.points, extra.points),
                (inputs.values, extra.values),
                (inputs.sigma, extra.sigma),
            )
        ),
        params=params,
    )
    members = off(run, {k: truth[k][[1, 2]] for k in pde.field_names}, 0.3)
    for seen in (inputs, both):
        found, steps = finished(run, ask("forward", pde, seen), members)
        assert float((found["u"] - truth["u"][0]).abs().max()) < 1e-9 * float(truth["u"].std())
        assert not found.keys() & params.keys()
        assert steps[-1].done == steps[-1].total == 2
    noisy = Observations.at_nodes(pde.grid, {name: whole}, {name: mask}, 0.1, params=params)
    found, _ = finished(run, ask("forward", pde, noisy), members)
    assert float((found[name] - whole)[:, mask].abs().max()) > 1e-3


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("pde", [POISSON, BURGERS], ids=lambda p: p.name)
def test_a_reconstruction_keeps_observations_within_their_noise(pde, interpolation):
    run, truth = opened(pde)
    size = run.packing.norm()["u"]
    members = off(run, {k: truth[k][[0] * 12] for k in pde.field_names}, 0.2)
    # Noise is in what was seen, and again in what each member is told.
    for sigma, most in ((0.0, 1.0), (0.05 * size, 3.0)):
        seen = scattered(pde, truth, 10, sigma=sigma, interpolation=interpolation)
        task = ask("reconstruct", pde, seen, interpolation)
        found, steps = finished(run, task, members)
        assert [s.done for s in steps] == [8, 12]
        sensors = Sensors(seen, pde.field_names, interpolation)
        away = (sensors(found) - sensors.values) / (sigma or EXACT * size)
        assert float(away.square().mean()) < most
        before = (sensors(members) - sensors.values) / (sigma or EXACT * size)
        assert float(before.square().mean()) > 2 * most
        assert residual_of(run, found) < 1e-16


def test_more_exact_observations_than_freedom():
    """Every node of a solution is seen: 64 values where an equation leaves 8 free."""
    run, truth = opened(BURGERS)
    seen = Observations.at_nodes(SPACE_TIME, {"u": truth["u"][0]})
    found, _ = finished(
        run, ask("reconstruct", BURGERS, seen), off(run, {"u": truth["u"][:1]}, 0.3)
    )
    assert float((found["u"] - truth["u"][0]).norm() / truth["u"][0].norm()) < 1e-4
    assert residual_of(run, found) < 1e-16
    tiny = Observations.at_nodes(SPACE_TIME, {"u": truth["u"][0]}, sigma=1e-200)
    found, _ = finished(
        run, ask("reconstruct", BURGERS, tiny), off(run, {"u": truth["u"][:1]}, 0.3)
    )
    assert float((found["u"] - truth["u"][0]).norm() / truth["u"][0].norm()) < 1e-6


def test_a_known_param_is_kept_and_an_unknown_one_found():
    run, truth = opened(VISCOUS)
    nu = float(truth["nu"][0])
    members = off(run, {"u": truth["u"][[0]]}, 0.02)
    seen = Observations.at_nodes(SPACE_TIME, {"u": truth["u"][0]})
    free, _ = finished(run, ask("reconstruct", VISCOUS, seen), members)
    assert float(free["nu"]) == pytest.approx(nu, rel=1e-2)
    for value in (nu, 0.1234567890123):
        known = Observations.at_nodes(SPACE_TIME, {"u": truth["u"][0]}, params={"nu": value})
        found, _ = finished(run, ask("reconstruct", VISCOUS, known), members)
        assert found.keys() == {"u"}
        assert residual_of(run, found, nu=value) < 1e-16
    assert with_params(run.residual, {}) is run.residual
    given = with_params(run.residual, {"nu": nu})
    assert given.free_params == ()
    fields = {"u": members["u"]}
    torch.testing.assert_close(given(fields), run.residual(fields | {"nu": truth["nu"][:1]}),
                               rtol=0, atol=0)  # fmt: skip
    assert given.fit(fields).keys() == {"u"}


def test_a_member_with_no_nearest_solution_stays_and_spoils_no_other():
    run, truth = opened(BURGERS)
    members = off(run, {"u": truth["u"][[0, 1, 2]]})
    alone = {"u": members["u"][[0, 2]]}
    members["u"][1, 3, 3] = torch.nan
    seen = scattered(BURGERS, truth, 6)
    task = ask("reconstruct", BURGERS, seen)
    found, _ = finished(run, task, members)
    torch.testing.assert_close(found["u"][1], members["u"][1], equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(found["u"][[0, 2]], finished(run, task, alone)[0]["u"])
