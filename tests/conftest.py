"""What all tests share: one thread, a home of their own, and one tiny finished run."""

import pytest
import torch

import piddm
from piddm import plugins

TINY = {
    "data.size": 16, "data.train": 16, "data.held_out": 8, "network.widths": [8, 8],
    "teacher.steps": 4, "teacher.batch": 4, "pairs.count": 8, "pairs.steps": 2, "pairs.batch": 4,
    "student.steps": 4, "student.batch": 4, "student.physics_batch": 2,
    "evaluation.count": 8, "evaluation.distance_count": 2,
}  # fmt: skip


def pytest_configure():
    # Tests run beside each other and beside other work; tiny tensors gain nothing from threads.
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """Where runs and the cache go: never the current folder."""
    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIDDM_HOME", str(path))
        patch.delenv("PIDDM_DEBUG", raising=False)
        patch.delenv("PIDDM_DISABLE_PLUGINS", raising=False)
        patch.delenv("PIDDM_PLUGINS", raising=False)
        yield path


@pytest.fixture(scope="session")
def tiny_run(home):
    """A finished run of a few steps: everything is there, nothing is learnt. Do not change it."""
    return piddm.distill("burgers", "quick", overrides=TINY, progress=False)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Each test in a folder of its own, with the installed plugins alone after it."""
    for name in ("PIDDM_PLUGINS", "PIDDM_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    plugins.use_files([])
    plugins.reset()
