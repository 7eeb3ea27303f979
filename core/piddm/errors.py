"""The two errors a person meets: each is one line that says what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PiddmError(Exception):
    """Something failed while running; the command line exits with code 1."""

    exit_code = 1


class UsageError(PiddmError):
    """Something asked for cannot be done as asked; the command line exits with code 2."""

    exit_code = 2


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as ``"; did you mean 'burgers'?"``, or the known names if none is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    return f"; known: {', '.join(known)}" if known else ""
