"""The two errors a person meets: each is one line that says what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class PiddmError(Exception):
    """Something failed while running; the command line exits with code 1.

    Args:
        message: One line. Names from files may be in it: a terminal gets no control character.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class UsageError(PiddmError):
    """Something asked for cannot be done as asked; the command line exits with code 2."""

    exit_code = 2


class SchemeWarning(UserWarning):
    """A scheme is used beyond its limits: one line with the number and what to do."""


SCHEMES = "docs/schemes.md"
"""The page on what the schemes can and cannot do."""


def printable(text: str) -> str:
    r"""Return text as one line that a terminal shows as it is: control characters by ``repr``."""
    if text.isprintable():
        return text
    plain = {"\n": " ", "\t": " "}
    return "".join(
        plain.get(c) or (c if c.isprintable() or c == "\u00a0" else repr(c)[1:-1]) for c in text
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as ``"; did you mean 'burgers'?"``, or the known names if none is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    return f"; known: {', '.join(known)}" if known else ""


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Say of which equation a mistake is."""
    try:
        yield
    except PiddmError as error:
        text = str(error)
        raise type(error)(text if text.startswith(label) else f"{label}: {text}") from error
