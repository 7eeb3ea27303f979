"""Schemes beyond their limits are warned of, with the number."""

from __future__ import annotations

import pytest
import sympy

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField, Sines, Uniform
from piddm.symbolic import D, Field, t, x, y
from piddm.verification import ALL, verify
from piddm.verification.protection import PROTECTS

u, f = Field("u"), Field("f")
SMOOTH = GaussianField(alpha=2.0, tau=3.0)


@pytest.mark.parametrize("two", [False, True], ids=["line", "square"])
@pytest.mark.parametrize(
    "drift", [D(u, x), D(u * (1 + 0 * x), x), -D(u, x)], ids=["advection", "flux", "backwards"]
)
@pytest.mark.parametrize(("nodes", "warns"), [(33, True), (65, False)])
def test_the_cell_peclet_number_is_warned_of(nodes, warns, drift, two):
    axes = {"x": Axis(0, 1, nodes)} | ({"y": Axis(0, 1, 9)} if two else {})
    spread = D(u, x, 2) + (D(u, y, 2) if two else 0)
    pde = PDE(name="layer", summary="a boundary layer", grid=Grid(**axes), fields=[u, f],
              equations={"b": drift - spread / 100 - f}, conditions={"w": Dirichlet(u)},
              inputs={f: SMOOTH})  # fmt: skip
    (found,) = verify(pde, ["limits"], size=16).checks
    assert found.warns == warns
    number = found.values["cell Péclet number of b along x"]
    assert number == pytest.approx(100 / (nodes - 1), rel=1e-6)
    assert ("docs/schemes.md" in found.detail) == warns


@pytest.mark.parametrize(("speed", "warns"), [(1, True), (2 + sympy.sin(x), True), (-1, False)])
def test_a_condition_where_characteristics_leave_is_warned_of(speed, warns):
    pde = PDE(name="a", summary="advection",
              grid=Grid(t=Axis(0, 1, 17, time=True), x=Axis(0, 1, 17)), fields=[u],
              equations={"b": D(u, t) + speed * D(u, x)},
              conditions={"w": Dirichlet(u.at(x=1))},
              inputs={u.at(t=0): Sines(count=2, waves=(1, 3))})  # fmt: skip
    (found,) = verify(pde, ["limits"]).checks
    assert found.warns == warns
    assert ("give it at x = 0" in found.detail) == warns


def test_the_stiffness_of_crank_nicolson_is_warned_of():
    pde = PDE(name="s", summary="u is drawn to cos t",
              grid=Grid(t=Axis(0, 1, 17, time=True), x=Axis(0, 1, 5, periodic=True)), fields=[u],
              equations={"b": D(u, t) + 2000 * (u - sympy.cos(t))},
              inputs={u.at(t=0): Uniform(0, 1)})  # fmt: skip
    (found,) = verify(pde, ["stability"]).checks
    assert found.warns
    assert found.values["stiffness"] == pytest.approx(2000 / 16, rel=1e-3)
    assert "bdf2" in found.detail


def test_every_check_says_what_it_protects_from():
    assert set(ALL) == set(PROTECTS)
