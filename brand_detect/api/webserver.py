"""Dagster's webserver with a guard: unguarded it accepts mutations by GET, under any host name and from any site."""

from collections.abc import Iterable
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.workspace.context import BaseWorkspaceRequestContext, WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from brand_detect.api.answers import AsciiJSON, media_type
from brand_detect.api.guard import SEALED, Guard, Sealed
from brand_detect.api.server import serve

SAME = ("X-Content-Type-Options", "Cross-Origin-Resource-Policy", "Referrer-Policy")
HEADERS = {"X-Frame-Options": "SAMEORIGIN"} | {name: SEALED[name] for name in SAME}
DATABASE_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW, POLL_MS = 15_000, 3600, 20, 2000
"""Database pool and the UI's polling interval, with the defaults of ``dagster-webserver``."""


class GuardedWebserver(DagsterWebserver[WorkspaceProcessContext, BaseWorkspaceRequestContext]):
    """Dagster's UI and API under the names ``hosts``. GraphQL over HTTP accepts only POST with JSON."""

    def __init__(self, context: WorkspaceProcessContext, hosts: Iterable[str]) -> None:
        self._hosts = tuple(hosts)
        super().__init__(context, live_data_poll_rate=POLL_MS)

    def build_middleware(self) -> list[Middleware]:
        return [
            Middleware(Sealed, headers=HEADERS),
            Middleware(Guard, hosts=self._hosts),
            *super().build_middleware(),
        ]

    async def graphql_http_endpoint(self, request: Request) -> HTMLResponse | PlainTextResponse | JSONResponse:
        if request.method == "POST" and media_type(request) != "application/json":
            return AsciiJSON({"detail": "GraphQL requires JSON, with the matching Content-Type."}, 415)
        asks_for_graphiql = "text/html" in request.headers.get("Accept", "")  # in that case no query is executed
        if request.method != "POST" and not asks_for_graphiql:
            return AsciiJSON({"detail": "GraphQL requires POST."}, 405, headers={"Allow": "POST"})
        return await super().graphql_http_endpoint(request)


def serve_dagster(workspace: Path, host: str, port: int, hosts: Iterable[str]) -> None:
    """Serve the UI of the instance in ``DAGSTER_HOME`` over the code of ``workspace``, until Ctrl-C or SIGTERM."""
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DATABASE_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW)
        target = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(
            instance, version=__version__, workspace_load_target=target, code_server_log_level="WARNING"
        ) as context:
            serve(GuardedWebserver(context, hosts).create_asgi_app(), host, port)
