"""A job's tree of attempts, and what a new run inherits and reuses from it."""

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

LEFT = ("questions_left", "edge_intervals_left")
"""Figures of work that a stage could not do this time: a model or the video was not at hand."""


@dataclass(frozen=True)
class Attempt:
    """A checkpoint: one materialization of a stage for a job."""

    stage: str
    attempt: str
    run_id: str
    created_s: float
    """Seconds since 1970."""
    uri: str
    params: Mapping[str, Any]
    overrides: Mapping[str, Any]
    """Params set explicitly in the run's config."""
    upstream: Mapping[str, str]
    """Attempt of every ancestor, by stage, and the catalogue's version."""
    input_versions: Mapping[str, str]
    """Data version of every input, by name."""
    code_version: str
    data_version: str
    stage_s: float
    recipe: str = ""
    """Hash of everything that determines the result: equal recipes give equal data."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Row counts and figures of the run."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """For ``compile_report``: summary of brands and notes."""
    failed_check: str = ""
    warned_checks: str = ""
    """Non-blocking checks that failed, with their messages."""
    offpeak: str = ""
    """The date of the off-peak batch that made it, with the batch's params instead of the job's."""
    continues: str = ""
    """For a retry: the attempt of ``escalate_cloud`` whose answers it carried over."""

    @property
    def is_whole(self) -> bool:
        """Whether it passed its blocking checks, left nothing for another try, and is not a retry's."""
        return not (self.failed_check or self.continues or any(map(self.figures.get, LEFT)))

    @classmethod
    def of(cls, stage: str, run_id: str, reported_s: float, entries: Mapping[str, Any]) -> "Attempt":
        """Builds an attempt from a Dagster event: ``entries`` win over run and time, which a rebuild changes."""
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
    """The state of a stage for one job: its attempts, newest first."""

    stage: str
    attempts: tuple[Attempt, ...] = ()
    code_version: str = ""
    """Version of the current code."""

    @classmethod
    def of(
        cls,
        stage: str,
        code_version: str,
        events: Iterable[tuple[str, float, Mapping[str, Any]]],
        pruned: Collection[str],
    ) -> "StageState":
        """Builds the state from Dagster's events, as ``Attempt.of`` takes them; skips those without an attempt.

        ``pruned`` are the attempts that retention removed. A rebuild may have reported attempts twice and out of
        order.
        """
        made = (Attempt.of(stage, *event) for event in events if event[2].get("attempt") not in (None, *pruned))
        once = {a.attempt: a for a in made}
        return cls(stage, tuple(sorted(once.values(), key=lambda a: a.created_s, reverse=True)), code_version)


@dataclass(frozen=True)
class History:
    """All checkpoints of one job, from Dagster's event log."""

    job_id: str
    stages: Mapping[str, StageState]
    catalog_version: str = ""
    """Version of the latest snapshot of the brand list."""
    profiles: Mapping[str, Overrides] = field(default_factory=dict)
    """The overrides of each profile in the current code."""

    def __bool__(self) -> bool:
        return any(state.attempts for state in self.stages.values())

    @property
    def catalogs(self) -> set[str]:
        """Versions of the brand list that this job was matched with, and the latest."""
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
        """Why the newest attempt of ``stage`` is out of date; empty if it is fresh.

        Applies Dagster's rule: code version, and data versions of direct inputs. Asking Dagster itself takes a second
        with thousands of jobs.
        """
        newest = self.latest(stage)
        if newest is None:
            return ()
        reasons = ["the code has changed"] if newest.code_version != self.stages[stage].code_version else []
        for name, version in newest.input_versions.items():
            if name == CATALOG and stage == Stage.match_brands and version != self.catalog_version:
                reasons.append("the brand list has changed")
            above = self.latest(name) if name in upstream_of(stage) else None  # a retry also reads a stage below itself
            if above and above.data_version != version:
                reasons.append(f"{name} has newer data")
        return tuple(reasons)

    def line_of(self, attempt: Attempt) -> dict[str, Attempt]:
        """``attempt`` and all its ancestors that still exist, by stage."""
        found = {s: self.find(s, name) for s, name in attempt.upstream.items() if s in LINE}
        return {**{s: a for s, a in found.items() if a}, attempt.stage: attempt}


def pinned(history: History, pins: Mapping[str, str]) -> dict[str, str]:
    """Expands ``pins`` to full names: a unique prefix of an attempt's name is enough.

    Raises:
        BadInput: a name matches no attempt, or several.
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
    """The attempt among ``known`` with that name, or the only one whose name begins with it.

    Raises:
        BadInput: no attempt matches, or several do.
    """
    fits = [name] if name in known else [a for a in known if name and a.startswith(name)]
    if len(fits) != 1:
        raise BadInput(
            f"{job_id} has {'no' if not fits else f'{len(fits)}'} attempts {name!r} of {stage}.",
            f"brand-detect checkpoints {job_id} lists them",
        )
    return fits[0]


class Reported(Protocol):
    """An attempt of a job's report, from its manifest or from Dagster's history."""

    @property
    def attempt(self) -> str: ...

    @property
    def failed_check(self) -> object:
        """The first blocking check that failed; false if none did."""
        ...


R = TypeVar("R", bound=Reported)


def select_report(job_id: str, reports: Sequence[R], attempt: str = "") -> R:
    """Selects a job's report: ``attempt``, or a unique prefix of it; else the newest whose blocking checks passed.

    ``reports`` are all reports of the job, oldest first.

    Raises:
        BadInput: there is no such report.
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
    """Selects the two reports to compare: the earlier one and the later one.

    ``reports`` are those of the job, ``others`` those of ``with_job``, oldest first. The default is
    the newest sound report with the one before it, or with the newest of ``with_job``.

    Raises:
        BadInput: the named report does not exist, or there is none to compare with.
    """
    after = select_report(job_id, reports, attempt).attempt
    if with_attempt or with_job:
        return select_report(with_job or job_id, others if with_job else reports, with_attempt).attempt, after
    before: list[str] = []
    for report in reports:
        if report.attempt == after:
            break
        if not report.failed_check:
            before.append(report.attempt)
    if not before:
        if len(reports) > 1:
            hint = "replay it, or name a report or another job to compare with"
            raise BadInput(f"{job_id} has no report before {after} whose checks passed.", hint)
        hint = "replay it or apply corrections for a second one, or name another job to compare with"
        raise BadInput(f"{job_id} has only one report so far: there is nothing to compare it with.", hint)
    return before[-1], after


def parent_of(history: History, start_stage: str, pins: Mapping[str, str]) -> Attempt:
    """The attempt that a replay from ``start_stage`` continues from: the pinned one, else the latest.

    Raises:
        BadInput: there is no such attempt, or it failed a blocking check and was not pinned.
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
    # a pin further up selects a lineage: continue from its newest descendant
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
    """Overrides set earlier for the stages from ``start_stage`` down, on the branch of ``parent``.

    For each stage the newest attempt that descends from ``parent`` counts, else the newest on any branch. Off-peak
    retries do not count: their params are the deployment's.
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
    """Params of ``stage`` set by the profile and by the job's request, for the lineage of ``attempt``."""
    request = history.line_of(attempt).get(ROOT)
    if request is None:
        return {}, {}
    profile = history.profiles.get(str(request.params.get("profile")), {})
    return profile.get(stage, {}), (request.params.get("overrides") or {}).get(stage, {})


def reusable(
    history: History, start_stage: str, parent: Attempt, overrides: Overrides, catalog_version: str = ""
) -> dict[str, Attempt]:
    """Attempts that a replay from ``start_stage`` can reuse for its first stages, by stage.

    An attempt is reused if it is whole, has the recipe that would run now, and was made from reused attempts. Stages
    that use models from outside the package always run again.
    ``catalog_version`` is the version that ``match_brands`` would read; default: the latest.
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
