"""A job's attempts as a tree, and what a new run takes from them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from brand_detect.domain.contracts import effective, uses_outside_models
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, Stage, downstream_of, upstream_of
from brand_detect.domain.recipe import recipe_of


@dataclass(frozen=True)
class Attempt:
    """One checkpoint: a materialization of a stage for a job."""

    stage: str
    attempt: str
    run_id: str
    created_s: float
    """Seconds since 1970."""
    uri: str
    params: Mapping[str, Any]
    overrides: Mapping[str, Any]
    """The params that were set explicitly, by the run's config."""
    upstream: Mapping[str, str]
    """The attempt of every ancestor by stage, and the catalogue's version."""
    input_versions: Mapping[str, str]
    """Data version of everything that was read."""
    code_version: str
    data_version: str
    stage_s: float
    recipe: str = ""
    """Hash of everything that decides the result: equal recipes make equal data."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Counts of rows and figures of the run."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """Of ``compile_report``: brands and notes in short."""
    failed_check: str = ""
    warned_checks: str = ""
    """The checks that failed and block nothing, with what they said."""
    offpeak: str = ""
    """The date of the night whose retry made it, with params that are the night's and not the job's."""
    continues: str = ""
    """The attempt of ``escalate_cloud`` whose answers a retry took over."""

    @property
    def is_whole(self) -> bool:
        """Whether it passed its blocking checks, left no question for another time, and is not a retry's."""
        return not (self.failed_check or self.continues or self.figures.get("questions_left"))

    @classmethod
    def of(cls, stage: str, run_id: str, reported_s: float, entries: Mapping[str, Any]) -> "Attempt":
        """From an event of Dagster's: its run and its time, which a rebuild changes, and its metadata."""
        created = entries.get("created")
        return cls(
            stage=stage,
            attempt=entries["attempt"],
            run_id=entries.get("run_id") or run_id,
            created_s=datetime.fromisoformat(created).timestamp() if created else reported_s,
            uri=entries.get("uri", ""),
            params=entries.get("params", {}),
            overrides=entries.get("overrides", {}),
            upstream=entries.get("upstream", {}),
            input_versions=entries.get("input_versions", {}),
            code_version=entries.get("code_version", ""),
            data_version=entries.get("data_version", ""),
            stage_s=entries.get("stage_s", 0.0),
            recipe=entries.get("recipe", ""),
            figures={name: value for name, value in entries.items() if isinstance(value, int | float)},
            failed_check=entries.get("failed_check", ""),
            warned_checks=entries.get("warned_checks", ""),
            offpeak=entries.get("offpeak", ""),
            continues=entries.get("continues", ""),
            report=entries.get("report", {}),
        )


@dataclass(frozen=True)
class StageState:
    """How a stage stands for one job: its attempts, newest first."""

    stage: str
    attempts: tuple[Attempt, ...] = ()
    code_version: str = ""
    """Of the code that would run now."""

    @classmethod
    def of(
        cls,
        stage: str,
        code_version: str,
        events: Iterable[tuple[str, float, Mapping[str, Any]]],
        pruned: Collection[str],
    ) -> "StageState":
        """From Dagster's events, as ``Attempt.of`` takes them, without those that name no attempt.

        ``pruned`` are the attempts that retention has removed. A rebuild may have reported an attempt twice, and older
        ones after newer ones.
        """
        made = (Attempt.of(stage, *event) for event in events if event[2].get("attempt") not in (None, *pruned))
        once = {a.attempt: a for a in made}
        return cls(stage, tuple(sorted(once.values(), key=lambda a: a.created_s, reverse=True)), code_version)


@dataclass(frozen=True)
class History:
    """All checkpoints of one job, as Dagster's event log has them."""

    job_id: str
    stages: Mapping[str, StageState]
    catalog_version: str = ""
    """The latest snapshot of the brand list."""
    profiles: Mapping[str, Overrides] = field(default_factory=dict)
    """What each profile sets, as the pipeline's code has it."""

    def __bool__(self) -> bool:
        return any(state.attempts for state in self.stages.values())

    @property
    def catalogs(self) -> set[str]:
        """The snapshots of the brand list that this job was matched with, and the latest."""
        matched = (a.upstream.get(CATALOG, "") for a in self.stages[Stage.match_brands].attempts)
        return {version for version in (self.catalog_version, *matched) if version}

    def latest(self, stage: str) -> Attempt | None:
        """The newest attempt of ``stage``."""
        return next(iter(self.stages[stage].attempts), None)

    @property
    def reports(self) -> tuple[Attempt, ...]:
        """The attempts of the report, oldest first."""
        return self.stages[Stage.compile_report].attempts[::-1]

    def find(self, stage: str, attempt: str) -> Attempt | None:
        return next((a for a in self.stages[stage].attempts if a.attempt == attempt), None)

    def stale(self, stage: str) -> tuple[str, ...]:
        """Why the newest attempt of ``stage`` is not what it would be if it were made now; nothing = it is fresh.

        The rule is Dagster's: the code's version and the data of what it reads directly. Asking Dagster takes a second
        where there are thousands of jobs.
        """
        newest = self.latest(stage)
        if newest is None:
            return ()
        reasons = ["the code has changed"] if newest.code_version != self.stages[stage].code_version else []
        for name, version in newest.input_versions.items():
            if name == CATALOG and stage == Stage.match_brands and version != self.catalog_version:
                reasons.append("the brand list has changed")
            above = self.latest(name) if name in upstream_of(stage) else None  # a retry reads a stage below it, too
            if above and above.data_version != version:
                reasons.append(f"{name} has newer data")
        return tuple(reasons)

    def line_of(self, attempt: Attempt) -> dict[str, Attempt]:
        """``attempt`` and all its ancestors that are still known."""
        found = {s: self.find(s, name) for s, name in attempt.upstream.items() if s in LINE}
        return {**{s: a for s, a in found.items() if a}, attempt.stage: attempt}


def pinned(history: History, pins: Mapping[str, str]) -> dict[str, str]:
    """``pins`` with whole names: the first letters of an attempt's name do when they fit one only.

    Raises:
        BadInput: a name fits no attempt, or several.
    """
    whole = {}
    for stage, name in pins.items():
        if stage == CATALOG:
            known = sorted(history.catalogs)
        else:
            known = [a.attempt for a in history.stages[stage].attempts] if stage in history.stages else []
        whole[stage] = named(history.job_id, stage, known, name)
    return whole


def named(job_id: str, stage: str, known: Sequence[str], name: str) -> str:
    """The one of the attempts ``known`` that is called ``name``, or alone begins with it.

    Raises:
        BadInput: there is none, or several.
    """
    fits = [name] if name in known else [a for a in known if name and a.startswith(name)]
    if len(fits) != 1:
        raise BadInput(
            f"{job_id} has {'no' if not fits else f'{len(fits)}'} attempts {name!r} of {stage}.",
            f"brand-detect checkpoints {job_id} lists them",
        )
    return fits[0]


class Reported(Protocol):
    """An attempt of a job's report, as its manifest or Dagster's history has it."""

    @property
    def attempt(self) -> str: ...

    @property
    def failed_check(self) -> object:
        """The first blocking check that failed; false if none did."""
        ...


R = TypeVar("R", bound=Reported)


def report_of(job_id: str, reports: Sequence[R], attempt: str = "") -> R:
    """The report of a job that is meant: ``attempt``, its first letters do, or the newest whose blocking checks passed.

    ``reports`` are all of the job, oldest first.

    Raises:
        BadInput: there is none.
    """
    if not reports:
        raise BadInput(f"{job_id} has no report.", "submit its video first, or replay it")
    if attempt:
        name = named(job_id, Stage.compile_report, [r.attempt for r in reports], attempt)
        return next(r for r in reports if r.attempt == name)
    sound = [r for r in reports if not r.failed_check]
    if not sound:
        raise BadInput(f"{job_id} has no report whose checks passed.", "replay it, or name the attempt to take")
    return sound[-1]


def reports_to_compare(
    job_id: str,
    reports: Sequence[Reported],
    attempt: str = "",
    with_attempt: str = "",
    with_job: str = "",
    others: Sequence[Reported] = (),
) -> tuple[str, str]:
    """Which report is compared with which: the earlier side, and the later one.

    ``reports`` are those of the job and ``others`` those of ``with_job``, oldest first. Defaults, as ``report_of`` has
    them: the newest report, with the one before it, or with the newest of another job.

    Raises:
        BadInput: there is no such report, or none to compare with.
    """
    after = report_of(job_id, reports, attempt).attempt
    if with_attempt or with_job:
        return report_of(with_job or job_id, others if with_job else reports, with_attempt).attempt, after
    before: list[str] = []
    for report in reports:
        if report.attempt == after:
            break
        if not report.failed_check:
            before.append(report.attempt)
    if not before:
        only = "only one report so far" if len(reports) == 1 else f"no report before {after}"
        raise BadInput(f"{job_id} has {only}.", "replay it, or name a report or another job to compare with")
    return before[-1], after


def parent_of(history: History, start_stage: str, pins: Mapping[str, str]) -> Attempt:
    """The attempt that a replay from ``start_stage`` goes on from: the pinned one, else the latest.

    Raises:
        BadInput: there is none, or its blocking check failed and it was not pinned.
    """
    if start_stage not in STAGES:
        raise BadInput(f"There is no stage {start_stage!r} to start from.", f"the stages are {', '.join(STAGES)}")
    above = upstream_of(start_stage)
    may_pin = (*above[::-1], *([CATALOG] if Stage.match_brands in downstream_of(start_stage) else []))
    for stage in pins:
        if stage not in may_pin:
            raise BadInput(
                f"{stage!r} cannot be pinned in a replay from {start_stage}.", f"pin one of {', '.join(may_pin)}"
            )
    nearest = above[-1]
    # a pin further up names the lineage: its newest descendant goes on from it
    fits = (a for a in history.stages[nearest].attempts if pins.get(nearest, a.attempt) == a.attempt)
    named = next((a for a in fits if _made_from(a, pins)), None)
    if named is None:
        made = [s for s in above if s in STAGES and history.latest(s)]
        lineage = " made from the pinned attempts" if pins else ""
        raise BadInput(
            f"{history.job_id} has no checkpoint of {nearest}{lineage} to start from.",
            f"replay from {STAGES[STAGES.index(made[-1]) + 1] if made else Stage.extract_frames}"
            if history.latest(ROOT)
            else "submit the video",
        )
    if named.failed_check and nearest not in pins:
        raise BadInput(
            f"{nearest} {named.attempt} failed its check {named.failed_check}.",
            f"replay from {nearest}, or pin this attempt by name",
        )
    return named


def _made_from(attempt: Attempt, pins: Mapping[str, str]) -> bool:
    above = upstream_of(attempt.stage)
    return all(attempt.upstream.get(stage) == name for stage, name in pins.items() if stage in above)


def carried(history: History, start_stage: str, parent: Attempt, reset: Iterable[str] = ()) -> Overrides:
    """What was tuned in the stages from ``start_stage`` down, on the branch that goes on from ``parent``.

    Of each stage its newest attempt that descends from ``parent`` counts, else its newest of any branch. Retries of a
    night do not count: their params are the deployment's.
    """
    tuned: Overrides = {}
    for stage in downstream_of(start_stage):
        if stage in reset:
            continue
        attempts = [a for a in history.stages[stage].attempts if not a.offpeak]
        descends = (a for a in attempts if a.upstream.get(parent.stage) == parent.attempt)
        source = next(descends, None) or next(iter(attempts), None)
        if source and source.overrides:
            tuned[stage] = dict(source.overrides)
    return tuned


def merged(base: Overrides, new: Overrides) -> Overrides:
    """``new`` over ``base``, param by param."""
    return {stage: {**base.get(stage, {}), **new.get(stage, {})} for stage in (*base, *new)}


def inherited(history: History, attempt: Attempt, stage: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The params of ``stage`` that the profile and the job's request set, for the lineage of ``attempt``."""
    request = history.line_of(attempt).get(ROOT)
    if request is None:
        return {}, {}
    profile = history.profiles.get(str(request.params.get("profile")), {})
    return profile.get(stage, {}), (request.params.get("overrides") or {}).get(stage, {})


def reusable(
    history: History, start_stage: str, parent: Attempt, overrides: Overrides, catalog_version: str = ""
) -> dict[str, Attempt]:
    """The first stages from ``start_stage`` down whose result is there already, by stage.

    An attempt is taken if it is whole, has the recipe that would be carried out now, and was made from attempts that
    are taken as well. What would use models from outside the package is made again.
    ``catalog_version`` is what ``match_brands`` would read; default: the latest.
    """
    line, found = history.line_of(parent), {}
    if ROOT not in line:
        return {}
    alike: dict[str, set[str]] = {}
    for stage in downstream_of(start_stage):
        state = history.stages[stage]
        params = effective(stage, *inherited(history, parent, stage), overrides.get(stage, {}))
        if uses_outside_models(params):
            break
        catalog = catalog_version or history.catalog_version
        if stage != Stage.match_brands and Stage.match_brands in line:
            catalog = line[Stage.match_brands].input_versions.get(CATALOG, "")
        known = {s: a.data_version for s, a in line.items()} | {CATALOG: catalog}
        recipe = partial(recipe_of, stage, state.code_version, params.model_dump(mode="json"))
        same = [
            a
            for a in state.attempts
            if a.is_whole
            and a.recipe == recipe({name: known.get(name, "") for name in a.input_versions})
            and all(a.upstream.get(s) in names for s, names in alike.items())
        ]
        if not same:
            break
        alike[stage] = {a.attempt for a in same}
        line = history.line_of(same[0])
        found = {s: line[s] for s in alike if s in line}
    return found
