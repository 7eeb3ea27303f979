"""The derived solver for any choice of unknowns, and what it says of ill-posed problems."""

import numpy as np
import pytest
import torch

from piddm import PDE, Axis, Dirichlet, Grid, Integral, Neumann, PiddmError, Robin, UsageError
from piddm.data.simulate import simulate
from piddm.numerics.newton import NewtonSolver
from piddm.priors import GaussianField, Uniform
from piddm.symbolic import D, Field, Param, curl, div, grad, laplace, t, x, y

u, f = Field("u"), Field("f")
SMOOTH = GaussianField(2.5, 7.0)
SQUARE = Grid(x=Axis(0, 1, 17), y=Axis(0, 1, 17))
SPACE_TIME = Grid(t=Axis(0, 1, 20, time=True), x=Axis(0, 1, 24, periodic=True))


def draw(pde: PDE, count: int = 3) -> dict[str, torch.Tensor]:
    (fields,) = simulate(pde, pde.grid, count, torch.Generator().manual_seed(0))
    return fields


def largest(pde: PDE, fields: dict[str, torch.Tensor], **kwargs) -> float:
    return max(float(r.abs().max()) for r in pde.bind(**kwargs)(fields).values())


def poisson(**kwargs) -> PDE:
    given = {"conditions": {"wall": Dirichlet(u, 0)}} | kwargs
    return PDE("poisson", "", SQUARE, [f, u], {"balance": laplace(u, [x, y]) - f},
               inputs={f: SMOOTH}, **given)  # fmt: skip


def test_a_source_from_its_solution():
    pde = poisson()
    fields = draw(pde)
    solved = pde.solve({u: fields["u"]}, start={f: torch.zeros_like(fields["f"])})
    inside = (slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(solved["f"][inside], fields["f"][inside], rtol=1e-9, atol=1e-9)
    assert float(solved["f"][:, 0].abs().max()) == 0, "no row says anything of the rim"
    with pytest.raises(UsageError, match="no equation says anything of f at 64 nodes"):
        pde.solve({u: fields["u"]})
    with pytest.raises(PiddmError, match="contradicts wall"):
        pde.solve({u: fields["u"] + 1}, start={f: fields["f"]})


def test_the_initial_state_from_the_final_one():
    """Crank-Nicolson runs backwards as well as forwards: the same rows, another end held."""
    pde = PDE("advection", "", SPACE_TIME, [u], {"transport": D(u, t) + D(u, x)},
              inputs={u.at(t=0): SMOOTH})  # fmt: skip
    fields = draw(pde)
    back = pde.solve({u.at(t=1): fields["u"][:, -1]})
    torch.testing.assert_close(back["u"], fields["u"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("order", [2, 4, 6])
def test_robin_problem_against_its_closed_form(order):
    """u'' = e^x with u - u' = 0 (outward) at 0 and u + 2u' = 3e at 1 has u = e^x + a x + b."""
    errors = []
    for n in (16, 31):
        line = Grid(x=Axis(0, 1, n))
        pde = PDE("rod", "", line, [f, u], {"e": D(u, x, 2) - f}, inputs={f: SMOOTH}, conditions={
            "left": Robin(u.at(x=0), 0, alpha=1, beta=1),
            "right": Robin(u.at(x=1), 3 * np.e, beta=2),
        })  # fmt: skip
        xs = torch.from_numpy(line.axes["x"].coordinates())
        # u(0) = u'(0): 1 + b = 1 + a; u(1) + 2u'(1) = 3e: 3a + b = 0; so a = b = 0.
        solved = pde.solve({f: torch.exp(xs)[None]}, order=order)
        errors.append(float((solved["u"][0] - torch.exp(xs)).abs().max()))
    assert np.log(errors[0] / errors[1]) / np.log(2) > order - 0.1


C = Param("c", 0.0, free=True)
NEUMANN = PDE("neumann", "", SQUARE, [f, u], {"balance": laplace(u, [x, y]) + f - C},
              inputs={f: SMOOTH}, params=[C], conditions={"wall": Neumann(u, 0)},
              integrals={"mean": Integral(u, 0)})  # fmt: skip


def test_pure_neumann_with_a_mean():
    """The free param takes up what the source lacks of compatibility: its mean, nearly."""
    fields = draw(NEUMANN)
    assert largest(NEUMANN, fields) < 1e-11
    mean = fields["f"].mean((1, 2))
    assert float((fields["c"] - mean).abs().max()) < 0.02
    singular = PDE("neumann", "", SQUARE, [f, u], {"balance": laplace(u, [x, y]) + f},
                   inputs={f: SMOOTH}, conditions={"wall": Neumann(u, 0)})  # fmt: skip
    with pytest.raises(PiddmError, match=r"neumann: .* u is determined up to a constant"):
        draw(singular)


def test_a_mean_that_the_equations_imply():
    """On a torus the Poisson rows add up to nothing: the integral is a row too many."""
    w, psi = Field("w"), Field("psi")
    torus = Grid(t=Axis(0, 0.5, 4, time=True), x=Axis(0, 1, 8, periodic=True),
                 y=Axis(0, 1, 8, periodic=True))  # fmt: skip
    velocity = [D(psi, y), -D(psi, x)]
    pde = PDE("vortices", "", torus, [w, psi],
              {"vorticity": D(w, t) + velocity[0] * D(w, x) + velocity[1] * D(w, y)
               - 1e-3 * laplace(w, [x, y]), "stream": curl(velocity, [x, y]) - w},
              inputs={w.at(t=0): SMOOTH}, integrals={"mean": Integral(psi)})  # fmt: skip
    fields = draw(pde, 2)
    assert largest(pde, fields) < 1e-12
    assert float(fields["psi"].mean((2, 3)).abs().max()) < 1e-14
    assert float(fields["psi"][:, 0].abs().max()) > 1e-4, "solved for at the first time too"


def test_integrals_by_their_order():
    """The integral of e^(x + y) over the unit square is (e - 1)^2."""
    for order in (2, 4, 6):
        errors = []
        for n in (41, 81):
            grid = SQUARE.resized(n)
            pde = poisson(integrals={"total": Integral(u, (np.e - 1) ** 2)})
            xs = torch.from_numpy(grid.axes["x"].coordinates())
            fields = {"u": torch.exp(xs[:, None] + xs)[None], "f": torch.zeros(1, n, n).double()}
            errors.append(float(pde.bind(grid, order)(fields)["total"].abs()))
        assert np.log2(errors[0] / errors[1]) > order - 0.1


def test_a_conserved_integral():
    pde = PDE("p", "", SPACE_TIME, [u], {"e": D(u, t) + D(u**2 / 2, x) - D(u, x, 2) / 100},
              inputs={u.at(t=0): SMOOTH}, integrals={"mass": Integral(u, conserved=True)},
              )  # fmt: skip
    fields = draw(pde)
    assert pde.bind()(fields)["mass"].shape == (3, 19)
    assert largest(pde, fields) < 1e-11
    loss = pde.bind()({"u": 1 + fields["u"] + torch.linspace(1, 2, 20).double()[:, None]})["mass"]
    assert float(loss.abs().min()) > 1e-2


NU = Param("nu", 2.0, free=True)
HEAT = PDE("heat", "", SPACE_TIME, [u], {"heat": D(u, t) - NU * D(u, x, 2) / 50}, params=[NU],
           inputs={u.at(t=0): SMOOTH, NU: Uniform(1, 5)})  # fmt: skip


def test_a_param_drawn_given_fitted_and_solved_for():
    fields = draw(HEAT, 4)
    assert fields["nu"].shape == (4,)
    assert float(fields["nu"].min()) > 1
    assert float(fields["nu"].max()) < 5
    assert largest(HEAT, fields) < 1e-11
    alone = {"u": fields["u"]}
    residual = HEAT.bind()
    torch.testing.assert_close(residual.fit(alone)["nu"], fields["nu"])
    assert largest(HEAT, alone) < 1e-10, "fitted"
    wrong = residual(fields | {"nu": fields["nu"] + 1})["heat"]
    assert float(wrong.abs().max()) > 1e-2
    # The fit is differentiable, and does not mix samples.
    point = (fields["u"] + 0.01 * torch.randn_like(fields["u"])).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: residual({"u": v[None]})["heat"][0],
                                    point.detach()[0].requires_grad_())  # fmt: skip
    together, single = residual({"u": point})["heat"], residual({"u": point[1:2]})["heat"]
    torch.testing.assert_close(together[1:2], single)
    # One row more than the fields need makes the param an unknown: the mass of u^2 at the end.
    energy = (fields["u"] ** 2).mean(2)
    pde = PDE("heat", "", SPACE_TIME, [u], dict(HEAT.equations), params=[NU],
              inputs={u.at(t=0): SMOOTH})  # fmt: skip
    known = {u.at(t=0): fields["u"][:, 0], NU: fields["nu"]}
    torch.testing.assert_close(pde.solve(known)["u"], fields["u"])
    assert float(energy[:, -1].max()) < float(energy[:, 0].max())
    with pytest.raises(UsageError, match=r"ill-posed: 456 rows .* 457 unknown .*nu: 1"):
        pde.solve({u.at(t=0): fields["u"][:, 0]})


def test_linear_equations_are_factorised_once(monkeypatch):
    from piddm.numerics.algebra import diagonal_pivots
    from piddm.numerics.algebra import linear_system as linear

    calls = []
    real = linear.splu
    for module in (linear, diagonal_pivots):
        monkeypatch.setattr(module, "splu", lambda m, **how: calls.append(m) or real(m, **how))
    pde = PDE("p", "", SPACE_TIME, [u], {"e": D(u, t) - D(u, x, 2) / 100},
              inputs={u.at(t=0): SMOOTH})  # fmt: skip
    draw(pde, 5)
    assert len(calls) == 3, "twice to look how it can be solved, once for 19 steps of 5 samples"


def test_wave_equation_from_two_initial_conditions():
    """u_tt = u_xx from sin(2 pi x) at rest: cos(2 pi t) sin(2 pi x)."""
    errors = []
    for n in (32, 64):
        grid = Grid(t=Axis(0, 1, n + 1, time=True), x=Axis(0, 1, n, periodic=True))
        pde = PDE("wave", "", grid, [u], {"e": D(u, t, 2) - D(u, x, 2)},
                  inputs={u.at(t=0): SMOOTH}, conditions={"rest": Neumann(u.at(t=0), 0)},
                  time_scheme="centred")  # fmt: skip
        ts, xs = (torch.from_numpy(a.coordinates()) for a in grid.axes.values())
        exact = torch.cos(2 * np.pi * ts)[:, None] * torch.sin(2 * np.pi * xs)
        errors.append(float((pde.solve({u.at(t=0): exact[None, 0]})["u"][0] - exact).abs().max()))
    assert np.log2(errors[0] / errors[1]) > 1.9


def test_advection_with_an_inflow():
    """One condition at one end: the other end has a one-sided row of its own."""
    grid = Grid(t=Axis(0, 1, 41, time=True), x=Axis(0, 1, 41))
    pde = PDE("inflow", "", grid, [u], {"e": D(u, t) + D(u, x)}, inputs={u.at(t=0): SMOOTH},
              conditions={"in": Dirichlet(u.at(x=0), 1 + t)})  # fmt: skip
    xs = torch.from_numpy(grid.axes["x"].coordinates())
    solved = pde.solve({u.at(t=0): (1 - xs)[None]})["u"][0]
    ts = torch.from_numpy(grid.axes["t"].coordinates())
    torch.testing.assert_close(solved, 1 + ts[:, None] - xs, rtol=0, atol=1e-10)


def test_a_corner_has_one_row():
    """Walls of unlike kinds meet: the Dirichlet row holds there."""
    a = Field("a")
    flow = div([a * g for g in grad(u, [x, y])], [x, y]) + 1
    pde = PDE("p", "", SQUARE, [a, u], {"e": flow}, inputs={a: SMOOTH}, conditions={
        "sides": Neumann(u, 0, on=("y",)), "ends": Dirichlet(u, x, on=("x",))})  # fmt: skip
    rows = pde.bind().rows
    assert len(rows["ends"].nodes) == 2 * 17
    assert len(rows["sides"].nodes) == 2 * 15
    solved = pde.solve({a: torch.ones(1, 17, 17)})["u"][0]
    xs = torch.from_numpy(SQUARE.axes["x"].coordinates())
    torch.testing.assert_close(solved, (xs + xs * (1 - xs) / 2)[:, None].expand(17, 17))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: poisson().solve({}), r"poisson: ill-posed: 289 rows .* 514 unknown"),
        (lambda: poisson().solve({f: torch.ones(2, 3)}), r"f has the shape \(2, 3\), not \(2, 17"),
        (lambda: poisson().solve({Field("q"): torch.ones(1, 17, 17)}), "no field or param q"),
        (lambda: poisson().solve({f: torch.ones(1, 17, 17), u: torch.ones(1, 17, 17)}), "nothing"),
        (lambda: poisson().bind(order=3), "order 3 along x: choose 2, 4, 6 or 'spectral'"),
        (lambda: poisson().bind(order="spectral"), "the axis x is not periodic"),
        (lambda: poisson().bind(order={"z": 4}), "no axis 'z'"),
        (lambda: poisson().bind(SQUARE.resized(5), 6), "the stencil needs 8 nodes along x"),
        (lambda: HEAT.bind(order={"t": 4}), "t is time"),
        (lambda: poisson(conditions={"w": Dirichlet(u, "0")}), "poisson, w: '0' is neither"),
        (lambda: poisson(conditions={"w": Dirichlet(u.at(x=0.5))}), "not at an end of x"),
        (lambda: poisson(conditions={"w": Dirichlet(u, t)}), "poisson, w: the grid has no axis t"),
        (lambda: poisson(conditions={"balance": Neumann(u)}), "names more than one"),
        (lambda: poisson(integrals={"m": Integral(x)}), "m: the integrand has no field"),
        (lambda: poisson(integrals={"m": Integral(u, x)}).bind(), "may depend on time"),
        (lambda: poisson(integrals={"m": Integral(u, conserved=True)}).bind(), "needs an axis"),
        (lambda: NewtonSolver(poisson().bind(), {"f": np.ones((17, 17), bool),
                                                 "u": np.ones((17, 17), bool)}), "nothing is left"),
        (lambda: draw(PDE("p", "", SPACE_TIME, [u], {"e": D(u, t) - NU * u}, params=[NU],
                          inputs={u.at(t=0): SMOOTH, NU: SMOOTH})), "the law of a param"),
        (lambda: PDE("p", "", SPACE_TIME, [u], {"e": D(u, t)}, inputs={Param("k", 1.0): SMOOTH}),
         "k is not a declared free param"),
    ],
)  # fmt: skip
def test_mistakes_are_named(act, message):
    with pytest.raises(UsageError, match=message):
        act()


def test_an_order_of_the_specification():
    """What binds without an order has the specification's: here spectral, so exact in space."""
    pde = PDE("p", "", SPACE_TIME, [u], {"e": D(u, t) + D(u, x)}, inputs={u.at(t=0): SMOOTH},
              order="spectral")  # fmt: skip
    fields = draw(pde)
    assert largest(pde, fields) < 1e-12
    assert largest(pde, fields, order=2) > 1e-2
    # A mode k keeps its size and turns by 2 atan(pi k dt) a step, whatever the spacing.
    xs = torch.from_numpy(SPACE_TIME.axes["x"].coordinates())
    solved = pde.solve({u.at(t=0): torch.cos(6 * np.pi * xs)[None]})["u"][0, -1]
    turned = 19 * 2 * np.arctan(3 * np.pi / 19)
    torch.testing.assert_close(solved, torch.cos(6 * np.pi * xs - turned), rtol=0, atol=1e-11)
