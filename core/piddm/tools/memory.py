"""How much memory there is, and a refusal in one line of what cannot be held in it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from piddm.tools.errors import UsageError


def available() -> int:
    """Return the bytes of memory that this process may have: the machine's, or its container's."""
    found = 1 << 62
    with suppress(AttributeError, OSError, ValueError):
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
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
