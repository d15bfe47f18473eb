"""Shares the answer of a slow call among callers."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


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
