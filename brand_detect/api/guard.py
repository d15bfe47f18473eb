"""Turns away what the service should not work on, and tells browsers what its answers may do."""

import ipaddress
import re
from collections.abc import Sequence

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brand_detect.api.answers import AsciiJSON
from brand_detect.domain.errors import BadInput

OPEN_PATHS = ("/health", "/ready")
"""What monitors may ask without a key and without limit."""
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
CSP = "Content-Security-Policy"
SEALED = {
    CSP: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer that does not say otherwise."""


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Sealed:
    """Gives every answer the headers of ``SEALED``; what the answer says itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SEALED.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sealed)


class Guard:
    """Turns away what the service should not work on: foreign host names, too many requests, too large bodies.

    Host names are checked against DNS rebinding: a page in the user's browser could otherwise talk to a service on
    the loopback interface under its own name.
    """

    def __init__(self, app: ASGIApp, *, rate: RateLimitItem, max_body_bytes: int, hosts: Sequence[str]) -> None:
        self._app, self._rate, self._max_body_bytes, self._hosts = app, rate, max_body_bytes, frozenset(hosts)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        # as it was sent: ``request.url`` puts the server's own name in the place of one that it cannot read
        host = re.sub(r":\d*$", "", request.headers.get("host", "")).strip("[]").lower()
        if self._hosts and host not in self._hosts:
            answer = AsciiJSON({"detail": "The service is not known under this host name."}, 400)
            await answer(scope, receive, send)
            return
        caller = scope["client"][0] if scope.get("client") else ""
        if scope["path"] not in OPEN_PATHS and not self._limiter.hit(self._rate, caller):
            answer = AsciiJSON({"detail": f"Too many requests: {self._rate}."}, 429, headers={"Retry-After": "10"})
            await answer(scope, receive, send)
            return
        too_large = HTTPException(413, f"The body is larger than {self._max_body_bytes} bytes.")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            await AsciiJSON({"detail": too_large.detail}, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise too_large
            return message

        await self._app(scope, counted, send)


def rate_of(text: str) -> RateLimitItem:
    try:
        return parse(text)
    except ValueError as e:
        raise BadInput(f"BRAND_DETECT_API_RATE: {text!r} is no rate.", "write it as 600/minute") from e
