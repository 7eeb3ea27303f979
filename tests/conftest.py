"""What all tests share: one thread, a home of their own, and one tiny finished run."""

import signal

import pytest
import torch

import piddm
from piddm import plugins
from tiny import tiny

PROCESSES = 2
"""Processes of a run of all tests; ``-n`` asks for another number, a file or a test needs one."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Spread all tests over processes, a file to each: its fixtures are made once."""
    option = config.option
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    if named or hasattr(config, "workerinput") or not config.pluginmanager.hasplugin("xdist"):
        return
    if option.numprocesses is None and not option.usepdb and option.dist == "no":
        option.numprocesses, option.dist = PROCESSES, "loadfile"


def pytest_configure():
    # Tests run beside each other and beside other work; tiny tensors gain nothing from threads.
    torch.set_num_threads(1)
    # A shell that starts them in the background has them and their children ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeds():
    """Give every test the same draws, whatever ran before it and in whichever process."""
    torch.manual_seed(0)


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
    return piddm.distill("burgers", "quick", overrides=tiny(), progress=False)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Each test in a folder of its own, with the installed plugins alone after it."""
    for name in ("PIDDM_PLUGINS", "PIDDM_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    plugins.use_files([])
    plugins.reset()
