"""Several processes make what one makes: the same batches, shared; one folder, one voice."""

import json
import signal
import time

import pytest
import torch

from piddm import api
from piddm.config import resolve
from piddm.config.resolving import divided
from piddm.metrics.energy import energy_score
from piddm.runs.folder import Manifest
from piddm.students.student import Student
from piddm.tools import launched, ranks, stopping
from piddm.tools.errors import UsageError
from piddm.tools.files import read_json
from piddm.tools.progress import follow
from piddm.training import optimisation
from several import command, end, start, together
from tiny import tiny

CHANGES = {
    "teacher.steps": 6, "student.name": "staged", "student.steps": 6, "pairs.refresh_every": 3,
    "pairs.refresh": 8, "data.train": 128, "data.held_out": 16, "evaluation.count": 16,
}  # fmt: skip


def distil(**changes):
    told = tiny(CHANGES | changes)
    words = [word for k, v in told.items() for word in ("--set", f"{k}={v}")]
    return command("distill", "heat", "--preset", "quick", *words)


def without_a_report(**changes):
    """The same run by a process of its own: its pages are of no matter here."""

    def run():
        job = api.prepare("heat", "quick", overrides=tiny(CHANGES | changes))
        follow(job.run())

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of one process and one of two, and what they said."""
    homes = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    said = [together(homes[0], without_a_report()), together(homes[1], distil(), distil())]
    assert [p.code for each in said for p in each] == [0, 0, 0], said
    found = [list((home / "runs" / "heat").glob("2*")) for home in homes]
    assert [len(each) for each in found] == [1, 1]
    return [each[0] for each in found], said


def losses(folder, name):
    lines = json.loads((folder / f"{name}.history.json").read_text())["lines"]
    return torch.tensor([[v for k, v in line.items() if k != "stage"] for line in lines])


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_losses_are_those_of_one_process_but_for_rounding(runs, name):
    one, two = (losses(folder, name) for folder in runs[0])
    # Of float32 networks after six steps: sums of a batch in another order.
    torch.testing.assert_close(two, one, rtol=2e-3, atol=1e-5)
    assert len(two) == 6


def only_a_student(name):
    def run():
        few = {"student.name": name, "student.steps": 3, "teacher.steps": 2, "data.train": 32}
        job = api.prepare("heat", "quick", overrides=tiny(CHANGES | few))
        seen = []
        torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, given: (
                seen.append(len(given[0])) if isinstance(module, Student) else None
            )
        )
        for stage in (job.simulate(), job.train(), job.distill()):
            follow(stage)
        print(f"{seen[:3]}")  # a step's samples, of this process

    return run


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("reflow", "consistency")]


@pytest.mark.parametrize("name", ["dmd", *SLOW])
def test_students_of_plugins_share_their_batches(tmp_path, name):
    """The losses of one process, in each part, by two that draw whole and take their shares."""
    found, steps = [], []
    for count in (1, 2):
        home = tmp_path / str(count)
        ended = together(home, *[only_a_student(name)] * count)
        assert [p.code for p in ended] == [0] * count, ended
        (folder,) = (home / "runs" / "heat").glob("2*")
        found.append(losses(folder, "student"))
        steps.append(json.loads(ended[0].out.splitlines()[-1]))
    assert [2 * n for n in steps[1]] == steps[0]
    torch.testing.assert_close(found[1], found[0], rtol=2e-3, atol=1e-5)


def test_scores_are_those_of_one_process(runs):
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in runs[0])
    assert two["baselines"].keys() == one["baselines"].keys()
    for source in ("truth", "teacher", "student"):
        for name in ("energy_distance", "mmse", "smse", "spectrum_distance"):
            assert two[source][name] == pytest.approx(one[source][name], rel=0.01), (source, name)
    assert [p["steps"] for p in two["tradeoff"]] == [p["steps"] for p in one["tradeoff"]]


def test_one_writes_and_one_speaks(runs):
    (one, two), (_, (first, other)) = runs
    assert read_json(one / "manifest.json", Manifest).processes == 1
    assert read_json(two / "manifest.json", Manifest).processes == 2
    pages = {"figures", "report.html", "metrics.jsonl"}
    assert {p.name for p in two.iterdir()} == {p.name for p in one.iterdir()} | pages
    assert (other.out, other.err) == ("", "")
    assert first.out.count("report:") == 1
    for stage in ("simulate", "teacher", "pairs", "student", "evaluate"):
        whole = [line for line in first.err.splitlines() if line.startswith(stage)]
        assert whole
        # Pairs come back as they are refreshed, in lines of the same text.
        assert stage == "pairs" or len(whole) == len(set(whole))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"student.clip": 0.5}, "another student.clip than the first: 0.5, not 1.0")],
)
def test_other_settings_are_refused_by_name(tmp_path, change, said):
    first, other = together(tmp_path, distil(), distil(**change))
    assert first.code == other.code == 2
    lines = (first.err + other.err).splitlines()
    assert len([line for line in lines if line.startswith("error:")]) == 1
    assert f"process 1 has {said}" in "".join(lines)
    assert not (tmp_path / "cache").exists()


def other_version():
    import piddm.runs.folder as folder

    folder.__version__ = "0.0"
    distil()()


def test_another_version_is_refused_by_name(tmp_path):
    first, other = together(tmp_path, distil(), other_version)
    assert first.code == other.code == 2
    assert "another version of piddm than the first: 0.0" in first.err + other.err


def test_a_device_that_is_not_there_is_refused_once(tmp_path):
    words = command("distill", "heat", "--device", "cuda")
    first, other = together(tmp_path, words, words)
    assert first.code == other.code == 2
    told = (first.err + other.err).splitlines()
    assert len([line for line in told if "no device 'cuda:" in line]) == 1, told


def test_a_batch_that_does_not_divide_is_rounded_and_told(capsys):
    config = divided(resolve("burgers", "quick", overrides={"teacher.batch": 9}), 2)
    assert (config.teacher.batch, config.student.batch) == (10, 16)
    assert capsys.readouterr().err == "teacher.batch 9 is taken as 10: 2 processes share it\n"
    assert divided(config, 1) == config


def test_accelerate_that_started_one_process_is_told(monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    with pytest.raises(UsageError, match="--multi_gpu"):
        launched.device("cpu")


def test_parts_of_a_batch_have_the_energy_score_of_the_whole():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(8, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    y = torch.randn(12, 5, generator=draw, dtype=torch.float64)
    whole = energy_score(x, y)
    parts = torch.stack([energy_score(part, y, x) for part in x.split(4)]).mean()
    assert float(parts.detach()) == pytest.approx(float(whole.detach()), rel=1e-14)
    (one,), (two,) = torch.autograd.grad(whole, x), torch.autograd.grad(parts, x)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-15)


def test_a_run_goes_on_after_sigterm_and_after_a_kill_with_another_number(monkeypatch, tmp_path):
    """Two processes are told to end, two go on, one is killed, and one alone comes to the end."""
    monkeypatch.setattr(optimisation, "SAVE_SECONDS", 0.0)  # forked with it
    changes = {"teacher.steps": 30, "student.steps": 60}
    processes = start(tmp_path, distil(**changes), distil(**changes))
    next_file(tmp_path, "cache/teachers/*.checkpoint", processes)
    for process in processes:
        process.terminate()
        time.sleep(0.2)  # so that the second hears of it in the middle of an exchange
    ended = end(tmp_path, processes)
    assert [p.code for p in ended] == [stopping.CODE] * 2, ended
    said = "".join(p.err for p in ended).splitlines()
    assert [line for line in said if "SIGTERM" in line or "error" in line] == [stopping.LINE]

    processes = start(tmp_path, distil(**changes), distil(**changes))
    checkpoint = next_file(tmp_path, "runs/heat/2*/student.checkpoint", processes)
    processes[1].kill()
    began = time.monotonic()
    first, other = end(tmp_path, processes)
    assert time.monotonic() - began < 30
    assert (first.code, other.code) == (1, -signal.SIGKILL)
    errors = [line for line in first.err.splitlines() if line.startswith("error:")]
    assert errors == [f"error: {ranks.Ended()}"]

    (again,) = together(tmp_path, without_a_report(**changes))
    assert again.code == 0, again
    stages = [line.split()[0] for line in again.err.splitlines()]
    assert "teacher" not in stages
    assert "student" in stages
    assert read_json(checkpoint.parent / "manifest.json", Manifest).processes == 1
    assert len(losses(checkpoint.parent, "student")) == 60
    assert len(list(checkpoint.parent.parent.glob("2*"))) == 1


def next_file(home, pattern, processes, seconds=300):
    began = time.monotonic()
    while time.monotonic() - began < seconds and all(p.is_alive() for p in processes):
        if found := list(home.glob(pattern)):
            return found[0]
        time.sleep(0.02)
    raise AssertionError([(home / f"err{n}").read_text() for n in range(len(processes))])


def test_sigterm_finishes_a_step_and_says_so_by_its_code():
    steps = []

    def work():
        with stopping.whole():
            stopping._note(signal.SIGTERM, None)
            steps.append("whole")

    with pytest.raises(stopping.Stopped):
        work()
    assert steps == ["whole"]
    assert stopping.noted()
    with pytest.raises(stopping.Now):  # a second one does not wait
        work()
    assert steps == ["whole"]
    stopping._pending = False
