"""What schemes cannot do is said by the solver too, with the number and what to do."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField, Sines, Uniform
from piddm.symbolic import D, Field, t, x, y
from piddm.tools.errors import SchemeWarning
from piddm.verification import verify

u, v, f = Field("u"), Field("v"), Field("f")
SMOOTH = GaussianField(alpha=2.0, tau=3.0)


def said(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if issubclass(w.category, SchemeWarning)]


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("two", [False, True], ids=["line", "square"])
@pytest.mark.parametrize("drift", [D(u, x), -D(u * (1 + 0 * x), x)], ids=["advection", "flux"])
def test_wiggles_come_with_the_cell_peclet_number(drift, two, order):
    axes = {"x": Axis(0, 1, 17)} | ({"y": Axis(0, 1, 9)} if two else {})
    spread = D(u, x, 2) + (D(u, y, 2) if two else 0)
    pde = PDE(name="layer", summary="a boundary layer", grid=Grid(**axes), fields=[u, f],
              equations={"b": drift - spread / 1000 - f}, conditions={"w": Dirichlet(u)},
              inputs={f: SMOOTH})  # fmt: skip
    one = torch.ones(1, *pde.grid.shape)
    (line,) = said(lambda: pde.solve({f: one}, order=order))
    assert "layer: u has wiggles of" in line
    assert "Péclet number of b is 62.5" in line
    assert "docs/schemes.md" in line
    calm = dataclasses.replace(pde, equations={"b": drift - spread / 20 - f})
    assert not said(lambda: calm.solve({f: one}, order=order))


def test_a_front_that_runs_is_warned_of_once_at_its_time():
    grid = Grid(t=Axis(0, 0.4, 33, time=True), x=Axis(0, 1, 65, periodic=True))
    pde = PDE(name="front", summary="a front", grid=grid, fields=[u],
              equations={"b": D(u, t) + D(u, x) - D(u, x, 2) / 1000},
              inputs={u.at(t=0): SMOOTH})  # fmt: skip
    start = (torch.arange(65) / 65 < 0.5).double()[None]
    (line,) = said(lambda: pde.solve({u.at(t=0): start}))
    assert f"Péclet number of b is {1000 / 65:.3g}" in line
    upwind = PDE(name="front", summary="a front", grid=grid, fields=[u],
                 equations={"b": D(u, t) + D(u, x, upwind=1) - D(u, x, 2) / 1000},
                 inputs={u.at(t=0): SMOOTH})  # fmt: skip
    assert not said(lambda: upwind.solve({u.at(t=0): start}))


STIFF = {
    "one": ([u], {"b": D(u, t) + 2000 * (u - sympy.cos(t))}),
    "two": ([u, v], {"b": D(u, t) + 2000 * (u - v), "c": D(v, t) + v}),
}


@pytest.mark.parametrize("case", STIFF)
def test_steps_that_swing_come_with_the_stiffness(case):
    fields, equations = STIFF[case]
    pde = PDE(name="s", summary="u is drawn to something slow",
              grid=Grid(t=Axis(0, 1, 17, time=True), x=Axis(0, 1, 5, periodic=True)),
              fields=fields, equations=equations,
              inputs={k.at(t=0): Uniform(0, 1) for k in fields})  # fmt: skip
    start = {k.at(t=0): torch.full((1, 5), 0.5).double() * (k == u) for k in fields}
    (line,) = said(lambda: pde.solve(start))
    assert "swings from step to step" in line
    assert "rate times the step is 125" in line
    assert "bdf2" in line


@pytest.mark.parametrize(("speed", "says"), [(1, True), (2 + sympy.sin(x), True), (-1, False)])
@pytest.mark.parametrize("scheme", ["crank-nicolson", "bdf2"])
def test_a_condition_where_characteristics_leave(speed, says, scheme):
    pde = PDE(name="a", summary="advection", time_scheme=scheme,
              grid=Grid(t=Axis(0, 1, 17, time=True), x=Axis(0, 1, 17)), fields=[u],
              equations={"b": D(u, t) + speed * D(u, x)}, conditions={"w": Dirichlet(u.at(x=1))},
              inputs={u.at(t=0): Sines(count=2, waves=(1, 3))})  # fmt: skip
    start = torch.sin(np.pi * torch.linspace(0, 1, 17))[None].double()
    lines = said(lambda: pde.solve({u.at(t=0): start}))
    assert any("give it at x = 0" in line for line in lines) == says


@pytest.mark.parametrize("sign", [1, -1])
def test_a_derivative_that_looks_downwind_fails(sign):
    pde = PDE(name="down", summary="the wrong way", fields=[u],
              grid=Grid(t=Axis(0, 0.1, 9, time=True), x=Axis(0, 1, 16, periodic=True)),
              equations={"b": D(u, t) + D(u, x, upwind=sign)},
              inputs={u.at(t=0): SMOOTH})  # fmt: skip
    (found,) = verify(pde, ["limits"]).checks
    assert found.passed == (sign > 0)
    start = torch.sin(2 * np.pi * torch.arange(16) / 16)[None].double()
    lines = said(lambda: pde.solve({u.at(t=0): start}))
    assert any("downwind" in line for line in lines) == (sign < 0)


PLUGIN = """from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import Uniform
from piddm.symbolic import D, Field, x
u, f = Field("u"), Field("f")
LAYER = PDE(name="layer", summary="a layer", grid=Grid(x=Axis(0, 1, 17)), fields=[u, f],
    equations={"b": D(u, x) - D(u, x, 2) / 1000 - f}, conditions={"w": Dirichlet(u)},
    inputs={f: Uniform(1, 2)})
"""


def test_the_shell_says_it_in_one_line(tmp_path):
    (tmp_path / "layer.py").write_text(PLUGIN)
    arguments = [
        "--plugin",
        "layer.py",
        "simulate",
        "--pde",
        "layer",
        "--count",
        "4",
        "--size",
        "17",
    ]
    found = subprocess.run([sys.executable, "-m", "piddm", *arguments, "--out", "l.h5"],
                           cwd=tmp_path, capture_output=True, text=True, timeout=120)  # fmt: skip
    assert found.returncode == 0, found.stderr
    (line,) = [text for text in found.stderr.splitlines() if "warning" in text.lower()]
    assert line.startswith("warning: layer: u has wiggles of ")
    assert ".py:" not in found.stderr
