"""Trackers are told each step and the scores, are closed whatever happens, and refused by name."""

import sys
from types import SimpleNamespace

import pytest

from piddm.interfaces import Tracker
from piddm.plugins.loader import current
from piddm.runs import to_wandb
from piddm.runs.tracking import tracked
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress


class Noted(Tracker):
    last: "Noted"

    def __init__(self, run):
        self.told, self.closed = [], 0
        Noted.last = self

    def note(self, stage, step, values):
        self.told.append((stage, step, dict(values)))

    def close(self):
        self.closed += 1


@pytest.fixture
def noted(monkeypatch):
    right = type(current()).build

    def build(self, kind, name, *arguments, **settings):
        return Noted(arguments[1]) if name == "noted" else right(
            self, kind, name, *arguments, **settings)  # fmt: skip

    monkeypatch.setattr(type(current()), "build", build)


def steps(fail=False):
    yield Progress("teacher", 1, 2, {"loss": 0.5})
    yield Progress("teacher", 2, 2, {})
    if fail:
        raise RuntimeError("a stage fails")


def test_steps_and_scores_are_told_and_it_is_closed(noted, tiny_run, monkeypatch):
    monkeypatch.setattr(tiny_run, "run", steps, raising=False)
    assert [now.done for now in tracked(tiny_run, "noted")] == [1, 2]
    (stage, step, values), *scores = Noted.last.told
    assert (stage, step, values) == ("teacher", 1, {"loss": 0.5})
    found = {stage: values for stage, _, values in scores}
    own = tiny_run.scores()["student"].energy_distance
    assert found["scores/student"]["energy_distance"] == own
    assert Noted.last.closed == 1
    monkeypatch.setattr(tiny_run, "run", lambda: steps(fail=True), raising=False)
    with pytest.raises(RuntimeError, match="a stage fails"):
        list(tracked(tiny_run, "noted"))
    assert Noted.last.closed == 1


def test_tensorboard_reads_what_was_written(tiny_run, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(tiny_run, "run", steps, raising=False)
    list(tracked(tiny_run, "tensorboard"))
    read = EventAccumulator(str(tiny_run.folder / "tensorboard"))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("teacher/loss")] == [(1, 0.5)]


def test_wandb_is_given_each_stage_over_its_own_steps(tiny_run, monkeypatch):
    said = []
    run = SimpleNamespace(
        define_metric=lambda *a, **k: said.append(("axis", *a, *k.values())),
        log=lambda values: said.append(("log", values)), finish=lambda: said.append(("end",)),
    )  # fmt: skip
    given = {}
    monkeypatch.setitem(
        sys.modules, "wandb", SimpleNamespace(init=lambda **k: given.update(k) or run)
    )
    monkeypatch.setattr(to_wandb, "find_spec", lambda name: name)
    monkeypatch.setattr(tiny_run, "run", steps, raising=False)
    list(tracked(tiny_run, "wandb"))
    assert said[:2] == [("axis", "teacher/*", "teacher/step"),
                        ("log", {"teacher/step": 1, "teacher/loss": 0.5})]  # fmt: skip
    assert said[-1] == ("end",)
    assert given["config"]["pde"] == "burgers"


@pytest.mark.parametrize(
    ("name", "told"), [("tensorbord", "tensorboard"), ("wandb", "pip install")]
)
def test_what_is_not_there_is_refused_before_any_work(name, told, tiny_run, monkeypatch):
    monkeypatch.setattr(to_wandb, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=told):
        next(tracked(tiny_run, name))
