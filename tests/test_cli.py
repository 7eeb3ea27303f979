"""The commands: what they print and write, and one line with an exit code for whatever fails."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from piddm.cli import distill as making
from piddm.cli import options
from piddm.cli.app import app
from piddm.data import dataset
from piddm.reports.run_page import commands

USAGE, FAILURE = 2, 1
SETTINGS = "distill --pde burgers --preset quick"


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def failed(result, code, *fragments):
    """Whether a command failed as it should: with the code, one line, and nothing on stdout."""
    assert result.exit_code == code, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
    for fragment in fragments:
        assert fragment in line
    return result.stdout == ""


@pytest.fixture
def copied(tiny_run, home, tmp_path, monkeypatch):
    """A copy of the tiny run and of its home, to be damaged."""
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / tiny_run.path.relative_to(home)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list-pdes"], ["list-solvers"], ["plugins"], ["distill", "-h"], ["solve", "-h"]],
)
def test_looking_around_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom piddm.cli import main\n"
        f"sys.argv = ['piddm', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'sympy', 'numpy', 'scipy', 'h5py', 'matplotlib', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout
    assert run.stderr.strip() == "[]"


def test_listing_equations():
    assert "burgers" in call("list-pdes").stdout
    listed = {entry["name"]: entry for entry in json.loads(call("list-pdes", "--json").stdout)}
    assert {"burgers", "darcy"} <= set(listed)
    assert listed["darcy"]["summary"]


def test_listing_plugins():
    assert "burgers, darcy" in call("plugins").stdout
    records = json.loads(call("plugins", "--json").stdout)
    record = next(r for r in records if r["name"] == "pdes")
    assert (record["status"], record["distribution"], record["error"]) == ("ok", "piddm", "")
    assert record["hooks"] == ["piddm_register_pdes"]


def test_showing_an_equation():
    text = call("show", "burgers").stdout
    assert "∂u/∂t + ∂(u²/2)/∂x - nu·∂²u/∂x² = 0" in text
    assert "[0, 1), periodic" in text
    shown = json.loads(call("show", "darcy", "--json").stdout)
    assert shown["conditions"] == {"wall": "u = 0 at both ends of x, y"}
    assert shown["fields"]["a"]["doc"] == "permeability"
    assert shown["time_scheme"] is None


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ("show burger", "did you mean 'burgers'"),
        ("distill --pde dracy", "did you mean 'darcy'"),
        ("distill", "--pde NAME"),
        ("distill darcy --pde darcy", "--pde NAME"),
        ("distill --pde burgers --preset quik", "did you mean 'quick'"),
        (f"{SETTINGS} --set student.step=3", "did you mean 'student.steps'"),
        (f"{SETTINGS} --set student.steps", "section.name=value"),
        (f"{SETTINGS} --set student.steps=0", "student.steps"),
        (f"{SETTINGS} --set pde=darcy", "use --pde"),
        (f"{SETTINGS} --set data.size=1", "data.size"),
        (f"{SETTINGS} --set data.size={{z=9}}", "no axis 'z'"),
        (f"{SETTINGS} --set data.size=2", "2"),
        ("simulate burgers --size 9,8", "t=17,x=16"),
        ("simulate burgers --size t=1", "at least 2 nodes"),
        ("simulate burgers --size z=9", "no axis 'z'"),
        (f"{SETTINGS} --set network.name=resnet", "resnet"),
        (f"{SETTINGS} --seed -1", "seed"),
        (f"{SETTINGS} --device abacus", "abacus"),
        (f"{SETTINGS} --config missing.toml", "missing.toml"),
        ("sample", "--pde NAME"),
        ("sample --pde burger", "did you mean 'burgers'"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(line, fragment):
    assert failed(call(*shlex.split(line)), USAGE, fragment)


@pytest.mark.parametrize("line", ["distil", "sample -n many", "list-pdes --jason", "sample -n 0"])
def test_errors_of_the_parser_are_usage_errors(line):
    assert call(*line.split()).exit_code == USAGE


def test_distill_says_that_everything_was_there(tiny_run):
    words = shlex.split(commands(tiny_run.config, tiny_run.path)[0])[1:]
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert "everything was there already" in result.stdout
    assert result.stdout.strip().endswith(str(tiny_run.path))
    for text in ("PDE error, normalised", "floor", "samples.png", "report.html"):
        assert text in result.stdout
    found = json.loads(call(*words, "--json").stdout)
    assert (found["run"], found["existed"]) == (str(tiny_run.path), True)
    baselines = {"gaussian", "gaussian, projected", "gaussian inputs, solved"}
    own = {"truth", "teacher", "student", "student's inputs, solved"}
    own |= {"student, corrected", "student, projected"}
    assert set(found["metrics"]) == own | baselines
    assert found["metrics"]["student"]["nfe"] == 1
    assert all(Path(figure).is_file() for figure in found["figures"])
    assert len(found["figures"]) == 3


def test_train_stops_before_the_student(tiny_run):
    words = shlex.split(commands(tiny_run.config, tiny_run.path)[0])[2:]
    found = json.loads(call("train", *words, "--json").stdout)
    assert found["existed"]
    assert Path(found["teacher"]).is_file()


def test_sampling_writes_a_data_set(copied, tmp_path):
    out = tmp_path / "new" / "samples.h5"
    result = call("sample", copied, "-n", 3, "--refine", 2, "--seed", 5, "--out", out, "--figure")
    assert result.exit_code == 0, result.output
    assert "after 2 steps of refinement" in result.stdout
    made = dataset.read(out)
    assert (len(made), made.seed, made.pde) == (3, 5, "burgers")
    assert made.fields["u"].shape == (3, 16, 16)
    assert out.with_suffix(".png").stat().st_size > 1000
    failed(call("sample", copied, "--out", out), USAGE, "--overwrite")
    assert call("sample", copied, "--out", out, "--overwrite").exit_code == 0
    assert len(dataset.read(out)) == 16
    assert call("sample", "--pde", "burgers", "-n", 2).exit_code == 0


def test_a_run_can_be_sampled_without_its_home(tiny_run, tmp_path, monkeypatch):
    shutil.copytree(tiny_run.path, tmp_path / "alone")
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / "empty"))
    assert call("sample", tmp_path / "alone", "-n", 2).exit_code == 0
    failed(call("sample", "--pde", "burgers"), FAILURE, "piddm distill --pde burgers")


def test_evaluating_again_gives_the_same_scores(copied):
    def timeless(text):
        scores = json.loads(text)["metrics" if "run" in json.loads(text) else "truth"]
        return {k: {**s, "seconds_per_sample": 0} for k, s in scores.items()}

    before = json.loads((copied / "metrics.json").read_text())
    before = {k: v for k, v in before.items() if k not in ("tradeoff", "floor", "sha256")}
    before |= before.pop("baselines")
    result = call("evaluate", copied, "--json")
    assert result.exit_code == 0, result.output
    assert timeless(result.stdout) == timeless(json.dumps({"run": "", "metrics": before}))


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "of another kind"])
@pytest.mark.parametrize("name", ["student.safetensors", "samples.h5", "config.json"])
def test_a_damaged_run_is_one_line(copied, name, damage):
    path = copied / name
    if damage == "missing":
        path.unlink()
        if name == "samples.h5":  # its scales are in the data set as well
            shutil.rmtree(copied.parents[2] / "cache" / "data")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "foreign":
        path.write_bytes(b"\x00 not ours \xff" * 50)
    else:
        shutil.copy(copied / ("report.html" if name != "samples.h5" else "config.json"), path)
    assert failed(call("sample", copied, "-n", 2), FAILURE)


def test_damaged_data_leave_the_old_scores(copied):
    for data in (copied.parents[2] / "cache" / "data").glob("*.h5"):  # of earlier tests, too
        data.write_bytes(data.read_bytes()[:1000])
    before = (copied / "metrics.json").read_bytes()
    failed(call("evaluate", copied), FAILURE, ".h5")
    assert (copied / "metrics.json").read_bytes() == before
    assert not list(copied.glob(".*"))


def test_what_is_not_a_run_is_one_line(tmp_path):
    assert failed(call("sample", tmp_path), FAILURE, "not a run")
    assert failed(call("evaluate", tmp_path / "nothing"), FAILURE, "not a run")


def test_simulating(tmp_path):
    out = tmp_path / "data.h5"
    result = call("simulate", "burgers", "--count", 3, "--size", 9, "--seed", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert "u(t=0)" in result.stdout
    made = dataset.read(out)
    assert made.fields["u"].shape == (3, 9, 9)
    assert made.floor["momentum"] < 1e-20
    again = call("simulate", "--pde", "burgers", "--count", 3, "--size", 9, "--seed", 2)
    assert again.exit_code == 0
    written = dataset.read(again.stdout.split("wrote ")[1].strip())
    assert torch.equal(written.fields["u"], made.fields["u"])


def test_a_place_that_cannot_be_written_shows_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "data.h5"
    assert failed(call("simulate", "burgers", "--out", out), FAILURE, "--out")


def raising(error):
    def command(*_):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on"),
        (OSError(28, "No space left on device"), FAILURE, "free some space"),
        (MemoryError(), FAILURE, "MemoryError; lower data.size"),
        (ValueError("two\nlines"), FAILURE, "ValueError: two lines; run with --debug"),
    ],
)
def test_the_unexpected_is_one_line(monkeypatch, error, code, line):
    monkeypatch.setattr(making.options, "equation", raising(error))
    result = call("simulate", "burgers")
    assert (result.exit_code, result.stdout) == (code, "")
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1
    for words in (["--debug", "simulate", "burgers"], ["simulate", "burgers", "--debug"]):
        result = call(*words)
        assert result.exit_code == code
        assert "Traceback" in result.stderr


def test_threads_are_limited_only_where_there_are_many(monkeypatch):
    limits = []
    monkeypatch.setattr(torch, "set_num_threads", limits.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for processors, device in ((2, "cpu"), (64, "cuda"), (64, "cpu")):
        affinity = set(range(processors))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, a=affinity: a, raising=False)
        options.limit_threads(device)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    options.limit_threads()
    assert limits == [8]


def test_projected_samples_satisfy_the_equation(tiny_run, tmp_path):
    for source in ("student", "teacher"):
        out = tmp_path / f"{source}.h5"
        arguments = ["--from", source, "--project", "--figure", "--out", out]
        result = call("sample", tiny_run.path, "-n", 3, *arguments)
        assert result.exit_code == 0, result.output
        assert "after projection" in result.output
        assert "times the sampling itself" in result.output
        made = dataset.read(out)
        assert made.fields["u"].dtype == torch.float64
        assert tiny_run.pde_error(made.fields) < 1e-16
        assert out.with_suffix(".png").exists()
    failed(call("sample", tiny_run.path, "--from", "nowhere"), USAGE, "choose student or teacher")
    failed(call("sample", tiny_run.path, "--from", "teacher", "--refine", 2), USAGE, "drop it")
