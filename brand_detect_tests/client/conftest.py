"""The client and the webserver of a few lines that it talks to."""

from collections.abc import Iterator

import pytest

from brand_detect.client import TOKEN, Client, calls, transport
from brand_detect.domain.pipeline import ROOT
from brand_detect_tests.support.webserver import (
    Webserver,
    connected,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Webserver:
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setattr(transport, "PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(calls, "POLL_S", (0.001, 0.001))
    return Webserver()


@pytest.fixture
def client(server: Webserver) -> Iterator[Client]:
    with connected(server) as client:
        yield client


@pytest.fixture
def job(server: Webserver) -> str:
    """The id of a run that made all checkpoints of JOB."""
    return server.finished(ROOT)
