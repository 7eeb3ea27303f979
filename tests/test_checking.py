"""Checks of data: known residuals are found, and known mistakes are called by their names."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import layouts
import piddm
from piddm import PDE, Axis, Grid
from piddm.cli.app import app
from piddm.data.dataset import Dataset
from piddm.symbolic import D, Field, Param, t, x

N = 24


def poisson_data(a_factor=1.0, transposed=False, n=N, count=4):
    phi, f = layouts.sine_pairs(count, layouts.vertices(n), layouts.vertices(n))
    f = a_factor * f
    fields = {"a": f.transpose(0, 2, 1) if transposed else f, "u": phi}
    axis = Axis(0, 1, n)
    tensors = {k: torch.from_numpy(v.copy()) for k, v in fields.items()}
    return Dataset("poisson", Grid(x=axis, y=axis), tensors, {}, {}, 0)


def burgers_data(nu, stated, times=41, upper=2.0, length=1.0):
    at, where = np.linspace(0, 2, times), np.arange(48) / 48
    u = torch.from_numpy(layouts.hopf_cole(3, at, where, nu))
    grid = Grid(t=Axis(0, upper, times, time=True), x=Axis(0, length, 48, periodic=True))
    return Dataset("burgers", grid, {"u": u}, {}, {}, 0, params={"nu": stated})


def test_the_residual_is_the_truncation_error_and_falls_with_the_order():
    """Of sin(p pi x) the second difference is off by (p pi h)^2/12, which the table must show."""
    grid = np.linspace(0, 1, N)
    mode = np.sin(2 * np.pi * grid)[:, None] * np.sin(np.pi * grid)
    data = poisson_data(count=1)
    fields = {"a": torch.from_numpy(-5 * np.pi**2 * mode)[None], "u": torch.from_numpy(mode)[None]}
    data = Dataset(data.pde, data.grid, fields, {}, {}, 0)
    found = piddm.check(data, "poisson", progress=False)
    h = 1 / (N - 1)
    second = sum(q**2 * (q * np.pi * h) ** 2 / 12 for q in (1, 2)) / 5
    row = found.errors.rows["balance"]
    assert row.error["2"] ** 0.5 == pytest.approx(second, rel=0.05)
    assert row.error["4"] < 1e-2 * row.error["2"]
    assert row.error["6"] < 1e-1 * row.error["4"]
    assert found.satisfied
    assert not found.suspects


def test_data_of_the_derived_solver_are_at_round_off_and_replay():
    data = piddm.make_dataset("burgers", 3, size=24, progress=False)
    found = piddm.check(data, "burgers", progress=False)
    assert found.errors.total() < 1e-9
    assert found.replay.distance["u"] < 1e-4
    assert found.replay.steps == 1


@pytest.mark.parametrize(
    ("data", "pde", "kind", "what"),
    [
        (poisson_data(-1.0), "poisson", "sign", "the sign of"),
        (poisson_data(transposed=True), "poisson", "transposed", "is transposed"),
        (burgers_data(0.05 / np.pi, 0.05), "burgers", "factor", "times 1/pi"),
        (burgers_data(0.05, 0.05, upper=20.0), "burgers", "spacing", "along t are 1/10 times"),
    ],
)
def test_a_mistake_is_called_by_its_name(data, pde, kind, what):
    found = piddm.check(data, pde, replay=0, progress=False)
    assert not found.satisfied
    assert found.suspects[0].kind == kind
    assert what in found.suspects[0].what
    assert found.suspects[0].after < 0.1 * found.suspects[0].before


def test_params_and_factors_of_terms_are_those_that_made_the_data():
    found = piddm.check(burgers_data(0.05, 0.03, times=161), "burgers", replay=0, progress=False)
    (nu,) = found.params
    assert nu.stated == 0.03
    assert nu.value == pytest.approx(0.05, rel=0.01)
    assert nu.low <= nu.value <= nu.high
    assert nu.high - nu.low < 0.01 * nu.value
    by_term = {f.name: f.value for f in found.factors["momentum"]}
    own = {"nu": 1.0, "advection": 1.0, "rate": 1.0}  # the largest term counts 1
    for term, value in by_term.items():
        own["nu" if "nu" in term else "advection" if "**2" in term else "rate"] = value
    assert own["advection"] / own["rate"] == pytest.approx(1, rel=0.02)
    assert own["nu"] / own["rate"] == pytest.approx(5 / 3, rel=0.02)


def test_a_known_error_is_printed_within_a_tenth():
    """Noise of known size on the source alone is the residual, at every order."""
    data = poisson_data(n=48)
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=data.fields["a"].shape))
    size = 0.05 * float(data.fields["a"].square().mean().sqrt())
    data.fields["a"] += size * noise
    found = piddm.check(data, "poisson", progress=False)
    row = found.errors.rows["balance"]
    assert row.error["6"] ** 0.5 * row.scale == pytest.approx(size, rel=0.1)


def test_walls_are_measured_apart():
    data = poisson_data()
    data.fields["a"][:, 1, :] *= 1.2
    found = piddm.check(data, "poisson", replay=0, progress=False)
    row = found.errors.rows["balance"]
    assert row.near > 10 * row.far
    assert not found.replay.distance


def test_the_worst_sample_and_what_is_not_finite_are_named():
    data = poisson_data()
    data.fields["u"][1, 3, 3] = float("nan")
    data.fields["u"][3, 5, 5] += 0.5
    found = piddm.check(data, "poisson", replay=0, progress=False)
    assert found.errors.bad == (1,)
    assert found.worst[0][0] == 3
    assert found.errors.count == 3


def test_values_that_are_missing_hide_the_rows_that_touch_them_and_no_others():
    """Four samples with a hole each: what is left has the error of the whole ones."""
    whole, holes = poisson_data(), poisson_data()
    holes.fields["u"][:, 10:13, 7] = float("nan")
    holes.fields["a"][:, 3, 3] = float("inf")
    clean = piddm.check(whole, "poisson", progress=False)
    found = piddm.check(holes, "poisson", mask=True, progress=False)
    assert found.satisfied
    assert found.errors.missing == 4 * 4
    # 22 x 22 rows of a plus sign around each of three nodes in a line, one of them, and one more.
    assert found.errors.unseen == {"balance": pytest.approx((5 + 2 * 3 + 1) / 22**2)}
    for order in ("2", "4", "6"):
        own, other = (r.errors.rows["balance"].error[order] for r in (found, clean))
        assert own == pytest.approx(other, rel=0.15)
    assert [f.value for f in found.factors["balance"]] == pytest.approx(
        [f.value for f in clean.factors["balance"]], rel=1e-3
    )
    assert not found.replay.distance
    with pytest.raises(piddm.PiddmError, match="no sample of 4 has only finite values"):
        piddm.check(holes, "poisson", progress=False)
    holes.fields["a"] *= -1
    assert piddm.check(holes, "poisson", mask=True, progress=False).suspects[0].kind == "sign"
    holes.fields["u"][:, ::2] = float("nan")
    with pytest.raises(piddm.PiddmError, match="each row of balance touches"):
        piddm.check(holes, "poisson", mask=True, progress=False)


def test_an_order_whose_stencils_all_touch_a_hole_is_refused_and_the_others_are_told():
    data = burgers_data(0.05, 0.05)
    data.fields["u"][:, :, 7] = float("nan")
    found = piddm.check(data, "burgers", mask=True, progress=False)
    assert "spectral" not in found.errors.rows["momentum"].error
    assert found.errors.refused["spectral"] == "every row touches a missing value"


def test_frames_that_are_far_apart_are_replayed():
    """A step of 1 makes the step residual of order 1; many steps between frames bring it back."""
    u, nu = Field("u"), Param("nu", 0.05)
    wave = PDE(
        "decay", "", Grid(t=Axis(0, 2, 3, time=True), x=Axis(0, 1, 32, periodic=True)),
        fields=[u], params=[nu], equations={"balance": D(u, t) - nu * D(u, x, 2)},
        inputs={u.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    at, where = np.linspace(0, 2, 3), np.arange(32) / 32
    waves = np.sin(2 * np.pi * where)[None] * np.exp(-0.05 * (2 * np.pi) ** 2 * at)[:, None]
    data = Dataset("decay", wave.grid, {"u": torch.from_numpy(waves)[None]}, {}, {}, 0)
    found = piddm.check(data, wave, progress=False)
    assert found.errors.rows["balance"].median > 0.05
    assert found.replay.distance["u"] < 0.02
    assert found.replay.steps > 1
    assert found.small


def test_an_equation_of_one_axis_more_is_refused_in_a_line():
    u = Field("u")
    line = Grid(x=Axis(0, 1, 8))
    other = PDE("other", "", line, fields=[u], equations={"e": D(u, x, 2)}, inputs={})
    with pytest.raises(piddm.UsageError, match="has the axes x, the data have x, y"):
        piddm.check(poisson_data(), other, progress=False)


def test_the_command_says_so_and_exits_with_1(tmp_path):
    phi, f = layouts.sine_pairs(3, layouts.vertices(16), layouts.vertices(16))
    np.savez(tmp_path / "good.npz", a=f, u=phi)
    np.savez(tmp_path / "bad.npz", a=f + 30 * np.roll(f, 5, 1), u=phi)
    run = CliRunner()
    out = ["--pde", "poisson", "--json", "--out", str(tmp_path / "out")]
    good = run.invoke(app, ["check", str(tmp_path / "good.npz"), *out])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["satisfied"]
    assert (tmp_path / "out" / "check.png").stat().st_size > 1000
    bad = run.invoke(app, ["check", str(tmp_path / "bad.npz"), *out])
    assert bad.exit_code == 1
    assert not json.loads(bad.stdout)["satisfied"]
