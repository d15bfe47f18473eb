"""A receiver of webhooks that answers as it is told to, on this machine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

PATH = "/hooks/T0KEN"
"""Addresses of chat tools carry tokens."""


@dataclass
class Receiver:
    """An HTTP server of this machine."""

    answers: list[int | str] = field(default_factory=list)
    """For the next posts: a status, ``hang``, or ``drip`` for an answer that never ends; afterwards 200."""
    got: list[tuple[dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """Bodies and headers."""
    raw: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    port: int = 0
    ending: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def told(self) -> list[tuple[str, str]]:
        """Event and job of each post."""
        return [(body["event"], body["job_id"]) for body, _ in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that is there."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.raw.append(body)
            state.got.append((json.loads(body), dict(self.headers)))
            state.paths.append(self.path)
            answer = state.answers.pop(0) if state.answers else 200
            if answer == "hang":
                state.ending.wait(30)
            elif answer == "drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not state.ending.wait(0.02):
                    self.wfile.write(b"X-More: and more\r\n")
            else:
                self.send_response(int(answer))
                self.send_header("Location", f"http://127.0.0.1:{state.port}/elsewhere")
                self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_port
    serving = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    try:
        yield state
    finally:
        state.ending.set()
        server.shutdown()
        server.server_close()
        serving.join()
