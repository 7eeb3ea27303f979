"""What an author may get wrong, or a program silently: each once seen, and named since."""

import copy

import numpy as np
import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid, Integral, Neumann, PiddmError, UsageError
from piddm.numerics.projection import Projection
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY

u, v, f = Field("u"), Field("v"), Field("f")
SMOOTH = GaussianField(2.5, 7.0)
LINE = Grid(x=Axis(0, 1, 20))
CIRCLE = Grid(x=Axis(0, 1, 20, periodic=True))
SQUARE = Grid(x=Axis(0, 1, 12), y=Axis(0, 1, 12))
TIMES = Grid(t=Axis(0, 1, 21, time=True), x=Axis(0, 1, 21))
TORUS = Grid(x=Axis(0, 1, 8, periodic=True), y=Axis(0, 1, 8, periodic=True))


def pde(grid, equations, **kwargs) -> PDE:
    given = {"inputs": {}, "fields": [u]} | kwargs
    return PDE("p", "", grid, equations=equations, **given)


def test_text_is_never_evaluated(tmp_path):
    mark = tmp_path / "mark"
    text = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    for build in (
        lambda: D(text, x),
        lambda: laplace(text, [x, y]),
        lambda: D(u, text),
        lambda: D(u, x, text),
        lambda: pde(LINE, {"e": text}),
        lambda: pde(LINE, {"e": D(u, x, 2)}, conditions={"w": Dirichlet(u, text)}),
        lambda: pde(LINE, {"e": D(u, x, 2)}, integrals={"w": Integral(text)}),
    ):
        with pytest.raises(UsageError, match=r"neither a number nor|needs a coordinate"):
            build()
    assert not mark.exists()


def test_equations_can_be_copied():
    for symbol in (u, Param("k", 2.0, "rate", free=True), x):
        again = copy.deepcopy(symbol)
        assert again == symbol
        assert vars(again) == vars(symbol)
    assert copy.deepcopy(DARCY).equations == DARCY.equations


def test_conditions_at_opposite_ends_belong_to_their_fields():
    """u runs to the right and v to the left: each has its rows up to its own outflow."""
    errors = []
    for n in (11, 21):
        grid = Grid(t=Axis(0, 2, 3 * n, time=True), x=Axis(0, 1, n))
        waves = pde(
            grid, {"a": D(u, t) + D(u, x), "b": D(v, t) - D(v, x)}, fields=[u, v],
            conditions={"l": Dirichlet(u.at(x=0), sympy.sin(2 * (x - t))),
                        "r": Dirichlet(v.at(x=1), sympy.sin(2 * (x + t)))},
            inputs={u.at(t=0): SMOOTH, v.at(t=0): SMOOTH})  # fmt: skip
        xs = torch.from_numpy(grid.axes["x"].coordinates())
        first = torch.sin(2 * xs)[None]
        last = waves.solve({u.at(t=0): first, v.at(t=0): first})["v"][0, -1]
        errors.append(float((last - torch.sin(2 * (xs + 2))).abs().max()))
    assert np.log2(errors[0] / errors[1]) > 1.8


def test_second_derivatives_of_fields_that_depend_on_each_other():
    """The caller's own graph is gone through once, with and without ``create_graph``."""
    residual = DARCY.bind(DARCY.grid.resized(9))
    w = torch.randn(1, 9, 9, dtype=torch.float64).requires_grad_()

    def loss():
        return sum(r.square().sum() for r in residual({"a": w, "u": torch.sin(w)}).values())

    (once,), (kept,) = (torch.autograd.grad(loss(), w, create_graph=c) for c in (False, True))
    torch.testing.assert_close(once, kept)


def test_solutions_and_projections_have_no_graph():
    grid, field = BURGERS.grid.resized(12), BURGERS.fields[0]
    first = torch.sin(2 * np.pi * torch.arange(12) / 12).double()[None].requires_grad_()
    solved = BURGERS.solve({field.at(t=0): first}, grid)["u"]
    assert not solved.requires_grad
    projection = Projection(BURGERS.bind(grid), {"u": 1.0}, {"momentum": 1.0})
    assert not projection({"u": solved + 0.01 * first[:, None]})["u"].requires_grad


@pytest.mark.parametrize(("factor", "length"), [(1e10, 1.0), (1.0, 1e-6)])
def test_units_make_nothing_singular(factor, length):
    square = Grid(x=Axis(0, length, 20), y=Axis(0, length, 20))
    stiff = pde(square, {"e": factor * (laplace(u, [x, y]) + 1 / length**2)},
                conditions={"w": Dirichlet(u, 0)})  # fmt: skip
    assert float(stiff.solve({})["u"].max()) == pytest.approx(0.0732, abs=1e-3)


def test_newton_goes_on_after_short_steps():
    """Radiation at one end, and a steep conductivity: the first steps are halved."""
    radiation = pde(LINE, {"e": D(u, x, 2) + 1}, conditions={
        "l": Dirichlet(u.at(x=0), 1), "r": Neumann(u.at(x=1), -(u**4))})  # fmt: skip
    steep = pde(
        LINE.resized(81), {"e": D((1 + u**4) * D(u, x), x) + 50}, conditions={"w": Dirichlet(u, 0)}
    )
    for hard in (radiation, steep):
        solved = hard.solve({})
        assert max(float(r.abs().max()) for r in hard.bind()(solved).values()) < 1e-9
    # u + u^5 / 5 = 25 x (1 - x), which the flux form says of nodes' means.
    middle = float(steep.solve({})["u"][0, 40])
    assert middle + middle**5 / 5 == pytest.approx(25 / 4, rel=0.01)


def test_backwards_in_time_between_walls():
    heat = pde(TIMES, {"e": D(u, t) - D(u, x, 2) / 1000}, conditions={"w": Dirichlet(u, 0)},
               inputs={u.at(t=0): SMOOTH})  # fmt: skip
    first = torch.sin(np.pi * torch.linspace(0, 1, 21).double())[None]
    solved = heat.solve({u.at(t=0): first})["u"]
    torch.testing.assert_close(heat.solve({u.at(t=1): solved[:, -1]})["u"], solved)


def test_integrals_that_the_equations_imply():
    zero_mean = torch.sin(2 * np.pi * torch.arange(8) / 8).double()[None, :, None].repeat(1, 1, 8)
    two = pde(TORUS, {"e": laplace(u, [x, y]) - f, "g": laplace(v, [x, y]) - u}, fields=[f, u, v],
              inputs={f: SMOOTH}, integrals={"m": Integral(u, 0), "n": Integral(v, 2)})  # fmt: skip
    solved = two.solve({f: zero_mean})
    assert float(solved["v"].mean()) == pytest.approx(2)
    with pytest.raises(
        PiddmError, match=r"e has no solution: .* differ by 1 on the mean over the domain"
    ):
        two.solve({f: zero_mean + 1})


def test_a_projection_says_what_stays():
    grid = DARCY.grid.resized(8)
    sizes, scale = {"a": 1.0, "u": 1.0}, {"mass": 1.0, "wall": 1.0}
    held = {"u": np.ones((8, 8), dtype=bool)}
    fields = {k: torch.rand(1, 8, 8).double() + 1 for k in sizes}
    with pytest.raises(PiddmError, match="no nearest solution"):
        Projection(DARCY.bind(grid), sizes, scale, held)(fields)
    for wrong in ({"U": held["u"]}, {"sigma": held["u"]}):
        with pytest.raises(UsageError, match="there is no field"):
            Projection(DARCY.bind(grid), sizes, scale, wrong)
    with pytest.raises(UsageError, match="field_scale lacks a"):
        Projection(DARCY.bind(grid), {"u": 1.0}, scale)


K = Param("k", 1.0)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: pde(LINE, {"e": D(u, x)}, time_scheme="backward_euler"), "did you mean 'backward"),
        (lambda: pde(LINE, {"e": D(u, x)}, time_scheme="centered"), "did you mean 'centred'"),
        (lambda: u.diff(x, 2), r"write D\(u, x\)"),
        (lambda: laplace(u, x), "as a list"),
        (lambda: u.at(x="left"), "a place is a number"),
        (lambda: Axis(0, 1, 9.0), "whole number of nodes"),
        (lambda: Axis(0, "1", 9), "ends of an axis are numbers"),
        (lambda: pde(LINE, [D(u, x)]), "equations are a dictionary"),
        (lambda: pde(LINE, {"e": D(u, x)}, fields=u), "are lists"),
        (lambda: pde(LINE, {"e": D(u, x)}, conditions={"w": (u, 0)}), "made by Dirichlet"),
        (lambda: pde(LINE, {"e": D(u, x)}, integrals={"w": u}), "made by Integral"),
        (lambda: DARCY.bind(9), r"resized\(9\)"),
        (lambda: sympy.diff(u, x), r"write D\(u, x\)"),
        (lambda: pde(LINE, {"e": sympy.Eq(D(u, x), 1)}), "left - right"),
        (lambda: pde(LINE, {"e": sympy.I * D(u, x)}), "numbers are real"),
        (lambda: D(u.at(x=0), x), "is a place"),
        (lambda: pde(LINE, {"e": sympy.Heaviside(u, x)}).bind(), "at the step is a number"),
        (lambda: pde(CIRCLE.resized(4), {"e": D(u, x, 2)}).bind(order=6), "needs 7 nodes along x"),
        (lambda: pde(TIMES, {"e": D(u, t, 2) + D(u, t) - D(u, x, 2)}).bind(), "needs? time_scheme"),
        (lambda: pde(CIRCLE, {"e": D(u, x)}, conditions={"w": Dirichlet(u, 0)}), "p, w: no axis"),
        (lambda: pde(LINE, {"e": D(u, x)}, conditions={"w": Dirichlet(u.at(x=0), 0, on=("x",))}),
         "not of a slice"),
        (lambda: pde(LINE, {"e": D(u, x)}, fields=[u, u]), "names more than one field or param"),
        (lambda: pde(LINE, {"e": D(u, x)}, fields=[u], params=[Param("u", 1.0)]), "more than one"),
        (lambda: pde(LINE, {"e": K * D(u, x)}, params=[K]).bind()(
            {"u": torch.ones(1, 20), "K": torch.ones(1)}), "p has no K; known: k, u"),
        (lambda: DARCY.bind(SQUARE)({"a": torch.ones(1, 12, 12)}), "the field u is missing"),
        (lambda: DARCY.solve({"a": torch.ones(1, 12, 12)}, SQUARE), "by field, slice or param"),
        (lambda: DARCY.solve({DARCY.fields[0]: [1.0]}, SQUARE), "pass a tensor"),
        (lambda: DARCY.solve({DARCY.fields[0]: torch.ones(1, 12, 12)}, SQUARE,
                             start={f: torch.ones(1, 12, 12)}), "start: there is no f"),
    ],
)  # fmt: skip
def test_mistakes_are_named(act, message):
    with pytest.raises(UsageError, match=message):
        act()
