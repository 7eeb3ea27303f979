"""Files that are there as a whole, or not at all, whatever interrupts the writing."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from piddm.tools.errors import PiddmError
from piddm.tools.locks import attempt

PART = re.compile(r"\.[0-9a-f]{8}\..+")
"""Names of files that are being written."""

YOUNG, OLD = 2.0, 86_400.0
"""Seconds within which a part may just be begun; and after which nobody writes it any more, where
the disk has no locks to tell."""

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run it again",
    errno.EDQUOT: "the disk quota is used up; free some space and run it again",
    errno.EFBIG: "the file would be larger than allowed; write elsewhere or raise the limit",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EROFS: "the disk is read-only; choose a folder you may write to",
    errno.EISDIR: "it is a folder; choose another name",
    errno.EEXIST: "a part of the path is a file; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
    errno.ELOOP: "its links lead in a circle; choose another name",
}
"""Advice on an error of the system, by its number."""

_KINDS = {
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
"""Names of what is no regular file, by the type in its mode."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path to write to; on success flush it to disk and move it to ``path``.

    Readers see the old file or the whole new one, and a failure leaves nothing behind. Links are
    followed, a file that is replaced keeps its mode, and nothing but a regular file is replaced.

    Raises:
        PiddmError: If the file cannot be written: a full disk, no permission, a device.
    """
    shown = Path(path)
    part, descriptor = None, None
    try:
        mode = replaceable(shown)
        target = Path(os.path.realpath(shown))
        target.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, since a move between disks is not atomic; the suffix stays, since
        # writers of figures choose the format by it.
        part = target.parent / f".{secrets.token_hex(4)}.{target.name}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(part, flags, 0o666 if mode is None else mode | 0o600)
        attempt(descriptor)  # tells from what a killed process left, see swept()
        yield part
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        if mode is not None:
            part.chmod(mode)
        part.replace(target)
    except OSError as error:
        raise PiddmError(f"cannot write {shown}: {advice(error)}") from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink()
        if descriptor is not None:
            os.close(descriptor)


def replaceable(path: Path) -> int | None:
    """Return the mode of the file that a path leads to, or nothing where there is none.

    Raises:
        PiddmError: If it is there and no regular file.
        OSError: If it is a folder, or cannot be looked at.
    """
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found):
        kind = _KINDS.get(stat.S_IFMT(found), "no regular file")
        raise PiddmError(f"cannot write {path}: it is {kind}, and stays; choose another name")
    return stat.S_IMODE(found)


def advice(error: OSError) -> str:
    """Return why a file cannot be written, and what to do."""
    text = " ".join(str(error).split())
    return _ADVICE.get(error.errno or 0, f"{text}; check the path and the disk")


def swept(folder: Path) -> None:
    """Remove what killed processes left in a folder: half-written files, and locks."""
    with suppress(OSError):
        for path in folder.iterdir():
            if PART.fullmatch(path.name) or path.suffix == ".lock":
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a file that no process has locked: who writes one, or waits, has it open."""
    with suppress(OSError):
        age = time.time() - path.stat().st_mtime
        if age < YOUNG or not path.is_file():
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            free = attempt(descriptor)
            if free or (free is None and age > OLD):
                path.unlink()
        finally:
            os.close(descriptor)
