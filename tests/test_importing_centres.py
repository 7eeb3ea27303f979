"""Files whose values are at centres of cells, or on stretched nodes: each is found to be so."""

import h5py
import numpy as np
import pytest
import torch

import layouts
import piddm
from piddm import PDE, Axis, Grid, Neumann
from piddm.data.dataset import Dataset
from piddm.data.simulate import simulate
from piddm.runs.reading import samples_of
from piddm.symbolic import D, Field, Param, laplace, t, x, y

N = 32
OUTSIDE = np.arange(N) / N


@pytest.mark.parametrize(
    ("name", "nodes"),
    [("vertex", layouts.vertices(N)), ("centre", layouts.centres(N)), ("outside", OUTSIDE)],
)
def test_where_nodes_are_is_found_by_the_equation(tmp_path, name, nodes):
    phi, f = layouts.sine_pairs(3, nodes, nodes)
    layouts.neuraloperator(tmp_path / "a.pt", f.astype(np.float32), phi.astype(np.float32))
    samples, found = samples_of(tmp_path / "a.pt", piddm.get_pde("poisson"))
    assert found.format == "neuraloperator"
    assert found.map.axes["x"].location == found.map.axes["y"].location == name
    np.testing.assert_allclose(samples.grid.axes["x"].coordinates(), nodes, atol=1e-6)
    second = min(t.score for t in found.trials if t.choice != found.trials[0].choice)
    assert second > 3 * found.trials[0].score


def test_centres_taken_for_vertices_are_suspected():
    nodes = layouts.centres(N)
    phi, f = layouts.sine_pairs(3, nodes, nodes)
    fields = {"a": torch.from_numpy(f), "u": torch.from_numpy(phi)}
    axis = Axis(0, 1, N)
    found = piddm.check(Dataset("poisson", Grid(x=axis, y=axis), fields, {}, {}, 0), "poisson",
                        replay=0, progress=False)  # fmt: skip
    assert not found.satisfied
    assert found.suspects[0].kind == "location"
    assert "at the centres of cells" in found.suspects[0].what


u, v, nu, rho = Field("u"), Field("v"), Param("nu", 0.05), Param("rho", 0.5)
REACTION = PDE(
    "two-species", "", Grid(t=Axis(0, 1, 21, time=True), x=Axis(-1, 1, 24), y=Axis(-1, 1, 24)),
    fields=[u, v], params=[nu, rho],
    equations={"first": D(u, t) - nu * laplace(u, [x, y]) + rho * v,
               "second": D(v, t) - nu * laplace(v, [x, y])},
    conditions={"wall u": Neumann(u), "wall v": Neumann(v)},
    inputs={u.at(t=0): None, v.at(t=0): None},  # pyright: ignore
)  # fmt: skip


def test_a_group_for_each_sample_with_two_channels_on_centres(tmp_path):
    """cos modes obey v' = -r v, u' = -r u - rho v: v = e^-rt, u = (c - rho t) e^-rt, times them."""
    times, nodes = np.linspace(0, 1, 21), layouts.centres(24, -1, 1)
    mode = np.cos(np.pi * (nodes + 1) / 2)[:, None] * np.cos(np.pi * (nodes + 1))
    rate = 0.05 * (np.pi**2 / 4 + np.pi**2)
    decay = np.exp(-rate * times)
    data = np.stack([
        np.stack([((c - 0.5 * times) * decay)[:, None, None] * mode,
                  decay[:, None, None] * mode], -1)
        for c in (1.0, 2.0, 3.0)
    ])  # fmt: skip
    layouts.pdebench_groups(tmp_path / "2D_diff-react.h5", data, times, x=nodes, y=nodes)
    samples, found = samples_of(tmp_path / "2D_diff-react.h5", REACTION)
    assert [found.map.fields[k][0].channel for k in "uv"] == [0, 1]
    assert samples.grid.axes["x"] == Axis(-1, 1, 24, location="centre")
    assert found.trials[0].score < 0.05  # walls are one-sided
    report = piddm.check(tmp_path / "2D_diff-react.h5", REACTION, replay=0, progress=False)
    assert report.satisfied


def test_chebyshev_nodes_are_taken_as_stored(tmp_path):
    nodes = np.cos(np.pi * np.arange(N)[::-1] / (N - 1)) / 2 + 0.5
    phi, f = layouts.sine_pairs(3, layouts.vertices(N), nodes)
    fields = {"a": f[:, None], "u": phi[:, None]}
    layouts.the_well(tmp_path / "w.h5", fields, np.zeros(1), x=layouts.vertices(N), y=nodes)
    samples, found = samples_of(tmp_path / "w.h5", piddm.get_pde("poisson"))
    assert not samples.grid.axes["y"].uniform
    np.testing.assert_allclose(samples.grid.axes["y"].coordinates(), nodes, atol=1e-6)
    assert found.trials[0].score < 0.05


@pytest.mark.parametrize("location", ["vertex", "centre"])
def test_media_of_two_phases_are_placed_though_they_jump(tmp_path, location):
    """As published: 1 is the source, a is 3 or 12; PDEBench has centres, others have vertices."""
    pde = piddm.get_pde("darcy")
    axis = Axis(0, 1, 24, location=location)
    grid = Grid(x=axis, y=axis)
    (made,) = simulate(pde, grid, 3, torch.Generator().manual_seed(0))
    path = tmp_path / "darcy"
    if location == "centre":
        with h5py.File(path, "w") as file:
            file["nu"] = made["a"].float().numpy()
            file["tensor"] = made["u"].float().numpy()[:, None]
    else:
        path = tmp_path / "darcy.mat"
        layouts.save_matlab5(path, coeff=made["a"].numpy(), sol=made["u"].numpy())
    samples, found = samples_of(path, pde)
    assert samples.grid == grid
    assert found.map.fields["a"][0].key in ("nu", "coeff")
    assert found.trials[0].score < 1e-3
    report = piddm.check(path, pde, progress=False)
    assert report.satisfied
    assert not report.suspects
