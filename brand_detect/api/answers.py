"""Requests and answers of the service: unknown fields, errors, media types."""

import json
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Annotated, Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

from brand_detect.domain.errors import BrandDetectError

ALIKE = 0.7
"""``overrides`` is meant to be ``config_overrides`` (0.72); ``job_name`` is no ``job_id`` (0.57)."""
MOST_UNKNOWN = 20
"""Unknown fields that are checked: a body may hold a hundred thousand."""


class Problem(BaseModel):
    detail: str
    hint: str = ""


def unknown_like(known: type[BaseModel]) -> Callable[[Request], Awaitable[list[str]]]:
    """A dependency of an endpoint with such a body: a sentence about each unknown field that may be a known one."""

    async def warnings(request: Request) -> list[str]:
        try:
            sent = await request.json()
        except (ValueError, RecursionError):  # no JSON: the endpoint says so
            return []
        unknown = [name[:80] for name in sent if name not in known.model_fields] if isinstance(sent, dict) else []
        found = []
        for name in unknown[:MOST_UNKNOWN]:
            for meant in get_close_matches(name.lower(), known.model_fields, n=1, cutoff=ALIKE):
                found.append(f"There is no field {name!r}, it was ignored; {meant!r} may be meant.")
        return found

    return warnings


Warnings = Annotated[
    list[str], Field(description="sentences about unknown fields of the request that look like known ones")
]


class AsciiJSON(JSONResponse):
    """JSON that holds any text, halves of surrogate pairs included: it may echo what a client sent."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def problem(status: int, error: BrandDetectError) -> JSONResponse:
    headers = {"Retry-After": "10"} if status == 503 else None
    return AsciiJSON({"detail": str(error), "hint": error.hint}, status, headers=headers)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What can go wrong, for the OpenAPI description; limits and the key apply everywhere."""
    return {status: {"model": Problem} for status in sorted({*statuses, 400, 401, 413, 429})}


def media_type(request: Request) -> str:
    """The declared type of the body without parameters: ``text/plain; x=application/json`` is text."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
