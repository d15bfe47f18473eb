"""Keeps the current problems of all jobs up to date as runs end, and shows them as the metadata of one asset."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

import dagster as dg

from brand_detect.domain.problems import FAILED_CHECK, FAILED_RUN, KINDS, WARNED, Problem
from brand_detect.domain.words import counted
from brand_detect.operations.monitoring.ended_runs import EndedRun, EndedRuns, Outcome
from brand_detect.orchestration.partitions import JOBS, OWNER
from brand_detect.orchestration.resources import Services
from brand_detect.report.words import cell

PROBLEMS = "brand_detect/problems"
"""Key of the problems in the instance's cursor storage: a sensor's own cursor is stored again with every tick."""
MOST = 5000
"""Limit of stored problems; beyond it the oldest are dropped and counted."""
LISTED, IN_TABLE = 200, 50
"""The newest problems that a materialization lists as data and in its table."""
RUNS_A_TICK, SECONDS_A_TICK = 1000, 20.0
"""Limit of ended runs per tick, and the time after which the rest is left for the next one."""

PROBLEMS_ASSET = dg.AssetSpec(
    "problems",
    group_name="operations",
    description="Current problems of all jobs: failed runs, failed checks and warnings of checks. "
    "The sensor of the same name reports them whenever they change.",
    kinds={"table"},
    owners=[OWNER],
    tags={"work": "sums"},
)


@dataclass
class Problems:
    """Problems by job, stage and kind (failure or warning)."""

    known: dict[tuple[str, str, bool], Problem] = field(default_factory=dict)
    forgotten: int = 0

    @classmethod
    def load(cls, instance: dg.DagsterInstance) -> "Problems":
        stored = instance.daemon_cursor_storage.get_cursor_values({PROBLEMS}).get(PROBLEMS)
        return cls.parse(stored) if stored else cls()

    @classmethod
    def parse(cls, stored: str) -> "Problems":
        raw = json.loads(stored)
        return cls({_key(p): p for p in (Problem(**row) for row in raw["problems"])}, raw["forgotten"])

    def __str__(self) -> str:
        return json.dumps({"problems": [asdict(p) for p in self.known.values()], "forgotten": self.forgotten})

    def save(self, instance: dg.DagsterInstance) -> None:
        instance.daemon_cursor_storage.set_cursor_values({PROBLEMS: str(self)})

    def learn(self, ended: EndedRun, outcome: Outcome) -> None:
        """Take in one run: its new attempts replace earlier problems, and its failure is a problem.

        Taking in a run twice changes nothing.
        """
        judged = {*outcome.done, *(c.stage for c in outcome.checks)}
        keys = [(ended.job_id, stage, warned) for stage in judged for warned in (False, True)]
        before = {key: self.known.pop(key) for key in keys if key in self.known}
        for problem in _problems_of(ended, outcome):
            first = before.get(_key(problem)) or self.known.get(_key(problem)) or problem
            self.known[_key(problem)] = replace(problem, since_s=first.since_s)
        while len(self.known) > MOST:
            del self.known[min(self.known, key=lambda key: self.known[key].since_s)]
            self.forgotten += 1

    def keep(self, job_ids: Iterable[str]) -> None:
        """Drop the problems of deleted jobs."""
        there = {"", *job_ids}
        self.known = {key: p for key, p in self.known.items() if key[0] in there}
        if not self.known:
            self.forgotten = 0

    @property
    def newest(self) -> list[Problem]:
        """All problems, newest first."""
        return sorted(self.known.values(), key=lambda p: (-p.since_s, p.job_id, p.stage, p.kind))


def _key(problem: Problem) -> tuple[str, str, bool]:
    return problem.job_id, problem.stage, problem.kind == WARNED


def _problems_of(ended: EndedRun, outcome: Outcome) -> list[Problem]:
    warned: dict[str, list[str]] = {}
    for check in outcome.checks:
        if not (check.passed or check.blocking):
            warned.setdefault(check.stage, []).append(f"{check.name}: {check.detail}")
    found = [
        Problem(ended.job_id, stage, WARNED, "; ".join(details), ended.run.run_id, ended.at_s)
        for stage, details in warned.items()
    ]
    if ended.has_failed:
        checked = any(c.stage == outcome.stage and c.blocking and not c.passed for c in outcome.checks)
        kind = FAILED_CHECK if checked else FAILED_RUN
        found.append(Problem(ended.job_id, outcome.stage, kind, outcome.reason, ended.run.run_id, ended.at_s))
    return found


def problems_metadata(known: Problems) -> dict[str, dg.MetadataValue]:
    """The asset's metadata, for people and clients."""
    newest = known.newest
    kinds = Counter(p.kind for p in newest)
    return {
        "table": dg.MetadataValue.md(_table(newest, known.forgotten)),
        "jobs": dg.MetadataValue.int(len({p.job_id for p in newest})),
        **{kind: dg.MetadataValue.int(kinds[kind]) for kind in KINDS},
        "problems": dg.MetadataValue.json(
            {
                "problems": [asdict(p) for p in newest[:LISTED]],
                "more": len(newest[LISTED:]) + known.forgotten,
                "more_failed": sum(p.kind != WARNED for p in newest[LISTED:]) + known.forgotten,
            }
        ),
    }


def _table(newest: list[Problem], forgotten: int) -> str:
    if not newest:
        return "There are no problems."
    lines = ["| since (UTC) | job | stage | kind | what | run |", "|---|---|---|---|---|---|"]
    for p in newest[:IN_TABLE]:
        since = datetime.fromtimestamp(p.since_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        cells = (since, p.job_id or p.stage, p.stage, KINDS[p.kind], p.what, p.run_id)
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    more = len(newest[IN_TABLE:]) + forgotten
    return "\n".join(lines) + (f"\n\n… and {more} older ones." if more else "")


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the problems of all jobs up to date as runs end; the asset of the same name shows them.",
)
def problems(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    at = json.loads(context.cursor) if context.cursor else {"runs": {}, "digest": ""}
    runs, known = EndedRuns(**at["runs"]), Problems.load(context.instance)
    before, until, n = str(known), time.monotonic() + SECONDS_A_TICK, 0
    for ended in runs.read(context.instance, RUNS_A_TICK):
        if time.monotonic() > until:
            break
        known.learn(ended, Outcome.of(context.instance, ended.run))
        n += 1
    known.keep(context.instance.get_dynamic_partitions(str(JOBS.name)) if known.known else ())
    now = str(known)
    if now != before:
        known.save(context.instance)  # before the cursor: taking in a run twice changes nothing
    digest = hashlib.sha256(now.encode()).hexdigest()
    return dg.SensorResult(
        skip_reason=f"read {counted(n, 'ended run')}; known: {counted(len(known.known), 'problem')}.",
        cursor=json.dumps({"runs": asdict(runs), "digest": digest}),
        asset_events=[dg.AssetMaterialization("problems", metadata=problems_metadata(known))]
        if digest != at["digest"]
        else [],
    )


def definitions(_services: Services) -> dg.Definitions:
    return dg.Definitions(assets=[PROBLEMS_ASSET], sensors=[problems])
