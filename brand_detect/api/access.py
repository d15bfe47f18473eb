"""Access to reports: for requests that send the key, or a cookie from a login with it."""

import hashlib
import hmac
import secrets
import time
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Header
from fastapi.params import Depends as Dependency
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from brand_detect.api.answers import AsciiJSON, media_type
from brand_detect.domain.job import JOB_ID
from brand_detect.domain.settings import check_api_key

COOKIE = "brand_detect"
ASKED_BY = "brand_detect"
"""Required value of ``X-Requested-With`` in POSTs: another site's form cannot send it."""
LOGIN = "/login"
LOCKED = "The API key is missing or wrong: send it as X-API-Key, or log in."
SESSION_S = 12 * 3600
PAGES = ("/brand-list", "/compare", "/portfolio")
"""Pages besides those of jobs."""
LOGINS = parse("10/minute")
"""Limit of login attempts per address, against guessing the key."""


class Access:
    """Checks the key, and the cookies given for it, which expire with the process or after ``SESSION_S``."""

    def __init__(self, key: str) -> None:
        """
        Raises:
            BadInput: no header can carry the key.
        """
        self._key = check_api_key(key)
        self._secret = secrets.token_bytes(32)  # independent of the key, so that cookies cannot reveal it
        self._tries = MovingWindowRateLimiter(MemoryStorage())

    @property
    def is_open(self) -> bool:
        """Whether no key is required."""
        return not self._key

    def has_key(self, given: str | None) -> bool:
        return self.is_open or hmac.compare_digest((given or "").encode(), self._key.encode())

    def may_enter(self, request: Request) -> bool:
        """Whether a request carries the key or a cookie."""
        return self.has_key(request.headers.get("X-API-Key")) or self._knows(request.cookies.get(COOKIE, ""))

    def may_try(self, caller: str) -> bool:
        """Whether an address may try to log in once more."""
        return self._tries.hit(LOGINS, caller)

    def give_cookie(self, request: Request, response: Response) -> None:
        """Set the cookie that lets this browser in."""
        claim = f"{int(time.time()) + SESSION_S}.{secrets.token_hex(8)}"
        https = "https" in (request.url.scheme, request.headers.get("X-Forwarded-Proto"))
        response.set_cookie(
            COOKIE,
            f"{claim}.{self._sign(claim)}",
            max_age=SESSION_S,
            path="/",
            secure=https,
            httponly=True,
            samesite="strict",
        )

    def to_login(self, request: Request) -> Response:
        """A redirect to the login, which leads on to the requested page."""
        asked = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        return RedirectResponse(f"{LOGIN}?next={quote(within(asked))}", 303)

    def _knows(self, cookie: str) -> bool:
        claim, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(claim).encode()):
            return False
        return int(claim.partition(".")[0]) > time.time()

    def _sign(self, claim: str) -> str:
        return hmac.new(self._secret, claim.encode(), hashlib.sha256).hexdigest()


class KeyFirst:
    """Turns away what would change something, without the key or a cookie, before its body is received.

    FastAPI receives a body, of up to 8 MiB, before it calls a dependency.
    """

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and scope["path"] != LOGIN and not self._access.may_enter(Request(scope)):
            await AsciiJSON({"detail": LOCKED}, 401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def within(address: str) -> str:
    """``address``, a path with its query, if it is that of a page, else that of the jobs: no open redirects."""
    page = address.partition("?")[0]
    of_job = page.startswith("/reports/") and JOB_ID.fullmatch(page.removeprefix("/reports/").removesuffix("/replay"))
    return address if of_job or page in PAGES else "/"


def guards(access: Access) -> tuple[list[Dependency], list[Dependency]]:
    """Dependencies that check access for reading, and for changing."""

    def entered(request: Request) -> None:
        if not access.may_enter(request):
            raise HTTPException(401, LOCKED)

    def meant(request: Request, x_requested_with: Annotated[str, Header(description=f"`{ASKED_BY}`")] = "") -> None:
        """Another site can make a browser send a form with the cookie, but neither this header nor JSON."""
        if x_requested_with != ASKED_BY:
            raise HTTPException(403, f"The request must carry the header X-Requested-With: {ASKED_BY}.")
        kind = media_type(request)
        if kind != "application/json" and (kind or request.headers.get("content-length", "0") != "0"):
            raise HTTPException(415, "The body must be JSON, with the matching Content-Type.")

    return [Depends(entered)], [Depends(entered), Depends(meant)]
