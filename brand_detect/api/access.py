"""Access to reports: for requests that send the key, or a cookie from a login with it."""

import hashlib
import hmac
import secrets
import time

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.responses import Response

COOKIE = "brand_detect"
SESSION_S = 12 * 3600
LOGINS = parse("10/minute")
"""Limit of login attempts per address, against guessing the key."""


class Access:
    """Checks the key, and the cookies given for it, which expire with the process or after ``SESSION_S``."""

    def __init__(self, key: str) -> None:
        self._key = key
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
            path="/reports",
            secure=https,
            httponly=True,
            samesite="strict",
        )

    def _knows(self, cookie: str) -> bool:
        claim, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(claim).encode()):
            return False
        return int(claim.partition(".")[0]) > time.time()

    def _sign(self, claim: str) -> str:
        return hmac.new(self._secret, claim.encode(), hashlib.sha256).hexdigest()
