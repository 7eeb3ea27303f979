"""The check of readers: what is registered passes, a stranger's too, and each broken one fails."""

import json

import numpy as np
import pytest

import foreign
import layouts
import piddm
from piddm import PiddmError, plugins
from piddm.interfaces import Held, Reader, Said
from piddm.testing import check_reader

T, X = np.linspace(0, 1, 6), layouts.centres(12)
U = layouts.travelling(3, T, X, 0.4)


def own(path):
    piddm.make_dataset("poisson", 2, size=8, path=path, progress=False)


def pdebench(path):
    layouts.pdebench_line(path, U, T, X, Nu=0.1)


def well(path):
    layouts.the_well(path, {"u": U}, T, {"nu": 0.1}, ("x",), x=X)


def netcdf(path):
    xarray = pytest.importorskip("xarray")
    xarray.Dataset({"u": (("sample", "time", "x"), U)}).to_netcdf(path, engine="h5netcdf")


def hdf5(path):
    layouts.pdebench_groups(path, U[..., None], T)


def apebench(path):
    np.save(path.with_name("a_train.npy"), U[:, :, None].astype(np.float32))
    path.with_name("a.json").write_text(json.dumps({"dt": 0.1}))
    return path.with_name("a_train.npy")


def npy(path):
    with path.open("wb") as handle:
        np.save(handle, np.asfortranarray(U.astype(">f4")))


def npz(path):
    with path.open("wb") as handle:
        np.savez_compressed(handle, u=U, flags=U > 0)


FILES = {
    "piddm": own, "pdebench": pdebench, "the-well": well, "netcdf": netcdf, "hdf5": hdf5,
    "matlab73": lambda path: layouts.matlab73(path, u=U),
    "matlab": lambda path: layouts.save_matlab5(path.with_suffix(".mat"), u=U),
    "apebench": apebench, "npy": npy, "npz": npz,
    "torch": lambda path: layouts.neuraloperator(path, U, U),
}  # fmt: skip


def made(name, folder):
    path = folder / "data.mat" if name == "matlab" else folder / "data"
    return FILES[name](path) or path


@pytest.mark.parametrize("name", [e.name for e in plugins.current().list_all("reader")])
def test_readers_that_are_registered_keep_their_promises(tmp_path, name):
    check_reader(name, made(name, tmp_path))


@pytest.fixture
def raster(tmp_path):
    (tmp_path / "a.raster").write_bytes(b"RASTER 3 6 12\n" + U.astype("<f4").tobytes())
    return tmp_path / "a.raster"


def test_a_stranger_s_reader_keeps_them_too(raster):
    check_reader(foreign.Raster, raster)


class Greedy(foreign.Raster):
    def opens(self, path, first):
        return True


class Careless(foreign.Raster):
    def arrays(self, path):
        head, _, body = path.read_bytes().partition(b"\n")
        shape = tuple(int(word) for word in head.split()[1:])
        return Held(path, {"height": np.frombuffer(body, "<f4").reshape(shape)})


class Shifted(Held):
    def _read(self, key, at):
        return super()._read(key, [slice(0, s.stop - s.start, s.step) for s in at])


class Misread(foreign.Raster):
    def arrays(self, path):
        return Shifted(path, {"height": super().arrays(path).read("height")})


class Endless(Held):
    def __getitem__(self, key):
        return next(iter(self.described.values()))

    def _read(self, key, at):
        return super()._read("height", at)


class Obliging(foreign.Raster):
    def arrays(self, path):
        return Endless(path, {"height": super().arrays(path).read("height")})


class Short(foreign.Raster):
    def says(self, arrays):
        return Said("raster", {"height": ("x", "y")})


class Elsewhere(foreign.Raster):
    def says(self, arrays):
        return Said("raster", params={"nu": "viscosity"})


class Writing(foreign.Raster):
    def arrays(self, path):
        found = super().arrays(path)
        path.write_bytes(path.read_bytes() + b"read")
        return found


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Greedy, "it opens a file of nothing"), (Careless, "cut short makes it raise ValueError"),
        (Misread, "a part of height is not that part"), (Obliging, "an array for every key"),
        (Short, "it says the order"), (Elsewhere, "nu is in viscosity, which is not there"),
        (Writing, "it changes the file"),
    ],
)  # fmt: skip
def test_a_reader_that_breaks_a_promise_is_caught(raster, kind, reason):
    with pytest.raises(AssertionError, match=reason):
        check_reader(kind, raster)


def test_what_is_no_reader_or_no_file_of_it_is_told(raster, tmp_path):
    with pytest.raises(PiddmError, match=r"is of type int, not piddm\.data\.readers"):
        check_reader(lambda: 3, raster)
    (tmp_path / "b").write_bytes(b"something else")
    with pytest.raises(AssertionError, match="it does not open"):
        check_reader(foreign.Raster, tmp_path / "b")
    assert issubclass(foreign.Raster, Reader)
