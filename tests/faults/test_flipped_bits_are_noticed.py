"""No file that piddm writes is taken with other numbers than were written."""

import dataclasses
import json
import random

import pytest
import torch

import piddm
from piddm import Axis, Grid, PiddmError, UsageError
from piddm.config import Config, resolve
from piddm.data.dataset import Dataset, read, write
from piddm.runs.histories import History
from piddm.runs.stages import Distillation
from piddm.tasks.hdf5_files import read_hdf5, write_hdf5
from piddm.tasks.observations import Observations
from piddm.tasks.solution import Solution
from piddm.tasks.solution_files import read_solution, write_solution
from piddm.tasks.task import Task
from piddm.tools.files import read_json, read_tensors, write_json, write_tensors

GRID = Grid(t=Axis(0, 1, 4, time=True), x=Axis(0, 1, 8, periodic=True))
DRAW = torch.Generator().manual_seed(3)
SEEN = Observations.at_nodes(GRID, {"u": torch.rand(GRID.shape, generator=DRAW)}, sigma=0.1)


def a_dataset(path):
    fields = {"u": torch.rand(3, *GRID.shape, generator=DRAW), "nu": torch.rand(3, generator=DRAW)}
    write(Dataset("burgers", GRID, fields, {"momentum": 1.5}, {"momentum": 1e-9}, 7), path)


def a_solution(path):
    members = {"u": torch.rand(2, *GRID.shape, generator=DRAW, dtype=torch.float64)}
    numbers = {k: torch.rand(2, dtype=torch.float64) for k in ("residual", "misfit")}
    numbers["tolerance"] = torch.ones(SEEN.count, dtype=torch.float64)
    made = Solution(Task("reconstruct", SEEN), "burgers", GRID, "latent", members, calls=3,
                    seconds=1.0, asked=2, **numbers)  # fmt: skip
    write_solution(made, path)


def tensors(path):
    values = {"a": torch.rand(5, 7, generator=DRAW), "n": torch.arange(4)}
    write_tensors(path, values, {"piddm_kind": "teacher", "seconds": "1.25"})


def plain(value):
    """Return anything that a reader returns as text that tells all its digits."""
    if isinstance(value, torch.Tensor):
        return repr((value.dtype, value.tolist()))
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [(k, plain(v)) for k, v in items]
    return repr(value)


LINES = [{"stage": "student", "step": k, "loss": 1 / k} for k in range(1, 20)]
KINDS = {
    "data.h5": (a_dataset, read),
    "seen.h5": (lambda path: write_hdf5(SEEN, path, "burgers"),
                lambda path: read_hdf5(path, "burgers", GRID)),
    "solution.h5": (a_solution, read_solution),
    "teacher.safetensors": (tensors, lambda path: read_tensors(path, "teacher")),
    "config.json": (lambda path: write_json(path, resolve("burgers", seed=3)),
                    lambda path: read_json(path, Config)),
    "student.history.json": (lambda path: write_json(path, History(lines=LINES)),
                             lambda path: read_json(path, History)),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_bit_changes_nothing_or_is_refused(tmp_path, name):
    make, take = KINDS[name]
    path = tmp_path / name
    make(path)
    whole, sound = path.read_bytes(), plain(take(path))
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = plain(take(path))
        except PiddmError:
            refused += 1
        else:
            assert found == sound
    assert refused > 30  # of HDF5 much is free space


@pytest.mark.parametrize("name", ["data.h5", "seen.h5", "solution.h5"])
def test_numbers_that_another_program_changed_are_refused(tmp_path, name):
    """Checksums are right again then; the digest is not."""
    import h5py

    make, take = KINDS[name]
    path = tmp_path / name
    make(path)
    place = {"data.h5": "t0_fields/u", "seen.h5": "u/values", "solution.h5": "members/u"}[name]
    with h5py.File(path, "r+") as file:
        assert file[place].fletcher32
        values = file[place][()]
        values.flat[0] += 1e-3
        file[place][...] = values
    with pytest.raises(PiddmError, match="its content is not what was written"):
        take(path)


def test_older_files_without_digest_are_read(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "old.safetensors"
    save_file({"a": torch.ones(2)}, path, {"piddm_kind": "teacher", "piddm_schema_version": "1"})
    found, _ = read_tensors(path, "teacher")
    assert found["a"].tolist() == [1, 1]
    save_file({"a": torch.ones(2)}, path, {"piddm_kind": "teacher", "piddm_schema_version": "2"})
    with pytest.raises(PiddmError, match="its content is not what was written"):
        read_tensors(path, "teacher")
    old = tmp_path / "student.history.json"
    old.write_text(json.dumps(LINES))
    assert read_json(old, History).lines == LINES
    old = tmp_path / "config.json"
    old.write_text(resolve("burgers", seed=3).model_dump_json())
    assert read_json(old, Config).seed == 3


def test_json_may_be_laid_out_anew_and_not_edited(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, resolve("burgers", seed=3))
    data = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(data.items()))))
    assert read_json(path, Config).seed == 3
    path.write_text(json.dumps({**data, "seed": 4}))
    with pytest.raises(PiddmError, match=r"config.json: its content is not what was written"):
        read_json(path, Config)
    # As a configuration to begin with, it is refused for the same reason.
    with pytest.raises(UsageError, match="its content is not what was written"):
        resolve("burgers", file=path)
    write_json(path, resolve("burgers", seed=5))
    assert resolve("burgers", file=path).seed == 5


@pytest.fixture
def job(tiny_run):
    """The same run, with nothing read yet."""
    return Distillation(tiny_run.config, tiny_run.pde, out=tiny_run.path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 5}, "the seed is 5, not 0"),
        ({"pde": "heat"}, "the equation is heat, not burgers"),
        ({"fingerprint": "0" * 16}, "the fingerprint is 0000000000000000, not"),
        ({"scale": {"other": 1.0}}, r"the scales is \['other'\], not"),
        ({}, "the number of solutions is 23, not 24"),
    ],
)
def test_cached_data_are_not_believed_by_their_name(job, change, reason, tmp_path):
    kept = dataset_of(job)
    other = dataclasses.replace(kept, **change)
    if not change:
        other, _ = kept.split(1)
    job.data_path = tmp_path / job.data_path.name
    write(other, job.data_path)
    with pytest.raises(PiddmError, match=reason):
        _ = job.data
    old = dataclasses.replace(kept, fingerprint="")  # as before there was one
    write(old, job.data_path)
    assert len(job.data[1]) == 8


def dataset_of(job):
    return read(job.data_path)


def test_a_kept_chunk_of_another_shape_is_solved_again(tmp_path):
    from piddm.data.simulate import solve
    from piddm.tools.progress import follow

    pde = piddm.get_pde("heat")
    grid = pde.grid.resized(8)

    def made(folder):
        found = []

        def work():
            found.append((yield from solve(pde, grid, 4, 0, folder)))

        follow(work(), quiet=True)
        return found[0]

    whole = made(tmp_path)
    (chunk,) = tmp_path.iterdir()
    fields, _ = read_tensors(chunk, "fields")
    write_tensors(chunk, {k: v[:3] for k, v in fields.items()}, {"piddm_kind": "fields"})
    again = made(tmp_path)
    assert all(torch.equal(v, again.fields[k]) for k, v in whole.fields.items())
