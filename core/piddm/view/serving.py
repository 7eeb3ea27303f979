"""The server of the page: a port of this machine, a token, a browser."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from piddm.tools.errors import PiddmError, UsageError
from piddm.view.desk import Desk
from piddm.view.guard import Guard
from piddm.view.web import application

if TYPE_CHECKING:
    from piddm.view.subjects import Subjects

HOST, PORT, TRIES = "127.0.0.1", 8410, 20
"""Where the page is; ports that are tried one after another."""


def check_installed() -> None:
    """Refuse where the page's extra is not installed.

    Raises:
        UsageError: If it is not.
    """
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise UsageError(f"the page needs {missing[0]}: pip install 'piddm[view]'")


def bound(port: int, say: Callable[[str], None]) -> socket.socket:
    """Return a socket on a port, or on the next one that is free.

    Raises:
        PiddmError: If none of the next ones is.
    """
    for number in range(port, min(port + TRIES, 65536)):
        own = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind((HOST, number))
            own.listen(64)
        except OSError as error:
            own.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise PiddmError(f"cannot use port {number}: {error.strerror}") from error
            continue
        if number != port:
            say(f"port {port} is in use: taking {number}")
        return own
    raise PiddmError(f"ports {port} to {port + TRIES - 1} are in use; give another one by --port")


def serve(
    subjects: Subjects, port: int, browser: bool, say: Callable[[str], None],
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve the page until Ctrl-C.

    Args:
        subjects: What can be asked.
        port: The port; the next one where it is in use.
        browser: Whether to open a browser.
        say: Prints remarks.
        tell: Prints the address.

    Raises:
        PiddmError: If what the page was opened for cannot be opened.
    """
    import uvicorn

    own, desk, failure = bound(port, say), Desk(), list[PiddmError]()
    token, number = secrets.token_urlsafe(24), own.getsockname()[1]
    address = f"http://{HOST}:{number}/{token}/"
    app = Guard(application(subjects, desk), token, number)
    settings = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1,  # pyright: ignore
        server_header=False, date_header=False,
    )  # fmt: skip
    server = uvicorn.Server(settings)

    def first() -> None:
        # While the browser starts, which takes about as long.
        try:
            next(iter(subjects.all.values())).open()
        except PiddmError as error:
            failure.append(error)
            server.should_exit = True

    desk.before(first)
    tell(address)
    say("Ctrl-C ends it")
    if browser and not _shown(address):
        say("no browser was found on this machine: open the address in one")
    with suppress(KeyboardInterrupt):
        server.run(sockets=[own])
    desk.close()
    if failure:
        raise failure[0]


def _shown(address: str) -> bool:
    """Return whether a browser with windows was told to open the address."""
    plain = sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER")
    )
    if plain:  # one for terminals would take this one over
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
