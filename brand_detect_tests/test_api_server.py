"""The HTTP server under clients that send too much, too slowly, or nothing, on real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from brand_detect.api import server
from brand_detect_tests.support.servers import wait_for

HEAD = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LIMIT_S = 0.5
PATIENCE_S = 20.0


async def answer(request: Request) -> PlainTextResponse:
    said = await request.body()
    await asyncio.sleep(float(request.query_params.get("work", 0)))
    return PlainTextResponse(said)


async def early(_: Request) -> PlainTextResponse:
    return PlainTextResponse("no need to go on")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a server with short patience."""
    monkeypatch.setattr(server, "REQUEST_S", LIMIT_S)
    monkeypatch.setattr(server, "WAITING", 5)
    routes = [Route("/", answer, methods=["GET", "POST"]), Route("/early", early, methods=["POST"])]
    app = Starlette(routes=[*routes, WebSocketRoute("/ws", talk)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        running = uvicorn.Server(uvicorn.Config(app, **server.OPTIONS))
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        wait_for(number)
        yield number
        running.should_exit = True
        thread.join(PATIENCE_S)


def opened(port: int) -> closing[socket.socket]:
    return closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))


def rest(connection: socket.socket) -> bytes:
    """All that is answered until the server closes the connection."""
    found = b""
    try:
        while data := connection.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


def served(port: int, path: str = "/") -> bool:
    with opened(port) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return rest(connection).startswith(b"HTTP/1.1 200")


def test_a_head_that_is_too_large_is_turned_away_long_before_its_end(port: int):
    with opened(port) as connection:
        with pytest.raises(ConnectionError):
            connection.sendall(HEAD + b"X: " + b"x" * 60_000_000)
        assert served(port)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HEAD,
        HEAD + b"Content-Length: 5\r\n\r\nhal",
        HEAD + b"Content-Length: 1\r\n\r\n1" + HEAD,
        HEAD + b"Content-Length: 1\r\n\r\n1" + HEAD + b"Content-Length: 5\r\n\r\nhal",
    ],
    ids=["nothing", "half a head", "half a body", "half a second head", "half a second body"],
)
def test_a_request_that_does_not_come_is_not_waited_for(port: int, sent: bytes):
    with opened(port) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        rest(connection)
        assert time.monotonic() - began < PATIENCE_S / 2


def drip(connection: socket.socket, head: bytes, piece: bytes) -> None:
    """Send ``head``, then ``piece`` again and again, without end."""
    with suppress(ConnectionError):
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(LIMIT_S / 5)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD, b"x"),
        (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (HEAD.replace(b"/", b"/early", 1) + b"Content-Length: 1000000000\r\n\r\n", b"x" * 10_000),
    ],
    ids=["head", "body", "body that nobody reads"],
)
def test_a_drop_now_and_then_buys_no_time(port: int, head: bytes, piece: bytes):
    with opened(port) as connection:
        dripping = threading.Thread(target=drip, args=(connection, head, piece))
        dripping.start()
        dripping.join(PATIENCE_S)
        assert not dripping.is_alive()


def test_a_body_that_comes_slowly_and_steadily_is_received(port: int):
    pieces = 15  # of a fifth of the limit
    with opened(port) as connection:
        connection.sendall(HEAD + f"Connection: close\r\nContent-Length: {pieces * 2000}\r\n\r\n".encode())
        for _ in range(pieces):
            connection.sendall(b"x" * 2000)
            time.sleep(LIMIT_S / 5)
        assert rest(connection).startswith(b"HTTP/1.1 200")


def test_work_that_takes_longer_is_not_cut_off(port: int):
    assert served(port, f"/?work={3 * LIMIT_S}")


def test_a_websocket_is_not_cut_off(port: int):
    with connect(f"ws://127.0.0.1:{port}/ws") as websocket:
        time.sleep(3 * LIMIT_S)
        websocket.send("still there")
        assert websocket.recv() == "still there"


def test_idle_connections_give_way_to_others(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "REQUEST_S", 10 * PATIENCE_S)
    idle = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) for _ in range(20)]
    try:
        assert served(port)
        assert [rest(connection) for connection in idle[:15]] == [b""] * 15
        idle[-1].sendall(HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        assert rest(idle[-1]).startswith(b"HTTP/1.1 200"), "the newest ones stay"
    finally:
        for connection in idle:
            connection.close()


def test_work_gives_way_to_nobody(port: int):
    busy: list[bool] = []
    threads = [threading.Thread(target=lambda: busy.append(served(port, f"/?work={LIMIT_S}"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert busy == [True] * 12
