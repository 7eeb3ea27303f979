"""Extremes, choices and functions: sympy's numbers, and the usual subgradients."""

from __future__ import annotations

import pytest
import sympy
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from piddm import PDE, Axis, Grid, UsageError
from piddm.symbolic import Field, Param, x

u, v, q = Field("u"), Field("v"), Field("q")
GRID = Grid(x=Axis(0, 1, 8, periodic=True))
PLANE = Grid(x=Axis(0, 1, 5), y=Axis(0, 1, 4, periodic=True))


def rows(expression, grid=GRID, params=(), **values):
    """Return the expression's value and slope by u at every node: own pull, own push, torch's."""
    pde = PDE(name="m", summary="m", grid=grid, fields=[q, u, v], params=params,
              equations={"b": q - expression}, inputs={u: None, v: None})  # fmt: skip
    residual = pde.bind()
    kind = values.pop("dtype", torch.float64)
    fields = {name: torch.full((1, *grid.shape), value, dtype=kind)
              for name, value in ({"u": 0.0, "v": 0.0} | values).items()}  # fmt: skip
    fields["q"] = torch.zeros(1, *grid.shape, dtype=kind)
    leaf = fields["u"].clone().requires_grad_()

    def at(value):
        return -residual({**fields, "u": value})["b"]

    total = at(leaf).sum() + 0 * leaf.sum()  # an expression may lack the field
    (pull,) = torch.autograd.grad(total, leaf)
    direction = {"u": torch.ones(1, 1, *grid.shape, dtype=kind)}
    push = -residual.tangent(fields, direction)[1]["b"][0]
    seen = torch.zeros_like(leaf)
    if sympy.sympify(expression).has(u):
        seen = torch.func.grad(lambda w: at(w).sum())(fields["u"])
    return at(fields["u"]), pull, push, seen


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("grid", [GRID, PLANE], ids=["line", "plane"])
@pytest.mark.parametrize(
    ("expression", "at", "value", "slope"),
    [
        (sympy.Min(u**-2, 1000), 1e-10, 1000.0, 0.0),
        (sympy.Min(u**-2, 1000), 0.0, 1000.0, 0.0),
        (sympy.Min(sympy.exp(u), 1), 20.0, 1.0, 0.0),
        (sympy.Min(1 / sympy.Abs(u), 1000), 0.0, 1000.0, 0.0),
        (sympy.Max(u, 1e-8), -1.0, 1e-8, 0.0),
        (sympy.Max(1 / u, -1000), -1e-12, -1000.0, 0.0),
        (sympy.Max(u, 0.5), 0.5, 0.5, 0.5),
        (sympy.Min(u, 0.5), 0.5, 0.5, 0.5),
        (sympy.Max(u, 1, 2), 3.0, 3.0, 1.0),
        (sympy.Abs(u), 0.0, 0.0, 0.0),
        (sympy.Piecewise((sympy.sqrt(u), u > 0), (0, True)), -1.0, 0.0, 0.0),
        (sympy.Min((1 + v) / u, 1000), 0.0, 1000.0, 0.0),
    ],
)
def test_extremes_are_exact_with_the_usual_subgradients(expression, at, value, slope, grid, dtype):
    found, *slopes = rows(expression, grid, u=at, dtype=dtype)
    assert bool((found == torch.tensor(value, dtype=dtype)).all())
    for got in slopes:
        assert bool((got == slope).all()), (expression, got)


def test_a_power_with_a_param_takes_negative_values():
    found, *slopes = rows((u - 3) ** Param("m", 2.0), params=[Param("m", 2.0)], u=1.0)
    assert bool((found == 4).all())
    assert all(bool((s == -4).all()) for s in slopes)


SMOOTH = [
    sympy.sin, sympy.cos, sympy.exp, sympy.tanh, sympy.atan, sympy.asinh, sympy.sech, sympy.erf,
    sympy.erfc, sympy.sinh, sympy.cosh, lambda a: sympy.besselj(0, a),
    lambda a: sympy.besselj(1, a),
    lambda a: sympy.besseli(0, a), lambda a: sympy.besselk(1, 1 + a**2),
    lambda a: sympy.bessely(0, 1 + a**2), lambda a: sympy.log(1 + a**2),
    lambda a: sympy.sqrt(1 + a**2), lambda a: sympy.coth(1 + a**2), lambda a: sympy.acosh(2 + a**2),
    sympy.sinc, lambda a: sympy.loggamma(1 + a**2),
]  # fmt: skip

pairs = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a / (1 + b**2),
    lambda a, b: sympy.Max(a, b),
    lambda a, b: sympy.Min(a, b),
    lambda a, b: sympy.Piecewise((a, a < b), (b * a, True)),
    lambda a, b: sympy.Abs(a - b),
    lambda a, b: sympy.atan2(1 + a**2, b),
    lambda a, b: (1 + a**2) ** b,
]

expressions = st.recursive(
    st.sampled_from([u, v]) | st.floats(-2, 2).map(lambda w: sympy.Float(round(w, 3))),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(SMOOTH), inner).map(lambda p: p[0](p[1])),
        st.tuples(st.sampled_from(pairs), inner, inner).map(lambda p: p[0](p[1], p[2])),
    ),
    max_leaves=6,
)


@given(expressions, st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
@settings(max_examples=80, deadline=None)
def test_an_expression_has_sympys_own_numbers(expression, a, b):
    expression = sympy.sympify(expression)
    assume(expression.free_symbols)
    plain = dict(zip((u, v), sympy.symbols("u_ v_", real=True), strict=True))
    exact = expression.xreplace(plain).subs(dict(zip(plain.values(), (a, b), strict=True)))
    wanted = complex(exact.evalf(30))
    assume(abs(wanted) < 1e6 and abs(wanted.imag) < 1e-12)
    found, *slopes = rows(expression, u=a, v=b)
    assert float(found[0, 0]) == pytest.approx(wanted.real, rel=1e-9, abs=1e-9)
    pull, push, seen = (float(s[0, 0]) for s in slopes)
    assume(abs(pull) < 1e6)
    assert push == pytest.approx(pull, rel=1e-9, abs=1e-9)
    assert seen == pytest.approx(pull, rel=1e-9, abs=1e-9)


def test_a_special_function_of_coordinates_is_computed_ahead():
    found, *_ = rows(sympy.besselj(3, x) + sympy.gamma(1 + x), u=1.0)
    wanted = [float((sympy.besselj(3, s) + sympy.gamma(1 + s)).evalf())
              for s in [sympy.Rational(k, 8) for k in range(8)]]  # fmt: skip
    torch.testing.assert_close(found[0], torch.tensor(wanted, dtype=torch.float64))


def test_what_torch_lacks_of_a_field_is_named():
    with pytest.raises(UsageError, match=r"besselj in besselj\(3, u\).* may depend on coordinates"):
        rows(sympy.besselj(3, u))
    with pytest.raises(UsageError, match="needs a last branch"):
        rows(sympy.Piecewise((u, u > 0)))
