"""Requests and answers of the service: unknown fields, errors, media types."""

import json
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

ALIKE = 0.7
"""Least similarity of a suggestion: ``overrides`` suggests ``config_overrides`` (0.72), ``job_name`` not ``job_id``
(0.57)."""
MOST_UNKNOWN = 20
"""Limit of unknown fields that are checked: a body may have a hundred thousand."""


class Problem(BaseModel):
    detail: str
    hint: str = ""


def unknown_like(known: type[BaseModel]) -> Callable[[Request], Awaitable[list[str]]]:
    """A dependency for endpoints with this body: warns about each unknown field that resembles a known one."""

    async def warnings(request: Request) -> list[str]:
        try:
            sent = await request.json()
        except (ValueError, RecursionError):  # not JSON: the endpoint reports it
            return []
        unknown = [name[:80] for name in sent if name not in known.model_fields] if isinstance(sent, dict) else []
        found = []
        for name in unknown[:MOST_UNKNOWN]:
            for meant in get_close_matches(name.lower(), known.model_fields, n=1, cutoff=ALIKE):
                found.append(f"The unknown field {name!r} was ignored; did you mean {meant!r}?")
        return found

    return warnings


Warnings = Annotated[
    list[str], Field(description="warnings about unknown fields of the request that resemble known ones")
]


class AsciiJSON(JSONResponse):
    """JSON in ASCII, which can hold any text, even lone surrogates echoed from a client."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Endpoints(APIRouter):
    """Endpoints that answer with ``AsciiJSON``."""

    def __init__(self, **more: Any) -> None:
        super().__init__(default_response_class=AsciiJSON, **more)

    def take(self, *others: "Endpoints") -> None:
        """Adds the endpoints of others as they are; ``include_router`` makes each again at the first request."""
        for other in others:
            self.routes.extend(other.routes)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error responses for the OpenAPI description; those of limits and the key apply everywhere.

    They refer to the schema of ``Problem``, which ``health_router`` declares: FastAPI would make a validator of each
    "model", half of the time in which the service is assembled.
    """
    told = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    every = sorted({*statuses, 400, 401, 413, 429})
    return {status: {"content": told, "description": HTTPStatus(status).phrase} for status in every}


def broken(error: Exception) -> dict[str, str]:
    """What is said of an error that nobody foresaw; the log has its traceback."""
    return {"detail": f"Internal error: {type(error).__name__}."}


def media_type(request: Request) -> str:
    """The declared type of the body without parameters: ``text/plain; x=application/json`` is text."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
