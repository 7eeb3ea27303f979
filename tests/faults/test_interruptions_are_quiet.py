"""Ctrl-C ends any command with one line and code 130, also in the middle of an import."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import piddm
from piddm.cli import interruption

CORE = Path(piddm.__file__).parents[1]
HEAVY = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from piddm.cli import main
main()
"""


def interrupted(command, delay, cwd):
    child = subprocess.Popen(
        [sys.executable, "-c", f"print('begun', flush=True)\n{HEAVY}", str(cwd), *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
    )  # fmt: skip
    child.stdout.readline()
    time.sleep(delay)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    return child.returncode, said


ERRORS = ["KeyboardInterrupt()", "ImportError('half')", "RecursionError()", "SystemError('set')"]


@pytest.mark.parametrize("turned", ERRORS)
def test_an_import_that_is_interrupted_and_says_something_else(tmp_path, turned):
    """Imports of extension modules turn it into whatever they raise."""
    (tmp_path / "torch.py").write_text(
        "import sys, time\nprint('importing', file=sys.stderr, flush=True)\n"
        f"try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    raise {turned} from None\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", HEAVY, str(tmp_path), "simulate", "heat", "--count", "1"],
        stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert child.stderr.readline() == "importing\n"
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (130, interruption.LINE + "\n")


FIRST = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "piddm.cli.interruption":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from piddm.cli import main
main()
"""


def test_before_the_first_import_is_done(tmp_path):
    child = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True)
    assert (child.returncode, child.stderr) == (130, interruption.LINE + "\n")


def test_the_name_of_the_program_imports_next_to_nothing():
    """What is imported before Ctrl-C is heeded is short: no typing, no third package."""
    told = "import sys; before = set(sys.modules); import piddm.cli; "
    told += "print(*sorted(set(sys.modules) - before))"
    child = subprocess.run([sys.executable, "-S", "-c", told], capture_output=True, text=True,
                           env={"PYTHONPATH": str(CORE)}, check=True)  # fmt: skip
    found = set(child.stdout.split())
    assert {n for n in found if n.startswith("piddm")} == {
        "piddm", "piddm.cli", "piddm.tools", "piddm.tools.about",
    }  # fmt: skip
    assert "typing" not in found


@pytest.mark.slow
def test_at_any_moment(tmp_path):
    rng = random.Random(0)
    command = ["simulate", "heat", "--count", "100000", "--size", "16", "--out", "a.h5"]
    for _ in range(15):
        code, said = interrupted(command, rng.uniform(0.2, 6.0), tmp_path)
        assert code == 130, said
        assert "Traceback" not in said
        assert said.splitlines()[-1] == interruption.LINE
    assert not (tmp_path / "a.h5").exists()


def test_a_program_that_ignores_control_c_goes_on(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interruption.heed()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
