"""The derived solver and the projection against references that know nothing of them."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from piddm import PDE, Axis, Dirichlet, Grid, PiddmError, UsageError
from piddm.data.simulate import held_inputs, simulate
from piddm.numerics.algebra.blocks import BlockLayout
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.newton import NewtonSolver
from piddm.priors import GaussianField
from piddm.residuals.norms import mean_squares, term_scale
from piddm.symbolic import D, Field, laplace, t, x, y
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY

u = Field("u")
SMOOTH = GaussianField(2.5, 7.0)


def draw(pde: PDE, grid: Grid, count: int = 4) -> dict[str, torch.Tensor]:
    (fields,) = simulate(pde, grid, count, torch.Generator().manual_seed(0))
    return fields


@pytest.mark.parametrize("pde", [BURGERS, DARCY], ids=lambda p: p.name)
def test_data_solve_the_residual_to_round_off(pde):
    grid = pde.grid.resized(16)
    residual, fields = pde.bind(grid), draw(pde, grid)
    scale = term_scale(residual, fields)
    for name, value in mean_squares(residual, fields, scale).items():
        assert float(value) < 1e-20, name
    zero = {k: torch.zeros_like(v) if k == "u" else v for k, v in fields.items()}
    noisy = {k: v + 0.01 * v.std() * torch.randn_like(v) for k, v in fields.items()}
    assert float(sum(mean_squares(residual, noisy, scale).values())) > 1e-4
    if pde is DARCY:
        assert float(mean_squares(residual, zero, scale)["mass"]) == pytest.approx(1.0)


def test_marching_equals_all_at_once():
    grid = BURGERS.grid.resized({"t": 12, "x": 16})
    fields = draw(BURGERS, grid, 2)
    start = {"u": fields["u"][:, :1].expand(-1, 12, -1).clone()}
    whole = NewtonSolver(BURGERS.bind(grid), held_inputs(BURGERS, grid)).solve(start)
    torch.testing.assert_close(whole["u"], fields["u"], rtol=0, atol=1e-9)


def test_burgers_agrees_with_an_independent_integrator():
    """Fourier pseudo-spectral in space, adaptive Runge-Kutta in time; error of second order."""
    errors = []
    for n in (64, 128):
        grid = BURGERS.grid.resized(n)
        xs = grid.axes["x"].coordinates()
        first = torch.from_numpy(0.5 * np.sin(2 * np.pi * xs) + 0.2 * np.cos(4 * np.pi * xs))
        k = 2j * np.pi * np.fft.rfftfreq(n, 1 / n)

        def rate(_, v, k=k, n=n):
            flux = np.fft.rfft(v**2 / 2) * (np.abs(k) < 2 * np.pi * n / 3)
            return np.fft.irfft(-k * flux + 0.01 * k**2 * np.fft.rfft(v), n)

        exact = solve_ivp(rate, (0, 1), first.numpy(), rtol=1e-9, atol=1e-9).y[:, -1]
        solved = BURGERS.solve({u.at(t=0): first[None]}, grid)["u"][0, -1]
        errors.append(float(np.sqrt(np.mean((solved.numpy() - exact) ** 2))))
    assert errors[1] < 5e-3
    assert np.log2(errors[0] / errors[1]) > 1.8


def test_poisson_against_its_closed_form():
    """-laplace(u) = 2 pi^2 sin(pi x) sin(pi y) has u = sin(pi x) sin(pi y); second-order error."""
    source = Field("f")
    errors = []
    for n in (17, 33):
        grid = Grid(x=Axis(0, 1, n), y=Axis(0, 1, n))
        pde = PDE("p", "", grid, [source, u], {"e": laplace(u, [x, y]) + source},
                  inputs={source: SMOOTH}, conditions={"w": Dirichlet(u, 0)})  # fmt: skip
        xs = torch.from_numpy(grid.axes["x"].coordinates())
        exact = torch.sin(np.pi * xs)[:, None] * torch.sin(np.pi * xs)
        start = {"f": 2 * np.pi**2 * exact[None], "u": torch.zeros(1, n, n).double()}
        solver = NewtonSolver(pde.bind(), held_inputs(pde, grid))
        errors.append(float((solver.solve(start)["u"][0] - exact).abs().max()))
    assert 1.9 < np.log2(errors[0] / errors[1]) < 2.1


def test_an_inverse_problem_by_the_same_call():
    """The source of a Poisson problem from its solution: the other field held."""
    source = Field("f")
    grid = Grid(x=Axis(0, 1, 9), y=Axis(0, 1, 9))
    pde = PDE("p", "", grid, [source, u], {"e": laplace(u, [x, y]) + source},
              inputs={source: SMOOTH}, conditions={"w": Dirichlet(u, 0)})  # fmt: skip
    fields = draw(pde, grid, 2)
    rim = np.ones(grid.shape, dtype=bool)
    rim[1:-1, 1:-1] = False
    interior = PDE("q", "", grid, [source, u], dict(pde.equations), inputs=dict(pde.inputs))
    held = {"u": np.ones(grid.shape, dtype=bool), "f": rim}
    start = {"u": fields["u"], "f": torch.where(torch.from_numpy(rim), fields["f"], 0.0)}
    solved = NewtonSolver(interior.bind(), held).solve(start)
    torch.testing.assert_close(solved["f"], fields["f"], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("pde", [BURGERS, DARCY], ids=lambda p: p.name)
@pytest.mark.parametrize("size", [8, 9, 11])
def test_coloured_probes_give_the_dense_jacobian(pde, size):
    grid = pde.grid.resized(size)
    residual = pde.bind(grid)
    generator = torch.Generator().manual_seed(1)
    fields = {k: torch.rand(2, *grid.shape, generator=generator).double() for k in pde.field_names}
    jacobian = Jacobian(residual)
    _, values = jacobian.values(fields)
    sparse = torch.zeros(jacobian.rows, jacobian.nodes * len(fields)).double()
    sparse.index_put_((torch.from_numpy(jacobian.row), torch.from_numpy(jacobian.column)),
                      values[:, 1], accumulate=True)  # fmt: skip

    def rows(flat):
        parts = flat.view(len(fields), 1, *grid.shape)
        return jacobian.vector(dict(zip(pde.field_names, parts, strict=True)))[0]

    flat = torch.stack([fields[k][1] for k in pde.field_names]).flatten()
    torch.testing.assert_close(sparse, torch.autograd.functional.jacobian(rows, flat))


def test_block_solves_equal_dense_ones():
    rng = np.random.default_rng(0)
    line = np.repeat(np.arange(5), [3, 4, 4, 2, 3])
    row, column = np.nonzero(np.abs(line[:, None] - line[None]) <= 1)
    layout = BlockLayout(row, column, line, line)
    dense = torch.from_numpy(rng.normal(size=(2, 16, 16)) + 8 * np.eye(16))
    dense = dense * torch.from_numpy(np.abs(line[:, None] - line[None]) <= 1)
    rhs = torch.from_numpy(rng.normal(size=(2, 16)))
    got = layout.solve(dense[:, row, column].mT.contiguous(), rhs)
    torch.testing.assert_close(got, torch.linalg.solve(dense, rhs))
    positive = torch.eye(16) * 20 + (dense + dense.mT) / 2
    got = layout.solve_positive(positive[:, row, column].mT.contiguous(), rhs[..., None])[..., 0]
    torch.testing.assert_close(got, torch.linalg.solve(positive, rhs))


def test_ill_posed_is_named():
    grid = Grid(x=Axis(0, 1, 8), y=Axis(0, 1, 8))
    pde = PDE("p", "", grid, [u], {"balance": laplace(u, [x, y])}, inputs={})
    with pytest.raises(UsageError, match=r"ill-posed: 36 rows \(balance: 36\) for 60 unknown"):
        next(simulate(pde, grid, 1, torch.Generator()))


def test_divergence_is_named():
    """u_t = u^2 from u = 5 blows up at t = 0.2, before the end."""
    grid = Grid(t=Axis(0, 1, 9, time=True), x=Axis(0, 1, 4, periodic=True))
    pde = PDE("p", "", grid, [u], {"growth": D(u, t) - u**2}, inputs={u.at(t=0): SMOOTH})
    held = held_inputs(pde, grid)
    with pytest.raises(PiddmError, match=r"Newton stopped .* growth"):
        NewtonSolver(pde.bind(), held).solve({"u": torch.full((1, 9, 4), 5.0).double()})


def test_time_dependent_coefficient_marches():
    """u_t = 2 t has u = t^2, which Crank-Nicolson integrates exactly."""
    grid = Grid(t=Axis(0, 1, 9, time=True), x=Axis(0, 1, 4, periodic=True))
    pde = PDE("p", "", grid, [u], {"e": D(u, t) - 2 * t}, inputs={u.at(t=0): SMOOTH})
    fields = draw(pde, grid, 2)
    ts = torch.from_numpy(grid.axes["t"].coordinates())
    growth = fields["u"] - fields["u"][:, :1]
    torch.testing.assert_close(growth, (ts**2)[None, :, None].expand(2, 9, 4))
