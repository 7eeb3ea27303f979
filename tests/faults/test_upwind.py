"""Upwind derivatives: their orders, and right numbers where central differences have wiggles."""

from __future__ import annotations

import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid, UsageError
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, t, x, y
from piddm.verification import orders, verify

u, c, f = Field("u"), Field("c"), Field("f")
speed = Param("speed", -1.5)
SMOOTH = GaussianField(alpha=2.0, tau=3.0)
TIME, LINE, RING = Axis(0, 1, 9, time=True), Axis(0, 1, 17), Axis(0, 1, 16, periodic=True)
CHECKS = ["rows", "conservation", "coefficients", "order_of_residual", "order_in_time",
          "order_of_solution", "gradient"]  # fmt: skip

CASES = {
    "number": (D(u, t) + D(u, x, upwind=1) - D(u, x, 2) / 10, [LINE]),
    "number, 3": (D(u, t) - D(u, x, upwind=-1, accuracy=3) - D(u, x, 2) / 10, [LINE]),
    "param": (D(u, t) + speed * D(u, x, upwind=speed) - D(u, x, 2) / 10, [LINE]),
    "field": (D(u, t) + c * D(u, x, upwind=c) - D(u, x, 2) / 10, [LINE]),
    "flux of a coefficient, 3": (D(u, t) + D(c * u, x, upwind=c, accuracy=3), [RING]),
    "flux of itself": (D(u, t) + D(u**2 / 2, x, upwind=u) - D(u, x, 2) / 10, [LINE]),
    "itself, 3": (D(u, t) + u * D(u, x, upwind=u, accuracy=3), [RING]),
    "coordinates that change sign": (
        D(u, t) + D(sympy.cos(6 * t + 9 * x) * u, x, upwind=sympy.cos(6 * t + 9 * x))
        - D(u, x, 2) / 10,
        [LINE],
    ),
}  # fmt: skip


WHOLE = {"field", "flux of itself", "itself, 3"}


@pytest.mark.parametrize("case", CASES)
def test_orders_are_observed(case):
    equation, axes = CASES[case]
    fields = [u, c] if c in equation.free_symbols else [u]
    inputs = {u.at(t=0): SMOOTH} | ({c: SMOOTH} if len(fields) > 1 else {})
    conditions = {"w": Dirichlet(u)} if LINE in axes else {}
    pde = PDE(name="a", summary="a", grid=Grid(t=TIME, **dict(zip("xy", axes, strict=False))),
              fields=fields, params=[speed], equations={"b": equation}, conditions=conditions,
              inputs=inputs)  # fmt: skip
    found = verify(pde, CHECKS if case in WHOLE else CHECKS[:4])
    assert found.passed, [(check.name, check.detail) for check in found.failed]
    lines = next(check for check in found.checks if check.name == "order_of_residual").values
    finest = [line for line in lines["lines"] if line["rows"] == "b"][-1]
    assert finest["nominal"] == (3 if "3" in case else 1)


def test_orders_are_observed_in_two_axes(monkeypatch):
    monkeypatch.setitem(orders.INTERVALS, 2, (16, 24, 32))
    flow = D(u**2 / 2, x, upwind=u, accuracy=3) + c * D(u, y, upwind=c, accuracy=3)
    pde = PDE(name="a", summary="a", grid=Grid(x=LINE, y=RING), fields=[u, c],
              equations={"b": flow}, inputs={c: SMOOTH},
              conditions={"w": Dirichlet(u.at(x=0))})  # fmt: skip
    found = verify(pde, ["rows", "order_of_residual"])
    assert found.passed, [(check.name, check.detail) for check in found.failed]


def test_beside_a_spectral_derivative_no_node_counts_twice():
    pde = PDE(name="a", summary="a", grid=Grid(t=TIME, x=RING), fields=[u],
              equations={"b": D(u, t) + D(u, x, upwind=1, accuracy=3) - D(u, x, 2) / 10},
              inputs={u.at(t=0): SMOOTH}, time_scheme="backward-euler")  # fmt: skip
    residual = pde.bind(pde.grid, "spectral")
    (reach,) = residual.rows["b"].reaches
    assert len({(a, b % 16) for a, b in reach.offsets["u"]}) == len(reach.offsets["u"])
    nodes = torch.arange(16).double() / 16
    start = torch.sin(2 * torch.pi * nodes)[None]
    found = pde.solve({u.at(t=0): start}, order="spectral")
    assert float(residual(found)["b"].abs().max()) < 1e-10


def layer(drift, nodes=17, spread=1e-3):
    return PDE(name="layer", summary="a boundary layer", grid=Grid(x=Axis(0, 1, nodes)),
               fields=[u, c, f], equations={"b": drift - spread * D(u, x, 2) - f},
               conditions={"w": Dirichlet(u)}, inputs={c: SMOOTH, f: SMOOTH})  # fmt: skip


DRIFTS = {
    "number": lambda s: s * D(u, x, upwind=s),
    "flux": lambda s: D(s * u, x, upwind=s),
    "coefficient": lambda s: c * D(u, x, upwind=c),
    "flux of a coefficient": lambda s: D(c * u, x, upwind=c),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("drift", DRIFTS)
def test_a_layer_that_no_node_resolves(drift, sign):
    """The cell Péclet number is 62.5; u goes up to 15/16 and back to 0 between two nodes.

    With r = 1 + vh/nu, which solves the difference equation, u = x - (r^i - 1)/(r^N - 1).
    """
    nodes, one = torch.linspace(0, 1, 17).double(), torch.ones(1, 17).double()
    given = {c: sign * one, f: one}
    found = layer(DRIFTS[drift](sign)).solve(given)["u"][0]
    found = found if sign > 0 else found.flip(0)
    r = 1 + 1 / 16 / 1e-3
    i = torch.arange(17).double()
    torch.testing.assert_close(found, nodes - (r**i - 1) / (r**16 - 1), rtol=1e-9, atol=1e-9)
    true = nodes - torch.exp((nodes - 1) / 1e-3)
    assert float((found - true).abs().max()) < 1.01 / r
    central = layer(sign * D(u, x)).solve(given)["u"][0]
    assert float((central - (true if sign > 0 else true.flip(0))).abs().max()) > 0.5


def test_the_third_order_is_nearer_where_the_layer_is_resolved():
    one, errors = torch.ones(1, 65).double(), {}
    nodes = torch.linspace(0, 1, 65).double()
    true = nodes - (torch.exp((nodes - 1) / 0.05) - torch.exp(torch.tensor(-20.0))).double()
    for accuracy in (1, 3):
        drift = D(u, x, upwind=1, accuracy=accuracy)
        found = layer(drift, 65, 0.05).solve({c: one, f: one}, order=4)["u"][0]
        errors[accuracy] = float((found - true).abs().max())
    assert errors[3] < 0.1 * errors[1] < 0.01


def burgers(flux, accuracy=1, left=1.0, right=0.0, spread=1e-4):
    grid = Grid(t=Axis(0, 0.4, 65, time=True), x=Axis(0, 1, 65))
    return PDE(name="shock", summary="a shock", grid=grid, fields=[u],
               equations={"b": D(u, t) + flux - spread * D(u, x, 2)}, time_scheme="backward-euler",
               conditions={"l": Dirichlet(u.at(x=0), left), "r": Dirichlet(u.at(x=1), right)},
               inputs={u.at(t=0): SMOOTH})  # fmt: skip


@pytest.mark.parametrize("accuracy", [1, 3])
@pytest.mark.parametrize("right", [0.0, -0.5])
def test_a_shock_goes_with_the_mean_of_both_sides(right, accuracy):
    """The cell Péclet number is 156; the shock's speed is (1 + right)/2, from x = 0.3 on."""
    nodes = torch.linspace(0, 1, 65).double()
    start = torch.where(nodes < 0.3, 1.0, right).double()[None]
    pde = burgers(D(u**2 / 2, x, upwind=u, accuracy=accuracy), right=right)
    found = pde.solve({u.at(t=0): start})["u"][0]
    gained = float((found[-1] - found[0]).sum()) / 64
    assert gained == pytest.approx(0.4 * (1 - right**2) / 2, abs=1e-3)
    moved = gained / (1 - right)
    assert moved == pytest.approx(0.4 * (1 + right) / 2, abs=1e-3)
    over = 1e-9 if accuracy == 1 else 0.2  # the third order overshoots beside a shock
    assert right - over < float(found.min())
    assert float(found.max()) < 1 + over


def test_a_fan_opens_where_the_velocity_changes_its_sign():
    """From -1 to 1 at x = 0.5: u = (x - 0.5)/t between, and no shock that expands."""
    nodes = torch.linspace(0, 1, 65).double()
    start = torch.sign(nodes - 0.5)[None]
    found = burgers(D(u**2 / 2, x, upwind=u), left=-1.0, right=1.0).solve({u.at(t=0): start})
    true = ((nodes - 0.5) / 0.4).clamp(-1, 1)
    assert float((found["u"][0, -1] - true).abs().max()) < 0.13


@pytest.mark.parametrize("accuracy", [1, 3])
def test_fluxes_that_meet_are_conserved(accuracy):
    """The velocity changes its sign twice on a ring; what is in it stays, at rest and in motion."""
    pde = PDE(name="ring", summary="a ring", grid=Grid(t=TIME, x=RING), fields=[u],
              equations={"b": D(u, t) + D(u**2 / 2, x, upwind=u, accuracy=accuracy)},
              inputs={u.at(t=0): SMOOTH}, time_scheme="backward-euler")  # fmt: skip
    start = torch.sin(2 * torch.pi * torch.arange(16).double() / 16 + 0.3)[None] + 0.2
    found = pde.solve({u.at(t=0): start})["u"][0]
    torch.testing.assert_close(found.sum(1), found[:1].sum(1).expand(9), rtol=0, atol=1e-12)


@pytest.mark.parametrize("accuracy", [1, 3])
def test_gradients_where_the_sign_changes(accuracy):
    flux = D(u**2 / 2, x, upwind=u, accuracy=accuracy) + u * D(c, x, upwind=u, accuracy=accuracy)
    pde = PDE(name="g", summary="g", grid=Grid(t=Axis(0, 1, 4, time=True), x=Axis(0, 1, 9)),
              fields=[u, c], equations={"b": D(u, t) + flux}, inputs={u.at(t=0): SMOOTH, c: SMOOTH},
              conditions={"w": Dirichlet(u.at(x=0))})  # fmt: skip
    residual, draw = pde.bind(), torch.Generator().manual_seed(0)
    values = [torch.randn(2, 4, 9, generator=draw).double().requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(
        lambda a, b: residual({"u": a, "c": b})["b"], values, check_forward_ad=True
    )


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda: D(u, x, upwind=1, accuracy=2), "1 or 3"),
        (lambda: D(u, x, 2, upwind=1), "first derivative"),
        (lambda: D(u, x, accuracy=3), "upwind"),
        (lambda: burgers(D(D(u, x, upwind=1), x)).bind(), "nodes"),
        (lambda: burgers(D(D(u, x), x, upwind=1)).bind(), "nodes"),
        (lambda: burgers(D(u, t, upwind=1)), "axis of space"),
        (lambda: D(u, x, upwind="u"), "neither a number"),
    ],
)
def test_what_makes_no_sense_is_refused(write, says):
    with pytest.raises(UsageError, match=says):
        write()
