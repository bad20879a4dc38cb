"""Who is answered: the one gate that every request passes before any page sees it.

Other pages in the user's browser can send requests to this machine, and a name of theirs can be
pointed at it. So the ``Host`` must be ours, an ``Origin`` must be ours, and the browser must hold
a cookie that only the address printed in the terminal gives.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs

from unfog.errors import InputError
from unfog.lab.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

ENTRANCE, UPLOADS = "/enter", "/files"
SAFE = ("GET", "HEAD")

# All from this server and nothing inline. blob: and data: are pictures that the volume viewer
# makes of its own bytes in the page.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}

# A redirect would carry the cookie no further than the page that led here: SameSite=Strict looks
# at where a chain of redirects began. A page of ours that leads on begins anew.
ENTERED = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>unfog lab</title>'
    '<link rel="icon" href="data:,">'
    '<meta http-equiv="refresh" content="0;url=/"></head>'
    '<body><p><a href="/">Go on to the lab.</a></p></body></html>'
)


class TooLarge(Exception):
    """A request's body went over its cap."""


def is_loopback(host: str) -> bool:
    """Whether an address is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True)
class Door:
    """The secrets of one server, and the names it answers to.

    Args:
        host: The address it listens on.
        port: Its port.
        token: Stands in the first address, for whoever reads the terminal.
        session: What the cookie holds.
    """

    host: str
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def __post_init__(self) -> None:
        if self.host in ("", "0.0.0.0", "::"):
            raise InputError(
                f"--host {self.host or chr(34) * 2} is every address at once; give the one by "
                "which others reach this machine."
            )

    @property
    def hosts(self) -> frozenset[str]:
        """The values of ``Host`` that are answered."""
        names = {_bracketed(self.host)}
        if is_loopback(self.host):
            names |= {"localhost", "127.0.0.1", "[::1]"}
        bare = names if self.port == 80 else set()
        return frozenset({f"{name}:{self.port}" for name in names} | bare)

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers share cookies between the ports of a machine."""
        return f"unfog-lab-{self.port}"

    @property
    def address(self) -> str:
        """The first address, with the token."""
        return f"http://{_bracketed(self.host)}:{self.port}{ENTRANCE}?token={self.token}"

    def knows(self, cookies: str) -> bool:
        """Whether a ``Cookie`` header holds the session."""
        for part in cookies.split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie and same(value, self.session):
                return True
        return False

    def set_cookie(self) -> str:
        """The header that gives the cookie."""
        return f"{self.cookie}={self.session}; Path=/; HttpOnly; SameSite=Strict"


def same(given: str, kept: str) -> bool:
    """Whether two secrets are one, in a time that says nothing of where they differ."""
    return hmac.compare_digest(given.encode(), kept.encode())


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    sentence: str


class Gate:
    """Middleware that lets a request through or answers it, and puts the headers on all answers."""

    def __init__(self, app: Application, door: Door, limits: Limits) -> None:
        self._app, self._door, self._limits = app, door, limits

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no WebSocket here
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, refusal.status, refusal.sentence, "text/plain")
        elif scope["path"] == ENTRANCE:
            extra = {"set-cookie": self._door.set_cookie()}
            await _answer(send, 200, ENTERED, "text/html", extra)
        else:
            await self._app(scope, self._counted(scope, receive), _with_headers(send))

    def _refusal(self, scope: Message, headers: dict[str, str]) -> Refusal | None:
        """Why a request is refused, or None."""
        host = headers.get("host", "")
        if host not in self._door.hosts:
            return Refusal(421, "This server is not called by that name.")
        if scope["path"] == ENTRANCE:
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
            known = scope["method"] == "GET" and same(asked[0], self._door.token)
            return None if known else Refusal(403, "This token is not the server's.")
        # The browser's own words on where a request comes from.
        origin = headers.get("origin")
        if origin is None and scope["method"] not in SAFE:
            return Refusal(403, "A request that changes something says where it comes from.")
        if origin is not None and origin != f"http://{host}":
            return Refusal(403, "Requests of other pages are not answered.")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Refusal(403, "Requests of other pages are not answered.")
        if not self._door.knows(headers.get("cookie", "")):
            return Refusal(401, "Open the address that `unfog lab` printed in its terminal.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._most(scope):
            return Refusal(413, self._too_large(scope))
        return None

    def _most(self, scope: Message) -> int:
        """The cap of a request's body, in bytes."""
        return self._limits.upload if scope["path"] == UPLOADS else self._limits.form

    def _too_large(self, scope: Message) -> str:
        return f"This is larger than {self._most(scope)} bytes, the most that is taken."

    def _counted(self, scope: Message, receive: Receive) -> Receive:
        """The body, whose bytes are counted as they come: a length may be left out."""
        left = self._most(scope)

        async def counting() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooLarge(self._too_large(scope))
            return message

        return counting


def _with_headers(send: Send) -> Send:
    """The answers, with the headers that every one has unless a page says otherwise."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {key.lower() for key, _ in message["headers"]}
            more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _answer(
    send: Send, status: int, text: str, kind: str, extra: dict[str, str] | None = None
) -> None:
    """A whole answer."""
    body = text.encode()
    headers = {
        "content-type": f"{kind}; charset=utf-8",
        "content-length": str(len(body)),
        **(extra or {}),
    }
    lines = [(k.encode(), v.encode()) for k, v in headers.items()]
    start = {"type": "http.response.start", "status": status, "headers": lines}
    await _with_headers(send)(start)
    await send({"type": "http.response.body", "body": body})
