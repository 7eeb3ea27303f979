"""The compiler against hand-written stencils, exact derivatives and manufactured solutions."""

import numpy as np
import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid, UsageError
from piddm.priors import GaussianField
from piddm.residuals.stencils import central, staggered
from piddm.symbolic import D, Field, Param, Slice, div, dot, grad, laplace, t, x, y
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY

u = Field("u")
a = Field("a")
ANY = {u: GaussianField(2.0, 3.0)}


def noise(grid: Grid, *names: str, count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (count, *grid.shape)
    return {n: torch.rand(shape, generator=generator, dtype=torch.float64) + 1 for n in names}


def test_burgers_equals_crank_nicolson_written_by_hand():
    grid = BURGERS.grid.resized({"t": 10, "x": 16})
    fields = noise(grid, "u")
    values, dx, dt = fields["u"], 1 / 16, 1 / 9
    right, left = torch.roll(values, -1, -1), torch.roll(values, 1, -1)
    g = (right**2 - left**2) / (4 * dx) - 0.01 * (right - 2 * values + left) / dx**2
    expected = (values[:, 1:] - values[:, :-1]) / dt + (g[:, 1:] + g[:, :-1]) / 2
    torch.testing.assert_close(BURGERS.bind(grid)(fields)["momentum"], expected)


def test_darcy_equals_conservative_five_points_written_by_hand():
    grid = DARCY.grid.resized({"x": 9, "y": 12})
    fields = noise(grid, "a", "u")
    k, p, hx, hy = fields["a"], fields["u"], 1 / 8, 1 / 11
    flux_x = (k[:, 1:] + k[:, :-1]) / 2 * (p[:, 1:] - p[:, :-1]) / hx
    flux_y = (k[:, :, 1:] + k[:, :, :-1]) / 2 * (p[:, :, 1:] - p[:, :, :-1]) / hy
    expected = (flux_x[:, 1:, 1:-1] - flux_x[:, :-1, 1:-1]) / hx
    expected = expected + (flux_y[:, 1:-1, 1:] - flux_y[:, 1:-1, :-1]) / hy + 1
    rows = DARCY.bind(grid)(fields)
    torch.testing.assert_close(rows["mass"], expected)
    assert rows["wall"].shape == (3, 2 * 9 + 2 * 12 - 4), "a corner counts once"


def test_flux_conserves():
    grid = Grid(x=Axis(0, 1, 20, periodic=True), y=Axis(0, 1, 16, periodic=True))
    pde = PDE("p", "", grid, [a, u], {"e": div([a * D(u, x), a * D(u, y)], [x, y])}, inputs=ANY)
    rows = pde.bind()(noise(grid, "a", "u"))["e"]
    assert float(rows.sum((1, 2)).abs().max()) < 1e-9 * float(rows.abs().max())


@pytest.mark.parametrize(
    ("expression", "periodic"),
    [
        (D(u, x), True),
        (D(u, x, 2), True),
        (D(u, x, 3), True),
        (D(u, x, 4), True),
        (D(sympy.exp(u) * D(u, x), x), True),
        (D(sympy.sqrt(1 + D(u, x) ** 2), x), True),
        (D(D(u, x), y), False),
        (D((1 + x**2) * D(u, x) + y * D(u, y), x), False),
        (laplace(u, [x, y]) + dot(grad(u, [x, y]), grad(u, [x, y])), False),
        (x * sympy.sin(u) + sympy.sqrt(2) * D(u, y), False),
    ],
)
def test_order_of_accuracy_is_two(expression, periodic):
    """Against sympy's own derivative of a smooth function, at the nodes of the equation."""
    smooth = sympy.sin(2 * sympy.pi * x) * sympy.cos(2 * sympy.pi * y) / 2 + sympy.Rational(1, 3)

    def exact(e):
        if isinstance(e, D):
            argument, axis, order = e.parts
            return exact(argument).diff(axis, order)
        if isinstance(e, Field):
            return smooth
        return e.func(*map(exact, e.args)) if e.args else e

    function = sympy.lambdify([x, y], exact(expression), "numpy")
    errors = []
    for n in (32, 64):
        grid = Grid(x=Axis(0, 1, n, periodic=periodic), y=Axis(0, 1, n, periodic=periodic))
        residual = PDE("p", "", grid, [u], {"e": expression}, inputs=ANY).bind()
        xs, ys = (axis.coordinates() for axis in grid.axes.values())
        value = sympy.lambdify([x, y], smooth, "numpy")(xs[:, None], ys[None])
        rows = residual({"u": torch.from_numpy(value)[None]})["e"].flatten()
        nodes = residual.rows["e"].nodes
        wanted = function(xs[nodes[:, 0]], ys[nodes[:, 1]]) * np.ones(len(nodes))
        errors.append(np.abs(rows.numpy() - wanted).max())
    assert 1.9 < np.log2(errors[0] / errors[1]) < 2.1


@pytest.mark.parametrize(("scheme", "order"), [("crank-nicolson", 2), ("backward-euler", 1)])
def test_order_in_time(scheme, order):
    """u = exp(-t) (1 + x) solves u_t + u = 0; rows vanish at the scheme's order."""
    errors = []
    for n in (17, 33):
        grid = Grid(t=Axis(0, 1, n, time=True), x=Axis(0, 1, 4))
        pde = PDE("p", "", grid, [u], {"e": D(u, t) + u}, inputs={u.at(t=0): ANY[u]},
                  time_scheme=scheme)  # fmt: skip
        axes = (torch.from_numpy(axis.coordinates()) for axis in grid.axes.values())
        ts, xs = axes
        value = torch.exp(-ts)[:, None] * (1 + xs)
        errors.append(float(pde.bind()({"u": value[None]})["e"].abs().max()))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.1


@pytest.mark.parametrize("derivative", [1, 2, 3, 4])
@pytest.mark.parametrize("order", [2, 4, 6])
def test_stencil_weights_are_exact_for_polynomials(derivative, order):
    offsets, weights = central(derivative, order)
    for power in range(derivative + order):
        got = sum(w * o**power for o, w in zip(offsets, weights, strict=True))
        wanted = float(sympy.factorial(derivative)) if power == derivative else 0.0
        assert got == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("order", [2, 4, 6])
def test_staggered_weights_are_exact_for_polynomials(order):
    for derivative in (0, 1):
        offsets, weights = staggered(derivative, order)
        assert len(offsets) == order
        for power in range(order):
            got = sum(w * (o - 0.5) ** power for o, w in zip(offsets, weights, strict=True))
            assert got == pytest.approx(1.0 if power == derivative else 0.0, abs=1e-9)


def test_rows_reach_what_they_say():
    """The declared reach holds every node a row depends on, and the rows' order is the tensor's."""
    grid = DARCY.grid.resized(7)
    residual = DARCY.bind(grid)
    fields = noise(grid, "a", "u", count=1)
    for name, rows in residual.rows.items():
        for field in fields:
            point = fields[field].clone().requires_grad_()
            flat = residual({**fields, field: point})[name].flatten()
            for index in range(0, len(flat), 5):
                if field not in rows.fields:
                    assert not flat.requires_grad
                    continue
                (gradient,) = torch.autograd.grad(flat[index], point, retain_graph=True)
                touched = gradient[0].nonzero().numpy()
                assert len(touched) > 0
                offsets = {tuple(o) for o in (touched - rows.nodes[index]).tolist()}
                (reach,) = (r for r in rows.reaches if index in r.rows)
                assert offsets <= set(reach.offsets[field])


def test_parameters_per_sample():
    grid = BURGERS.grid.resized(8)
    residual = BURGERS.bind(grid)
    fields = noise(grid, "u")
    nu = torch.tensor([0.01, 0.02, 0.01], dtype=torch.float64)
    rows, plain = residual({**fields, "nu": nu})["momentum"], residual(fields)["momentum"]
    torch.testing.assert_close(rows[[0, 2]], plain[[0, 2]])
    assert not torch.allclose(rows[1], plain[1])


def test_a_function_of_a_parameter():
    grid = Grid(x=Axis(0, 1, 8, periodic=True))
    nu = Param("nu", 0.5)
    pde = PDE("p", "", grid, [u], {"e": sympy.exp(nu) * u}, inputs=ANY, params=[nu])
    fields = noise(grid, "u")
    torch.testing.assert_close(pde.bind()(fields)["e"], np.exp(0.5) * fields["u"])


def test_params_of_one_name_keep_their_values():
    grid = Grid(x=Axis(0, 1, 8, periodic=True))
    fields = noise(grid, "u")
    rows = []
    for value in (0.01, 0.5):
        nu = Param("nu", value)
        pde = PDE("p", "", grid, [u], {"e": nu * D(u, x, 2)}, inputs=ANY, params=[nu])
        rows.append(pde.bind()(fields)["e"])
    torch.testing.assert_close(rows[1], 50 * rows[0])


def test_a_param_of_zero():
    """A term that a param switches off is zero, alone and in a sum."""
    grid, k = Grid(x=Axis(0, 1, 8, periodic=True)), Param("k", 0.0)
    pde = PDE("p", "", grid, [u], {"e": D(u, x) + k * u}, inputs=ANY, params=[k])
    fields = noise(grid, "u")
    terms = pde.bind().terms(fields)["e"]
    assert float(terms[str(k * u)].abs().max()) == 0
    torch.testing.assert_close(pde.bind()(fields)["e"], terms["D(u, x)"])


def test_samples_do_not_mix():
    for pde in (BURGERS, DARCY):
        grid = pde.grid.resized(8)
        fields = noise(grid, *pde.field_names)
        residual = pde.bind(grid)
        alone = residual({k: v[1:2] for k, v in fields.items()})
        for name, rows in residual(fields).items():
            torch.testing.assert_close(rows[1:2], alone[name], rtol=0, atol=0)


def test_terms_add_up():
    for pde in (BURGERS, DARCY):
        grid = pde.grid.resized(8)
        fields = noise(grid, *pde.field_names)
        residual = pde.bind(grid)
        rows = residual(fields)
        for name in pde.equations:
            torch.testing.assert_close(sum(residual.terms(fields)[name].values()), rows[name])


def test_gradient_and_transforms():
    grid = DARCY.grid.resized(6)
    residual = DARCY.bind(grid)
    fields = noise(grid, "a", "u", count=1)

    def total(p):
        return residual({"a": fields["a"], "u": p})["mass"]

    def of_one(f):
        return residual({k: v[None] for k, v in f.items()})["mass"][0]

    assert torch.autograd.gradcheck(total, fields["u"].clone().requires_grad_())
    many = noise(grid, "a", "u", count=4)
    torch.testing.assert_close(torch.func.vmap(of_one)(many), residual(many)["mass"])


@pytest.mark.slow
def test_compiles_whole():
    grid = DARCY.grid.resized(8)
    fields = noise(grid, "a", "u")
    residual = DARCY.bind(grid)
    compiled = torch.compile(lambda f: residual(f)["mass"], fullgraph=True)
    torch.testing.assert_close(compiled(fields), residual(fields)["mass"])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda g: PDE("p", "", g, [u], {"e": D(a, x)}, inputs={}), "neither a field nor a param"),
        (lambda g: PDE("p", "", g, [u], {"e": D(u, t)}, inputs={}), "no axis t"),
        (
            lambda g: PDE("p", "", g, [u], {"e": D(u, x)}, inputs={a: ANY[u]}),
            "not a declared field",
        ),
        (lambda g: PDE("p", "", g, [u], {}, inputs={}), "needs an equation"),
        (
            lambda g: PDE("p", "", g, [u], {"e": Param("k", 1.0) + 0 * u}, inputs={}),
            "param|no field",
        ),
        (
            lambda g: PDE("p", "", g, [u], {"e": D(u, x)}, inputs={Slice(u, "x", 0.5): ANY[u]}),
            "not at an end",
        ),
        (
            lambda g: PDE("p", "", g, [u], {"e": sympy.gamma(u) + D(u, x)}, inputs={}).bind(),
            "no torch counterpart",
        ),
        (
            lambda g: PDE("p", "", g.resized(2), [u], {"e": D(u, x, 2)}, inputs={}).bind(),
            "needs 3 nodes along x",
        ),
        (
            lambda g: PDE("p", "", g, [u], {"e": D(u, x, 2)}, inputs={},
                          conditions={"w": Dirichlet(u, a)}),
            "w: a is neither a field nor a param",
        ),
        (lambda g: D(u, a), "needs a coordinate"),
        (lambda g: D(u, x, 0), "whole order"),
    ],
)  # fmt: skip
def test_mistakes_are_named(build, message):
    with pytest.raises(UsageError, match=message):
        build(Grid(x=Axis(0, 1, 8), y=Axis(0, 1, 8)))
