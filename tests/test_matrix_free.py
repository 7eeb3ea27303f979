"""Conjugate gradients against the band, and against dense algebra where there is no band."""

import numpy as np
import pytest
import torch

from piddm import PDE, Axis, Dirichlet, Grid, Integral, UsageError, get_pde
from piddm.data.simulate import simulate
from piddm.numerics import mode_preconditioner as modes
from piddm.numerics.normal_by_band import BandedNormal
from piddm.numerics.normal_by_gradients import GradientNormal
from piddm.numerics.projection import Projection
from piddm.priors import GaussianField
from piddm.residuals.norms import term_scale
from piddm.symbolic import D, Field, laplace, t, x, y
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY
from test_projection import HEAT, MASS, NEUMANN, error, made

u, v = Field("u"), Field("v")
CIRCLE = Axis(0, 1, 6, periodic=True)
CHANNEL = PDE(
    "channel", "", Grid(t=Axis(0, 1, 4, time=True), x=Axis(0, 1, 7), y=CIRCLE), [u],
    {"flow": D(u, t) + D(u**2 / 2, y) - laplace(u, [x, y]) / 20},
    conditions={"wall": Dirichlet(u)}, inputs={u.at(t=0): GaussianField(2.5, 7.0)},
)  # fmt: skip
TORUS = PDE(
    "torus", "", Grid(t=Axis(0, 1, 4, time=True), x=CIRCLE, y=CIRCLE), [u, v],
    {"flow": D(u, t) + D(v, y) * D(u, x) - D(v, x) * D(u, y) - laplace(u, [x, y]) / 20,
     "stream": laplace(v, [x, y]) + u},
    inputs={u.at(t=0): GaussianField(2.5, 7.0)}, integrals={"mean": Integral(v)},
)  # fmt: skip


def flat(move: dict) -> torch.Tensor:
    return torch.cat([p.flatten(1) for p in move.values()], dim=1)


def noisy(pde: PDE) -> tuple:
    """Return a residual on the equation's own grid, states off it, deviations, row scales."""
    residual, draw = pde.bind(pde.grid), torch.Generator().manual_seed(0)
    size = {k: 0.5 for k in pde.field_names}
    state = {k: size[k] * torch.randn((2, *pde.grid.shape), generator=draw).double() for k in size}
    return residual, state, size, term_scale(residual, state)


@pytest.mark.parametrize("pde", [BURGERS, DARCY, NEUMANN, HEAT, MASS], ids=lambda p: p.name)
def test_equals_the_band(pde):
    """Periodic or not, with integrals and free params: one step, and the nearest solution."""
    residual, fields, sizes, scale = made(pde)
    band, free = (Projection(residual, sizes, scale, algebra=a) for a in ("banded", "gradients"))
    wanted, found = flat(band.correction(fields)), flat(free.correction(fields, 1e-11))
    assert float((found - wanted).norm() / wanted.norm()) < 1e-8
    torch.testing.assert_close(free.distance(fields), band.distance(fields), rtol=1e-3, atol=0)
    one, two = band(fields), free(fields)
    assert error(residual, two, scale) < 1e-20
    for k, value in one.items():
        torch.testing.assert_close(two[k], value, rtol=0, atol=1e-5 * float(value.std()))


def test_the_inverse_of_what_is_solved_for_takes_a_few_iterations_on_any_grid():
    """Of Darcy flow, between walls: equal to the band, on four times the nodes as quickly."""
    for n in (12, 24):
        residual, fields, sizes, scale = made(DARCY, nodes=n)
        band, own = (Projection(residual, sizes, scale, algebra=a) for a in ("banded", "own"))
        assert isinstance(own.normal, GradientNormal)
        wanted, found = flat(band.correction(fields)), flat(own.correction(fields, 1e-9))
        assert float((found - wanted).norm() / wanted.norm()) < 1e-8
        assert own.normal.iterations <= 15
        torch.testing.assert_close(own.distance(fields), band.distance(fields), rtol=1e-3, atol=0)
    one, two = band(fields), own(fields)
    for k, value in one.items():
        torch.testing.assert_close(two[k], value, rtol=0, atol=1e-5 * float(value.std()))
    # An equation whose mean an integral says has no field of its own values: a band does.
    residual, fields, sizes, scale = made(NEUMANN)
    assert isinstance(Projection(residual, sizes, scale, algebra="own").normal, BandedNormal)


@pytest.mark.parametrize("pde", [CHANNEL, TORUS], ids=lambda p: p.name)
def test_three_axes_against_dense_algebra(pde):
    """The least move that takes the linearised rows away, walls, corners and integrals included."""
    residual, state, size, scale = noisy(pde)
    free = Projection(residual, size, scale, algebra="gradients")
    found = flat(free.correction(state, 1e-11))

    def rows(scaled):
        parts = scaled.view(len(size), 1, *pde.grid.shape)
        return free.vector({k: p * size[k] for k, p in zip(size, parts, strict=True)})[0]

    for k in range(2):
        at = torch.cat([state[name][k].flatten() / size[name] for name in size])
        matrix = torch.autograd.functional.jacobian(rows, at)
        exact = torch.linalg.lstsq(matrix, rows(at)[:, None], driver="gelsd").solution[:, 0]
        assert float((found[k] - exact).norm() / exact.norm()) < 1e-8


def test_held_values_and_a_weighted_norm():
    """Rows that nothing may move are left alone; lengths differ from node to node."""
    residual, fields, sizes, scale = made(BURGERS)
    held = np.zeros((8, 8), dtype=bool)
    held[2:4] = True  # the row between these two times cannot move
    norm = {"u": sizes["u"] * np.linspace(0.2, 1, 64).reshape(8, 8)}
    band, free = (
        Projection(residual, norm, scale, {"u": held}, algebra=a) for a in ("banded", "gradients")
    )
    wanted, found = band.correction(fields)["u"], free.correction(fields, 1e-11)["u"]
    assert not found[:, held].any()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8 * float(wanted.abs().max()))
    with pytest.raises(UsageError, match="nothing is left to project"):
        Projection(residual, norm, scale, {"u": np.ones((8, 8), bool)}, algebra="gradients")


@pytest.mark.parametrize(("name", "most"), [("navier-stokes", 30), ("kolmogorov", 80)])
def test_the_preconditioner_saves_iterations(name, most, monkeypatch):
    """Chosen by itself on a plane in time; hundreds of iterations without Fourier modes."""
    pde = get_pde(name)
    grid = pde.grid.resized({"t": 9, "x": 16, "y": 16})
    (clean,) = simulate(pde, grid, 2, torch.Generator().manual_seed(0))
    residual, draw = pde.bind(grid), torch.Generator().manual_seed(3)
    scale, sizes = term_scale(residual, clean), {k: float(f.std()) for k, f in clean.items()}
    state = {k: f + 0.1 * sizes[k] * torch.randn(f.shape, generator=draw).double()
             for k, f in clean.items()}  # fmt: skip
    projection = Projection(residual, sizes, scale, algebra="gradients")
    exact = flat(projection.correction(state, 1e-5))
    assert projection.normal.iterations <= most
    single = flat(projection.correction({k: f.float() for k, f in state.items()}, 1e-3))
    assert float((single - exact).norm() / exact.norm()) < 5e-3
    loose = flat(projection.correction(state))
    assert float(torch.cosine_similarity(loose, exact).min()) > 0.97
    near = projection({k: f[:1] for k, f in state.items()})
    assert error(residual, near, scale) < 1e-16
    monkeypatch.setattr(modes, "LARGEST", 0)
    plain = Projection(residual, sizes, scale, algebra="gradients")
    plain.correction(state, 1e-3)
    assert plain.normal.iterations > 2 * most


def test_large_grids_of_three_axes_have_no_band():
    pde = get_pde("navier-stokes")
    residual = pde.bind(pde.grid.resized(32))
    projection = Projection(residual, {"w": 1.0, "psi": 1.0}, dict.fromkeys(residual.rows, 1.0))
    assert type(projection.normal).__name__ == "GradientNormal"


@pytest.mark.parametrize(
    ("name", "nodes", "kind"),
    [("burgers", 64, BandedNormal), ("burgers", 128, GradientNormal), ("darcy", 128, BandedNormal)],
)
def test_a_wide_band_gives_way_where_an_axis_is_periodic(name, nodes, kind):
    """n^4 against little more than n^2; between walls conjugate gradients have no such inverse."""
    residual = get_pde(name).bind(get_pde(name).grid.resized(nodes))
    ones = dict.fromkeys(residual.field_names, 1.0)
    normal = Projection(residual, ones, dict.fromkeys(residual.rows, 1.0)).normal
    assert isinstance(normal, kind)
