"""Data larger than the memory that may be used: on the disk, mapped, dealt with in parts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import piddm
from piddm.data import dataset
from piddm.data.dataset_record import picked
from piddm.data.packing import Packing
from piddm.tools import memory
from tiny import tiny


def lean(monkeypatch):
    """Have every array lie on the disk, and samples be dealt with a few at a time."""
    monkeypatch.setattr(memory, "SHARE", 1 << 50)
    monkeypatch.setattr(memory, "TOGETHER", 1 << 12)


def mapped(values: torch.Tensor) -> bool:
    """Return whether numbers lie in a file."""
    at = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    where = values.data_ptr()
    for words in at:
        start, end = (int(v, 16) for v in words[0].split("-"))
        if start <= where < end:
            return len(words) > 5 and words[-1] == "(deleted)"
    return False


def test_data_are_the_same_from_the_disk(tmp_path, monkeypatch):
    lean(monkeypatch)
    path = tmp_path / "data.h5"
    made = piddm.make_dataset("burgers", 24, size=16, path=path, progress=False)
    read = dataset.read(path)
    assert all(torch.equal(read.fields[k], v) for k, v in made.fields.items())
    assert mapped(read.fields["u"])
    assert not mapped(made.fields["u"])
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    again = picked(read.fields["u"], order)
    assert mapped(again)
    assert torch.equal(again, made.fields["u"][order])
    pde = piddm.get_pde("burgers")
    packing = Packing(read.grid, pde.field_names, 8).fit(read.fields)
    packed = packing.targets(read.fields)
    assert mapped(packed)
    assert torch.equal(packed, packing.pack(made.fields))
    monkeypatch.setattr(memory, "FITTED", 12 * 256)  # every second sample is looked at
    half = Packing(read.grid, pde.field_names, 8).fit(read.fields)
    other = Packing(read.grid, pde.field_names, 8).fit({"u": made.fields["u"][::2]})
    assert torch.equal(half.mean, other.mean)
    assert not torch.equal(half.mean, packing.mean)
    read.fields["u"][3, 2, 2] = torch.nan
    with pytest.raises(piddm.PiddmError, match="not finite"):
        dataset.write(read, path)


def test_a_run_from_the_disk_is_the_run_from_memory(home, tmp_path, monkeypatch):
    """Bit for bit: what is fitted does not depend on the memory that there is."""
    path = tmp_path / "data.h5"
    piddm.make_dataset("burgers", 48, size=16, path=path, progress=False)

    def run(folder):
        return piddm.distill("burgers", "quick", overrides=tiny(), data=path, progress=False,
                             out=tmp_path / folder)  # fmt: skip

    plain = run("plain")
    lean(monkeypatch)
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / "other"))
    disk = run("disk")
    assert mapped(disk.data[0].fields["u"])
    assert mapped(disk.context.data)
    one, other = (r.student.state_dict() for r in (plain, disk))
    assert all(torch.equal(other[k], v) for k, v in one.items())


@pytest.mark.slow
def test_a_file_larger_than_the_memory_is_read(tmp_path):
    """A process that may have 40 MB of its own reads and packs 64 MB, and not without a budget."""
    path = tmp_path / "large.h5"
    grid = piddm.Grid(x=piddm.Axis(0, 1, 64), y=piddm.Axis(0, 1, 64))
    draw = torch.Generator().manual_seed(0)
    fields = {"u": torch.randn((4000, 64, 64), generator=draw)}
    dataset.write(dataset.Dataset("any", grid, fields, {}, {}, 0), path)
    program = (
        "import resource, sys, torch\n"
        "from piddm.data import dataset\n"
        "from piddm.data.packing import Packing\n"
        "from piddm.tools import memory\n"
        "torch.set_num_threads(1)\n"
        "memory.FITTED = 1 << 17\n"
        "memory.TOGETHER = 1 << 20\n"
        "Packing\n"
        "held = next(l for l in open('/proc/self/status') if l.startswith('VmData')).split()[1]\n"
        "most = int(held) * 1024 + 40 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (most, most))\n"
        "data = dataset.read(sys.argv[1])\n"
        "train, _ = data.split(100)\n"
        "packed = Packing(data.grid, ('u',), 4).fit(train.fields).targets(train.fields)\n"
        "print(float(packed[torch.arange(0, 3900, 13)].square().mean()))\n"
    )
    ends = {}
    for budget in ("0.05", ""):
        told = {k: v for k, v in os.environ.items() if k != memory.BUDGET}
        ends[budget] = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True,
            env=told | ({memory.BUDGET: budget} if budget else {}),
        )  # fmt: skip
    assert ends["0.05"].returncode == 0, ends["0.05"].stderr
    assert float(ends["0.05"].stdout) == pytest.approx(1, abs=0.1)  # by the moments of 32 of them
    assert ends[""].returncode != 0


def test_a_disk_without_room_and_a_budget_that_is_none_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv(memory.BUDGET, "1e-9")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    with pytest.raises(piddm.PiddmError, match="set TMPDIR to a folder with room"):
        memory.room((100,), np.dtype(float))
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv(memory.BUDGET, wrong)
        with pytest.raises(piddm.UsageError, match="give GiB"):
            memory.room((100,), np.dtype(float))
