"""Unknown numbers beside fields, against closed forms and scans of the likelihood."""

import numpy as np
import pytest
import torch

from piddm import PDE, Axis, Dirichlet, Grid, UsageError
from piddm.priors import GaussianField, Normal
from piddm.runs.asking import equation_model
from piddm.solvers import exact
from piddm.symbolic import D, Field, Param, laplace, x, y
from piddm.tasks.ensemble import answer
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask

N = 9
a, u = Field("a"), Field("u")
STRENGTH, WALL = Param("c", 0.5, free=True), Param("p", 1.0, free=True)
BOX = Grid(x=Axis(0, 1, N), y=Axis(0, 1, N))
LAWS = {a: GaussianField(2.0, 3.0), STRENGTH: Normal(4.0, 3.0), WALL: Normal(1.0, 0.5)}
SOURCED = PDE(
    "sourced", "", BOX, [a, u], {"balance": laplace(u, [x, y]) - a - STRENGTH}, inputs=LAWS,
    params=[STRENGTH, WALL],
    conditions={"low": Dirichlet(u.at(x=0), WALL), "high": Dirichlet(u.at(x=1), 0),
                "left": Dirichlet(u.at(y=0), 0), "right": Dirichlet(u.at(y=1), 0)},
)  # fmt: skip
"""A source with an unknown mean, and a wall of an unknown value: both linear."""


def dense_posterior(observed):
    """Return mean and deviation of (a, u, c, p) by dense algebra on the residual's own rows."""
    residual, n = SOURCED.bind(BOX), N * N

    def rows(flat):
        state = {"a": flat[:n].view(1, N, N), "u": flat[n : 2 * n].view(1, N, N),
                 "c": flat[2 * n : 2 * n + 1], "p": flat[2 * n + 1 :]}  # fmt: skip
        return torch.cat([v.flatten() for v in residual(state).values()])

    zero = torch.zeros(2 * n + 2, dtype=torch.float64)
    jacobian, rest = torch.func.jacfwd(rows)(zero), rows(zero)
    law = LAWS[a]
    white = torch.zeros(law.white(BOX), dtype=torch.float64)
    root = torch.func.jacfwd(lambda z: law.from_white(BOX, z[None]).flatten())(white)
    inputs = torch.block_diag(root, torch.tensor([[3.0]]).double(), torch.tensor([[0.5]]).double())
    middle = torch.cat([torch.zeros(n).double(), torch.tensor([4.0, 1.0]).double()])
    given = torch.cat([jacobian[:, :n], jacobian[:, 2 * n :]], 1)
    right = torch.cat([given @ inputs, (rest + given @ middle)[:, None]], 1)
    solve = -torch.linalg.lstsq(jacobian[:, n : 2 * n], right).solution
    factor = torch.cat([inputs[:n], solve[:, :-1], inputs[n:]])
    mean = torch.cat([middle[:n], solve[:, -1], middle[n:]])
    sensors = Sensors(observed, ("a", "u"))
    h = torch.from_numpy(sensors.matrix(2 * n + 2).toarray())
    seen = h @ factor
    inner = seen @ seen.mT + torch.diag(sensors.sigma.square())
    gain = torch.linalg.solve(inner, seen @ factor.mT).mT
    variance = factor.square().sum(1) - (gain * (factor @ seen.mT)).sum(1)
    return mean + gain @ (sensors.values - h @ mean), variance.clamp_min(0).sqrt()


@pytest.mark.parametrize("every", [3000, 10], ids=["all-exact", "by-draws"])
def test_numbers_beside_a_field_have_the_posterior_of_dense_algebra(monkeypatch, every):
    model = equation_model(SOURCED, progress=False)
    observed = place(draw_truth(SOURCED, BOX, 0), SOURCED, "u", 0.3, 0.05, True, 1)
    mean, deviation = dense_posterior(observed)
    monkeypatch.setattr(exact, "EVERY", every)
    found = answer(model, ask("inverse", SOURCED, observed), "exact", 4, progress=False)
    for k, name in enumerate("cp"):
        at = 2 * N * N + k
        assert float(found.mean[name]) == pytest.approx(float(mean[at]), rel=1e-6)
        assert float(found.std[name]) == pytest.approx(float(deviation[at]), rel=1e-6)
        assert float(deviation[at]) < 0.8 * LAWS[(STRENGTH, WALL)[k]].deviation  # it was seen
    torch.testing.assert_close(found.mean["u"].flatten(), mean[N * N : -2], rtol=1e-6, atol=1e-9)
    assert float(found.residual.max()) < 1e-20


def test_a_diffusivity_has_the_posterior_of_a_scan():
    """nu u'' + 3 u = -1 between walls at 0: u is solved on a fine scan of nu, by dense algebra."""
    nu = Param("nu", 1.0, free=True)
    bar = Grid(x=Axis(0, 1, 15), y=Axis(0, 1, 5, periodic=True))
    pde = PDE("bar", "", bar, [u], {"balance": nu * D(u, x, 2) + 3 * u + 1 + 0 * D(u, y)},
              params=[nu], inputs={nu: Normal(1.0, 0.2)},
              conditions={"low": Dirichlet(u.at(x=0), 0),
                          "high": Dirichlet(u.at(x=1), 0)})  # fmt: skip
    model = equation_model(pde, progress=False)
    observed = place(draw_truth(pde, bar, 2), pde, "u", 0.3, 0.2, seed=4)
    sensors = Sensors(observed, ("u",))
    second = (np.eye(15, k=1) - 2 * np.eye(15) + np.eye(15, k=-1))[1:-1, 1:-1] * 14**2
    scan = np.linspace(0.5, 2.0, 1501)
    matrix = sensors.matrix(75)
    log = []
    for value in scan:
        line = np.zeros(15)
        line[1:-1] = np.linalg.solve(value * second + 3 * np.eye(13), -np.ones(13))
        away = (matrix @ np.repeat(line, 5) - sensors.values.numpy()) / sensors.sigma.numpy()
        log.append(-0.5 * (away @ away + ((value - 1.0) / 0.2) ** 2))
    weight = np.exp(np.array(log) - max(log))
    weight /= weight.sum()
    mean = weight @ scan
    deviation = (weight @ (scan - mean) ** 2) ** 0.5
    found = answer(model, ask("inverse", pde, observed), "classical", 200, progress=False)
    # Of 200 members the mean is off by a fourteenth of a deviation: three times that, and 15 %.
    assert deviation < 0.15  # less than the law's own 0.2
    assert float(found.mean["nu"]) == pytest.approx(mean, abs=0.22 * deviation)
    assert float(found.std["nu"]) == pytest.approx(deviation, rel=0.15)


def test_a_law_without_width_is_refused():
    for mean, deviation in ((0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0)):
        with pytest.raises(UsageError, match="positive deviation"):
            Normal(mean, deviation)
