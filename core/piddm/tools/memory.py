"""How much memory there is, what lies on the disk where it is large, and what cannot be held.

Numbers of a data set that would take more than a share of the memory lie in a file without a name,
mapped: the system keeps of it what is looked at, and drops the rest when memory runs short. The
file goes with the last reference to the array.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from piddm.tools.errors import PiddmError, UsageError

if TYPE_CHECKING:
    import numpy as np

BUDGET = "PIDDM_MEMORY"
"""Variable of the environment: GiB of memory to count on, where the machine has more."""

SHARE = 8
"""One array may take one part in so many of the memory; a larger one lies on the disk."""

TOGETHER = 1 << 26
"""Bytes of samples that are dealt with at a time where there is more of them, about."""

FITTED = 1 << 26
"""Numbers, at most, by which a mean, a deviation or a covariance is fitted: 2,000 states of two
fields on 128 x 128 nodes. It does not depend on the machine, nor do results."""


def available() -> int:
    """Return the bytes of memory that this process may have: the machine's, or its container's.

    Raises:
        UsageError: If :data:`BUDGET` is no number above zero.
    """
    found = 1 << 62
    if told := os.environ.get(BUDGET):
        try:
            found = int(float(told) * 2**30)
        except (ValueError, OverflowError):
            found = 0
        if found <= 0:
            raise UsageError(f"{BUDGET} is {told!r}; give GiB, as in {BUDGET}=4")
    with suppress(AttributeError, OSError, ValueError):
        found = min(found, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            found = min(found, int(Path(limit).read_text(encoding="ascii")))
    return found


def require(numbers: int, what: str, advice: str, width: int = 8) -> None:
    """Refuse work whose numbers take more memory than there is.

    Args:
        numbers: How many there are at once.
        what: What is asked for: ``"512 solutions of burgers on 64 x 64"``.
        advice: What to do: ``"lower --size or --count"``.
        width: Bytes of a number.

    Raises:
        UsageError: If they do not fit.
    """
    if numbers * width > (there := available()):
        raise UsageError(
            f"{what} needs at least {numbers * width / 2**30:.3g} GiB of memory, and there are "
            f"{there / 2**30:.3g}; {advice}"
        )


def room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array to be filled: on the disk where it is large.

    The disk is that of ``TMPDIR``, or of ``/var/tmp``, which is no memory.

    Raises:
        PiddmError: If it has no room there either.
    """
    import numpy as np

    size = math.prod(shape) * dtype.itemsize
    if size <= available() // SHARE:
        return np.empty(shape, dtype)
    lasting = Path("/var/tmp")
    folder = os.environ.get("TMPDIR") or (str(lasting) if lasting.is_dir() else None)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk shows when it is written to
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise PiddmError(
            f"{size / 2**30:.3g} GiB of samples fit neither into an eighth of the memory nor on "
            f"the disk of {folder or tempfile.gettempdir()} ({error.strerror}); set TMPDIR to a "
            "folder with room"
        ) from error


def parts(count: int, size: int) -> Iterator[slice]:
    """Yield slices of so many samples of so many bytes, dealt with one after another."""
    several = max(1, TOGETHER // max(size, 1))
    for start in range(0, count, several):
        yield slice(start, min(start + several, count))


def some(count: int, numbers: int) -> slice:
    """Return samples that a fit looks at, of so many numbers each: all, or every second, or so."""
    return slice(None, None, max(1, -(-count * numbers // FITTED)))
