"""Damaged or hostile HDF5 ends in a line, soon, in little memory; Ctrl-C ends the reading."""

import os
import signal
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
import torch

from piddm import Axis, Grid, PiddmError
from piddm.data.dataset import Dataset, read, write
from piddm.tasks.hdf5_files import read_hdf5, write_hdf5
from piddm.tasks.observations import Observations
from piddm.tools import hdf5_reading
from piddm.tools.hdf5_reading import contents

GRID = Grid(t=Axis(0, 1, 4, time=True), x=Axis(0, 1, 8, periodic=True))
SOON = 15.0
"""Seconds; a second is usual, and a hang took for ever."""


def failure(function, *args):
    start = time.monotonic()
    with pytest.raises(PiddmError) as caught:
        function(*args)
    assert time.monotonic() - start < SOON
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.h5"
    fields = {"u": torch.rand(5, *GRID.shape, generator=torch.Generator().manual_seed(0))}
    write(Dataset("burgers", GRID, fields, {"momentum": 1.0}, {"momentum": 0.0}, 0), path)
    return path


def test_a_damaged_heap_of_text_hangs_nobody(path):
    """Zeros in the global heap keep HDF5 in one call for ever."""
    whole = path.read_bytes()
    heap = whole.index(b"GCOL")
    for start in (8, 24):
        damaged = bytearray(whole)
        damaged[heap + start : heap + start + 64] = bytes(64)
        path.write_bytes(damaged)
        assert "is damaged or not a dataset" in failure(read, path)
    path.write_bytes(whole)
    assert len(read(path)) == 5


def test_what_is_ours_alone_has_no_heap(tmp_path):
    path = tmp_path / "seen.h5"
    write_hdf5(Observations.at_nodes(GRID, {"u": torch.ones(GRID.shape)}), path, "burgers")
    assert b"GCOL" not in path.read_bytes()
    assert read_hdf5(path, "burgers", GRID).count == 32


def test_only_names_for_readers_of_the_well_are_in_the_heap(path):
    with h5py.File(path) as file:
        free = {k: file.attrs.get_id(k).dtype.kind for k in file.attrs}
    assert [k for k, kind in free.items() if kind == "O"] == [
        "dataset_name", "grid_type", "simulation_parameters"
    ]  # fmt: skip


@pytest.mark.parametrize("depth", [28, 200])
def test_doubled_links_are_visited_once(path, depth):
    with h5py.File(path, "r+") as file:
        group = file["t0_fields"]
        for _ in range(depth):
            child = group.create_group("a")
            group["b"] = child
            group = child
    assert "'b' in /t0_fields is a second link to an object" in failure(read, path)


def test_groups_deeper_than_any_need_are_refused(path):
    with h5py.File(path, "r+") as file:
        file["dimensions"].create_group("/".join("a" * 200))
    assert "too deep ones" in failure(read, path)


@pytest.mark.parametrize("options", [{"compression": "gzip", "chunks": (1 << 20,)}, {}])
def test_bombs_are_refused_before_they_are_read(path, options):
    with h5py.File(path, "r+") as file:
        file["dimensions"].create_dataset("bomb", (1 << 31,), "f4", **options)
    assert "would take 8 GiB, out of" in failure(read, path)


def test_a_bomb_that_tells_another_size_meets_the_limit_of_memory(tmp_path):
    """A chunk of 1 MB that inflates to 768 MB, as the filter finds out while it inflates it."""
    import zlib

    path = tmp_path / "bomb.h5"
    squeeze, data = zlib.compressobj(9), []
    for _ in range(48):
        data.append(squeeze.compress(bytes(1 << 24)))
    data.append(squeeze.flush())
    with h5py.File(path, "w") as file:
        made = file.create_dataset("u", (1 << 20,), "u1", chunks=(1 << 20,), compression="gzip")
        made.id.write_direct_chunk((0,), b"".join(data))
    failure(contents, path, "dataset")


def test_attributes_are_bounded(path):
    with h5py.File(path, "r+", libver="latest") as file:
        file["dimensions"].attrs["large"] = np.zeros(100_000)
    assert "the attribute 'large' of /dimensions is too large" in failure(read, path)


def test_the_next_file_is_read_after_one_that_broke_the_reader(path):
    sound = path.read_bytes()
    reader = hdf5_reading._process()
    os.kill(reader._process.pid, signal.SIGKILL)
    assert len(read(path)) == 5
    threads = [threading.Thread(target=lambda: read(path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert path.read_bytes() == sound


def test_control_c_ends_the_reading_and_the_reader(path):
    whole = bytearray(path.read_bytes())
    heap = whole.index(b"GCOL")
    whole[heap + 24 : heap + 88] = bytes(64)
    path.write_bytes(whole)
    code = (
        "import sys, time\n"
        "from piddm.tools import hdf5_reading as r\n"
        "r.WORK = 1000.0\n"
        "p = r._process()\n"
        "print(p._process.pid, flush=True)\n"
        "try: r.contents(sys.argv[1], 'dataset')\n"
        "except KeyboardInterrupt: print('ended', p._process.poll(), flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    reader = int(child.stdout.readline())
    time.sleep(2.0)
    child.send_signal(signal.SIGINT)
    assert child.stdout.read() == b"ended -9\n"
    assert child.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(reader, 0)


def test_who_asks_may_be_killed_and_leaves_no_reader():
    code = (
        "import time; from piddm.tools import hdf5_reading as r\n"
        "print(r._process()._process.pid, flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    reader = int(child.stdout.readline())
    child.kill()
    child.wait()
    until = time.monotonic() + SOON
    while time.monotonic() < until and _alive(reader):
        time.sleep(0.05)
    assert not _alive(reader)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
