"""Locks between processes of one machine: two that would make the same thing make it once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: every process goes its own way, as atomic files allow
    fcntl = None

PAUSE = 0.2
"""Seconds between two looks at a lock that another process has."""

_ours: dict[tuple[int, str], int] = {}
"""Process and lock file to how often it has it: within one process a lock locks out nobody."""


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock, waiting in turn, and saying so; it ends with the process, however that ends.

    Args:
        path: The lock's file; it is there only while somebody has the lock.
        what: What the other process is at, for people: ``"makes the data of burgers"``.
    """
    key = os.getpid(), os.path.realpath(path)
    held = None if key in _ours else _taken(path, what)
    _ours[key] = _ours.get(key, 0) + 1
    try:
        yield
    finally:
        _ours[key] -= 1
        if not _ours[key]:
            del _ours[key]
        if held is not None:
            with suppress(OSError):
                path.unlink()
            os.close(held)


def _taken(path: Path, what: str) -> int | None:
    """Return the descriptor of a lock once it is ours; none where the disk has no locks."""
    said = False
    while fcntl is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:  # a disk that cannot be written to: what follows says so where it matters
            return None
        if attempt(descriptor) is not False:
            if _is(descriptor, path):
                if said:
                    print("the other process is done: going on", file=sys.stderr, flush=True)
                return descriptor
            os.close(descriptor)  # who had it has removed it: take the new one
            continue
        os.close(descriptor)
        if not said:
            said = True
            print(f"another process {what}: waiting for it", file=sys.stderr, flush=True)
        time.sleep(PAUSE)
    return None


def attempt(descriptor: int) -> bool | None:
    """Lock an open file; return whether that went well, or nothing where the disk has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(descriptor: int, path: Path) -> bool:
    """Return whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
