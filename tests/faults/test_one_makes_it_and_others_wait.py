"""Of commands that are started at once, one makes a thing; the others wait, say so, and use it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import piddm
from piddm.config import resolve
from piddm.runs.folder import open_folder
from piddm.tools.locks import locked
from tiny import tiny

FORK = multiprocessing.get_context("fork")


def _hold(path, line):
    with locked(path, "works"):
        line.send("has it")
        line.recv()


def test_a_second_process_waits_and_says_so(tmp_path, capfd):
    path = tmp_path / "new" / ".lock"
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=_hold, args=(path, theirs))
    other.start()
    assert ours.recv() == "has it"
    threading.Timer(0.5, ours.send, ["go"]).start()
    start = time.monotonic()
    with locked(path, "works"):
        assert time.monotonic() - start > 0.4
        assert path.exists()
        with locked(path, "works"):  # one process does not lock itself out
            pass
        assert path.exists()
    other.join()
    assert not path.exists()
    said = capfd.readouterr().err
    assert said == "another process works: waiting for it\nthe other process is done: going on\n"


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    path = tmp_path / ".lock"
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=_hold, args=(path, theirs))
    other.start()
    ours.recv()
    other.kill()
    other.join()
    assert path.exists()
    with locked(path, "works"):
        pass
    assert not path.exists()


def test_waiting_ends_by_control_c(tmp_path):
    path = tmp_path / ".lock"
    code = (
        "import sys; from pathlib import Path; from piddm.tools.locks import locked\n"
        "try:\n with locked(Path(sys.argv[1]), 'works'): print('no')\n"
        "except KeyboardInterrupt: print('ended')\n"
    )
    with locked(path, "works"):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert b"waiting" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == b"ended\n"


def test_a_folder_that_cannot_be_written_to_has_no_locks():
    with locked(Path("/proc/nowhere/.lock"), "works"):
        pass


def _distil(home, line, seed):
    os.environ["PIDDM_HOME"] = str(home)
    try:
        run = piddm.distill("heat", "quick", overrides=tiny(), seed=seed, progress=False)
        line.send((str(run.path), run.metrics["student"].energy_distance))
    except BaseException as error:
        line.send((repr(error), None))


def at_once(home, count, seeds):
    lines = []
    for n in range(count):
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=_distil, args=(home, theirs, seeds[n]))
        process.start()
        lines.append((ours, process))
    found = [line.recv() for line, _ in lines]
    for _, process in lines:
        process.join()
    return found


@pytest.mark.slow
def test_identical_runs_that_start_at_once_are_one_run(tmp_path):
    found = at_once(tmp_path, 3, [0, 0, 0])
    assert len(set(found)) == 1
    assert found[0][1] is not None
    assert len(list((tmp_path / "runs" / "heat").iterdir())) == 1
    left = [p for p in tmp_path.rglob("*") if p.suffix in (".lock", ".checkpoint")]
    left += list((tmp_path / "cache" / "parts").iterdir())
    assert left == []


def test_the_same_configuration_opens_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    config = resolve("heat", "quick")
    pde = piddm.get_pde("heat")
    threads = []
    for _ in range(4):
        ours, theirs = FORK.Pipe()
        process = FORK.Process(
            target=lambda line=theirs: line.send(str(open_folder(config, pde, None)))
        )
        process.start()
        threads.append((ours, process))
    assert len({line.recv() for line, _ in threads}) == 1
    for _, process in threads:
        process.join()


def test_starts_that_were_killed_are_cleared(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    root = tmp_path / "runs" / "heat"
    begun, foreign = root / "20260101T000000-quick-0a1b", root / "20260101T000000-quick-0a1c"
    for folder in (begun, foreign):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    (foreign / "notes.txt").write_text("mine")
    for folder in (begun, foreign):
        os.utime(folder, (0, 0))
    made = open_folder(resolve("heat", "quick"), piddm.get_pde("heat"), None)
    assert sorted(root.iterdir()) == sorted([foreign, made])
