"""Files of others as named arrays: every number right, or a refusal in a line."""

import pickle
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import torch

import layouts
import piddm
from piddm import PiddmError
from piddm.runs.reading import opened, suggestion

DRAW = np.random.default_rng(0)
VALUES = DRAW.normal(size=(4, 5, 6))


def read(path, key):
    _, arrays, _ = opened(path)
    return arrays.read(key)


def save_hdf5(path, values, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("group/v", data=values, **options)
    return "group/v"


def save_npy(path, values):
    np.save(path.with_suffix(".npy"), values)
    path.with_suffix(".npy").rename(path)
    return path.stem


def save_npz(path, values):
    with path.open("wb") as handle:
        np.savez_compressed(handle, v=values)
    return "v"


def save_matlab(path, values):
    with path.open("wb") as handle:
        scipy.io.savemat(handle, {"v": values})
    return "v"


def save_matlab73(path, values):
    layouts.matlab73(path, v=values)
    return "v"


def save_torch(path, values):
    torch.save({"v": torch.from_numpy(values)}, path)
    return "v"


def save_netcdf(path, values):
    xarray = pytest.importorskip("xarray")
    xarray.Dataset({"v": (("sample", "x", "y"), values)}).to_netcdf(path, engine="h5netcdf")
    return "v"


def save_netcdf3(path, values):
    xarray = pytest.importorskip("xarray")
    xarray.Dataset({"v": (("sample", "x", "y"), values)}).to_netcdf(path, engine="scipy")
    return "v"


def save_zarr(path, values):
    pytest.importorskip("zarr")
    xarray = pytest.importorskip("xarray")
    xarray.Dataset({"v": (("sample", "x", "y"), values)}).to_zarr(path, consolidated=False)
    return "v"


FORMATS = {
    "hdf5": save_hdf5, "npy": save_npy, "npz": save_npz, "matlab": save_matlab,
    "matlab73": save_matlab73, "torch": save_torch, "netcdf": save_netcdf,
    "netcdf3": save_netcdf3, "zarr": save_zarr,
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_known_by_its_content_and_read_in_slices(tmp_path, kind):
    path = tmp_path / "data.bin"  # the name tells nothing
    key = FORMATS[kind](path, VALUES)
    name, arrays, _ = opened(path)
    assert name == {"netcdf3": "netcdf", "zarr": "netcdf"}.get(kind, kind)
    assert arrays[key].shape == VALUES.shape
    np.testing.assert_array_equal(arrays.read(key), VALUES)
    at = (slice(1, 3), slice(0, 5, 2), slice(2, 3))
    np.testing.assert_array_equal(arrays.read(key, at), VALUES[at])


@pytest.mark.parametrize("kind", ["hdf5", "npy", "npz"])
@pytest.mark.parametrize("dtype", [">f8", ">f4", "<f2", "<i4", ">i2", "|u1", "?"])
def test_every_kind_of_number_is_read_as_it_is(tmp_path, kind, dtype):
    values = (4 * VALUES).astype(dtype)
    path = tmp_path / "data"
    found = read(path, FORMATS[kind](path, values))
    np.testing.assert_array_equal(found, values)
    assert found.dtype.isnative
    assert found.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("kind", ["npy", "npz", "hdf5"])
def test_fortran_order_and_compressed_chunks_are_read_as_they_are(tmp_path, kind):
    path = tmp_path / "data"
    if kind == "hdf5":
        key = save_hdf5(path, VALUES, chunks=(1, 3, 2), compression="gzip", shuffle=True)
    else:
        key = FORMATS[kind](path, np.asfortranarray(VALUES))
    np.testing.assert_array_equal(read(path, key), VALUES)


def test_missing_and_packed_numbers_are_what_their_attributes_say(tmp_path):
    packed = np.array([[0, 100], [-999, 50]], dtype=np.int16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = packed
        file["v"].attrs.update({"_FillValue": np.int16(-999), "scale_factor": 0.1})
        file["v"].attrs["add_offset"] = 3.0
    expected = np.array([[3.0, 13.0], [np.nan, 8.0]])
    np.testing.assert_allclose(read(tmp_path / "a.h5", "v"), expected, rtol=1e-14)


def test_numbered_groups_are_samples_of_one_array(tmp_path):
    u = DRAW.normal(size=(12, 3, 4, 1)).astype(np.float32)
    layouts.pdebench_groups(tmp_path / "g.h5", u, np.arange(3.0), x=np.arange(4.0))
    _, arrays, said = opened(tmp_path / "g.h5")
    at = (slice(9, 12), slice(0, 3), slice(1, 2), slice(0, 1))
    np.testing.assert_array_equal(arrays.read("*/data", at), u[at])
    assert said.orders["*/data"] == ("sample", "t", "x", "channel")


def test_a_key_that_is_not_there_names_the_nearest_and_the_shapes(tmp_path):
    FORMATS["npz"](tmp_path / "a", VALUES)
    with pytest.raises(PiddmError, match=r"no array 'w'.*v \(4, 5, 6\)"):
        read(tmp_path / "a", "w")


class Planted:
    """What a malicious file holds: reading it would make a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return type(self.mark).touch, (self.mark,)


@pytest.mark.parametrize("kind", ["npy", "npz", "torch", "pickle"])
def test_what_would_run_code_is_refused_and_never_run(tmp_path, kind):
    mark, path = tmp_path / "mark", tmp_path / "a"
    bad = np.array([Planted(mark)], dtype=object)
    if kind == "npy":
        with path.open("wb") as handle:
            np.save(handle, bad)
    elif kind == "npz":
        with path.open("wb") as handle:
            np.savez(handle, v=bad)
    elif kind == "torch":
        torch.save({"x": Planted(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"x": Planted(mark)}))
    with pytest.raises(PiddmError, match=r"runs? code|run code"):
        opened(path)
    assert not mark.exists()


def test_bombs_are_refused_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = np.zeros(0)
        with archive.open("v.npy", "w") as handle:
            np.lib.format.write_array(handle, header)
            handle.write(bytes(1 << 27))
    with pytest.raises(PiddmError, match=r"would take 0\.125 GiB"):
        opened(tmp_path / "a.npz")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("v", shape=(1 << 30, 64), dtype="f4", chunks=(1024, 64))
    with pytest.raises(PiddmError, match="would take 256 GiB"):
        opened(tmp_path / "b.h5")


def test_links_out_of_a_file_are_refused(tmp_path):
    save_hdf5(tmp_path / "a.h5", VALUES)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["v"] = h5py.ExternalLink("a.h5", "/group/v")
    with pytest.raises(PiddmError, match="refers to data elsewhere"):
        opened(tmp_path / "b.h5")


def test_samples_of_mixed_shapes_are_told(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["0000/data"], file["0001/data"] = np.zeros((2, 3)), np.zeros((2, 4))
    _, arrays, _ = opened(tmp_path / "a.h5")
    with pytest.raises(PiddmError, match=r"mixed shapes, \(2, 3\), \(2, 4\)"):
        arrays.read("*/data")
    with pytest.raises(PiddmError, match=r"no choice of arrays.*mixed shapes, \(2, 3\), \(2, 4\)"):
        suggestion(tmp_path / "a.h5", piddm.get_pde("poisson"))


@pytest.mark.parametrize("kind", ["npy", "npz", "matlab", "matlab73", "torch", "hdf5"])
def test_a_file_that_is_cut_short_is_refused_in_a_line(tmp_path, kind):
    path = tmp_path / "a"
    key = FORMATS[kind](path, DRAW.normal(size=(8, 64, 64)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PiddmError) as error:
        read(path, key)
    assert "\n" not in str(error.value)


def test_other_files_are_called_what_they_are(tmp_path):
    (tmp_path / "a").write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(PiddmError, match="a Parquet file; readers: piddm, pdebench"):
        opened(tmp_path / "a")
    with pytest.raises(PiddmError, match="does not exist"):
        opened(tmp_path / "b")
