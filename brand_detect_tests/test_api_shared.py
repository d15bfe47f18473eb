"""Slow calls that take turns."""

import asyncio
from threading import Event

import pytest
from starlette.exceptions import HTTPException

from brand_detect.api import shared
from brand_detect.api.shared import OneAtATime


def test_of_calls_that_come_at_the_same_time_only_so_many_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared, "MOST_WAITING", 1)

    async def asked() -> list[object]:
        turn, go_on = OneAtATime("Busy."), Event()
        calls = [asyncio.ensure_future(turn(go_on.wait, 20)) for _ in range(4)]
        await asyncio.wait(calls, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        go_on.set()
        told = await asyncio.gather(*calls, return_exceptions=True)
        return [*told, await turn(int, "7")]

    *told, after = asyncio.run(asked())
    assert [one for one in told if one is True] == [True, True]
    refused = [one for one in told if isinstance(one, HTTPException)]
    assert [(one.status_code, one.detail) for one in refused] == [(503, "Busy.")] * 2
    assert after == 7
