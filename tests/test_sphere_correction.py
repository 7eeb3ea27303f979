"""Corrections on the sphere, by the inverse through harmonics."""

import pytest
import torch

from piddm import PDE, Grid, Integral, get_pde
from piddm.data.simulate import held_inputs, simulate
from piddm.grids.harmonics import harmonics_of
from piddm.numerics.correction import Correction
from piddm.numerics.interior import Unsuited
from piddm.numerics.nearest_moves import NearestMoves
from piddm.numerics.sphere_moves import SphereMoves
from piddm.priors import GaussianField
from piddm.residuals.norms import term_scale
from piddm.symbolic import Field, Param, laplace, lat, lon

POISSON = get_pde("sphere-poisson")
BALL = Grid.sphere(12)
SPHERE = [lat, lon]
a, u, kappa = Field("a"), Field("u"), Param("kappa", 2.0)
LAW = GaussianField(alpha=2.0, tau=3.0)


def equation(name, balance, **more):
    return PDE(name=name, summary=name, grid=BALL, fields=[a, u], equations={"balance": balance},
               inputs={a: LAW}, order="spectral", **more)  # fmt: skip


SCREENED = equation("screened", laplace(u, SPHERE) - kappa * u - a, params=[kappa])
CUBIC = equation("cubic", laplace(u, SPHERE) - u - u**3 - a)
TWO = equation("two-means", laplace(u, SPHERE) - u - a, integrals={"mean": Integral(u)})


def made(pde, **settings):
    """Return a correction, states with noise of every kind in them, and their residual."""
    grid, draw = BALL, torch.Generator().manual_seed(0)
    source = 3 * LAW.sample(grid, 4, draw)
    data = {"a": source, "u": harmonics_of(grid).laplace(-1)(source)}
    residual = pde.bind(grid)
    scale = dict.fromkeys(residual.rows, 1.0) | term_scale(residual, data)
    mean = {k: v.mean(0, keepdim=True) for k, v in data.items()}
    by = Correction(residual, {"a": 1.0, "u": 0.3}, scale, mean, held_inputs(pde, grid), **settings)
    noisy = {k: v + 0.1 * v.std() * torch.randn(v.shape, generator=draw) for k, v in data.items()}
    return by, noisy


@pytest.mark.parametrize("pde", [POISSON, SCREENED, CUBIC], ids=lambda p: p.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_come_onto_the_equation(pde, dtype):
    by, noisy = made(pde)
    assert isinstance(by.moves, SphereMoves)
    assert by.cheap == by.moves.exact == (pde is not CUBIC)
    given = {k: v.to(dtype) for k, v in noisy.items()}
    found = by(given, steps=12)
    assert float(found.before.min()) > 1
    assert bool(found.converged.all())
    if dtype == torch.float32 and pde is not CUBIC:
        assert found.steps == 1
    # The inputs stay, but for their mean where the equation leaves no other.
    shift = found.fields["a"] - given["a"]
    assert float((shift - shift[:, :1, :1]).abs().max()) < 1e-5
    assert pde is POISSON or float(shift.abs().max()) == 0


def test_a_solution_is_that_of_the_data():
    """By `solve` of the equation itself, from the same sources."""
    (data,) = simulate(POISSON, BALL, 3, torch.Generator().manual_seed(2))
    by, noisy = made(POISSON)
    found = by({"a": data["a"], "u": noisy["u"][:3]}, steps=12)
    assert float((found.fields["u"] - data["u"]).abs().max()) < 1e-9 * float(data["u"].std())
    assert float((found.fields["a"] - data["a"]).abs().max()) < 1e-9


def test_a_source_whose_mean_is_not_zero_loses_it():
    by, noisy = made(POISSON)
    found = by({k: v + 0.5 for k, v in noisy.items()}, steps=12)
    area = torch.from_numpy(BALL.axes["lat"].weights())[:, None]
    area = area.expand(BALL.shape) / area.expand(BALL.shape).sum()
    assert float((noisy["a"] * area).sum((1, 2)).abs().max()) > 1e-3
    for k in ("a", "u"):
        assert float((found.fields[k] * area).sum((1, 2)).abs().max()) < 1e-10


@pytest.mark.parametrize("pde", [POISSON, SCREENED, CUBIC], ids=lambda p: p.name)
def test_gradients_are_those_of_differences(pde, monkeypatch):
    monkeypatch.setattr("piddm.numerics.correction.BACKWARDS", 40)
    by, noisy = made(pde)
    draw = torch.Generator().manual_seed(3)
    weights, move = (
        {k: torch.randn(v[:1].shape, generator=draw).double() for k, v in noisy.items()}
        for _ in range(2)
    )

    def loss(state):
        fields = by(state, tolerance=0.0, steps=8).fields
        return (fields["a"] * weights["a"] + fields["u"] * weights["u"]).sum()

    state = {k: v[:1].clone().requires_grad_() for k, v in noisy.items()}
    grads = torch.autograd.grad(loss(state), [state["a"], state["u"]])
    slope = sum(float((g * move[k]).sum()) for g, k in zip(grads, ("a", "u"), strict=True))
    with torch.no_grad():
        ends = [loss({k: noisy[k][:1] + s * move[k] for k in move}) for s in (1e-5, -1e-5)]
    assert slope == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-5)
    # What is solved for does not depend on what it was.
    assert float(grads[1].abs().max()) == 0


def test_what_has_another_structure_takes_the_shortest_move():
    with pytest.raises(Unsuited):
        made(TWO, fallback=False)
    assert isinstance(made(TWO)[0].moves, NearestMoves)
