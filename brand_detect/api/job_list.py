"""All jobs with their states, from Dagster's runs and the store, held in memory and kept up to date.

Nothing is stored: a new process reads everything again, 2,000 runs in a second or two.
"""

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from threading import Lock, Thread

from pydantic import BaseModel, ConfigDict, Field

from brand_detect.api.states import waits_for
from brand_detect.api.stored import NotThere
from brand_detect.api.stored_jobs import StoredJobs, Summary
from brand_detect.client import PAGE_OF_RUNS, Client, Run, RunLog
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.job import JobRequest
from brand_detect.domain.media import file_name
from brand_detect.domain.pipeline import LINE, Stage
from brand_detect.storage.blobs import concurrently

OVERLAP_S = 5.0
"""How far back each poll looks, for changes that were committed late."""
RELOAD_S = 900.0
"""Age at which all runs are read again: some may have been deleted."""
STORED_S = 60.0
"""Time for which what is stored of other jobs is reused."""
LOOKED_S = 1800.0
"""Longest time for which the report and the request of a finished job without a run are reused. After a rebuild all
jobs are such: a look costs several requests on S3, and finds the same but for another Dagster's work in the store."""
NAMES_S = 10.0
"""Time for which the names of the stored jobs, and what is stored of one with an unfinished run, are reused."""
FOLLOWED_S = 1.0
"""Time for which the progress of a run is reused: each page asks for every run on it."""
WAIT_S = 5.0
"""Longest wait for an answer of Dagster that another request has asked for."""
DELETED_S = 60.0
"""Age of a successful run without files at which its job counts as deleted."""
PAGE = 50
"""Jobs on a page."""
MOST_BRANDS = 3
"""Brands listed with a job."""


Reason = tuple[str, str]
"""Why a run failed: a sentence, and a hint that may be empty."""


class State(StrEnum):
    """The state of a job as its newest run has it."""

    queued = "queued"
    held = "held"
    running = "running"
    failed = "failed"
    cancelled = "cancelled"
    done = "done"
    no_report = "no report"


ACTIVE = (State.queued, State.held, State.running)
LIVE = (State.queued, State.running)
"""The states that change by themselves within seconds."""


class StageProgressInfo(BaseModel):
    done: float = Field(description="what is done of the running stage")
    total: float = Field(description="of how much; 0 = unknown")
    unit: str = Field(description="what is counted: frames, seconds of video, questions")
    rate: float = Field(description="units per second since the stage began")
    left_s: float | None = Field(description="time left in the stage at this rate, in seconds")


class BrandSeconds(BaseModel):
    brand: str
    seconds: float = Field(description="time on screen, in seconds")


EXAMPLE = {
    "job_id": "final-1a2b3c4d",
    "video": "final.mp4",
    "video_s": 5400.0,
    "state": "running",
    "says": "finding text and logos, step 3 of 8",
    "run_id": "0d5c1f0e-6f0b-4a53-9d0a-3a8f0c6b7e21",
    "stage": "detect_objects",
    "stages": list(LINE),
    "done": list(LINE[:3]),
    "progress": {"done": 1200.0, "total": 4800.0, "unit": "frames", "rate": 10.0, "left_s": 360.0},
    "created_s": 1796003332.3,
    "not_before_s": None,
    "report": None,
    "compare": None,
    "brands": [],
    "n_brands": 0,
    "unresolved": 0,
    "losses": [],
    "thumbnail": "/reports/final-1a2b3c4d/thumbnail.jpg?of=0d5c1f0e-6f0b-4a53-9d0a-3a8f0c6b7e21-0",
}


class Job(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    job_id: str
    video: str = Field(description="name of the video; empty until the job's first stage has read it")
    video_s: float | None = Field(description="the video's duration, in seconds")
    state: State
    says: str = Field(description="the state in words, with the reason of a failure")
    run_id: str | None = Field(description="the newest run that makes a report")
    stage: str | None = Field(description="the stage that is running or failed")
    stages: list[str] = Field(description="the stages of that run")
    done: list[str] = Field(description="its finished stages, while it runs")
    progress: StageProgressInfo | None = Field(description="progress of the running stage, once it is known")
    created_s: float = Field(description="when that run was created or, without one, the report; seconds since 1970")
    not_before_s: float | None = Field(description="when a held run is due, in seconds since 1970")
    report: str | None = Field(description="address of the newest report's page")
    compare: str | None = Field(description="address of its comparison with the report before, if there is one")
    brands: list[BrandSeconds] = Field(description=f"the {MOST_BRANDS} brands longest on screen")
    n_brands: int = Field(description="number of brands in the report")
    unresolved: int = Field(description="number of unresolved clusters in the report")
    losses: list[str] = Field(description="lost parts of the video and of the corrections, with the reasons")
    thumbnail: str | None = Field(description="address of a small picture of the video")


class JobPage(BaseModel):
    jobs: list[Job]
    total: int = Field(description="number of jobs that match")
    page: int = Field(description="from 1")
    pages: int
    counts: dict[State, int] = Field(description="number of jobs by state, before `state` is applied")
    note: str = Field(description="why the list may be incomplete; usually empty")
    live: bool = Field(description="whether a job is queued or running")


class Sort(StrEnum):
    newest = "newest"
    oldest = "oldest"
    by_name = "name"
    by_id = "id"
    """The only order in which no job ever moves."""


@dataclass(frozen=True)
class _Known:
    """What the list knows of a job without opening its files."""

    job_id: str
    state: State
    created_s: float
    run: Run | None = None

    @property
    def as_of(self) -> tuple[str, str]:
        """Id and status of its run: what is stored may change with them."""
        return (self.run.run_id, self.run.status) if self.run else ("", "")


@dataclass(frozen=True)
class _Files:
    """What is stored of a job."""

    as_of: tuple[str, str]
    until: float
    """Until when it holds, on the monotonic clock."""
    summary: Summary | None
    frames: str
    """The attempt of ``extract_frames`` whose pictures stand for the job, or empty."""
    damage: str
    """Why the report cannot be read, or empty."""


@dataclass(frozen=True)
class _Asked:
    """The stored request of a job."""

    as_of: tuple[str, str]
    until: float
    """Until when it holds, on the monotonic clock."""
    request: JobRequest


def _kept_s(known: _Known) -> float:
    """Time for which what is stored of a job is reused."""
    if known.run is None and known.state is State.done:
        return random.uniform(LOOKED_S / 2, LOOKED_S)  # not all fall due at once
    return NAMES_S if known.state in ACTIVE else STORED_S


class Runs:
    """The newest run of each job that makes a report. Safe to share between threads."""

    def __init__(self, client: Client) -> None:
        self._client, self._lock = client, Lock()
        self._newest: dict[str, Run] = {}
        self._last: tuple[dict[str, Run], str] = {}, ""
        self._asked_s = 0.0
        self._until_s = 0.0
        self._reload_s = 0.0

    def newest(self) -> tuple[dict[str, Run], str]:
        """By job, and why they are not up to date, or "": asks Dagster for what changed since the last call.

        Callers that come while Dagster is asked share the next answer, and wait for it for ``WAIT_S`` at most.
        """
        came_s = time.monotonic()
        if not self._lock.acquire(timeout=WAIT_S):
            return self._last[0], "Dagster's webserver has not answered yet."
        try:
            if self._asked_s <= came_s:
                self._asked_s = time.monotonic()
                try:
                    self._last = self._changed(), ""
                except (Permanent, Transient) as e:
                    self._last = self._last[0], str(e)
            return self._last
        finally:
            self._lock.release()

    def _changed(self) -> dict[str, Run]:
        lost = any(run.is_lost for run in self._newest.values())  # they hide the runs before them
        if lost or not self._reload_s:
            self._newest, self._until_s = self._read({}, 0.0)
            self._reload_s = time.monotonic() + RELOAD_S
        else:
            if time.monotonic() > self._reload_s:
                self._reload_s = time.monotonic() + RELOAD_S
                Thread(target=self._read_all, args=(self._until_s,), daemon=True).start()
            self._newest, self._until_s = self._read(self._newest, self._until_s)
        return self._newest

    def _read_all(self, until_s: float) -> None:
        """Reads all runs again, while others are answered with what changed; what changes meanwhile, since ``until_s``,
        is asked for once more."""
        with suppress(Permanent, Transient):  # in a while the next one is due
            newest, _ = self._read({}, 0.0)
            with self._lock:
                self._newest, self._until_s = newest, until_s

    def _read(self, known: Mapping[str, Run], since_s: float) -> tuple[dict[str, Run], float]:
        """``known`` with what has changed since ``since_s``, and the time of the last change."""
        newest, after, until_s = dict(known), "", since_s
        while page := self._client.changed(max(0.0, since_s - OVERLAP_S), after):
            for run in page:
                other = newest.get(run.job_id)
                newer = other is None or (run.created_s, run.run_id) >= (other.created_s, other.run_id)
                if run.job_id and Stage.compile_report in run.stages and not run.is_lost and newer:
                    newest[run.job_id] = run
                until_s = max(until_s, run.updated_s)
            if len(page) < PAGE_OF_RUNS:
                break
            after = page[-1].run_id
        return newest, until_s


class JobList:
    """The jobs of a store and of Dagster. Safe to share between threads."""

    def __init__(self, client: Client, stored: StoredJobs) -> None:
        self._client, self._stored, self._runs = client, stored, Runs(client)
        self._logs: dict[str, tuple[float, RunLog]] = {}  # with the time until which it holds
        self._names: frozenset[str] = frozenset()
        self._names_until = 0.0
        self._looked: dict[str, tuple[float, _Known]] = {}
        self._files: dict[str, _Files] = {}
        self._requests: dict[str, _Asked] = {}
        self._reasons: dict[str, Reason] = {}  # of failed runs

    def page(
        self,
        *,
        text: str = "",
        state: State | None = None,
        sort: Sort = Sort.newest,
        page: int = 1,
        after: str = "",
    ) -> JobPage:
        """A page of the jobs whose name or id contains ``text``, and which have ``state`` if it is given.

        ``after`` leaves out the jobs up to this id, which need not exist.

        Raises:
            BadInput: ``after`` with another order than that of ids.
        """
        if after and sort is not Sort.by_id:
            raise BadInput(f"Jobs after {after[:128]} are known in the order of ids alone.", "add sort=id")
        known, note = self._known()
        if text:
            wanted = text.casefold().split()
            self._read_requests(known)
            known = [
                k for k in known if all(word in f"{k.job_id} {self._video(k.job_id)}".casefold() for word in wanted)
            ]
        counts = {s: sum(k.state is s for k in known) for s in State}
        listed = [k for k in known if k.job_id > after and (state is None or k.state is state)]
        if sort is Sort.by_id:
            listed.sort(key=lambda k: k.job_id)
        elif sort is Sort.by_name:
            self._read_requests(listed)
            listed.sort(key=lambda k: ((self._video(k.job_id) or k.job_id).casefold(), k.job_id))
        else:
            listed.sort(key=lambda k: (k.created_s, k.job_id), reverse=sort is Sort.newest)
        pages = max(1, -(-len(listed) // PAGE))
        page = min(max(1, page), pages)
        shown = listed[(page - 1) * PAGE : page * PAGE]
        self._read_requests(shown)
        reasons = self._read_reasons(shown)
        return JobPage(
            jobs=list(concurrently(partial(self._job, follow=not note, reasons=reasons), shown)),
            total=len(listed),
            page=page,
            pages=pages,
            counts=counts,
            note=note,
            live=any(counts[s] for s in LIVE),
        )

    def job(self, job_id: str) -> Job:
        """One job; while Dagster is out of reach, one without a report says so.

        Raises:
            NotThere: there is none.
            Transient: Dagster is out of reach, and nothing else knows it.
        """
        if looked := self._looked.get(job_id):  # who asks for it alone sees what another Dagster did meanwhile
            self._looked[job_id] = 0.0, looked[1]
            if asked := self._requests.get(job_id):
                self._requests[job_id] = replace(asked, until=0.0)
        known, note = self._known()
        found = next((k for k in known if k.job_id == job_id), None)
        if found is None:
            if note:
                raise Transient(note)
            raise NotThere(f"There is no job {job_id[:128]}.")
        self._read_requests([found])
        job = self._job(found, follow=not note, reasons=self._read_reasons([found]))
        return job.model_copy(update={"says": note}) if note and not job.report else job

    def of_video(self, sha256: str) -> list[str]:
        """The jobs whose video has this content, as far as their first stage has read it."""
        known, _ = self._known()
        self._read_requests(known)
        requests = ((k.job_id, self._requests.get(k.job_id)) for k in known)
        return sorted(
            job_id
            for job_id, asked in requests
            if (asked.request.video_sha256 == sha256 if asked else job_id.endswith(f"-{sha256[:8]}"))
        )

    def unfinished(self, job_id: str) -> Run | None:
        """The job's newest run while it is queued, held or running, or will be executed again."""
        known, _ = self._known()
        return next((k.run for k in known if k.job_id == job_id and k.state in ACTIVE), None)

    def _known(self) -> tuple[list[_Known], str]:
        """Every job, and a note if Dagster is out of reach."""
        runs, reason = self._runs.newest()
        note = f"The states of jobs are not up to date: {reason}" if reason else ""
        now = time.monotonic()
        if now > self._names_until:
            self._names, self._names_until = frozenset(self._stored.jobs()), now + NAMES_S
        names = self._names
        found = [
            _Known(job_id, _state_of(run), run.created_s, run)
            for job_id, run in runs.items()
            if job_id in names or run.status != "success" or time.time() - (run.ended_s or 0.0) < DELETED_S
        ]
        others = [job_id for job_id in names if job_id not in runs]
        old = [job_id for job_id in others if self._looked.get(job_id, (0.0, None))[0] < now]
        for looked in concurrently(self._look, old):
            self._looked[looked.job_id] = now + _kept_s(looked), looked
        active = {run.run_id for run in runs.values() if not run.ended}
        for run_id in list(self._logs):
            if run_id not in active:
                self._logs.pop(run_id, None)
        newest = {run.run_id for run in runs.values()}
        for run_id in [run_id for run_id in list(self._reasons) if run_id not in newest]:
            self._reasons.pop(run_id, None)
        known = [*found, *(looked[1] for job_id in others if (looked := self._looked.get(job_id)))]
        listed = {k.job_id for k in known}
        for kept in (self._looked, self._files, self._requests):
            for job_id in [job_id for job_id in list(kept) if job_id not in listed]:
                kept.pop(job_id, None)
        return known, note

    def _look(self, job_id: str) -> _Known:
        """A job that Dagster has no run of: its history may be lost."""
        try:
            made = self._stored.newest(job_id)
        except Permanent:  # damaged
            return _Known(job_id, State.failed, 0.0)
        if made is None:
            return _Known(job_id, State.no_report, 0.0)
        return _Known(job_id, State.done, datetime.fromisoformat(made.created).timestamp())

    def _video(self, job_id: str) -> str:
        asked = self._requests.get(job_id)
        return file_name(asked.request.video_uri) if asked else ""

    def _read_requests(self, known: Iterable[_Known]) -> None:
        """Read what was asked for; a job whose first stage has not run is asked for again next time."""
        now = time.monotonic()
        read = ((k, self._requests.get(k.job_id)) for k in known)
        old = [k for k, asked in read if asked is None or asked.as_of != k.as_of or asked.until < now]
        for k, request in zip(old, concurrently(self._stored.request, [k.job_id for k in old]), strict=True):
            if request:  # a run that has ended writes no other one
                kept_s = math.inf if k.run and k.state not in ACTIVE else _kept_s(k)
                self._requests[k.job_id] = _Asked(k.as_of, now + kept_s, request)

    def _read_reasons(self, known: Iterable[_Known]) -> dict[str, Reason]:
        """Why the failed runs failed, by run; those that nobody asked for before are asked for by one question."""
        failed = [k.run.run_id for k in known if k.run and k.state is State.failed]
        told = {run_id: reason for run_id in failed if (reason := self._reasons.get(run_id))}
        new = [run_id for run_id in failed if run_id not in told]
        return told | (self._asked_reasons(new) if new else {})

    def _asked_reasons(self, run_ids: Sequence[str]) -> dict[str, Reason]:
        try:
            found = self._client.reasons(run_ids)
        except Permanent as e:
            if len(run_ids) > 1:  # one damaged run does not hide the reasons of the others
                return {run_id: reason for one in run_ids for run_id, reason in self._asked_reasons([one]).items()}
            found = dict.fromkeys(run_ids, _unknown(e))
        except BrandDetectError as e:
            return dict.fromkeys(run_ids, _unknown(e))
        self._reasons |= found
        return dict.fromkeys(run_ids, _unknown("Dagster no longer has the run.")) | found

    def _job(self, known: _Known, follow: bool, reasons: Mapping[str, Reason]) -> Job:
        run, job_id = known.run, known.job_id
        asked = self._requests.get(job_id)
        failed, log = "", RunLog()
        files = self._files_of(known)
        summary, says = files.summary, files.damage
        if known.state is State.running and run:
            log = self._follow(run, ask=follow)
            run = replace(run, done=log.done)
        if run and known.state is State.failed:
            failed, says = _why(*reasons[run.run_id])
        elif run and known.state in ACTIVE:
            says = waits_for(run)
        elif known.state is State.done and summary is None and not says:
            says = "done, but the report is missing: replay it from compile_report"
        elif known.state is State.no_report:
            says = "there is no report, and Dagster has no run that would make one: replay the job"
        progress = log.progress
        return Job(
            job_id=job_id,
            video=self._video(job_id),
            video_s=asked.request.probe.duration_s if asked else None,
            state=known.state,
            says=says or known.state.value,
            run_id=run.run_id if run else None,
            stage=log.stage or failed or None,
            stages=list(run.stages) if run else [],
            done=list(log.done),
            progress=progress and StageProgressInfo.model_validate(progress, from_attributes=True),
            created_s=known.created_s,
            not_before_s=run.not_before_s if run and known.state is State.held else None,
            report=f"/reports/{job_id}" if summary else None,
            compare=f"/compare?job={job_id}" if summary and summary.has_earlier else None,
            brands=[BrandSeconds(brand=b, seconds=s) for b, s in summary.top[:MOST_BRANDS]] if summary else [],
            n_brands=summary.n_brands if summary else 0,
            unresolved=summary.unresolved if summary else 0,
            losses=list(summary.losses) if summary else [],
            thumbnail=f"/reports/{job_id}/thumbnail.jpg?of={files.frames}" if files.frames else None,
        )

    def _files_of(self, known: _Known) -> _Files:
        """What is stored of a job; looked up again when its run has another state, or after a while."""
        now = time.monotonic()
        files = self._files.get(known.job_id)
        if files is None or files.as_of != known.as_of or files.until < now:
            summary, damage = None, ""
            try:
                summary = self._stored.summary(known.job_id)
            except Permanent as e:
                damage = str(e)
            frames = summary.frames if summary else self._stored.frames(known.job_id)
            until = now + (NAMES_S if known.state in ACTIVE else STORED_S)
            files = self._files[known.job_id] = _Files(known.as_of, until, summary, frames, damage)
        return files

    def _follow(self, run: Run, *, ask: bool) -> RunLog:
        """The progress of a run; the last known one if Dagster does not answer, or is being asked by another thread."""
        until, log = self._logs.get(run.run_id, (0.0, RunLog()))
        if ask and until < time.monotonic():
            self._logs[run.run_id] = math.inf, log
            try:
                with suppress(Permanent, Transient):  # the next poll asks again
                    log = self._client.progress(run.run_id, log)
            finally:
                self._logs[run.run_id] = time.monotonic() + FOLLOWED_S, log
        return log


def _unknown(cause: object) -> Reason:
    return f"The reason is unknown: {cause}", ""


def _why(sentence: str, hint: str) -> tuple[str, str]:
    """The stage that failed, "" if it was none, and the reason with its hint."""
    stage, colon, rest = sentence.partition(": ")
    if not (colon and stage in LINE):
        stage, rest = "", sentence
    return stage, f"{rest} {hint[:1].upper()}{hint[1:]}".strip()


def _state_of(run: Run) -> State:
    if run.status == "held":
        return State.held
    if run.status in ("queued", "not_started"):
        return State.queued
    if run.status == "failure":
        return State.running if run.retried_as or run.will_retry else State.failed
    return {"success": State.done, "canceled": State.cancelled}.get(run.status, State.running)
