"""Who may ask: whoever has the token, from a page of this server, on this machine.

The token is in the address and is compared in constant time. A name that another site has pointed
at this machine (DNS rebinding) is not among the hosts that are answered, and a page of another site
is told by its origin. What goes out may load nothing from elsewhere and run nothing but the
server's own files.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer."""


class Guard:
    """Lets requests through to an application, with the token taken off their path.

    Args:
        app: The application.
        token: The first part of every path.
        port: The port, which the host's name is followed by.
    """

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        if port == 80:
            self._hosts |= {b"127.0.0.1", b"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":  # a server's start and end; there are no sockets
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])

        async def out(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        if headers.get(b"host", b"") not in self._hosts:
            await _refuse(out, 421, "this server answers on 127.0.0.1 only")
            return
        origin = headers.get(b"origin")
        elsewhere = headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none")
        if elsewhere or (origin is not None and origin.removeprefix(b"http://") not in self._hosts):
            await _refuse(out, 403, "only this server's own page is answered")
            return
        token, slash, rest = scope["path"].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self._token):
            await _refuse(
                out, 404, "there is nothing here: use the address that piddm view printed"
            )
            return
        if not slash:
            await _refuse(out, 308, "", (b"location", b"/" + self._token + b"/"))
            return
        await self._app(
            {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, out
        )


async def _refuse(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    own = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": text.encode()})
