"""What the service is told and answers with, and how it says that something is wrong."""

import json
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.requests import Request

from brand_detect.domain.errors import BrandDetectError


class Problem(BaseModel):
    detail: str
    hint: str = ""


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
    """What the body is said to be, without parameters: ``text/plain; x=application/json`` is text."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
