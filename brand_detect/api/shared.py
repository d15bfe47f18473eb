"""Slow calls: one answer for many callers, and one call at a time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

T = TypeVar("T")

MOST_WAITING = 8
"""Limit of requests that wait for their turn."""


class Shared(Generic[T]):
    """Caches the result or error of ``call`` for ``seconds``; at most one call is in progress."""

    def __init__(self, call: Callable[[], T], seconds: float) -> None:
        self._call, self._seconds = call, seconds
        self._found: asyncio.Future[T] | None = None
        self._until = 0.0

    async def __call__(self) -> T:
        if self._found is None or (self._found.done() and time.monotonic() > self._until):
            self._found = asyncio.ensure_future(self._called())
        return await asyncio.shield(self._found)  # a caller that disconnects must not cancel the others' answer

    async def _called(self) -> T:
        try:
            return await run_in_threadpool(self._call)
        finally:
            self._until = time.monotonic() + self._seconds


class OneAtATime:
    """Runs slow calls one after the other, without taking the threads of other requests while they wait."""

    def __init__(self, busy: str) -> None:
        """``busy`` is the sentence of a 503 for those that would wait behind ``MOST_WAITING`` others."""
        self._busy, self._turn = busy, anyio.CapacityLimiter(1)
        self._calls = 0  # running and waiting; calls that come at once are not yet in the limiter's statistics

    async def __call__(self, call: Callable[..., T], *arguments: Any) -> T:
        if self._calls > MOST_WAITING:
            raise HTTPException(503, self._busy, {"Retry-After": "10"})
        self._calls += 1
        try:
            return await anyio.to_thread.run_sync(call, *arguments, limiter=self._turn)
        finally:
            self._calls -= 1
