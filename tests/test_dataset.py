"""Datasets on disk: what is written is read back, and nothing doubtful is read at all."""

import dataclasses
import errno
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from piddm import Axis, Grid, PiddmError, UsageError
from piddm.data.dataset import Dataset, read, write
from piddm.tools.hdf5 import DeferringFile

MOVING = Grid(t=Axis(0, 2, 3, time=True), x=Axis(0, 1, 4, periodic=True))
STEADY = Grid(x=Axis(0, 1, 4), y=Axis(-1, 1, 5))
SPHERE = Grid.sphere(4, t=Axis(0, 2, 3, time=True))


def make(grid=MOVING, count=6, **changes):
    generator = torch.Generator().manual_seed(0)
    fields = {name: torch.randn(count, *grid.shape, generator=generator) for name in ("u", "a")}
    fields["nu"] = torch.rand(count, generator=generator)
    whole = Dataset("transport", grid, fields, {"mass": 2.5, "wall": 0.0}, {"mass": 1e-13}, 7)
    return dataclasses.replace(whole, **changes)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.h5"
    write(make(), path)
    return path


def failure(function, *args):
    with pytest.raises(PiddmError) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("grid", [MOVING, STEADY, SPHERE])
def test_round_trip(tmp_path, grid):
    written = make(grid)
    write(written, tmp_path / "data.h5")
    found = read(tmp_path / "data.h5")
    assert list(found.fields) == ["u", "a", "nu"]
    for name, values in written.fields.items():
        assert found.fields[name].dtype == torch.float32
        assert torch.equal(found.fields[name], values)
    assert (found.pde, found.grid, found.seed) == ("transport", grid, 7)
    assert (found.scale, found.floor) == ({"mass": 2.5, "wall": 0.0}, {"mass": 1e-13})
    assert len(found) == 6
    assert [p.name for p in tmp_path.iterdir()] == ["data.h5"]


def test_the_layout_is_that_of_the_well(path):
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        assert attributes["grid_type"] == "cartesian"
        assert attributes["dataset_name"] == "transport"
        assert (attributes["n_spatial_dims"], attributes["n_trajectories"]) == (1, 6)
        assert (attributes["schema"], attributes["schema_version"]) == (b"piddm-dataset", 1)
        assert json.loads(attributes["grid"]) == MOVING.to_dict()
        assert list(file["dimensions"].attrs["spatial_dims"]) == ["x"]
        assert file["dimensions/time"][:].tolist() == [0, 1, 2]
        assert file["dimensions/x"][:].tolist() == [0, 0.25, 0.5, 0.75]
        condition = file["boundary_conditions/x_periodic"]
        assert condition.attrs["bc_type"] == "periodic"
        assert list(condition.attrs["associated_dims"]) == ["x"]
        assert condition["mask"][:].tolist() == [True, False, False, True]
        assert list(file["t0_fields"].attrs["field_names"]) == ["u", "a"]
        assert file["t0_fields/u"].shape == (6, 3, 4)
        assert file["t0_fields/u"].dtype == np.float32
        assert file["t0_fields/u"].attrs["time_varying"]
        assert file["t0_fields/u"].attrs["dim_varying"].tolist() == [True]
        assert list(file["scalars"].attrs["field_names"]) == ["nu"]
        assert not file["scalars/nu"].attrs["time_varying"]
        assert list(file["t1_fields"].attrs["field_names"]) == []
        assert file["t1_fields"].attrs["field_names"].dtype == object  # of text, though empty


def test_a_bounded_axis_is_not_said_to_be_periodic(tmp_path):
    write(make(STEADY), tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5") as file:
        assert list(file["boundary_conditions"]) == []
        assert file["dimensions/y"][:].tolist() == [-1, -0.5, 0, 0.5, 1]
        assert not file["t0_fields/u"].attrs["time_varying"]


def test_a_sphere_is_laid_out_as_the_well_s_own(tmp_path):
    """Open in latitude, periodic in longitude: as its shallow water on a sphere."""
    path = tmp_path / "data.h5"
    write(make(SPHERE), path)
    with h5py.File(path, "r+") as file:
        assert (file.attrs["grid_type"], file.attrs["n_spatial_dims"]) == ("spherical", 2)
        assert list(file["dimensions"].attrs["spatial_dims"]) == ["lat", "lon"]
        nodes = [-0.8611363, -0.3399810, 0.3399810, 0.8611363]  # Gauss-Legendre's of order 4
        np.testing.assert_allclose(np.sin(file["dimensions/lat"][:]), nodes, atol=1e-6)
        assert list(file["boundary_conditions"]) == ["lat_open", "lon_periodic"]
        condition = file["boundary_conditions/lat_open"]
        assert condition.attrs["bc_type"] == "open"
        assert condition["mask"][:].tolist() == [True, False, False, True]
        file.attrs["grid_type"] = "cartesian"
    assert "grid_type is not spherical, as its axes are" in failure(read, path)


def test_split_keeps_every_trajectory_once():
    whole = make()
    train, test = whole.split(2)
    assert (len(train), len(test)) == (4, 2)
    for name, values in whole.fields.items():
        assert torch.equal(torch.cat([train.fields[name], test.fields[name]]), values)
    assert train.scale == whole.scale
    for wrong in (-1, 0, 6, 7):
        with pytest.raises(UsageError, match=f"cannot hold out {wrong} of 6"):
            whole.split(wrong)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "at least one field"),
        ({"nu": torch.zeros(3)}, "at least one field"),
        ({"u": torch.zeros(3, 3, 5)}, r"u has the shape \(3, 3, 5\)"),
        ({"u": torch.zeros(3, 3, 4), "a": torch.zeros(2, 3, 4)}, "a has the shape"),
        ({"u": torch.zeros(3, 3, 4), "nu": torch.zeros(2)}, "nu has the shape"),
        ({"u": torch.zeros(3, 3, 4).half()}, "u is torch.float16; pass float32"),
    ],
)
def test_fields_that_do_not_agree(fields, reason):
    with pytest.raises(UsageError, match=reason):
        make(fields=fields)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fields": {"u": torch.full((2, 3, 4), torch.nan)}}, "u has values that are not finite"),
        ({"fields": {"u": torch.full((2, 3, 4), torch.inf)}}, "u has values that are not finite"),
        ({"scale": {"mass": float("nan")}}, "scale.mass"),
        ({"floor": {"mass": -1.0}}, "floor.mass"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(path, changes, reason):
    before = path.read_bytes()
    assert reason in failure(write, make(**changes), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def _write_limited(path, limit):
    """Write with a limit on the size of files, which fails as a full disk does."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return failure(write, make(count=1000), path)


@pytest.mark.parametrize("limit", [0, 1, 5_000, 50_000, 100_000])
def test_a_disk_that_fills_up_neither_crashes_nor_harms_the_old_file(path, limit):
    pytest.importorskip("resource")
    before = path.read_bytes()
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        message = pool.submit(_write_limited, path, limit).result()
    assert message.startswith(f"cannot write {path}: the file would be larger than allowed")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_hdf5_never_hears_of_a_failed_write():
    with DeferringFile("/dev/full", "w") as handle:
        assert handle.write(b"data") == 4
        assert handle.error is not None
        assert handle.error.errno == errno.ENOSPC
        first = handle.error
        assert handle.write(b"more") == 4
        assert handle.truncate(9) == 0
        assert handle.error is first


def test_files_that_are_missing_truncated_or_not_hdf5(path):
    assert "there is no dataset at" in failure(read, path.parent / "other.h5")
    assert "is not a file" in failure(read, path.parent)
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", *(whole[:n] for n in range(1, len(whole), 97))):
        path.write_bytes(content)
        message = failure(read, path)
        assert str(path) in message
        assert "is damaged or not a dataset" in message or "is an archive" in message
        assert "remove it and make it again" in message or "give one of those" in message


def edit_attribute(name, value):
    def edit(file):
        file.attrs[name] = value

    return edit


def edit_grid(**changes):
    axes = MOVING.to_dict()
    axes["x"] |= changes
    return edit_attribute("grid", json.dumps(axes))


def edit_field(values):
    def edit(file):
        del file["t0_fields/u"]
        file["t0_fields/u"] = values

    return edit


def edit_value(value):
    def edit(file):
        file["t0_fields/a"][5, 2, 3] = value

    return edit


def delete(name):
    def edit(file):
        del file[name]

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda file: file.attrs.clear(), "was not written by piddm"),
        (edit_attribute("schema", "other"), "was not written by piddm"),
        (edit_attribute("schema_version", 2), "has layout 2, this piddm reads 1"),
        (edit_attribute("grid_type", "spherical"), "grid_type is not cartesian, as its axes are"),
        (edit_attribute("grid_type", "polar"), "grid_type: Input should be 'cartesian' or"),
        (edit_attribute("extra", 1), "extra: Extra inputs are not permitted"),
        (lambda file: file.attrs.__delitem__("seed"), "seed: Field required"),
        (edit_attribute("n_trajectories", 0), "n_trajectories: Input should be greater"),
        (
            edit_attribute("n_trajectories", 5),
            "where its header announces float32 or float64 (5, 3, 4)",
        ),
        (edit_attribute("grid", "{"), "grid: Invalid JSON"),
        (edit_attribute("grid", "{}"), "at least one axis"),
        (edit_grid(size=5), "where its header announces float32 or float64 (6, 3, 5)"),
        (edit_grid(size=4.5), "grid.x.size: Input should be a valid integer"),
        (edit_grid(size=1), "at least 2 nodes"),
        (edit_grid(colour=1), "grid.x.colour: Extra inputs are not permitted"),
        (edit_grid(lower=float("inf")), "grid.x.lower"),
        (edit_attribute("scale", '{"mass": "big"}'), "scale.mass"),
        (edit_attribute("scale", '{"mass": -1}'), "scale.mass"),
        (delete("t0_fields/u"), "u is missing from t0_fields"),
        (delete("t0_fields"), "the group t0_fields is missing"),
        (delete("scalars"), "the group scalars is missing"),
        (lambda file: file["t0_fields"].attrs.clear(), "t0_fields does not say its field_names"),
        (lambda file: file["t0_fields"].__setitem__("loop", file["/"]), "is a second link"),
        (edit_field(np.zeros((6, 3, 4), np.float16)), "u is float16 (6, 3, 4)"),
        (edit_field(np.zeros((6, 3, 3), np.float32)), "u is float32 (6, 3, 3)"),
        (edit_field("text"), "where its header announces float32"),
        (edit_value(np.nan), "a has values that are not finite"),
        (edit_value(-np.inf), "a has values that are not finite"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(path, edit, reason):
    with h5py.File(path, "r+") as file:
        edit(file)
    message = failure(read, path)
    assert reason in message
    assert str(path) in message


def link_outside(link):
    def edit(file):
        del file["t0_fields/u"]
        file["t0_fields/u"] = link

    return edit


def store_outside(file):
    del file["t0_fields/u"]
    place = [(str(file.filename) + ".raw", 0, 6 * 3 * 4 * 4)]
    file["t0_fields"].create_dataset("u", (6, 3, 4), np.float32, external=place)
    file["t0_fields/u"][...] = 1.0


def map_outside(file):
    del file["t0_fields/u"]
    layout = h5py.VirtualLayout((6, 3, 4), np.float32)
    layout[...] = h5py.VirtualSource("other.h5", "t0_fields/u", (6, 3, 4))
    file["t0_fields"].create_virtual_dataset("u", layout, fillvalue=1.0)


def link_elsewhere(file):
    file["dimensions/more"] = h5py.ExternalLink("other.h5", "/t0_fields/u")


@pytest.mark.parametrize(
    ("edit", "group", "name"),
    [
        (link_outside(h5py.ExternalLink("other.h5", "/t0_fields/u")), "/t0_fields", "u"),
        (link_outside(h5py.SoftLink("/t0_fields/a")), "/t0_fields", "u"),
        (link_elsewhere, "/dimensions", "more"),
        (store_outside, "/t0_fields", "u"),
        (map_outside, "/t0_fields", "u"),
    ],
    ids=["external link", "soft link", "link in another group", "external storage", "virtual"],
)
def test_references_out_of_the_file_are_refused(path, edit, group, name):
    write(make(), path.parent / "other.h5")
    with h5py.File(path, "r+") as file:
        edit(file)
    with h5py.File(path) as file:  # the reference is sound: without the check it is followed
        assert np.isfinite(file[group][name][:]).all()
    assert f"{name!r} in {group} refers to data elsewhere" in failure(read, path)


def test_float64_keeps_its_digits(path):
    fields = {"u": torch.rand(3, 3, 4, dtype=torch.float64)}
    write(make(fields=fields), path)
    assert torch.equal(read(path).fields["u"], fields["u"])
