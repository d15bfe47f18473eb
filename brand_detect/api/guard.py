"""Rejects requests that the servers should not process, and sets the security headers of their answers."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from brand_detect.api.answers import AsciiJSON
from brand_detect.domain.errors import BadInput
from brand_detect.storage.uploads import PART_BYTES

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Loopback names as in the header ``Host``."""
UPLOADS, BRANDS = "/uploads", "/brands"
LOGOS_BYTES = 8 * 2**20
"""Limit of the body of a new brand: a logo of the largest size in base64, and the brand's texts, fit in."""
MANY_RATE = parse("6000/minute")
"""Rate limit of an address for parts of uploads, and for pictures, each counted apart: neither may stop the pages."""
CSP = "Content-Security-Policy"
SEALED = {
    CSP: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with ``no-referrer``, browsers would send forms with ``Origin: null``
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Default headers of the service's answers."""


def policy(scripts: Sequence[str], forms: bool = False) -> str:
    """The content security policy of a page: it runs ``scripts``, hashes in quotes, alone and loads only from this
    service; with ``forms``, it may also send forms to it."""
    return "; ".join(
        (
            "default-src 'none'",
            "style-src 'unsafe-inline'",
            "img-src 'self' data:",
            "media-src 'self'",
            "connect-src 'self'",
            " ".join(["script-src", *(scripts or ["'none'"])]),
            "base-uri 'none'",
            "form-action 'self'" if forms else "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def is_loopback(host: str) -> bool:
    """Whether a bind address can be reached only from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Sealed:
    """Adds these headers to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str] = SEALED) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sealed)


class Guard:
    """Rejects requests that a foreign page makes a browser send, over HTTP and WebSockets.

    A page may use its own host name that resolves to this server (DNS rebinding): only loopback names and ``hosts``,
    each a name or ``name:port``, are answered. Or it sends cross-site requests: the browser's ``Origin`` and
    ``Sec-Fetch-Site`` reveal them, and only links may be followed. Programs send neither header.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str]) -> None:
        self._app, self._hosts = app, {*LOOPBACK_NAMES, *hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and (refused := self._refused(scope)):
            answer = WebSocketClose(1008) if scope["type"] == "websocket" else refused
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> AsciiJSON | None:
        headers = Headers(scope=scope)
        # the header as sent: ``request.url`` replaces an unreadable name by the server's own
        host = headers.get("host", "").lower()
        if not self._hosts & {host, re.sub(r":\d*$", "", host)}:
            return AsciiJSON({"detail": "Unknown host name: see BRAND_DETECT_HOSTS."}, 400)
        followed = (
            scope.get("method") in ("GET", "HEAD")
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        is_own = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        origins = headers.getlist("origin")
        if not (is_own or followed) or any(o.partition("://")[2].lower() != host for o in origins):
            return AsciiJSON({"detail": "Cross-site requests are not allowed."}, 403)
        return None


class Limits:
    """Rejects requests above the rate limit of an address, and bodies that are too large."""

    def __init__(self, app: ASGIApp, *, rate: RateLimitItem, max_body_bytes: int) -> None:
        self._app, self._rate, self._max_body_bytes = app, rate, max_body_bytes
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = scope["client"][0] if scope.get("client") else ""
        is_part = scope["method"] == "PATCH" and scope["path"].startswith(f"{UPLOADS}/")
        is_picture = scope["method"] == "GET" and scope["path"].endswith(".jpg")
        # separate limits: a client cannot use up its monitor's requests; /health is free
        counted_as = UPLOADS if is_part else ".jpg" if is_picture else "/ready" if scope["path"] == "/ready" else ""
        rate = MANY_RATE if is_part or is_picture else self._rate
        max_body_bytes, advice = PART_BYTES if is_part else self._max_body_bytes, ""
        if scope["method"] == "POST" and scope["path"] == BRANDS:
            max_body_bytes, advice = max(LOGOS_BYTES, max_body_bytes), ": send the logos in several requests"
        if scope["path"] != "/health" and not self._limiter.hit(rate, caller, counted_as):
            answer = AsciiJSON({"detail": f"Too many requests: {rate}."}, 429, headers={"Retry-After": "10"})
            await answer(scope, receive, send)
            return
        too_large = HTTPException(413, f"The body is larger than {max_body_bytes} bytes{advice}.")
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > max_body_bytes:
            await AsciiJSON({"detail": too_large.detail}, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_body_bytes:
                raise too_large
            return message

        await self._app(scope, counted, send)


def rate_of(text: str) -> RateLimitItem:
    try:
        return parse(text)
    except ValueError as e:
        raise BadInput(f"BRAND_DETECT_API_RATE: {text!r} is not a rate.", "write it as 600/minute") from e
