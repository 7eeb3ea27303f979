"""Steps in time: unstable ones are refused, and there are schemes that take any."""

from __future__ import annotations

import dataclasses

import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid, Neumann, PiddmError
from piddm.symbolic import D, Field, t, x, y
from piddm.verification import verify

u = Field("u")
U_XX = D(u, x, 2)


def string(times=60, nodes=33, scheme="centred", rate=U_XX, axes=None, **more) -> PDE:
    axes = axes or {"x": Axis(0, 1, nodes)}
    return PDE(
        name="string", summary="a string that is let go",
        grid=Grid(t=Axis(0, 1, times, time=True), **axes), fields=[u],
        equations={"wave": D(u, t, 2) - rate},
        conditions={"ends": Dirichlet(u), "still": Neumann(u.at(t=0))},
        inputs={u.at(t=0): None}, time_scheme=scheme, **more,
    )  # fmt: skip


def mode(pde: PDE) -> torch.Tensor:
    """Return sin(pi x), times sin(pi y) where there is a second axis."""
    value = torch.ones((), dtype=torch.float64)
    for axis in list(pde.grid.axes.values())[1:]:
        value = value[..., None] * torch.sin(torch.pi * torch.from_numpy(axis.coordinates()))
    return value[None]


SQUARE = {"x": Axis(0, 1, 17), "y": Axis(0, 1, 13)}


@pytest.mark.parametrize(
    ("pde", "largest"),
    [
        # dt = h for one axis; (1/hx^2 + 1/hy^2)^(-1/2) for two; sqrt(3)/2 h at order 4.
        (string(times=32), 1 / 32),
        (string(times=20, rate=D(u, x, 2) + D(u, y, 2), axes=SQUARE), (16**2 + 12**2) ** -0.5),
        (string(times=32, order=4), 0.866 / 32),
        (string(times=32, rate=4 * D((1 + sympy.sin(x) ** 0) * D(u, x), x) / 2), 0.5 / 32),
        (string(times=32, rate=D(u, x, 2) - sympy.sin(u)), 1 / 32),
    ],
    ids=["line", "square", "order 4", "flux", "sine-Gordon"],
)
def test_unstable_steps_are_refused_with_the_largest_stable_one(pde, largest):
    with pytest.raises(PiddmError, match=r"unstable with a step of .* largest stable step") as said:
        pde.solve({u.at(t=0): mode(pde)})
    named = float(str(said.value).split("stable step is about ")[1].split(" ")[0])
    assert named == pytest.approx(largest, rel=0.08)
    assert "newmark" in str(said.value)
    assert "docs/schemes.md" in str(said.value)
    assert not verify(pde, ["stability"]).passed


def test_stable_steps_are_not_refused():
    pde = string(times=34)
    last = pde.solve({u.at(t=0): mode(pde)})["u"][0, -1]
    assert float(last.abs().max()) == pytest.approx(1, abs=0.01)
    assert verify(pde, ["stability"]).passed


def test_growth_of_the_equation_itself_is_none_of_the_schemes():
    pde = string(times=40, rate=D(u, x, 2) + 30 * u)
    assert float(pde.solve({u.at(t=0): mode(pde)})["u"].abs().max()) > 40  # cosh(4.5)
    assert verify(pde, ["stability"]).passed


def test_no_centred_step_is_stable_for_diffusion():
    pde = PDE(name="heat", summary="s", grid=Grid(t=Axis(0, 1, 17, time=True), x=Axis(0, 1, 9)),
              fields=[u], equations={"heat": D(u, t) - D(u, x, 2)},
              conditions={"ends": Dirichlet(u)}, inputs={u.at(t=0): None},
              time_scheme="centred")  # fmt: skip
    with pytest.raises(PiddmError, match="no step is stable; time_scheme='crank-nicolson'"):
        pde.solve({u.at(t=0): mode(pde)})


@pytest.mark.parametrize("axes", [None, SQUARE], ids=["line", "square"])
def test_newmark_takes_steps_of_any_length(axes):
    rate = D(u, x, 2) + (D(u, y, 2) if axes else 0)
    pde = string(times=11, scheme="newmark", rate=rate, axes=axes)  # three times the limit
    solved = pde.solve({u.at(t=0): mode(pde)})["u"][0]
    assert float(solved.abs().max()) < 1 + 1e-9
    assert verify(pde, ["stability"]).passed


def test_newmark_keeps_the_energy_of_a_wave():
    """Mean acceleration conserves |u_t|^2 + |u_x|^2 of differences and means, to round-off."""
    pde = string(times=13, scheme="newmark")
    h, dt = 1 / 32, 1 / 12
    v = pde.solve({u.at(t=0): mode(pde)})["u"][0]
    rate, mean = (v[1:] - v[:-1]) / dt, (v[1:] + v[:-1]) / 2
    energy = rate.square().sum(1) + ((mean[:, 1:] - mean[:, :-1]) / h).square().sum(1)
    assert float(((energy - energy[0]) / energy[0]).abs().max()) < 1e-12


STIFF = PDE(
    name="stiff", summary="u is drawn to cos t", grid=Grid(t=Axis(0, 1, 17, time=True),
    x=Axis(0, 1, 5, periodic=True)), fields=[u],
    equations={"balance": D(u, t) + 2000 * (u - sympy.cos(t))}, inputs={u.at(t=0): None},
    time_scheme="bdf2",
)  # fmt: skip


def test_bdf2_damps_what_crank_nicolson_keeps():
    start = torch.full((1, 5), 2.0, dtype=torch.float64)
    exact = float(torch.cos(torch.tensor(1.0)))
    good = STIFF.solve({u.at(t=0): start})["u"][0, -1]
    assert float((good - exact).abs().max()) < 1e-3


@pytest.mark.parametrize("scheme", ["newmark", "bdf2"])
@pytest.mark.parametrize("second", [False, True], ids=["line", "square"])
def test_verify_observes_the_order_of_new_schemes(scheme, second):
    axes = SQUARE if second else {"x": Axis(0, 1, 17)}
    space = D((1 + x * t / 2) * D(u, x), x) + (D(u, y, 2) if second else 0) - u**3
    pde = string(times=33, scheme=scheme, axes=axes)
    if scheme == "newmark":
        pde = dataclasses.replace(pde, equations={"b": D(u, t, 2) + D(u, t) / 5 - space})
    else:
        pde = dataclasses.replace(
            pde, equations={"b": D(u, t) - space}, conditions={"ends": Dirichlet(u, sympy.sin(t))}
        )
    checks = ["order_of_residual", "order_in_time", "gradient", "coefficients"]
    found = verify(pde, checks if second else [*checks, "order_of_solution"])
    assert found.passed, [c.detail for c in found.failed]
    lines = next(c for c in found.checks if c.name == "order_in_time").values["lines"]
    orders = {line["method"]: line["order"] for line in lines if line["rows"].startswith("b")}
    assert orders[scheme] > 1.9
    assert scheme == "newmark" or orders["bdf2, first step"] > 0.9
