"""Starts, and fields with a range: named where they are missing, kept where they are there."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings

import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import piddm
from piddm import PDE, Axis, Dirichlet, Grid, Neumann, PiddmError, Robin, UsageError
from piddm.data.dataset import write
from piddm.data.packing import Packing
from piddm.priors import GaussianField, LogNormal, Uniform
from piddm.residuals import ranges
from piddm.symbolic import D, Field, t, x, y
from piddm.tasks.observations import Observations
from piddm.tools.errors import SchemeWarning
from piddm.verification import verify
from tiny import TINY

u, v, f = Field("u"), Field("v"), Field("f")
THREE_HALVES = sympy.Rational(3, 2)
LINE = {"y": Axis(0, 1, 17)}
SQUARE = {"x": Axis(0, 1, 9), "y": Axis(0, 1, 9)}


def drag(axes, root, start, order=2) -> PDE:
    """Return flow with quadratic drag, or another root, in one or two axes."""
    space = [c for c in (x, y) if c.name in axes]
    c = root(u**2 + v**2)

    def slow(w):
        return sympy.Add(*(D(w, a, 2) for a in space)) - c * w

    return PDE(name="drag", summary="drag", grid=Grid(**axes), fields=[u, v, f],
               equations={"u": slow(u) + f, "v": slow(v) + f / 2},
               conditions={"a": Dirichlet(u), "b": Dirichlet(v)}, inputs={f: None},
               start=start, order=order)  # fmt: skip


@pytest.mark.parametrize("axes", [LINE, SQUARE], ids=["line", "square"])
@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("root", [sympy.sqrt, lambda s: s ** sympy.Rational(3, 10)])
def test_a_start_without_a_slope_is_named_and_another_one_works(axes, root, order):
    pde = drag(axes, root, {}, order)
    given = {f: torch.ones(1, *pde.grid.shape)}
    with pytest.raises(PiddmError, match=r"u at node \(1.* has the slope .*u = 0, v = 0, .*start="):
        pde.solve(given)
    solved = drag(axes, root, {u: 1, v: y * (1 - y)}, order).solve(given)
    assert float(solved["u"].max()) > 0.05
    torch.testing.assert_close(solved["v"], solved["u"] / 2, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("expression", [1 / u, sympy.log(u), u ** sympy.Rational(-1, 2)], ids=str)
def test_a_row_that_is_not_finite_is_named(expression):
    pde = PDE(name="p", summary="p", grid=Grid(**LINE), fields=[u, f],
              equations={"b": D(u, y, 2) - expression / 10 - f},
              conditions={"w": Dirichlet(u, 1)}, inputs={f: None})  # fmt: skip
    zero = {f: torch.zeros(1, 17)}
    with pytest.raises(PiddmError, match=r"b at node \(1,\) (is|has).* where u = 0, f = 0"):
        pde.solve(zero)
    solved = dataclasses.replace(pde, start={u: 1}).solve(zero)["u"]
    assert float((solved - 1).abs().max()) < 0.1


def test_a_start_depends_on_coordinates_only():
    with pytest.raises(UsageError, match="the start of u depends on coordinates only"):
        drag(LINE, sympy.sqrt, {u: v})
    with pytest.raises(UsageError, match="w is no field"):
        drag(LINE, sympy.sqrt, {Field("w"): 1})


def porous(density: Field, power=THREE_HALVES, two=False, low=0.0) -> PDE:
    axes = {"x": Axis(0, 1, 17)} | ({"y": Axis(0, 1, 9)} if two else {})
    space = [x, y] if two else [x]
    flow = sympy.Add(*(D(density**power * D(density, a), a) for a in space))
    law = LogNormal(GaussianField(alpha=2.0, tau=3.0)) if low == 0 else Uniform(low, 0.2)
    return PDE(name="porous", summary="gas in a porous medium",
               grid=Grid(t=Axis(0, 0.1, 9, time=True), **axes), fields=[density],
               equations={"mass": D(density, t) - flow / 20}, conditions={"wall": Neumann(density)},
               inputs={density.at(t=0): law})  # fmt: skip


@pytest.mark.parametrize("power", [sympy.Rational(3, 2), sympy.Rational(1, 2)])
@pytest.mark.parametrize("two", [False, True], ids=["line", "square"])
def test_verify_takes_a_positive_field(power, two):
    pde = porous(Field("u", positive=True), power, two)
    found = verify(pde, ["floor", "truth_against_zero", "scales", "gradient"], size=16)
    assert found.passed, [c.detail for c in found.failed]


def sorption(field: Field, power=-0.126, two=False) -> PDE:
    axes = {"x": Axis(0, 1, 17)} | ({"y": Axis(0, 1, 9, periodic=True)} if two else {})
    spread = D(field, x, 2) + (D(field, y, 2) if two else 0)
    return PDE(name="sorption", summary="diffusion of a sorbed substance",
               grid=Grid(t=Axis(0, 50, 9, time=True), **axes), fields=[field],
               equations={"b": (1 + 2.16 * field**power) * D(field, t) - 5e-4 * spread},
               conditions={"in": Dirichlet(field.at(x=0), 1),
                           "out": Robin(field.at(x=1), beta=5e-4)},
               inputs={field.at(t=0): Uniform(0.01, 0.2)})  # fmt: skip


@pytest.mark.parametrize("power", [-0.126, -sympy.Rational(1, 3)])
@pytest.mark.parametrize("two", [False, True], ids=["line", "square"])
def test_verify_says_what_lacks_a_range_and_writes_json(two, power):
    found = verify(sorption(u, power, two), ["truth_against_zero"], size=12)
    assert not found.passed
    assert "positive=True" in found.checks[0].detail
    json.dumps(found.to_dict(), allow_nan=False)
    positive = sorption(Field("u", positive=True), power, two)
    assert verify(positive, ["truth_against_zero"], size=12).passed


def rough(seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 0.05 + 0.1 * torch.rand(2, 17, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("order", [2, 4])
def test_a_positive_field_is_solved_for_at_any_order(order):
    positive = Field("u", positive=True)
    start = {positive.at(t=0): rough(0)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", SchemeWarning)  # rough data, and nothing that is carried
        solved = sorption(positive).solve(start, order=order)["u"]
    assert float(solved.min()) > 0
    assert float(solved.max()) < 1.05


def test_a_scheme_that_swings_out_of_the_range_is_named():
    """Order 4 has a solution of -2e-4 at the far wall, where order 2 has a positive one."""
    positive = Field("u", positive=True)
    start = {positive.at(t=0): rough(3)}
    with pytest.raises(PiddmError, match=r"u = -2\.\d+e-04 at node \(1, 16\) .* take order=2"):
        sorption(positive).solve(start, order=4)
    assert float(sorption(positive).solve(start, order=2)["u"].min()) > 0


def test_a_law_that_leaves_the_range_is_named():
    pde = porous(Field("u", positive=True), low=-0.1)
    with pytest.raises(PiddmError, match=r"the law of u\(t=0\).* gives u = .* outside of the ra"):
        piddm.make_dataset(pde, 4, size=8)


def test_a_given_value_outside_the_range_is_named():
    positive = Field("u", positive=True)
    with pytest.raises(PiddmError, match=r"u = -1, outside of the range \(0, ∞\)"):
        porous(positive).solve({positive.at(t=0): -torch.ones(1, 17)})


def test_ranges_are_checked():
    assert Field("u", positive=True).bounds == (0.0, None)
    assert Field("u", bounds=(0, 1)).bounds == (0.0, 1.0)
    for wrong in ((1, 0), (0,), "01", (math.nan, 1)):
        with pytest.raises(UsageError, match="bounds"):
            Field("u", bounds=wrong)  # pyright: ignore


@given(st.sampled_from([(0.0, None), (None, 2.0), (-1.0, 2.0), (None, None)]), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_the_transform_and_its_slope_agree(bounds, seed):
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(20, generator=generator, dtype=torch.float64)
    values = ranges.backward(z, bounds)
    assert bool(ranges.inside(values, bounds).all())
    torch.testing.assert_close(ranges.forward(values, bounds), z)
    moved = torch.func.jvp(lambda w: ranges.forward(w, bounds), (values,), (torch.ones_like(z),))
    torch.testing.assert_close(ranges.slope(values, bounds), moved[1])


def test_packed_moves_are_those_of_the_fields_to_first_order():
    grid = Grid(x=Axis(0, 1, 8), y=Axis(0, 1, 8))
    generator = torch.Generator().manual_seed(0)
    fields = {k: torch.rand(40, 8, 8, generator=generator, dtype=torch.float64) + 0.2 for k in "uw"}
    packing = Packing(grid, ("u", "w"), bounds={"u": (0.0, None)}).double().fit(fields)
    state = packing.pack(fields)[:3]
    back = packing.unpack(state)
    torch.testing.assert_close(back["u"], fields["u"][:3])
    corrections = {k: torch.randn(3, 8, 8, generator=generator, dtype=torch.float64) for k in "uw"}
    unit, h = packing.field_scale(), 1e-6
    there = packing.pack({k: back[k] + h * unit[k] * corrections[k] for k in back})
    torch.testing.assert_close(packing.moves(state, corrections), (there - state) / h,
                               rtol=1e-4, atol=1e-4)  # fmt: skip
    pushed = packing.push(state, packing.moves(state, corrections))
    for k in "uw":
        torch.testing.assert_close(pushed[k], corrections[k] * unit[k])


def test_data_outside_the_range_are_refused_by_their_worst_value(tmp_path):
    made = piddm.make_dataset(porous(u, sympy.Integer(2), low=-0.2), 2, size=8, progress=False)
    pde = porous(Field("u", positive=True))
    write(made, tmp_path / "data.h5")
    seen = Observations.at_nodes(made.grid, {"u": made.fields["u"][0]})
    with pytest.raises(PiddmError, match=r"the data: u = -0\.\d+, outside of the range \(0, ∞\)"):
        piddm.solve(pde, "reconstruct", seen, "gaussian", 2, data=tmp_path / "data.h5")


@pytest.mark.parametrize("bounds", [(0.0, None), (0.0, 1.0)], ids=str)
@pytest.mark.parametrize("solver", ["gaussian", "classical"])
def test_answers_without_a_run_keep_the_range(bounds, solver):
    field = Field("u", bounds=bounds)
    pde = dataclasses.replace(porous(field), inputs={field.at(t=0): Uniform(0.05, 0.9)})
    data = piddm.make_dataset(pde, 24, size=12, progress=False)
    truth, generator = data.fields["u"][0], torch.Generator().manual_seed(0)
    mask = torch.rand(data.grid.shape, generator=generator) < 0.3
    seen = Observations.at_nodes(data.grid, {"u": truth}, {"u": mask}, sigma=0.01)
    found = piddm.solve(pde, "reconstruct", seen, solver, 8, data=data, progress=False)
    values = found.fields["u"]
    assert float(values.min()) > 0
    assert bounds[1] is None or float(values.max()) < 1
    assert float((values - truth)[:, mask].square().mean().sqrt()) < 0.03


@pytest.fixture(scope="module")
def ranged_run():
    return piddm.distill(porous(Field("u", positive=True)), "quick", progress=False, overrides=TINY)


@pytest.mark.parametrize("solver", ["gaussian", "guided", "latent"])
def test_solvers_of_a_run_keep_the_range(ranged_run, solver):
    truth = ranged_run.sample(1, seed=3)["u"][0]
    mask = torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)) < 0.15
    grid = ranged_run.pde.grid.resized(dict(zip("tx", truth.shape, strict=True)))
    seen = Observations.at_nodes(grid, {"u": truth}, {"u": mask}, sigma=0.02)
    settings = {"steps": 20} if solver == "guided" else {}
    found = ranged_run.solve("reconstruct", seen, solver, 3, progress=False, settings=settings)
    assert bool(torch.isfinite(found.fields["u"]).all())
    assert float(found.fields["u"].min()) > 0
    if solver == "gaussian":
        assert float((found.fields["u"] - truth)[:, mask].square().mean().sqrt()) < 0.06


@pytest.mark.parametrize("norm", ["strong", "distance"])
def test_a_generator_keeps_the_range(norm):
    pde = porous(Field("u", positive=True))
    run = piddm.distill(pde, "quick", progress=False,
                        overrides={**TINY, "student.physics_norm": norm})  # fmt: skip
    samples = run.sample(16, seed=0)["u"]
    assert float(samples.min()) > 0
    far = run.teacher.packing.unpack(-50 * torch.ones(1, *samples.shape[1:])[None])["u"]
    assert float(far.min()) >= 0
