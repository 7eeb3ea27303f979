"""What no memory holds, or no file, is refused before the work; nothing is left half done."""

import math
import resource
import subprocess
import sys
import time

import pytest
import torch
from typer.testing import CliRunner

import piddm
from piddm import PiddmError, UsageError
from piddm.cli.app import app
from piddm.plugins.new_plugin import new_plugin
from piddm.tools import memory

HUGE = ["1000000000000", "10000000000"]


def invoke(*arguments):
    start = time.process_time()  # other work on the machine does not count
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert time.process_time() - start < 20
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize(
    "command",
    [
        ["simulate", "heat", "--count", 1, "--size"],
        ["simulate", "heat", "--size", 8, "--count"],
        ["observe", "heat", "--size"],
        ["verify", "heat", "--check", "floor", "--size"],
        ["distill", "--pde", "heat", "--set"],
    ],
)
def test_a_size_that_no_memory_holds(command, size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = f"data.size={size}" if command[-1] == "--set" else size
    result = invoke(*command, size)
    assert result.exit_code in (1, 2)
    assert "of memory, and there are" in result.output
    assert list(tmp_path.iterdir()) == []


def test_samples_that_no_memory_holds(tiny_run):
    with pytest.raises(UsageError, match="of memory, and there are"):
        tiny_run.sample(10**12)


def test_what_fits_is_not_refused(monkeypatch):
    memory.require(10, "ten numbers", "lower it")
    assert 1 << 28 < memory.available() < 1 << 50
    monkeypatch.setattr(memory, "available", lambda: 1 << 29)
    with pytest.raises(UsageError, match=r"at least 0\.745 GiB .* there are 0\.5; lower it"):
        memory.require(10**8, "many numbers", "lower it")


@pytest.mark.parametrize("seed", [2**63, 2**64, 10**40, -1])
def test_a_seed_that_no_file_holds_is_refused_first(seed, tmp_path):
    target = tmp_path / "a.h5"
    result = invoke("simulate", "heat", "--size", 8, "--seed", seed, "--out", target)
    assert result.exit_code == 2
    with pytest.raises(UsageError, match="is not between 0 and"):
        piddm.make_dataset("heat", 1, size=8, seed=seed, path=target)
    assert not target.exists()


def test_the_largest_seed_is_kept(tmp_path):
    from piddm.data import dataset

    path = tmp_path / "a.h5"
    piddm.make_dataset("heat", 1, size=8, seed=2**63 - 1, path=path, progress=False)
    assert dataset.read(path).seed == 2**63 - 1


@pytest.mark.parametrize(
    "command",
    [
        ["simulate", "heat", "--count", 1, "--size", 8, "--out", "PATH"],
        ["sample", "PATH"],
        ["solve", "forward", "PATH", "--observations", "PATH"],
        ["distill", "--pde", "heat", "--config", "PATH"],
        ["distill", "--pde", "heat", "--out", "PATH"],
        ["new-plugin", "abc", "--out", "PATH"],
        ["list-pdes", "--plugin", "PATH.py"],
    ],
)
def test_a_path_that_is_too_long_is_one_line(command):
    result = invoke(*(str(a).replace("PATH", "n" * 5000) for a in command))
    assert result.exit_code in (1, 2)
    assert "OSError" not in result.output
    assert len(result.output.strip().splitlines()) <= 4  # the parser's own have a usage before


def test_half_a_package_is_none(tmp_path, monkeypatch):
    from pathlib import Path

    whole, written = Path.write_text, []

    def full(self, *given, **named):
        written.append(self)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        return whole(self, *given, **named)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(PiddmError, match="No space left on device"):
        new_plugin("abc", tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert new_plugin("abc", tmp_path).name == "piddm-abc"
    assert [p.name for p in tmp_path.iterdir()] == ["piddm-abc"]


@pytest.mark.parametrize("command", [["list-pdes"], ["simulate", "heat", "--count", "1"]])
def test_no_room_for_any_file_is_one_line(tmp_path, command):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    run = subprocess.run(
        [sys.executable, "-m", "piddm", *command], preexec_fn=limit, capture_output=True, text=True,
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 1)
    assert "Traceback" not in run.stderr
    assert run.returncode == 0 or "the file would be larger than allowed" in run.stderr


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["members/u", "residual", "misfit", "tolerance"])
def test_a_solution_that_is_not_finite_is_not_read(tmp_path, bad, place):
    import h5py

    from piddm.tasks.observations import Observations
    from piddm.tasks.solution import Solution
    from piddm.tasks.solution_files import read_solution, write_solution
    from piddm.tasks.task import Task

    grid = piddm.get_pde("burgers").grid.resized(8)
    seen = Observations.at_nodes(grid, {"u": torch.ones(grid.shape)})
    two, each = torch.ones(2, dtype=torch.float64), torch.ones(seen.count, dtype=torch.float64)
    members = {"u": torch.rand(2, *grid.shape, dtype=torch.float64)}
    made = Solution(Task("forward", seen), "burgers", grid, "latent", members, two, two, each,
                    calls=1, seconds=1.0, asked=2)  # fmt: skip
    path = tmp_path / "solution.h5"
    write_solution(made, path)
    assert torch.equal(read_solution(path).fields["u"], made.fields["u"])
    with h5py.File(path, "r+") as file:
        del file.attrs["sha256"]
        values = file[place][()]
        values.flat[0] = bad
        file[place][...] = values
    with pytest.raises(PiddmError, match="has values that are not finite"):
        read_solution(path)
