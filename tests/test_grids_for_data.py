"""Equations on every kind of axis: nominal orders, walls included, and data at round-off."""

import dataclasses

import numpy as np
import pytest
import torch

import piddm
from piddm import Axis, Dirichlet, Grid, Integral, Neumann, Robin, UsageError, get_pde, priors
from piddm.data.simulate import simulate
from piddm.residuals.norms import mean_squares, term_scale
from piddm.residuals.quadratures import weights_of_space
from piddm.symbolic import D, Field, Param, t, x
from piddm.verification import verify
from piddm.verification.result import Line

u, f, k = Field("u"), Field("f"), Field("k", positive=True)
nu = Param("nu", 0.3)
STRETCH = np.linspace(0, 1, 33) + 0.1 * np.sin(2 * np.pi * np.linspace(0, 1, 33)) / np.pi
AXES = {
    "centre": Axis(0, 1, 32, location="centre"),
    "i/n": Axis(0, 1, 32, location=(0, 1)),
    "mixed": Axis(0, 1, 32, location=(0.5, 0)),
    "lobatto": Axis.chebyshev(0, 1, 33),
    "gauss": Axis.chebyshev(0, 1, 32, "centre"),
    "stretched": Axis(0, 1, 33, nodes=tuple(STRETCH)),
}
FIELD = priors.GaussianField(alpha=3.0, tau=3.0)
TIME = Axis(0, 0.1, 9, time=True)


def problem(name, axis, timed=False, **given):
    axes = {"t": TIME, "x": axis} if timed else {"x": axis}
    return piddm.PDE(name=name, summary="a problem", grid=Grid(**axes), params=[nu], **given)


def poisson(axis):
    return problem(
        "line-poisson", axis, fields=[f, u], equations={"balance": nu * D(u, x, 2) + f},
        conditions={"left": Dirichlet(u.at(x=0), 1), "right": Neumann(u.at(x=1), 2)},
        inputs={f: FIELD},
    )  # fmt: skip


def darcy(axis):
    return problem(
        "line-darcy", axis, fields=[k, u], equations={"mass": D(k * D(u, x), x) + 1},
        conditions={"left": Robin(u.at(x=0), 0.5, alpha=2), "right": Dirichlet(u.at(x=1))},
        inputs={k: priors.LogNormal(FIELD)},
    )  # fmt: skip


def heat(axis):
    return problem(
        "line-heat", axis, timed=True, fields=[u],
        equations={"balance": D(u, t) - nu * D(u, x, 2) + u},
        conditions={"left": Neumann(u.at(x=0)), "right": Robin(u.at(x=1), alpha=3)},
        inputs={u.at(t=0): FIELD},
    )  # fmt: skip


def burgers(axis):
    return problem(
        "line-burgers", axis, timed=True, fields=[u],
        equations={"momentum": D(u, t) + D(u**2 / 2, x) - nu * D(u, x, 2)},
        conditions={"walls": Dirichlet(u)}, inputs={u.at(t=0): FIELD},
    )  # fmt: skip


PROBLEMS = [poisson, darcy, heat, burgers]
CHECKS = ["order_of_residual", "order_of_solution", "conservation", "rows", "floor"]


PAIRS = [(make, kind) for make in PROBLEMS for kind in AXES]
EVERY_DAY = [(poisson, "stretched"), (darcy, "i/n"), (heat, "centre"), (burgers, "gauss")]


@pytest.mark.parametrize(
    ("make", "kind"),
    [pytest.param(*p, marks=[] if p in EVERY_DAY else [pytest.mark.slow]) for p in PAIRS],
)
def test_every_axis_has_the_nominal_orders_and_data_at_round_off(make, kind):
    """Orders within 0.1 and the floor are the checks' own; rows say truly what they touch."""
    found = verify(make(AXES[kind]), CHECKS)
    assert found.passed, [(c.name, c.detail) for c in found.failed]
    # Of rows neither less nor more. The error of a solution is that of the nodes inside and, off
    # the nodes, that of walls, of one order more: on a line of 1,024 nodes order 2 has settled.
    held = {"order_of_residual": 7} | (
        {"order_of_solution": 2} if len(make(AXES[kind]).grid.axes) == 1 else {}
    )
    for check in found.checks:
        lines = [Line(**v) for v in check.values.get("lines", []) if check.name in held]
        for line in (v for v in lines if v.nominal <= held[check.name]):
            assert line.exact, line


def test_orders_are_those_of_walls_on_and_off_the_nodes():
    """At a wall half a cell away the field is extrapolated, with an error of one order more."""
    lines = verify(heat(AXES["mixed"]), ["order_of_residual"]).checks[0].values["lines"]
    found = {(v["rows"], v["method"]): (v["nominal"], v["order"]) for v in lines}
    for end, more in (("left", 1), ("right", 0)):
        for order in (2, 4, 6):
            nominal, observed = found[end, f"order {order}"]
            assert nominal == order + more == pytest.approx(observed, abs=0.1)


def test_an_integral_stands_in_for_what_walls_leave_open():
    """Pure Neumann, where only the mean says how high the solution is."""
    for axis in (AXES["centre"], AXES["gauss"]):
        pde = dataclasses.replace(
            poisson(axis),
            equations={"balance": D(u, x, 2) - D(f, x, 2)},
            conditions={"walls": Neumann(u), "held": Neumann(f)},
            integrals={"mean": Integral(u - f)},
            inputs={},
            fields=[f, u],
        )
        assert pde.bind().rows["mean"].integral
    weights = weights_of_space(pde.grid, [0])[0]
    assert weights @ np.exp(axis.coordinates()) == pytest.approx(np.e - 1, rel=1e-13)


@pytest.mark.parametrize("kind", ["lobatto", "gauss"])
@pytest.mark.parametrize("make", [poisson, heat])
def test_chebyshev_s_nodes_are_spectral(make, kind):
    found = verify(make(AXES[kind]), ["spectral_accuracy"])
    assert found.passed, found.checks[0].detail
    assert "relative error" in found.checks[0].detail


@pytest.mark.parametrize("kind", ["lobatto", "gauss"])
def test_the_derived_solver_is_spectral_on_them(kind):
    """-u'' = pi^2 sin(pi x) on 17 nodes, where order 2 leaves 3e-3."""
    pde = dataclasses.replace(
        poisson(AXES[kind]), equations={"balance": D(u, x, 2) + f}, conditions={"w": Dirichlet(u)}
    )
    grid = pde.grid.resized(17)
    sine = torch.from_numpy(np.sin(np.pi * grid.axes["x"].coordinates()))[None]
    found = pde.solve({f: np.pi**2 * sine}, grid, "spectral")
    torch.testing.assert_close(found["u"], sine, atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", AXES)
def test_a_catalogued_equation_has_data_on_every_axis(kind):
    """Darcy's in two axes, of different sizes; a medium of two phases has jumps."""
    axis = AXES[kind]
    pde = get_pde("darcy")
    grid = Grid(x=axis.resized(13), y=axis.resized(11))
    own = dataclasses.replace(pde, simulate=None)
    fields = next(iter(simulate(own, grid, 3, torch.Generator().manual_seed(0))))
    residual = pde.bind(grid)
    found = mean_squares(residual, fields, term_scale(residual, fields))
    assert max(float(v) for v in found.values()) < 1e-20


@pytest.mark.parametrize("location", ["vertex", "centre"])
@pytest.mark.parametrize("lower", [-2.5, 0.25])
def test_a_periodic_axis_may_begin_anywhere(lower, location):
    """The same wave seen from another origin has the same residual, node by node."""
    own = get_pde("burgers")
    grid = own.grid.resized({"t": 5, "x": 12})
    moved = Grid(
        t=grid.axes["t"], x=Axis(lower, lower + 1, 12, periodic=True, location=location)
    )  # fmt: skip
    fields = {"u": torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0)).double()}
    for order in (2, 4, "spectral"):
        one, other = own.bind(grid, order)(fields), own.bind(moved, order)(fields)
        for name, value in one.items():
            torch.testing.assert_close(other[name], value)


def test_an_input_at_a_wall_without_a_node_is_refused():
    pde = dataclasses.replace(heat(Axis(0, 1, 16)), inputs={u.at(t=0): FIELD, u.at(x=0): FIELD})
    centred = Grid(t=TIME, x=AXES["centre"])
    with pytest.raises(UsageError, match="no node of x is at"):
        pde.slice_index(u.at(x=0), centred)


def test_spectral_derivatives_ask_for_their_nodes():
    with pytest.raises(UsageError, match="not Chebyshev's"):
        poisson(AXES["stretched"]).bind(order="spectral")
