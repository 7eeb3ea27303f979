"""Several processes of one command, as launchers start them; forked, so that torch is there."""

import atexit
import multiprocessing
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import torch._dynamo  # noqa: F401  of optimisers

import piddm.api
import piddm.cli.distill
import piddm.figures  # noqa: F401

FORK = multiprocessing.get_context("fork")


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def command(*words):
    """What a process does: a command of piddm's."""

    def run():
        from piddm.cli import main

        sys.argv = ["piddm", *words]
        main()

    return run


def environment(count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count}
    return {k: str(v) for k, v in told.items()} if count > 1 else {}


def start(home: Path, *works):
    """Start a process for each work, which know of one another."""
    home.mkdir(parents=True, exist_ok=True)
    told = environment(len(works)) | {"PIDDM_HOME": str(home)}
    found = [FORK.Process(target=_child, args=(w, told, n, home)) for n, w in enumerate(works)]
    for process in found:
        process.start()
    return found


def end(home: Path, processes, seconds=60):
    """Wait for them, and return how each ended."""
    for process in processes:
        process.join(seconds)
        process.kill()
        process.join()
    read = [[(home / f"{kind}{n}").read_text() for kind in ("out", "err")]
            for n in range(len(processes))]  # fmt: skip
    return [Ended(p.exitcode, *text) for p, text in zip(processes, read, strict=True)]


def together(home: Path, *works, seconds=600):
    return end(home, start(home, *works), seconds)


def _child(work, told, number, home):
    atexit._clear()  # what the process that it is a copy of has to do at its end
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(home / f"{name}{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    # pytest has put files of its own in their place
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    rank = {"RANK": str(number), "LOCAL_RANK": str(number)} if "WORLD_SIZE" in told else {}
    os.environ.update(told | rank)
    try:
        work()
    finally:
        atexit._run_exitfuncs()  # which a forked process leaves out
