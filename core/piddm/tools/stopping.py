"""SIGTERM, by which schedulers take a machine back: a step is finished, saved, and work ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CODE = 75
"""Exit code: a temporary failure (EX_TEMPFAIL of sysexits.h), which says to run it again."""

LINE = "ended by SIGTERM; run the same command again to go on"
"""What a command says that it ends."""

_held, _pending = 0, False


class Stopped(BaseException):
    """The program was told to end; no error, so that nothing that handles errors takes it."""


class Now(Stopped):
    """It was told so twice: something may be half done."""


def heed() -> None:
    """End by :class:`Stopped` on SIGTERM from here on, unless who started this has it ignored."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _note)


def _note(number: int, frame: FrameType | None) -> None:
    global _pending
    first, _pending = not _pending, True
    if not _held:
        raise Stopped
    if not first:
        raise Now


@contextmanager
def whole() -> Iterator[None]:
    """Finish what is inside before the program ends; a second signal ends it at once."""
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    heard()


def noted() -> bool:
    """Return whether a signal came."""
    return _pending


def heard() -> None:
    """End now, where a signal came meanwhile.

    Raises:
        Stopped: Then.
    """
    if _pending:
        raise Stopped
