"""Who is turned away before any of our code, or Dagster's, sees the request."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from brand_detect.api.guard import Guard

OWN = "http://127.0.0.1:3000"
PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


@pytest.fixture
def http() -> TestClient:
    routes = [
        Route("/", lambda _: PlainTextResponse("done"), methods=["GET", "POST"]),
        WebSocketRoute("/", greet),
    ]
    hosts = ["brands.example.org", "at.example.org:8443"]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts)]), base_url=OWN)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:3000", True),
        ("LocalHost", True),
        ("[::1]:8000", True),
        ("Brands.example.org:8000", True),
        ("brands.example.org", True),
        ("at.example.org:8443", True),
        ("at.example.org", False),
        ("evil.example:3000", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("a!b.evil.example", False),
        ("[", False),
        ("", False),
    ],
)
def test_only_known_host_names_are_answered(http: TestClient, host: str, known: bool):
    """A web page whose own name leads to 127.0.0.1 shall not speak to a server there."""
    assert http.get("/", headers={"Host": host}).status_code == (200 if known else 400)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 200),
        ("POST", {"Origin": OWN}, 200),
        ("POST", {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", {"Sec-Fetch-Site": "none"} | PAGE, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site"} | PAGE, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site"} | PAGE | {"Sec-Fetch-Dest": "iframe"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"} | PAGE, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:8000"}, 403),
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": ""}, 403),
        ("OPTIONS", {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}, 403),
    ],
)
def test_another_sites_page_gets_nothing_but_links_followed(
    http: TestClient, method: str, headers: dict[str, str], status: int
):
    assert http.request(method, "/", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({}, True),
        ({"Origin": OWN}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_websockets_are_guarded_alike(http: TestClient, headers: dict[str, str], may: bool):
    try:
        with http.websocket_connect("/", headers={"Host": "127.0.0.1:3000"} | headers):
            opened = True
    except WebSocketDisconnect as e:
        opened = e.code != 1008
    assert opened is may
