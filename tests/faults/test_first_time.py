"""What has no time derivative is right at the first time too, or what is missing is named."""

from __future__ import annotations

import dataclasses

import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid, Integral, Neumann, PiddmError
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm.tools.errors import SchemeWarning

u, v, p, lam, q = (Field(k) for k in ("u", "v", "p", "lam", "q"))
TWO_PI = float(2 * torch.pi)


def conserving(axes: dict[str, Axis], order=2, reaction=u - u**3, scheme="crank-nicolson") -> PDE:
    """Return phases that keep their mass by a multiplier, the same everywhere."""
    space = [c for c in (x, y) if c.name in axes]
    return PDE(
        name="phases", summary="phases that keep their mass",
        grid=Grid(t=Axis(0, 1, 33, time=True), **axes), fields=[u, lam],
        equations={"b": D(u, t) - 0.02 * laplace(u, space) - reaction - lam,
                   "g": laplace(lam, space)},
        integrals={"mass": Integral(u, conserved=True)}, inputs={u.at(t=0): None},
        order=order, time_scheme=scheme,
    )  # fmt: skip


RING = {"x": Axis(0, 1, 17, periodic=True)}
TORUS = {"x": Axis(0, 1, 9, periodic=True), "y": Axis(0, 1, 7, periodic=True)}


@pytest.mark.parametrize("scheme", ["crank-nicolson", "bdf2", "backward-euler"])
@pytest.mark.parametrize(
    ("axes", "order", "reaction", "number"),
    [
        (RING, 2, u - u**3, lambda w: w - w**3),
        (RING, 4, sympy.sin(3 * u), lambda w: torch.sin(3 * w)),
        (TORUS, 2, u - u**3, lambda w: w - w**3),
    ],
    ids=["ring", "ring, order 4, sine", "torus"],
)
def test_a_multiplier_is_right_from_the_first_time_on(axes, order, reaction, number, scheme):
    pde = conserving(axes, order, reaction, scheme)
    along = [torch.from_numpy(a.coordinates()) for a in list(pde.grid.axes.values())[1:]]
    start = 0.1 + 0.5 * torch.cos(TWO_PI * along[0])
    for other in along[1:]:
        start = start[:, None] * (1 + 0.4 * torch.sin(TWO_PI * other))
    solved = pde.solve({u.at(t=0): start[None]})
    wanted = -number(solved["u"]).flatten(2).mean(2)[0]
    found = solved["lam"][0].flatten(1)[:, 0]
    assert float(found[0]) == pytest.approx(float(wanted[0]), rel=1e-10)
    allowed = 0.05 if scheme != "crank-nicolson" else 2e-3  # of the first order in steps like those
    assert float((found - wanted).abs().max()) < allowed * float(wanted.abs().max())
    assert float((solved["u"].flatten(2).mean(2) - start.mean()).abs().max()) < 1e-12


def test_the_multiplier_of_the_report():
    pde = conserving({"x": Axis(0, 1, 33, periodic=True)})
    start = 0.1 + 0.5 * torch.cos(TWO_PI * torch.arange(33, dtype=torch.float64) / 33)
    found = pde.solve({u.at(t=0): start[None]})["lam"][0, 0, 0]
    # The mean of u - u^3 of 0.1 + 0.5 cos: 0.1 - 0.001 - 3/2 0.1 0.25.
    assert float(found) == pytest.approx(-(0.1 - 0.001 - 0.0375), abs=1e-12)


def flow(grid: Grid, **more) -> PDE:
    def rate(w):
        return D(w, t) + u * D(w, x) + v * D(w, y) - 0.05 * laplace(w, [x, y])

    return PDE(name="flow", summary="flow", grid=grid, fields=[u, v, p],
               equations={"u": rate(u) + D(p, x), "v": rate(v) + D(p, y),
                          "mass": D(u, x) + D(v, y)},
               inputs={u.at(t=0): None, v.at(t=0): None}, **more)  # fmt: skip


SQUARE = Grid(t=Axis(0, 0.5, 9, time=True), x=Axis(0, TWO_PI, 9, periodic=True),
              y=Axis(0, TWO_PI, 9, periodic=True))  # fmt: skip


def vortices():
    along = torch.arange(9, dtype=torch.float64) * TWO_PI / 9
    a, b = torch.meshgrid(along, along, indexing="ij")
    first, second = torch.cos(a) * torch.sin(b), -torch.sin(a) * torch.cos(b)
    return {u.at(t=0): first[None], v.at(t=0): second[None]}


def test_the_pressure_of_a_flow_decays_from_the_first_time_on():
    pressure = flow(SQUARE, integrals={"mean": Integral(p)}).solve(vortices())["p"][0]
    size = pressure.square().mean((1, 2)).sqrt()
    h = TWO_PI / 9
    decay = 4 * 0.05 * (2 * (1 - torch.cos(torch.tensor(h))) / h**2)  # of u^2, by differences
    wanted = size[0] * torch.exp(-decay * torch.linspace(0, 0.5, 9))
    assert float(((size - wanted) / wanted).abs().max()) < 2e-3
    assert float(size[0]) > 0.1


def test_what_the_first_time_leaves_open_is_named_with_it():
    with pytest.raises(PiddmError, match=r"at the first time, t = 0: .*p is determined up to a"):
        flow(SQUARE).solve(vortices())


@pytest.mark.parametrize("axes", [{"x": Axis(0, 1, 17)}, {"x": Axis(0, 1, 9), "y": Axis(0, 1, 8)}])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_zero_data_do_not_hide_what_is_not_determined(axes, value):
    space = [c for c in (x, y) if c.name in axes]
    pde = PDE(name="n", summary="s", grid=Grid(**axes), fields=[u, q],
              equations={"b": laplace(u, space) - q}, conditions={"w": Neumann(u)},
              inputs={q: None})  # fmt: skip
    with pytest.raises(PiddmError, match="u is determined up to a constant"):
        pde.solve({q: torch.full((1, *pde.grid.shape), value)})


@pytest.mark.parametrize("two", [False, True], ids=["line", "square"])
def test_unbalanced_fluxes_are_called_that(two):
    axes = {"x": Axis(0, 1, 12, periodic=True)}
    axes |= {"y": Axis(0, 1, 10, periodic=True)} if two else {}
    space = [x, y] if two else [x]
    pde = PDE(name="n", summary="s", grid=Grid(**axes), fields=[u, q],
              equations={"b": laplace(u, space) - q}, integrals={"mean": Integral(u)},
              inputs={q: None})  # fmt: skip
    with pytest.raises(PiddmError, match=r"b has no solution: .* differ by 0.5 on the mean"):
        pde.solve({q: torch.full((1, *pde.grid.shape), 0.5)})
    balanced = torch.sin(TWO_PI * torch.from_numpy(pde.grid.axes["x"].coordinates()))
    balanced = balanced[:, None].expand(pde.grid.shape) if two else balanced
    solved = pde.solve({q: balanced[None]})["u"]
    assert float(solved.mean().abs()) < 1e-12


def test_an_integral_that_the_equations_contradict_is_called_that():
    pde = PDE(name="n", summary="s", grid=Grid(t=Axis(0, 1, 5, time=True), **RING), fields=[u],
              equations={"b": D(u, t) - D(u, x, 2)}, integrals={"mass": Integral(u, 1)},
              inputs={u.at(t=0): None})  # fmt: skip
    with pytest.raises(PiddmError, match="integrals mass contradict the equations"):
        pde.solve({u.at(t=0): torch.zeros(1, 17)})


def test_a_free_param_takes_up_the_difference():
    c = Param("c", 0.0, free=True)
    pde = PDE(name="n", summary="s", grid=Grid(x=Axis(0, 1, 12)), fields=[u, q], params=[c],
              equations={"b": D(u, x, 2) - q - c}, conditions={"w": Neumann(u)},
              integrals={"mean": Integral(u)}, inputs={q: None})  # fmt: skip
    solved = pde.solve({q: torch.ones(1, 12)})
    assert float(solved["c"]) == pytest.approx(-1, abs=1e-9)


def test_walls_that_move_are_differentiated_too():
    """The multiplier of a driven flux at its first time: the rate of the flux and the friction."""
    pde = PDE(name="c", summary="s", grid=Grid(t=Axis(0, 1, 33, time=True), y=Axis(0, 1, 33)),
              fields=[u, lam], equations={"u": D(u, t) - D(u, y, 2) / 5 - lam, "l": D(lam, y)},
              conditions={"w": Dirichlet(u, sympy.sin(t))}, inputs={u.at(t=0): None},
              # By trapezia 6 y (1 - y) has the integral 1 - h^2.
              integrals={"flux": Integral(u, 1 - sympy.Rational(1, 32**2) + sympy.sin(t))}
              )  # fmt: skip
    along = torch.linspace(0, 1, 33, dtype=torch.float64)
    found = pde.solve({u.at(t=0): (6 * along * (1 - along))[None]})["lam"][0, :, 5]
    # u = sin t + 6 y (1 - y) solves it with lam = cos t + 12/5.
    exact = torch.cos(torch.linspace(0, 1, 33, dtype=torch.float64)) + 2.4
    assert float((found - exact).abs().max()) < 2e-3
    assert float(found[0]) == pytest.approx(3.4, abs=1e-6)


def test_a_start_that_violates_a_constraint_is_warned_of():
    pde = conserving(RING)
    pde = dataclasses.replace(pde, integrals={"mass": Integral(u, 0.2)})
    with pytest.warns(SchemeWarning, match="given at the first time violates mass by"):
        pde.solve({u.at(t=0): torch.full((1, 17), 0.1)})
