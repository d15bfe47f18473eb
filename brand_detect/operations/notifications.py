"""Notifies a webhook of finished reports and final failures; posts only to hosts that the settings name.

Delivery is at least once and in order. The webhook's address and the signing secret come from the environment when they
are used, and are in no log, cursor or metadata: addresses of chat tools carry tokens.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import os
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import httpx2

from brand_detect.domain.errors import BadInput
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.settings import Settings
from brand_detect.domain.words import counted
from brand_detect.operations.monitoring.ended_runs import EndedRun, EndedRuns, Outcome
from brand_detect.orchestration.events import PAGE_URL
from brand_detect.orchestration.lineage import attempt_of
from brand_detect.orchestration.resources import Services

URL, SECRET = "BRAND_DETECT_WEBHOOK_URL", "BRAND_DETECT_WEBHOOK_SECRET"
"""Environment variables: the webhook's address and the signing secret."""
HOSTS = "BRAND_DETECT_WEBHOOK_HOSTS"
SIGNATURE = "X-Brand-Detect-Signature"
TIMEOUT_S = 5.0
"""Limit of a whole post, however slow the receiver."""
POSTS_A_TICK, SECONDS_A_TICK = 20, 15.0
"""Limit of posts per tick, and the time after which none is started: Dagster ends a tick after 60 s."""
EVENTS_A_TICK = 200
TRIES = 8
"""Tries of one notification before it is dropped."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 900.0
"""Pause before the second try, and the longest; it doubles each time: about 45 minutes in all."""
OLD_S = 86_400.0
"""Notifications of runs that ended longer ago are dropped, for instance after the sensor was off."""
MOST = 100
"""Limit of brands and of notes in a notification."""


@dataclass(frozen=True)
class Result:
    """The result of a post."""

    text: str
    delivered: bool = False
    may_pass: bool = False
    """Whether another try may succeed."""


@dataclass(frozen=True)
class Webhook:
    """The receiver of notifications."""

    url: httpx2.URL = field(repr=False)
    secret: str = field(repr=False, default="")

    @classmethod
    def of(cls, hosts: Collection[str]) -> "Webhook | None":
        """The webhook from the environment; None if it is unset or no host is allowed.

        Raises:
            BadInput: its address is not allowed.
        """
        url = os.environ.get(URL, "")
        return cls(allowed(url, hosts), os.environ.get(SECRET, "")) if url and hosts else None

    @property
    def host(self) -> str:
        return self.url.host

    def post(self, notice: dict[str, Any]) -> Result:
        """Post once. Redirects are not followed: they could lead to any host."""
        body = json.dumps(notice).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "brand-detect"}
        if self.secret:
            headers[SIGNATURE] = f"sha256={hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}"
        try:
            status = asyncio.run(asyncio.wait_for(_status(self.url, body, headers), TIMEOUT_S))
        except (TimeoutError, httpx2.TransportError) as e:
            return Result(type(e).__name__, may_pass=True)  # its message may contain the address
        if 200 <= status < 300:
            return Result(f"delivered, {status}", delivered=True)
        return Result(f"answered {status}", may_pass=status >= 500 or status in (408, 429))


async def _status(url: httpx2.URL, body: bytes, headers: dict[str, str]) -> int:
    """Uses the bare transport: a client would log addresses and read proxies from the environment."""
    request = httpx2.Request("POST", url, content=body, headers=headers)
    async with httpx2.AsyncHTTPTransport() as transport:
        response = await transport.handle_async_request(request)
        await response.aclose()
        return response.status_code


def allowed(url: str, hosts: Collection[str]) -> httpx2.URL:
    """Parse ``url`` and check that it is allowed; ``hosts`` are names, with the port unless it is the default one.

    Raises:
        BadInput: it is not allowed; the message gives no more of the address than its host.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    host = parsed.raw_host.decode()
    if parsed.scheme not in ("http", "https") or not host:
        raise BadInput(f"{URL} is not a web address.", "write it as https://host/path")
    if parsed.userinfo:
        raise BadInput(f"{URL} contains a user name or password before {host}.", "leave it out")
    if parsed.scheme == "http" and not _is_loopback(host):
        raise BadInput(f"{URL} is not https, and {host} is not this machine.", "use https")
    named = f"[{host}]" if ":" in host else host
    named = f"{named}:{parsed.port}" if parsed.port else named
    if named not in hosts:
        raise BadInput(f"{URL} points to {named}, which {HOSTS} does not name.", f"{HOSTS}={named}")
    return parsed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def notification(instance: dg.DagsterInstance, ended: EndedRun) -> dict[str, Any] | None:
    """The notification for a run; None if it neither failed nor made a report."""
    if ended.run.status == dg.DagsterRunStatus.SUCCESS:
        event, more = "report_finished", _report(instance, ended.run)
    elif ended.has_failed:
        outcome = Outcome.of(instance, ended.run)
        event, more = "run_failed", {"attempt": None, "stage": outcome.stage, "reason": outcome.reason}
    else:
        return None
    return more and {
        "event": event,
        "id": f"{ended.run.run_id}.{event}",
        "job_id": ended.job_id,
        "run_id": ended.run.run_id,
        "time": _utc(ended.at_s),
        "sent": _utc(time.time()),
        **more,
    }


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, Any] | None:
    """Summary of the report with which ``run`` ended; None if it did not end with one."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    made = instance.get_records_for_run(run.run_id, of_type=kind, limit=1, ascending=False).records
    event = made[0].asset_materialization if made else None
    if event is None or event.asset_key.path[-1] != Stage.compile_report or "report" not in event.metadata:
        return None
    short: Any = event.metadata["report"].value
    return {
        "attempt": attempt_of(made[0]),
        "url": event.metadata[PAGE_URL].value if PAGE_URL in event.metadata else "",
        "brands": short["brands"][:MOST],
        "brands_more": len(short["brands"][MOST:]),
        "unresolved": event.metadata["unresolved"].value,
        "notes": short["notes"][:MOST],
    }


def _utc(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


@dataclass
class Delivery:
    """The state of deliveries, stored as the sensor's cursor."""

    runs: EndedRuns
    run_id: str = ""
    """The run whose notification is to be retried."""
    tries: int = 0
    not_before_s: float = 0.0
    given_up: int = 0

    @classmethod
    def parse(cls, cursor: str) -> "Delivery":
        raw = json.loads(cursor)
        return cls(**(raw | {"runs": EndedRuns(**raw["runs"])}))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def goes_on(self, run_id: str, result: Result, now_s: float) -> bool:
        """Record the result of a post; False if the same notification is to be retried later."""
        self.tries = self.tries + 1 if run_id == self.run_id else 1
        if result.may_pass and self.tries < TRIES:
            pause_s = min(FIRST_PAUSE_S * 2 ** (self.tries - 1), LONGEST_PAUSE_S)
            self.run_id, self.not_before_s = run_id, now_s + pause_s
            return False
        self.given_up += not result.delivered
        self.run_id, self.tries = "", 0
        return True


def notifications(settings: Settings) -> dg.SensorDefinition:
    """The sensor that delivers notifications; on by default if a webhook is set."""

    def deliver(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        services: Services = context.resources.services
        webhook = Webhook.of(services.settings.webhook_hosts)
        if webhook is None:
            return dg.SkipReason(f"Nothing is sent: {URL} and {HOSTS} are not both set.")
        if context.cursor is None:
            context.update_cursor(str(Delivery(EndedRuns.from_now_on(context.instance))))
            return dg.SkipReason("Notifications start with the runs that end from now on.")
        at = Delivery.parse(context.cursor)
        if 0 < at.not_before_s - time.time() <= LONGEST_PAUSE_S:  # longer: the clock was set back since
            return dg.SkipReason(f"{webhook.host} is tried again later: try {at.tries + 1} of {TRIES}.")
        posts, until = 0, time.monotonic() + SECONDS_A_TICK
        for ended in at.runs.read(context.instance, EVENTS_A_TICK):
            if posts >= POSTS_A_TICK or time.monotonic() > until:
                break
            notice = notification(context.instance, ended)
            if notice is None:
                continue
            if time.time() - ended.at_s > OLD_S:
                result = Result("too old, given up")
            else:
                result, posts = webhook.post(notice), posts + 1
            goes_on = at.goes_on(ended.run.run_id, result, time.time())
            then = "" if result.delivered else ", given up" if goes_on else f", try {at.tries} of {TRIES}"
            log = context.log.info if result.delivered else context.log.warning
            log("%s: %s of %s: %s%s", webhook.host, notice["event"], ended.job_id or notice["stage"], result.text, then)
            if not goes_on:
                break
        context.update_cursor(str(at))
        return dg.SkipReason(
            f"{counted(posts, 'post')} to {webhook.host}; {counted(at.given_up, 'notification')} given up so far."
        )

    on = bool(settings.webhook_hosts and os.environ.get(URL))
    return dg.sensor(
        name="notifications",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={"services"},
        description=f"Notifies the webhook {URL} of finished reports and of runs that failed for good.",
    )(deliver)


def definitions(services: Services) -> dg.Definitions:
    return dg.Definitions(sensors=[notifications(services.settings)])
