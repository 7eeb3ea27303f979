"""This process as a launcher started it: its number, its device, its voice.

``torchrun`` and ``accelerate launch --multi_gpu`` tell all of it by variables of the environment.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import timedelta
from typing import IO, Any

from piddm.tools.errors import UsageError, printable

START = timedelta(minutes=5)
"""How long a process waits for the others to start."""

_store: Any = None
_loud: IO[str] | None = None


def asked() -> tuple[int, int]:
    """Return this process' number and how many were started, by the variables of launchers."""
    try:
        number, count = (int(os.environ[k]) for k in ("RANK", "WORLD_SIZE"))
    except (KeyError, ValueError):
        return 0, 1
    return (number, count) if 0 <= number < count else (0, 1)


def device(name: str) -> str:
    """Return this process' own of several CUDA devices; what was asked for where it has a number.

    Raises:
        UsageError: If accelerate was asked for several processes and started one.
    """
    told = os.environ
    if "MASTER_PORT" in told and "ACCELERATE_MIXED_PRECISION" in told and "RANK" not in told:
        raise UsageError(
            "accelerate started one process where several were asked for, as it does without a "
            "GPU: say accelerate launch --multi_gpu, or use torchrun --nproc-per-node"
        )
    return f"cuda:{told.get('LOCAL_RANK', 0)}" if name == "cuda" and asked()[1] > 1 else name


def connected() -> Any:
    """Return the store through which processes find one another."""
    global _store
    if _store is None:
        from torch.distributed.rendezvous import rendezvous

        _store = next(rendezvous("env://", timeout=START))[0]
    return _store


def hush() -> None:
    """Let only the first process write to the terminal; what fails says so anyway."""
    global _loud
    if asked()[0] > 0 and _loud is None:
        _loud = sys.stderr
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  as long as we run


def complain(line: str) -> None:
    """Print why a run ends, once for all of its processes."""
    if asked()[1] > 1:
        with suppress(Exception):  # where nobody can be asked, better twice than never
            if connected().add("complained", 1) > 1:
                return
    print(printable(line), file=_loud or sys.stderr, flush=True)
