"""What is known: every doubtful observation is refused by name, and sensors are exact maps."""

import dataclasses
import math

import h5py
import numpy as np
import pytest
import torch

from piddm import Axis, Grid, PiddmError, UsageError, get_pde
from piddm.data import dataset
from piddm.tasks.csv_files import write_csv
from piddm.tasks.hdf5_files import write_hdf5
from piddm.tasks.observation_files import read_observations, read_truth
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY

GRID = BURGERS.grid.resized(16)  # t in [0, 1], x in [0, 1) periodic
HEADER = "field,t,x,value,sigma\n"
GOOD = "u,0.5,0.5,1,0.1\n"
WALLED = Grid(x=Axis(-1, 2, 9), y=Axis(0, 1, 7))


def seen(points, values=None, grid=GRID, **more):
    points = torch.tensor(points, dtype=torch.float64)
    values = torch.zeros(len(points)) if values is None else torch.as_tensor(values)
    return Observations.at_points(grid, {"u": points}, {"u": values}, **more)


def refusal(function, *arguments, error=UsageError, **named):
    with pytest.raises(error) as caught:
        function(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def csv_file(tmp_path, text, name="seen.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (HEADER + GOOD + "u,0.5,1.5,1,0.1\n", ["line 3", "x=1.5", "outside", "0 to 1"]),
        (HEADER + "u,-0.1,0.5,1,0.1\n", ["line 2", "outside", "t goes from"]),
        (HEADER + "v,0.5,0.5,1,0.1\n", ["line 2", "no field 'v'", "u"]),
        (HEADER + "u,0.5,0,1,0\n\nu,0.5,1,2,0\n", ["line 4", "same place as", "line 2", "exact"]),
        (HEADER + "u,0.5,0.5,nan,0.1\n", ["line 2", "not a finite number: nan"]),
        (HEADER + "u,0.5,0.5,1e999,0.1\n", ["line 2", "not a finite number"]),
        (HEADER + "u,inf,0.5,1,0.1\n", ["line 2: t", "not a finite number: inf"]),
        (HEADER + "u,0.5,0.5,1,-0.1\n", ["line 2", "negative sigma"]),
        (HEADER + "u,0.5,0.5,1_0,0.1\n", ["line 2", "not a number", "1_0"]),
        (HEADER + "u,0.5,0.5,0x10,0.1\n", ["line 2", "not a number"]),
        (HEADER + "u,0.5,,1,0.1\n", ["line 2: x is empty"]),
        (HEADER + "u,0.5,0.5,1,\n", ["line 2: sigma is empty", "0 is exact"]),
        (HEADER + "u,0.5,0.5,1\n", ["line 2", "4 cells", "5"]),
        ("field;t;x;value\n" + GOOD, ["line 2", "separate them by semicolons"]),
        ("field,t,x,value,noise\n" + GOOD, ["line 1", "no column 'noise'", HEADER.strip()]),
        ("field,t,value\nu,0.5,1\n", ["line 1", "column x is missing"]),
        ("field,t,x,x,value\n" + GOOD, ["line 1", "x is there twice"]),
        ("", ["empty", "no observations"]),
        (HEADER, ["no observations"]),
        (HEADER + "nu,,,0.01,\n", ["no observations of a field"]),
        (HEADER + GOOD + "nu,,,0.01,\nnu,,,0.02,\n", ["line 4", "nu is given twice"]),
        (HEADER + GOOD + "nu,0.5,,0.01,\n", ["line 3", "param", "without coordinates"]),
        (HEADER + GOOD + "nu,,,0.01,0.1\n", ["line 3", "exact"]),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_line(tmp_path, text, fragments):
    path = csv_file(tmp_path, text)
    line = refusal(read_observations, path, BURGERS, GRID)
    for fragment in [str(path), *fragments]:
        assert fragment in line


def test_what_is_no_text_is_refused(tmp_path):
    path = csv_file(tmp_path, b"\x80\xfe\x00field")
    assert "damaged" in refusal(read_observations, path, BURGERS, GRID, error=PiddmError)
    for text in ('field,t,x,value\n"u,0.5', "field,t,x,value\nu,0.5,0.5,'1'\n"):
        refusal(read_observations, csv_file(tmp_path, text), BURGERS, GRID, error=PiddmError)
    missing = tmp_path / "none.csv"
    assert "there is no" in refusal(read_observations, missing, BURGERS, GRID, error=PiddmError)


def test_csv_in_any_order_of_columns_with_what_spreadsheets_add(tmp_path):
    text = b"\xef\xbb\xbfvalue, x,t,field\r\n1.5,0.25,0.75,u\r\n\r\n0.02,,,nu\r\n"
    found = read_observations(csv_file(tmp_path, text), BURGERS, GRID, sigma=0.3)
    assert found.points["u"].tolist() == [[0.75, 0.25]]
    assert (found.values["u"].tolist(), found.sigma["u"].tolist()) == ([1.5], [0.3])
    assert found.params == {"nu": 0.02}


@pytest.mark.parametrize("write", [write_csv, write_hdf5])
def test_what_is_written_is_read_back_to_the_last_digit(tmp_path, write):
    truth = draw_truth(BURGERS, GRID, 1)
    made = place(truth, BURGERS, "u", 0.1, 0.05, between=True, seed=2)
    made = Observations(GRID, made.points, made.values, made.sigma, {"nu": 0.1 + 0.2})
    path = tmp_path / ("seen.csv" if write is write_csv else "seen.h5")
    write(made, path, *(["burgers"] if write is write_hdf5 else []))
    found = read_observations(path, BURGERS, GRID)
    for part in ("points", "values", "sigma"):
        assert torch.equal(getattr(found, part)["u"], getattr(made, part)["u"])
    assert found.params == made.params


def test_a_file_of_another_equation_or_layout_is_refused(tmp_path):
    made = seen([[0.5, 0.5]])
    path = tmp_path / "seen.h5"
    write_hdf5(made, path, "heat")
    assert "heat" in refusal(read_observations, path, BURGERS, GRID)
    write_hdf5(made, path, "burgers")
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 2
    line = refusal(read_observations, path, BURGERS, GRID, error=PiddmError)
    assert "schema_version" in line
    write_hdf5(made, path, "burgers")
    with h5py.File(path, "a") as file:
        del file["u"]
        file["u"] = [1.0, 2.0]
    line = refusal(read_observations, path, BURGERS, GRID, error=PiddmError)
    assert "u is no group" in line
    path.write_bytes(path.read_bytes()[:300])
    assert "damaged" in refusal(read_observations, path, BURGERS, GRID, error=PiddmError)
    truth = draw_truth(DARCY, DARCY.grid.resized(8))
    dataset.write(truth, path)
    line = refusal(read_observations, path, BURGERS, GRID, fields="u")
    assert "of the equation darcy" in line


def test_observations_from_a_dataset(tmp_path):
    truth = draw_truth(DARCY, DARCY.grid.resized(9), 1)
    path, grid = tmp_path / "truth.h5", DARCY.grid.resized(17)
    dataset.write(truth, path)
    found = read_observations(path, DARCY, grid, 0.1, fields="a,u@x=0.5")
    assert {k: len(v) for k, v in found.values.items()} == {"a": 81, "u": 9}
    assert torch.equal(found.values["u"], truth.fields["u"][0, 4])
    assert set(found.sigma["a"].tolist()) == {0.1}
    # Nodes of the coarse grid are nodes of the fine one: values at them stay.
    there = read_truth(path, DARCY, grid)["a"]
    torch.testing.assert_close(there[::2, ::2], truth.fields["a"][0], rtol=0, atol=1e-12)
    for fields, fragment in (
        ("", "say what is seen"), ("b", "no field 'b'"), ("u@x=0.51", "nearest is at x=0.5"),
        ("u@z=0", "no axis 'z'"), ("u@x", "FIELD@AXIS=VALUE"),
    ):  # fmt: skip
        assert fragment in refusal(read_observations, path, DARCY, grid, fields=fields)
    assert "0 to 0" in refusal(read_observations, path, DARCY, grid, sample=1, fields="a")
    line = refusal(read_observations, csv_file(tmp_path, HEADER), BURGERS, GRID, fields="u")
    assert "no dataset" in line


def test_arrays_are_checked_as_files_are():
    assert "outside" in refusal(seen, [[0.5, 1.1]])
    assert "not a finite number" in refusal(seen, [[0.5, 0.5]], [math.nan])
    assert "not a finite number" in refusal(seen, [[0.5, math.nan]])
    assert "negative sigma" in refusal(seen, [[0.5, 0.5]], sigma=-1.0)
    assert "no observations" in refusal(seen, torch.zeros(0, 2).tolist())
    assert "observation 2 of u" in refusal(seen, [[0.5, 0.25], [0.5, 0.25]], [1.0, 2.0])
    assert "same place" in refusal(seen, [[0.5, 0.0], [0.5, 1.0]], [1.0, 2.0])  # the seam
    assert len(seen([[0.0, 0.5], [1.0, 0.5]]).values["u"]) == 2  # time has no seam
    assert "need as many" in refusal(seen, [[0.5, 0.5]], [1.0, 2.0])
    assert "coordinates (t, x)" in refusal(seen, [[0.5]])
    mask = {"u": torch.ones(GRID.shape)}
    assert "of booleans" in refusal(
        Observations.at_nodes, GRID, {"u": torch.zeros(GRID.shape)}, mask
    )
    strange = Observations.at_nodes(GRID, {"w": torch.zeros(GRID.shape)})
    assert "no field w" in refusal(ask, "reconstruct", BURGERS, strange)


def test_tasks_ask_for_what_they_need():
    grid = DARCY.grid.resized(8)
    fields = {k: v[0] for k, v in draw_truth(DARCY, grid).fields.items()}
    a, u = ({k: fields[k]} for k in "au")
    holes = torch.ones(grid.shape, dtype=torch.bool)
    holes[2, 3] = False
    assert ask("forward", DARCY, Observations.at_nodes(grid, a)).kind == "forward"
    line = refusal(ask, "forward", DARCY, Observations.at_nodes(grid, a, {"a": holes}))
    assert "1 of 64 nodes of a are missing" in line
    assert ask("inverse", DARCY, Observations.at_nodes(grid, u)).kind == "inverse"
    line = refusal(ask, "inverse", DARCY, Observations.at_nodes(grid, fields))
    assert "a is observed" in line
    assert "did you mean 'inverse'" in refusal(ask, "invers", DARCY, Observations.at_nodes(grid, u))
    assert "linear or cubic" in refusal(ask, "inverse", DARCY, Observations.at_nodes(grid, u), "x")


@pytest.mark.parametrize(("interpolation", "degree"), [("linear", 1), ("cubic", 3)])
def test_sensors_are_exact_on_polynomials(interpolation, degree):
    draw = np.random.default_rng(0)
    at = draw.uniform([-1, 0], [2, 1], (40, 2))
    at[:4] = [[-1, 0], [2, 1], [-1, 1], [2, 0.01]]  # corners, and beside a wall

    def polynomial(x, y):
        return (1 + x - 2 * x**degree) * (2 - y + 3 * y**degree)

    x, y = np.meshgrid(*(a.coordinates() for a in WALLED.axes.values()), indexing="ij")
    field = torch.from_numpy(polynomial(x, y))[None]
    found = Sensors(seen(at.tolist(), grid=WALLED), ("u",), interpolation)({"u": field})[0]
    assert np.allclose(found, polynomial(*at.T), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("interpolation", "order"), [("linear", 2), ("cubic", 4)])
def test_sensors_across_the_seam_converge(interpolation, order):
    at = [[0.3, 0.999], [0.6, 0.97], [0.9, 1.0], [0.1, 0.001]]
    errors = []
    for size in (32, 64):
        grid = Grid(t=Axis(0, 1, 5, time=True), x=Axis(0, 1, size, periodic=True))
        wave = torch.from_numpy(np.sin(2 * np.pi * grid.axes["x"].coordinates() + 0.4))
        sensors = Sensors(seen(at, grid=grid), ("u",), interpolation)
        exact = np.sin(2 * np.pi * np.array(at)[:, 1] + 0.4)
        # Across the seam sensors are half a spacing from a node at most: compare the bound.
        found = sensors({"u": wave.expand(1, 5, -1)})[0].numpy()
        errors.append(float(np.abs(found - exact).max()))
        h = 1 / size
        bound = {2: (2 * np.pi * h) ** 2 / 8, 4: 9 / 384 * (2 * np.pi * h) ** 4}[order]
        assert errors[-1] < 1.001 * bound


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("grid", [GRID, WALLED, Grid.sphere(6)], ids=["seam", "walls", "sphere"])
def test_sensors_and_their_adjoint_agree(grid, interpolation):
    draw = torch.Generator().manual_seed(0)
    low = torch.tensor([a.lower for a in grid.axes.values()])
    high = torch.tensor([a.upper for a in grid.axes.values()])
    at = low + (high - low) * torch.rand(30, 2, generator=draw, dtype=torch.float64)
    where = {"v": at, "u": at[:9]}
    observed = Observations.at_points(grid, where, {k: torch.zeros(len(v)) for k, v in
                                                    where.items()})  # fmt: skip
    sensors = Sensors(observed, ("u", "a", "v"), interpolation)
    x = {k: torch.randn(2, *grid.shape, generator=draw, dtype=torch.float64) for k in "uav"}
    r = torch.randn(2, len(sensors), generator=draw, dtype=torch.float64)
    there, back = sensors(x), sensors.spread(r)
    assert len(sensors) == 39
    left = (there * r).sum(1)
    right = sum((x[k] * back[k]).flatten(1).sum(1) for k in "uav")
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)
    assert float(back["a"].abs().max()) == 0


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_sensor_at_a_node_sees_the_node(interpolation):
    draw = torch.Generator().manual_seed(0)
    for grid in (GRID, WALLED, Grid.sphere(6)):
        field = torch.randn(grid.shape, generator=draw, dtype=torch.float64)
        mask = torch.rand(grid.shape, generator=draw) < 0.4
        sensors = Sensors(Observations.at_nodes(grid, {"u": field}, {"u": mask}), ("u",),
                          interpolation)  # fmt: skip
        torch.testing.assert_close(sensors({"u": field[None]})[0], field[mask], rtol=0, atol=0)
        assert np.array_equal(sensors.known["u"], mask.numpy())


@pytest.mark.parametrize("name", ["burgers", "sphere-poisson"])
def test_made_problems_are_what_they_say(name):
    pde = get_pde(name)
    truth = draw_truth(pde, pde.grid.resized(12), 3)
    field = pde.field_names[-1]
    std = float(truth.fields[field].std())
    for between in (False, True):
        made = place(truth, pde, field, 0.5, 0.1, between, seed=1)
        sensors = Sensors(made, pde.field_names)
        off = (sensors(truth.fields)[0] - sensors.values) / (0.1 * std)
        n = len(off)
        assert n == round(0.5 * truth.fields[field][0].numel())
        # Chi squared within five of its deviations.
        assert abs(float(off.square().sum()) - n) < 5 * math.sqrt(2 * n)
        assert bool(sensors.known[field].any()) is not between
    again = place(truth, pde, field, 0.5, 0.1, True, seed=1)
    assert torch.equal(again.values[field], made.values[field])
    for share in (0, 1.5):
        refusal(place, truth, pde, field, share)


def test_several_readings_at_a_place_are_one_by_their_sigmas():
    places = [[0.5, 0.25], [0.1, 0.3], [0.5, 0.25], [0.7, 0.0], [0.7, 1.0]]
    found = Observations.at_points(
        GRID, {"u": torch.tensor(places)}, {"u": torch.tensor([1.0, 5.0, 4.0, 2.0, 3.0])},
        {"u": torch.tensor([1.0, 0.1, 2.0, 0.0, 1.0])}, labels={"u": ["a", "b", "c", "d", "e"]},
    )  # fmt: skip
    # By hand: weights 1 and 1/4 give (1 + 4/4)/(5/4) and a sigma of (5/4)^(-1/2).
    assert found.values["u"].tolist() == pytest.approx([1.6, 5.0, 2.0])
    assert found.sigma["u"].tolist() == pytest.approx([0.8**0.5, 0.1, 0.0])
    assert found.labels["u"] == ["a", "b", "d"]
    assert found.combined == 2
    assert "2 readings were combined" in found.told
    assert dataclasses.replace(found, params={}).combined == 2
    same = Observations.at_points(
        GRID, {"u": torch.tensor([[0.5, 0.25]] * 2)}, {"u": torch.tensor([1.0, 1.0])}
    )
    assert same.values["u"].tolist() == [1.0]
