"""A finished run is whole without the cache; a benchmark without results fails."""

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

import piddm
from piddm.cli.app import app
from tiny import TINY

TEXT = [f"--set={k}={json.dumps(v)}" for k, v in TINY.items()]


@pytest.fixture
def moved(tiny_run, home, tmp_path, monkeypatch):
    """The tiny run, and a home without a cache."""
    shutil.copytree(home, tmp_path / "home")
    shutil.rmtree(tmp_path / "home" / "cache")
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / tiny_run.path.relative_to(home)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("report", [True, False])
def test_its_own_command_tells_its_scores_and_floor(moved, tiny_run, report):
    if not report:
        (moved / "report.html").unlink()
    result = invoke("distill", "--pde", "burgers", "--preset", "quick", *TEXT, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["floor"] == tiny_run.floor == tiny_run.data[0].floor
    assert (moved / "report.html").exists()
    text = invoke("distill", "--pde", "burgers", "--preset", "quick", *TEXT).output
    assert "floor (normalised PDE error of the data as solved): momentum" in text


def test_an_older_run_says_that_its_floor_is_gone(moved):
    path = moved / "metrics.json"
    scores = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in scores.items() if k not in ("floor", "sha256")}))
    os.utime(path, (0, 0))  # older than its report
    assert piddm.load_run(moved).floor == {}
    result = invoke("distill", "--pde", "burgers", "--preset", "quick", *TEXT)
    assert result.exit_code == 0, result.output
    assert "not known: the data of this older run are gone" in result.output


def test_a_benchmark_in_which_all_fail_fails(tmp_path, monkeypatch):
    from piddm.bench.contest import Contest

    def fail(self, *_):
        raise piddm.PiddmError("it broke down")

    monkeypatch.setattr(Contest, "_compete", fail)
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / "home"))
    command = [
        "bench",
        "--pdes",
        "heat",
        "--methods",
        "one-step",
        "--seeds",
        1,
        "--preset",
        "quick",
    ]
    for json_too in ([], ["--json"]):
        result = invoke(*command, *TEXT, "--out", tmp_path / "bench", *json_too)
        assert result.exit_code == 1
        assert "it broke down" in result.output
