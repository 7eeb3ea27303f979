"""A coefficient written in coordinates counts as its values at the nodes do, across seams too."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from piddm import PDE, Axis, Grid
from piddm.residuals.compiler import Builder
from piddm.symbolic import D, Field, t, x, y
from piddm.verification import verify

u, k = Field("u"), Field("k")
HALF = sympy.S.Half
TWO_PI = 2 * sympy.pi


def heat(axes: dict[str, Axis], coefficient, order=2) -> PDE:
    along = [c for c in (x, y) if c.name in axes]
    flow = sympy.Add(*(D(coefficient * D(u, a), a) for a in along))
    return PDE(
        name="ring", summary="heat on a ring",
        grid=Grid(t=Axis(0, 0.1, 9, time=True), **axes), fields=[u],
        equations={"heat": D(u, t) - flow}, inputs={u.at(t=0): None}, order=order,
    )  # fmt: skip


def mean_drift(pde: PDE) -> float:
    coordinates = torch.meshgrid(
        *(torch.from_numpy(a.coordinates()) for a in pde.grid.axes.values() if not a.time),
        indexing="ij",
    )
    start = torch.exp(torch.sin(2 * torch.pi * coordinates[0]))
    for other in coordinates[1:]:
        start = start * (1 + 0.3 * torch.cos(2 * torch.pi * other + 1))
    solved = pde.solve({u.at(t=0): start[None]})["u"][0].flatten(1).mean(1)
    return float((solved - solved[0]).abs().max() / solved[0].abs())


RING = {"x": Axis(0, 1, 24, periodic=True)}
TORUS = {"x": Axis(0, 1, 12, periodic=True), "y": Axis(0, 1, 10, periodic=True)}


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize(
    "coefficient",
    [
        1 + 9 * sympy.Heaviside(x - HALF),
        1 + 8 * x * (1 - x),
        1 + x,
        sympy.Piecewise((1, x < HALF), (10, True)),
        2 + sympy.sin(TWO_PI * x),
    ],
    ids=str,
)
def test_heat_on_a_ring_keeps_its_mean(coefficient, order):
    assert mean_drift(heat(RING, coefficient, order)) < 1e-13


@pytest.mark.parametrize(
    "coefficient",
    [1 + 9 * sympy.Heaviside(y - HALF), 1 + x + y**2, 1 + sympy.Heaviside(x + y - 1)],
    ids=str,
)
def test_heat_on_a_torus_keeps_its_mean(coefficient):
    assert mean_drift(heat(TORUS, coefficient)) < 1e-13


def test_the_ring_of_the_report_ends_at_the_mean_it_began_with():
    pde = heat({"x": Axis(0, 1, 64, periodic=True)}, 1 + 9 * sympy.Heaviside(x - HALF))
    start = torch.exp(torch.sin(2 * torch.pi * torch.arange(64, dtype=torch.float64) / 64))
    last = pde.solve({u.at(t=0): start[None]})["u"][0, -1]
    assert float(last.mean()) == pytest.approx(1.2660658777520082, rel=1e-13)  # I_0(1)


numbers = st.floats(-2, 2).map(lambda v: round(v, 3))
ends = st.tuples(st.floats(-1, 1).map(lambda v: round(v, 2)), st.floats(0.5, 3))


@st.composite
def random_coefficients(draw):
    """Draw an axis or two, periodic or not, and a formula that may jump anywhere."""
    axes = {}
    for name in ("x", "y")[: draw(st.integers(1, 2))]:
        low, length = draw(ends)
        axes[name] = Axis(low, low + length, draw(st.integers(14, 18)),
                          periodic=draw(st.booleans()))  # fmt: skip
    along = [c for c in (x, y) if c.name in axes]
    leaves = st.sampled_from([*along, t]) | numbers.map(sympy.Float)
    formula = draw(
        st.recursive(
            leaves,
            lambda inner: st.one_of(
                st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
                st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
                inner.map(sympy.sin),
                inner.map(sympy.Heaviside),
                st.tuples(inner, inner).map(lambda p: sympy.Max(*p)),
                st.tuples(inner, inner, inner).map(
                    lambda p: sympy.Piecewise((p[0], p[1] < sympy.S(1) / 3), (p[2], True))
                ),
            ),
            max_leaves=5,
        )
    )
    return axes, along, formula


@given(random_coefficients(), st.sampled_from([2, 4, 6]), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_coefficient_as_an_expression_is_that_as_a_field(drawn, order, seed):
    axes, along, formula = drawn
    assume(sympy.sympify(formula).free_symbols)
    grid = Grid(t=Axis(0, 1, 5, time=True), **axes)

    def build(coefficient, fields):
        flow = sympy.Add(*(D(coefficient * D(u, a), a) for a in along))
        first = coefficient * D(u, along[0]) + coefficient * u
        return PDE(name="p", summary="p", grid=grid, fields=fields, order=order,
                   equations={"flux": D(u, t) - flow, "rest": D(u, t) - first},
                   inputs={u.at(t=0): None}).bind()  # fmt: skip

    from piddm.verification.evaluate import on_grid

    values = on_grid(sympy.sympify(formula), grid)[None]
    generator = torch.Generator().manual_seed(seed)
    field = torch.rand(1, *grid.shape, generator=generator, dtype=torch.float64)
    one = build(formula, [u])({"u": field})
    two = build(k, [u, k])({"u": field, "k": values})
    for name, rows in two.items():
        scale = max(1.0, float(rows.abs().max()))
        assert float((one[name] - rows).abs().max()) < 1e-11 * scale


@pytest.mark.parametrize("wrong", ["coefficients", "conservation"])
def test_verify_would_have_said_so(monkeypatch, wrong):
    """The checks fail on what was wrong once: coordinates that go on beyond the seam."""
    pde = heat(RING, 1 + 9 * sympy.Heaviside(x - HALF))
    assert verify(pde, [wrong]).passed

    def unwrapped(self, expression, place):
        dim, axis = self.grid.index(expression.name), self.grid.axes[expression.name]
        values = axis.lower + axis.spacing * np.arange(place[dim].start, place[dim].stop)
        return self._constant(values.reshape([-1 if d == dim else 1 for d in range(len(place))]))

    monkeypatch.setattr(Builder, "_coordinate", unwrapped)
    assert not verify(pde, [wrong]).passed


@pytest.mark.parametrize("order", [2, 4])
def test_verify_passes_coefficients_that_jump(order):
    pde = heat(RING, 1 + 9 * sympy.Heaviside(x - HALF), order)
    found = verify(pde, ["coefficients", "conservation", "order_of_residual", "order_of_solution"])
    assert found.passed, [c.detail for c in found.failed]
