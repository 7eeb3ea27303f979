"""Progress in a log: few lines, each with where a stage stands and how long it will take."""

import pytest

from piddm.tools import progress
from piddm.tools.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that only steps move."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def steps(clock, stage, first, total, seconds):
    for done in range(first, total + 1):
        clock[0] += seconds
        yield Progress(stage, done, total, {"loss": 1 / done})


def test_a_stage_speaks_every_five_seconds_and_at_its_end(clock, capsys):
    assert progress.follow(steps(clock, "teacher", 1, 12, 1.0)) == 12
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["5/12", "10/12", "12/12"]
    assert lines[0].endswith("loss 0.2  elapsed 5 s, about 7 s left")
    assert lines[-1].endswith("loss 0.0833  elapsed 12 s")


def test_a_resumed_stage_is_not_credited_with_what_was_done_before(clock, capsys):
    progress.follow(steps(clock, "student", 901, 1000, 1.0))
    first = capsys.readouterr().err.splitlines()[0]
    assert "905/1000" in first
    assert first.endswith("about 1 min 35 s left")


def test_a_stage_may_come_back(clock, capsys):
    rounds = [*steps(clock, "pairs", 1, 2, 1.0), *steps(clock, "pairs", 1, 2, 1.0)]
    assert progress.follow(iter(rounds)) == 4
    assert capsys.readouterr().err.count("2/2") == 2


def test_quiet_runs_all_the_same(clock, capsys):
    assert progress.follow(steps(clock, "teacher", 1, 3, 9.0), quiet=True) == 3
    assert progress.follow(iter(())) == 0
    assert capsys.readouterr().err == ""


def test_bars_follow_the_same_steps(clock):
    assert progress._bars(steps(clock, "teacher", 1, 3, 1.0)) == 3
