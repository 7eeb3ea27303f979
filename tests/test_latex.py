"""Equations as LaTeX: what is expected, and matplotlib's parser, which refuses what is broken."""

import re

import pytest
import sympy
from matplotlib.mathtext import MathTextParser

import piddm
from piddm import Axis, Dirichlet, Grid, Integral, Neumann, Robin
from piddm.plugins import get_pde
from piddm.residuals.functions import FUNCTIONS
from piddm.symbolic import D, Field, Param, laplace, lat, lon, t, x, y
from piddm.symbolic.latex import (
    abbreviated,
    condition_latex,
    equation_latex,
    expression_latex,
    formulas,
    integral_latex,
    name_latex,
    place_latex,
)
from plugin_commands import call

NAMES = [entry.name for entry in piddm.list_pdes()]
PARSER = MathTextParser("path")
u, w, K = Field("u"), Field("w"), Field("K")
nu, rho, long = Param("nu", 0.1), Param("rho", 2.0), Param("Re", 40.0)
SQUARE = Grid(t=Axis(0, 1, 5, time=True), x=Axis(0, 1, 5), y=Axis(0, 2, 5))


class Shift(sympy.Function):
    """An operator that nobody has told the printer of."""


def compiles(text):
    PARSER.parse(f"${text}$")
    assert not re.search(r"\\[!-/:-@\[-`{-~]", text), "Markdown takes these for escapes"
    return text


def test_the_parser_refuses_what_is_broken():
    for broken in (r"\left(u", r"\partial_{x u", r"\nosuchsign u", r"\frac{u}"):
        with pytest.raises(ValueError, match=r"ParseFatalException|Expected|Unknown"):
            compiles(broken)
    with pytest.raises(AssertionError, match="Markdown"):
        compiles(r"u\,v")


@pytest.mark.parametrize("name", NAMES)
def test_every_formula_of_an_equation_compiles(name):
    pde = get_pde(name)
    found = formulas(pde)
    for kind, group in found.items():
        assert kind == "where" or list(group) == list(getattr(pde, kind))
        assert all(map(compiles, group.values()))
    assert all(compiles(place_latex(given)) for given in pde.inputs)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (D(u, t) + D(u**2 / 2, x) - nu * D(u, x, 2),
         r"\partial_{t} u + \partial_{x} \left(\frac{u^{2}}{2}\right) - \nu \partial_{xx} u"),
        (D(K * D(u, x), x) + 1, r"\partial_{x} \left(K \partial_{x} u\right) + 1"),
        (rho * u * (1 - u), r"\rho u \left(1 - u\right)"),
        (-rho * (u - u**3), r"- \rho \left(u - u^{3}\right)"),
        (D(u, y) * D(w, x), r"\partial_{y} u \ \partial_{x} w"),
        (u * D(u, x), r"u \partial_{x} u"),
        (laplace(w, [x, y]) / long, r"\frac{\partial_{xx} w + \partial_{yy} w}{\mathrm{Re}}"),
        (nu**2 * D(u, x, 2) / 2, r"\frac{\nu^{2}}{2} \partial_{xx} u"),
        (u * (D(u, x) + D(u, y)) / nu,
         r"\frac{u \left(\partial_{x} u + \partial_{y} u\right)}{\nu}"),
        (D(u, x, 5), r"\partial_{x}^{5} u"),
        (2 * D(D(u, x), y), r"2 \partial_{y} \partial_{x} u"),
        (D(u, x) ** 2, r"\left(\partial_{x} u\right)^{2}"),
        (D(-u, x), r"\partial_{x} \left(- u\right)"),
        (3 * 2**x, r"3 \cdot 2^{x}"),
        (2.5e-9 * u, r"2.5 \cdot 10^{-9} u"),
        (u * (x - 1), r"u \left(x - 1\right)"),
        (sympy.Max(u, 0), r"\max\left(0, u\right)"),
        (abs(u) ** 3, r"u^{2} \left|{u}\right|"),
        (u ** sympy.Rational(1, 3), r"\sqrt[3]{u}"),
        (sympy.Heaviside(x) ** 2, r"H^{2}\left(x\right)"),
        (laplace(u, [lat, lon]) - K, r"\Delta u - K"),
        (nu * Shift(u), r"\nu \operatorname{Shift}{\left(u \right)}"),
        (0, "0"),
    ],
)  # fmt: skip
def test_expressions(expression, expected):
    assert compiles(expression_latex(expression)) == expected


def test_parts_of_long_equations_get_signs():
    """Put back, they give the equations as they were."""
    part = D(K * D(u, x), x) + sympy.sin(2 * w * x) * rho
    given = {"a": D(u * part, x) + D(part**2, y) + nu * w, "b": K * (w + part / nu**2) + D(w, t)}
    given["c"] = D(part * D(part**2, y), t) - sympy.exp(part * D(part**2, y))
    short, parts = abbreviated(given)
    back = {sympy.Symbol(k): e for k, e in parts.items()}
    assert len(back) == 3
    for _ in back:
        short = {k: e.xreplace(back) for k, e in short.items()}
    assert short == given
    assert abbreviated({"b": given["b"]}) == ({"b": given["b"]}, {})


def test_every_function_an_equation_may_use_compiles():
    for function in (*FUNCTIONS, sympy.Max, sympy.Min):
        arguments = (u, nu) if function in (sympy.Max, sympy.Min) else (u,)
        applied = function(*arguments)
        for form in (applied, -(applied**2), D(applied, x) / applied, 1 / applied):
            compiles(equation_latex(form))


def test_text_is_never_evaluated():
    with pytest.raises(sympy.SympifyError):
        expression_latex("u + 1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("u", "u"), ("nu", r"\nu"), ("epsilon", r"\varepsilon"), ("Delta", r"\Delta"),
        ("gL", "g_{L}"), ("u0", "u_{0}"), ("D11", "D_{11}"), ("u_x", "u_{x}"),
        ("omega_0", r"\omega_{0}"), ("Re", r"\mathrm{Re}"), ("lat", r"\mathrm{lat}"),
        ("_a", r"\mathrm{ a}"),
    ],
)  # fmt: skip
def test_names(name, expected):
    assert compiles(name_latex(name)) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Dirichlet(u), r"u = 0 \quad \text{at both ends of } x, y"),
        (Neumann(u, rho / nu, on=("y",)),
         r"\partial_{n} u = \frac{\rho}{\nu} \quad \text{at both ends of } y"),
        (Neumann(u.at(t=0), 0), r"\partial_{t} u = 0 \quad \text{at } t = 0"),
        (Robin(u.at(x=1), w, alpha=2, beta=nu),
         r"\nu \partial_{n} u + 2 u = w \quad \text{at } x = 1"),
    ],
)  # fmt: skip
def test_conditions(condition, expected):
    assert compiles(condition_latex(condition, SQUARE)) == expected


def test_integrals_and_places():
    assert compiles(integral_latex(Integral(u), SQUARE)) == r"\int u \ dx \ dy = 0"
    kept = integral_latex(Integral(u + nu * w, conserved=True), SQUARE)
    assert compiles(kept) == r"\int \left(u + \nu w\right) \ dx \ dy \quad \text{is conserved}"
    assert compiles(integral_latex(Integral(u, 1), Grid.sphere(4))) == r"\int u \ dA = 1"
    assert place_latex(u.at(t=0.5)) == "u(t=0.5)"
    assert place_latex(nu) == r"\nu"


def test_the_command_that_shows_them():
    said = call("show", "burgers", "--latex")
    assert said.exit_code == 0
    assert formulas(get_pde("burgers"))["equations"]["momentum"] in said.stdout
    assert "∂" not in said.stdout
    assert r"\partial" not in call("show", "burgers").stdout
