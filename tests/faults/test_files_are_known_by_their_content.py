"""A file of observations is known by its content, and of another format told as what it is."""

import io
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from piddm import PiddmError, UsageError, get_pde
from piddm.data import dataset
from piddm.tasks.csv_files import write_csv
from piddm.tasks.hdf5_files import write_hdf5
from piddm.tasks.observation_files import read_observations
from piddm.tasks.observations import Observations

PDE = get_pde("burgers")
GRID = PDE.grid.resized({"t": 4, "x": 8})
VALUES = torch.rand(GRID.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SEEN = Observations.at_nodes(GRID, {"u": VALUES})


def matlab_5(path):
    scipy.io.savemat(path, {"u": VALUES.numpy()})


def matlab_7(path):
    """HDF5 behind a block of MATLAB's own."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["u"] = VALUES.numpy()
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116))


def npz(path):
    with path.open("wb") as handle:
        np.savez(handle, u=VALUES.numpy())


def xlsx(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")


FOREIGN = {
    "MATLAB file of version 5": matlab_5,
    "MATLAB file of version 7.3": matlab_7,
    "NumPy array": lambda path: path.write_bytes(_npy()),
    "archive": npz,
    "archive (npz, xlsx or zip)": xlsx,
    "compressed by gzip": lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(40)),
    "netCDF": lambda path: path.write_bytes(b"CDF\x01" + bytes(40)),
    "UTF-16": lambda path: path.write_text("field,t,x,value", "utf-16"),
}


def _npy():
    made = io.BytesIO()
    np.save(made, VALUES.numpy())
    return made.getvalue()


@pytest.mark.parametrize("suffix", ["mat", "csv", "h5", "npy"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_another_format_is_told_as_what_it_is(tmp_path, kind, suffix):
    path = tmp_path / f"seen.{suffix}"
    FOREIGN[kind](path)
    with pytest.raises(UsageError, match="observations are CSV, or HDF5") as caught:
        read_observations(path, PDE, GRID)
    assert kind in str(caught.value)
    assert "remove" not in str(caught.value)
    with pytest.raises(PiddmError, match="and no dataset of piddm's") as caught:
        dataset.read(path)
    assert kind in str(caught.value)


@pytest.mark.parametrize("suffix", ["h5", "hdf5", "mat", "csv", ""])
def test_hdf5_is_known_whatever_its_name(tmp_path, suffix):
    path = tmp_path / f"seen.{suffix}"
    write_hdf5(SEEN, path, "burgers")
    assert torch.equal(read_observations(path, PDE, GRID).values["u"], SEEN.values["u"])


@pytest.mark.parametrize("kind", [">f8", ">f4", "<f4", "f2", ">i4", "u1"])
def test_numbers_of_any_order_of_bytes_and_width(tmp_path, kind):
    path = tmp_path / "seen.h5"
    values = np.arange(4).astype(kind)
    with h5py.File(path, "w") as file:
        file.attrs.update(schema="piddm-observations", schema_version=1, pde="burgers",
                          axes='["t", "x"]', params="{}")  # fmt: skip
        own = file.create_group("u")
        own["points"] = np.array([[0, 0], [0, 0.25], [1, 0], [1, 0.25]]).astype(">f8")
        own["values"], own["sigma"] = values, np.zeros(4, ">f4")
    assert read_observations(path, PDE, GRID).values["u"].tolist() == [0, 1, 2, 3]


def test_a_dataset_of_another_order_of_bytes(tmp_path):
    path = tmp_path / "data.h5"
    fields = {"u": VALUES[None].float()}
    dataset.write(dataset.Dataset("burgers", GRID, fields, {"m": 1.0}, {"m": 0.0}, 0), path)
    with h5py.File(path, "r+") as file:
        values = file["t0_fields/u"][()]
        del file["t0_fields/u"], file.attrs["sha256"]
        file["t0_fields/u"] = values.astype(">f4")
    assert torch.equal(dataset.read(path).fields["u"], fields["u"])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "\n\n", "\ufeff", " \r\n", ";;;\n", ",,,\n"])
def test_blank_lines_and_separators_of_spreadsheets(tmp_path, separator, before):
    path = tmp_path / "seen.csv"
    write_csv(SEEN, path)
    lines = path.read_text().splitlines()
    lines = [line.replace(",", separator) for line in lines]
    path.write_text(before + "\n\n".join(lines), encoding="utf-8", newline="")
    found = read_observations(path, PDE, GRID)
    assert torch.equal(found.values["u"], SEEN.values["u"])
    assert torch.equal(found.points["u"], SEEN.points["u"])


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(tmp_path, separator):
    path = tmp_path / "seen.csv"
    rows = [["field", "t", "x", "value", "sigma"], ["u", "0,5", "0,25", "-1,5e-3", "0,1"]]
    path.write_text("\n".join(separator.join(row) for row in rows))
    found = read_observations(path, PDE, GRID)
    assert found.points["u"].tolist() == [[0.5, 0.25]]
    assert (found.values["u"].tolist(), found.sigma["u"].tolist()) == ([-1.5e-3], [0.1])


def test_mistakes_have_their_line_also_after_blank_ones(tmp_path):
    path = tmp_path / "seen.csv"
    path.write_text("\n\nfield;t;x;value\n\nu;0;0;1.0.0\n")
    with pytest.raises(UsageError, match=r"line 5: the value is not a number: '1\.0\.0'"):
        read_observations(path, PDE, GRID)
    path.write_text("\n\nfield;t;y;value\n")
    with pytest.raises(UsageError, match="line 3: there is no column 'y'"):
        read_observations(path, PDE, GRID)
    path.write_text("\n\nfield;t;x;value\nu;0;0;1\nu;0;0;2\n")
    with pytest.raises(UsageError, match=r"line 5 .* at the same place as .*line 4"):
        read_observations(path, PDE, GRID)


def test_many_rows_take_little_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "seen.csv"
    rows = "".join(f"u,0.{n:06d},0,1\n" for n in range(20_000))
    path.write_text("field,t,x,value\n" + rows)
    tracemalloc.start()
    read_observations(path, PDE, GRID)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 250  # bytes; as lists of numbers it was three times that
