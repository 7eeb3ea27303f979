"""Answers: the command and the call, batches that lose nothing, and what an ensemble says."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import h5py
import pytest
import torch
from typer.testing import CliRunner

from piddm import PiddmError, UsageError, api, plugins
from piddm.cli.app import app
from piddm.data import dataset
from piddm.interfaces import Members, Solver
from piddm.metrics.calibration import quantile
from piddm.plugins import Plugins, get_pde
from piddm.tasks.ensemble import EnsembleSampler, out_of_memory
from piddm.tasks.extrapolation import outside
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tasks.solution_files import keep, read_solution
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm.tools.progress import Progress
from test_plugins import Plugin, Point

if TYPE_CHECKING:  # settings are read though this name is not there
    from piddm.api import Run

MEMORY = 3
"""Members that the solver of small memory can hold."""


class Rejection(Solver):
    """The student's samples with the least misfit: slow, but right in the limit."""

    def __init__(self, run: Run, pool: int = 4, level: float | None = None, fail: str = ""):
        self.run, self.pool, self.level, self.fail = run, pool, level, fail
        self.batches = 0

    def solve(self, task, count, generator):
        if self.fail == "memory" and count > MEMORY:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        if self.fail == "interrupt" and self.batches == 2:
            raise KeyboardInterrupt
        self.batches += 1
        packing = self.run.packing
        sensors = Sensors(task.observations, self.run.pde.field_names, task.interpolation)
        best, least = None, torch.tensor([])
        for step in range(self.pool):
            noise = torch.randn(count, packing.channels, *packing.image, generator=generator)
            with torch.no_grad():
                drawn = packing.unpack(self.run.student(noise))["u"]
            misfit = (sensors({"u": drawn}) - sensors.values).square().mean(1)
            better = misfit < least if best is not None else None
            best = drawn if best is None else torch.where(better[:, None, None], drawn, best)
            least = misfit if better is None else torch.minimum(misfit, least)
            yield Progress("rejection", step + 1, self.pool, {"misfit": float(least.mean())})
        if self.fail == "diverge":
            best[1, 0, 0] = torch.nan
        return Members({"u": best}, calls=self.pool)


class Echo(Solver):
    """Answers with the number of each member."""

    def __init__(self, run):
        self.run = run

    def solve(self, task, count, generator):
        if False:
            yield
        return Members({"u": torch.arange(float(count)).view(-1, 1, 1).expand(-1, 16, 16)}, 1)


@pytest.fixture(autouse=True)
def _solvers():
    def hook(register):
        register("rejection", "the samples with the least misfit", Rejection)
        register("echo", "numbers", Echo)

    others = Point("others", Plugin(piddm_register_solvers=hook))
    from importlib import metadata

    plugins.reset(Plugins([*metadata.entry_points(group="piddm"), others]))
    yield
    plugins.reset()


@pytest.fixture(scope="module")
def problem(tiny_run, tmp_path_factory):
    """Observations and truth of the tiny run's equation, as files."""
    folder = tmp_path_factory.mktemp("problem")
    words = ["observe", "--run", tiny_run.path, "--share", 0.1, "--noise", 0.02, "--between",
             "--out", folder / "seen.csv", "--truth", folder / "truth.h5"]  # fmt: skip
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert "26 observations of u" in result.stdout
    refused(call(*words), "--overwrite")
    return folder


def call(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


def solving(run, problem, *more, task="reconstruct"):
    return call("solve", task, run.path, "--observations", problem / "seen.csv", *more)


def refused(result, *fragments, code=2):
    assert result.exit_code == code, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for fragment in fragments:
        assert fragment in line


def test_the_command_writes_what_it_says(tiny_run, problem, tmp_path):
    out = tmp_path / "new" / "answer"
    more = ["--solver", "rejection", "--samples", 5, "--batch", 2, "--set", "pool=3", "--set",
            "level=0.5", "--out", out,
            "--truth", problem / "truth.h5"]  # fmt: skip
    result = solving(tiny_run, problem, *more, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    kept = json.loads((out / "solution.json").read_text())
    assert {k: v for k, v in summary.items() if k not in ("run", "out", "figures")} == kept
    assert (kept["members"], kept["asked"], kept["calls"]) == (5, 5, 3)
    assert "misfit" in result.stderr
    found = read_solution(out / "solution.h5")
    truth = {"u": dataset.read(problem / "truth.h5").fields["u"][0]}
    error = (found.mean["u"] - truth["u"]).norm() / truth["u"].norm()
    assert kept["relative_l2"]["u"] == pytest.approx(float(error))
    with h5py.File(out / "solution.h5") as file:
        assert file["members/u"].shape == (5, 16, 16)
        for name, share in (("quantile_05", 0.05), ("quantile_50", 0.5), ("quantile_95", 0.95)):
            there = torch.from_numpy(file[f"{name}/u"][()])
            assert torch.equal(there, quantile(found.fields["u"], share))
    for name in ("solution", "calibration"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 5000
    assert "doubt" in kept  # a student that has learnt nothing does not reach 2 % of noise
    assert "warning: the members' chi squared" in result.stderr
    refused(solving(tiny_run, problem, *more), "--overwrite")
    text = solving(tiny_run, problem, *more, "--overwrite").stdout
    assert "relative L2" in text
    assert "5 members of rejection, 3 network calls each" in text


def test_the_call_and_the_command_agree(tiny_run, problem, tmp_path):
    settings = {"pool": 3}
    found = tiny_run.solve("reconstruct", problem / "seen.csv", "rejection", 3, settings=settings,
                           progress=False)  # fmt: skip
    result = solving(tiny_run, problem, "--solver", "rejection", "--samples", 3, "--set", "pool=3",
                     "--out", tmp_path / "a")  # fmt: skip
    assert result.exit_code == 0, result.output
    there = read_solution(tmp_path / "a" / "solution.h5")
    assert torch.equal(there.fields["u"], found.fields["u"])
    residual = [tiny_run.pde_error({"u": u[None]}) for u in found.fields["u"]]
    torch.testing.assert_close(found.residual, torch.tensor(residual, dtype=torch.float64))
    seen = found.task.observations
    sensors = Sensors(seen, ("u",))
    chi = ((sensors(found.fields) - sensors.values) / seen.sigma["u"]).square().mean(1)
    torch.testing.assert_close(found.misfit, chi)


def test_more_tries_lower_the_misfit(tiny_run, problem):
    few, many = (
        tiny_run.solve("reconstruct", problem / "seen.csv", "rejection", 8,
                       settings={"pool": pool}, progress=False)
        for pool in (1, 40)
    )  # fmt: skip
    assert many.misfit.mean() < 0.8 * few.misfit.mean()


@pytest.mark.parametrize(
    ("more", "fragment"),
    [
        (["--solver", "rejecton"], "did you mean 'rejection'"),
        (["--set", "pol=3"], "no setting 'pol'; did you mean 'pool'?; known: pool, level, fail"),
        (["--set", "pool=many"], "pool"),
        (["--set", "pool=1.5"], "pool"),
        (["--set", "level=high"], "level"),
        (["--set", "pool"], "name=value"),
        (["--interpolation", "quintic"], "linear or cubic"),
        (["--fields", "u"], "no dataset"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(tiny_run, problem, more, fragment):
    solver = [] if "--solver" in more else ["--solver", "rejection"]
    refused(solving(tiny_run, problem, *solver, *more), fragment)


def test_questions_that_cannot_be_posed(tiny_run, problem, tmp_path):
    refused(solving(tiny_run, problem, task="revers"), "no task 'revers'")
    refused(call("solve", "inverse", tiny_run.path), "--observations FILE")
    refused(solving(tiny_run, problem, "--run", tiny_run.path), "once")
    refused(solving(tiny_run, problem, task="forward"), "forward needs the whole input")
    truth = draw_truth(api.get_pde("darcy"), api.get_pde("darcy").grid.resized(8))
    dataset.write(truth, tmp_path / "other.h5")
    refused(solving(tiny_run, problem, "--truth", tmp_path / "other.h5"), "equation darcy")
    same = tmp_path / "same"
    refused(call("observe", "burgers", "--out", same, "--truth", same), "--out and --truth")
    refused(call("observe", "burgers", "--fields", "v", "--out", tmp_path / "a.csv"), "no field")


def test_a_whole_input_of_a_dataset(tiny_run, problem, tmp_path):
    more = ["--fields", "u@t=0", "--solver", "echo", "--samples", 2, "--out", tmp_path / "a"]
    result = call("solve", "forward", "--run", tiny_run.path, "--observations",
                  problem / "truth.h5", *more)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "misfit to 16 observations" in result.stdout


def test_a_run_of_another_version_is_refused(tiny_run, problem, tmp_path):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(tiny_run.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["fingerprints"]["simulate"] = "0" * 16
    manifest.pop("sha256")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = solving(SimpleNamespace(path=folder), problem, "--solver", "rejection")
    refused(result, "another version", "distil it again", code=1)


def test_memory_that_does_not_suffice_makes_batches_smaller(tiny_run, problem):
    found = tiny_run.solve("reconstruct", problem / "seen.csv", "rejection", 7, batch=7,
                           settings={"fail": "memory"}, progress=False)  # fmt: skip
    assert len(found) == 7
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert out_of_memory(caught.value)
    assert not out_of_memory(RuntimeError("shapes differ"))


def test_batches_do_not_change_who_the_members_are(tiny_run, problem):
    """The first of a batch is the same whatever the number of members."""
    two, four = (
        tiny_run.solve("reconstruct", problem / "seen.csv", "rejection", n, batch=2,
                       progress=False)
        for n in (2, 4)
    )  # fmt: skip
    assert torch.equal(two.fields["u"], four.fields["u"][:2])
    assert not torch.allclose(four.fields["u"][:2], four.fields["u"][2:])


def test_an_interruption_keeps_the_members_found(tiny_run, problem, tmp_path):
    out = tmp_path / "a"
    more = ["--solver", "rejection", "--samples", 10, "--batch", 2, "--set", "fail=interrupt",
            "--out", out]  # fmt: skip
    result = solving(tiny_run, problem, *more)
    assert result.exit_code == 130, result.output
    assert "interrupted: kept 4 of 10 members" in result.stderr
    assert len(read_solution(out / "solution.h5")) == 4
    assert json.loads((out / "solution.json").read_text())["asked"] == 10
    settings = {"fail": "interrupt"}
    found = tiny_run.solve("reconstruct", problem / "seen.csv", "rejection", 10, batch=2,
                           settings=settings, progress=False)  # fmt: skip
    assert (len(found), found.asked) == (4, 10)


def test_progress_counts_all_batches(tiny_run):
    seen = Observations.at_nodes(tiny_run.residual.grid, {"u": torch.zeros(16, 16)})
    task = ask("reconstruct", tiny_run.pde, seen)
    answering = EnsembleSampler(tiny_run, task, "rejection", 5, batch=2, settings={"pool": 4})
    with pytest.raises(PiddmError, match="no member was found yet"):
        answering.solution()
    steps = list(answering.work())
    done = [s.done for s in steps]
    assert done == sorted(done)
    assert {s.total for s in steps} == {10}
    assert done[-1] == 10
    assert [s.values["members"] for s in steps if "members" in s.values] == [2, 4, 5]
    assert answering.solution().fields["u"].shape == (5, 16, 16)
    for settings, fragment in (
        ({"pool": "x"}, "pool"), ({"pool": 1.5}, "pool"), ({"x": 1}, "'x'"),
        ({"level": "nan"}, "not finite"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=fragment):
            EnsembleSampler(tiny_run, task, "rejection", settings=settings)
    for wrong in ({"members": 0}, {"batch": 0}):
        with pytest.raises(UsageError, match="at least 1"):
            EnsembleSampler(tiny_run, task, "rejection", **wrong)


def test_noise_that_explains_the_misfit_is_not_doubted(tiny_run):
    """Members that are the truth itself have a chi squared of the number of observations."""
    pde, grid = tiny_run.pde, tiny_run.residual.grid
    truth = draw_truth(pde, grid, 1)
    for size, doubted in ((0.1, False), (0.05, True)):
        seen = place(truth, pde, "u", 1.0, 0.1, seed=3)
        sigma = {"u": seen.sigma["u"] * size / 0.1}
        seen = Observations(grid, seen.points, seen.values, sigma)
        found = tiny_run.solve("reconstruct", seen, "echo", 2, progress=False)
        exact = truth.fields["u"].expand(2, -1, -1)
        sensors = Sensors(seen, ("u",))
        chi = ((sensors({"u": exact}) - sensors.values) / sensors.sigma).square().mean(1)
        found = type(found)(**{**vars(found), "fields": {"u": exact}, "misfit": chi})
        assert bool(found.doubt) is doubted


@pytest.mark.parametrize("damage", ["truncated", "version", "shape", "foreign"])
def test_a_damaged_solution_is_one_line(tiny_run, problem, tmp_path, damage):
    found = tiny_run.solve("reconstruct", problem / "seen.csv", "echo", 2, progress=False)
    path = tmp_path / "solution.h5"
    keep(found, tmp_path)
    again = read_solution(path)
    assert torch.equal(again.fields["u"], found.fields["u"])
    assert again.summary() == found.summary()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    else:
        with h5py.File(path, "a") as file:
            if damage == "version":
                file.attrs["schema_version"] = 2
            elif damage == "foreign":
                del file.attrs["schema"]
            else:
                del file["members/u"]
                file["members/u"] = torch.zeros(2, 16, 15, dtype=torch.float64).numpy()
    with pytest.raises(PiddmError, match=str(path)) as caught:
        read_solution(path)
    assert "\n" not in str(caught.value)


def test_solvers_are_listed():
    listed = {e["name"]: e for e in json.loads(call("list-solvers", "--json").stdout)}
    assert listed["rejection"]["plugin"] == "others"
    assert "rejection" in call("list-solvers").stdout


def test_members_that_diverged_are_no_answer(tiny_run, problem):
    with pytest.raises(PiddmError, match="rejection diverged: 1 of 3 members"):
        tiny_run.solve("reconstruct", problem / "seen.csv", "rejection", 3,
                       settings={"fail": "diverge"}, progress=False)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "params", "word"),
    [
        ("heat", {"nu": 3.0}, ""),
        ("heat", {"nu": 60.0}, "nu is 60, and "),
        ("heat", {}, ""),
        ("burgers", {"nu": 0.01}, ""),
        ("burgers", {"nu": 1.0}, "nu is 1, and 0.01 in all data"),
    ],
)
def test_a_known_param_that_no_data_had_is_said(name, params, word):
    assert outside(get_pde(name), params).startswith(word)
    assert bool(outside(get_pde(name), params)) is bool(word)


def test_the_caution_is_kept_and_told(tiny_run, tmp_path):
    truth = draw_truth(tiny_run.pde, tiny_run.residual.grid, 3)
    seen = replace(place(truth, tiny_run.pde, "u", 0.1, seed=1), params={"nu": 0.5})
    found = tiny_run.solve("reconstruct", seen, "gaussian", 2, progress=False)
    summary = keep(found, tmp_path)
    assert "expect little" in summary["caution"]
    assert read_solution(tmp_path / "solution.h5").caution == summary["caution"]
