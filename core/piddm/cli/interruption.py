"""Ctrl-C anywhere, also in the middle of an import, which may turn it into any other error."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

LINE = "interrupted; run the same command again to go on"
"""The line of a command that Ctrl-C ends."""

CODE = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

_noted = False


def note(number: int, frame: FrameType | None) -> None:
    """Handle Ctrl-C as Python does, and remember it."""
    global _noted
    _noted = True
    raise KeyboardInterrupt


def noted() -> bool:
    """Return whether there was one."""
    return _noted


def heed() -> None:
    """Note Ctrl-C from here on, unless whoever started this program has it ignored."""
    global _noted
    _noted = False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)


def end() -> None:
    """End the program at once: nothing is under way that could be lost."""
    print(LINE, file=sys.stderr, flush=True)
    os._exit(CODE)
