"""A slow look that many callers may want at the same time."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


class Shared(Generic[T]):
    """What ``look`` returns or raises, for ``seconds``; at most one look is under way, whoever asks."""

    def __init__(self, look: Callable[[], T], seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._found: asyncio.Future[T] | None = None
        self._until = 0.0

    async def __call__(self) -> T:
        if self._found is None or (self._found.done() and time.monotonic() > self._until):
            self._found = asyncio.ensure_future(self._looked())
        return await asyncio.shield(self._found)  # a caller who hangs up ends nobody's look

    async def _looked(self) -> T:
        try:
            return await run_in_threadpool(self._look)
        finally:
            self._until = time.monotonic() + self._seconds
