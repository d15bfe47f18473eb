"""HTTP to Dagster's GraphQL API, with retries and errors translated into domain errors."""

import re
import ssl
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import httpx2

from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.tries import tries

TOKEN = "BRAND_DETECT_DAGSTER_TOKEN"
"""Environment variable with the token for a proxy in front of Dagster's webserver."""
PAUSES_S = (0.2, 1.0, 3.0)
"""Pauses before each further try of a request."""
OF_DATABASE = re.compile(r"(\S*Error: )?\([\w.]+\.(OperationalError|InterfaceError|AdminShutdown)\) (?!no such table)")
"""How messages of SQLAlchemy begin if the database is away, starting or locked; a table that lacks will not come."""
CALLERS_FAULT = ("RunConfigValidationInvalid", "RunNotFoundError", "TerminateRunFailure", "InvalidSubsetError")
"""Types of Dagster's GraphQL errors that the caller can fix."""


@cache
def document(operation: str) -> str:
    """The text of a GraphQL operation."""
    return (resources.files("brand_detect") / "graphql" / f"{operation}.graphql").read_text(encoding="utf-8")


@cache
def _tls() -> ssl.SSLContext:
    """For all clients of the process: to read the certificates takes 20 ms."""
    return httpx2.create_ssl_context()


class GraphQL:
    """Sends operations to one Dagster webserver. Safe to share between threads."""

    def __init__(self, url: str, token: str, timeout_s: float, transport: httpx2.BaseTransport | None) -> None:
        """
        Raises:
            BadInput: ``url`` is not the address of a webserver, or contains a password.
        """
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"{url!r} is not the address of a Dagster webserver.", "write it as http://127.0.0.1:3000")
        if "@" in urlsplit(url).netloc:
            raise BadInput("The address of Dagster's webserver contains a password.", f"set {TOKEN} instead")
        self.url = f"{url.rstrip('/')}/graphql"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(headers=headers, timeout=timeout_s, transport=transport, verify=_tls())

    def close(self) -> None:
        self._http.close()

    def ask(self, operation: str, *, repeat: bool = True, **variables: Any) -> dict[str, Any]:
        """Send an operation and return the ``data`` of its answer; with ``repeat`` False it is never sent twice.

        Raises:
            Permanent: the webserver refuses the request, or is not Dagster's.
            Transient: the webserver is out of reach, or answers with a fault that may pass.
        """
        body = {"query": document(operation), "variables": variables}
        return tries(*PAUSES_S)(self._send, body) if repeat else self._send(body)

    def _send(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = self._http.post(self.url, json=body)
        except httpx2.TransportError as e:
            raise Transient(
                f"Dagster's webserver at {self.url} is out of reach: {str(e) or type(e).__name__}.",
                "start it (make dev), or name another with BRAND_DETECT_DAGSTER_URL",
            ) from e
        if response.status_code in (401, 403):
            raise Permanent(f"{self.url} refused the token.", f"set {TOKEN}")
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if isinstance(answer, dict) and answer.keys() & {"data", "errors"}:  # GraphQL's own errors have status 500
            return _data(answer)
        if response.status_code >= 500 or response.status_code == 429:
            raise Transient(f"Dagster's webserver at {self.url} answered {response.status_code}.", "try again")
        if isinstance(answer, dict) and response.status_code == 400 and "detail" in answer:
            raise Permanent(f"{self.url} refused the request: {str(answer['detail'])[:200]}")
        raise Permanent(f"{self.url} is not a Dagster webserver: it answers {response.status_code} without GraphQL.")


def _data(answer: Mapping[str, Any]) -> dict[str, Any]:
    if answer.get("errors") or not answer.get("data"):
        errors = "; ".join(_told(str(error.get("message", ""))) for error in answer.get("errors") or ()) or "no data"
        raise Permanent(f"Dagster's webserver refused the request: {errors}.", "run the same version on both sides")
    return answer["data"]


def expect(answer: Mapping[str, Any], *types: str) -> Mapping[str, Any]:
    """Return ``answer``, a GraphQL union, if it has one of ``types``.

    Raises:
        BadInput: it is an error that the caller can fix.
        Permanent: it is any other error.
    """
    kind = answer["__typename"]
    if kind in types:
        return answer
    message = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", ())) or kind
    message = _told(message)
    if kind in CALLERS_FAULT:
        raise BadInput(f"Dagster refused it: {message}")
    if kind == "UnauthorizedError":
        raise BadInput(f"Dagster does not allow it: {message}", f"set {TOKEN}")
    raise Permanent(f"Dagster failed: {message}")


def _told(message: str) -> str:
    """The message in one line, without the SQL that SQLAlchemy adds.

    Raises:
        Transient: the webserver cannot use its database.
    """
    said = " ".join(message.partition("[SQL:")[0].split())
    if OF_DATABASE.match(said):
        raise Transient(f"Dagster's webserver cannot use its database: {said}.", "start the database, or wait")
    return said
