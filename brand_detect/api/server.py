"""HTTP servers with limits: on the time a request may take to arrive, and on the number of pending requests."""

import asyncio
import time
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_BYTES = 16_384
"""Largest request line and headers together."""
REQUEST_S = 20.0
"""Longest time for a request to arrive, and for each further piece of a body that takes longer."""
LEAST_BYTES_S = 8_192
"""Least bytes a second of a body that takes longer: parts of uploads are large, and some uplinks are slow."""
WAITING = 100
"""Limit of connections per address with a pending request; one more replaces the oldest."""


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with limits; uvicorn itself waits for ever, on any number of connections.

    Requests in progress and WebSockets are not counted.
    """

    _deadline: asyncio.TimerHandle | None = None
    _since = 0.0
    _arrived = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        waiting = [
            other
            for other in self.connections
            if isinstance(other, BoundedProtocol) and other is not self and other._waits and _same(other, self)
        ]
        if len(waiting) >= WAITING:
            min(waiting, key=lambda other: other._since).transport.abort()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._arrived += len(data)
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._watch()

    @property
    def _waits(self) -> bool:
        is_mine = (
            self.transport.get_protocol() is self and not self.transport.is_closing()
        )  # not upgraded to a WebSocket
        return is_mine and self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _watch(self) -> None:
        if self._deadline and not self._waits:
            self._deadline.cancel()
            self._deadline = None
        elif self._waits and not self._deadline:
            self._wait()

    def _wait(self) -> None:
        self._since, self._arrived = time.monotonic(), 0  # the loop's clock has a resolution of milliseconds
        self._deadline = self.loop.call_later(REQUEST_S, self._due)

    def _due(self) -> None:
        """Wait on for a body that somebody still reads and that comes fast enough."""
        is_read = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is not h11.DONE
        if is_read and self._arrived >= LEAST_BYTES_S * REQUEST_S:
            self._wait()
        else:
            self.transport.abort()


def _same(one: H11Protocol, other: H11Protocol) -> bool:
    """Whether both are connections from one address."""
    return bool(one.client and other.client and one.client[0] == other.client[0])


OPTIONS: dict[str, Any] = {
    "http": BoundedProtocol,
    "h11_max_incomplete_event_size": HEAD_BYTES,
    "log_level": "warning",
    "server_header": False,
    "proxy_headers": False,  # otherwise anyone could forge an address and evade the limit
    "timeout_graceful_shutdown": 5,
}
"""For uvicorn."""


def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve ``app`` until Ctrl-C or SIGTERM."""
    uvicorn.run(app, host=host, port=port, **OPTIONS)
