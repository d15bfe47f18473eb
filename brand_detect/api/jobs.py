"""Jobs: list, submit, watch, cancel, retry and replay, for people in a browser and for programs."""

import base64
import hashlib
from collections.abc import Sequence
from functools import partial
from importlib import resources
from threading import Lock
from typing import Annotated, Any

import anyio
import yaml
from fastapi import Depends, Path, Query, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from brand_detect.api.access import Access
from brand_detect.api.answers import Endpoints, Warnings, problems, unknown_like
from brand_detect.api.detect import ConfigOverrides, Key, ReplayOptions
from brand_detect.api.guard import CSP, policy
from brand_detect.api.job_list import Job, JobList, JobPage, Sort, State
from brand_detect.api.states import waits_for
from brand_detect.api.stored import Conflict, NotThere
from brand_detect.api.stored_jobs import StoredJobs
from brand_detect.api.uploads import probed
from brand_detect.client import LONGEST_DELAY_S, Client, Run
from brand_detect.domain.errors import BadInput, BrandDetectError, Transient
from brand_detect.domain.history import History
from brand_detect.domain.job import check_job_id
from brand_detect.domain.launch import ReplayRequest, plan_replay
from brand_detect.domain.media import content_sha256, default_job_id, file_name
from brand_detect.domain.pipeline import STAGES
from brand_detect.domain.protocols import Decoder
from brand_detect.report.home import render_home, render_jobs, render_replay
from brand_detect.storage.media import MediaFiles

JOBS = "/jobs"
MOST_REPLAYS = 500
"""Limit of jobs that one request replays."""
EXAMPLE_RUN = "0d5c1f0e-6f0b-4a53-9d0a-3a8f0c6b7e21"
KEEP = {"Cache-Control": "private, max-age=86400, immutable"}
"""For pictures under an address that names their attempt."""

JobId = Annotated[str, Path(openapi_examples={"job": {"value": "final-1a2b3c4d"}})]


class NewJob(BaseModel):
    video_uri: str = Field(
        max_length=4000,
        description="a path or URI within BRAND_DETECT_MEDIA_ROOTS, such as the `video_uri` of a finished upload",
        examples=["s3://media/final.mp4"],
    )
    job_id: str = Field("", description="default, for local files: made of the file's name and content")
    profile: str = Field("default", description="a profile's name: see `GET /profiles`", examples=["soccer_broadcast"])
    config_overrides: ConfigOverrides = None


class Launched(BaseModel):
    job_id: str = Field(examples=["final-1a2b3c4d"])
    run_id: str = Field(description="the run, which `GET /jobs/{job_id}` follows", examples=[EXAMPLE_RUN])
    status: str = Field(description="held, or Dagster's: queued, starting, …", examples=["queued"])
    warnings: Warnings = Field(default=[], examples=[[]])


class NewReplay(ReplayOptions):
    hold_s: float = Field(
        0.0, ge=0, le=LONGEST_DELAY_S, allow_inf_nan=False, description="time to hold it in the queue, in seconds"
    )


class NewReplays(NewReplay):
    job_ids: list[str] = Field(min_length=1, max_length=MOST_REPLAYS, examples=[["final-1a2b3c4d"]])


class Refused(BaseModel):
    job_id: str = Field(examples=["final-1a2b3c4d"])
    detail: str = Field(description="why", examples=["There is no job final-1a2b3c4d."])
    hint: str = Field(description="what may help, or empty", examples=[""])


class Replays(BaseModel):
    queued: list[Launched]
    refused: list[Refused] = Field(examples=[[]])
    warnings: Warnings = Field(default=[], examples=[[]])


class Profile(BaseModel):
    name: str = Field(examples=["fast"])
    description: str = Field(examples=["For a first look or a large archive: …"])


def profiles() -> list[Profile]:
    """The packaged profiles, ``default`` first."""
    folder = resources.files("brand_detect") / "profiles"
    found = [
        Profile(
            name=file.name.removesuffix(".yaml"),
            description=yaml.safe_load(file.read_text(encoding="utf-8"))["description"],
        )
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    ]
    return sorted(found, key=lambda profile: (profile.name != "default", profile.name))


class Submissions:
    """Checks a video before a job over it is queued."""

    def __init__(self, client: Client, jobs: JobList, stored: StoredJobs, media: MediaFiles, decoder: Decoder) -> None:
        self._client, self._jobs, self._stored, self._media, self._decoder = client, jobs, stored, media, decoder
        self._launching = Lock()

    def launch(self, asked: NewJob, key: str) -> Run:
        """
        Raises:
            BadInput: it is no video, or what was asked for is wrong.
            Conflict: the job has an unfinished run of another request, or belongs to another video.
        """
        if asked.job_id and self._is_repeated(asked.job_id, key):  # its video may be gone by now
            return self._submit(asked, asked.job_id, key)
        probed(self._media, self._decoder, asked.video_uri)
        job_id = check_job_id(asked.job_id or self._job_id(asked.video_uri))
        known = self._stored.request(job_id)
        if known and known.video_uri != asked.video_uri and known.video_sha256 != self._sha256(asked.video_uri):
            raise Conflict(f"The job {job_id} belongs to another video, {file_name(known.video_uri)}: name another id.")
        with self._launching:  # no other thread may launch between check and launch
            run = self._jobs.unfinished(job_id)
            if run and not self._is_repeated(job_id, key):
                raise Conflict(f"{job_id} is not finished yet: {waits_for(run)}.")
            return self._submit(asked, job_id, key)

    def _is_repeated(self, job_id: str, key: str) -> bool:
        return bool(key) and self._client.was_asked(job_id, key)

    def _submit(self, asked: NewJob, job_id: str, key: str) -> Run:
        return self._client.submit(
            asked.video_uri, job_id=job_id, profile=asked.profile, overrides=asked.config_overrides, key=key
        )

    def _job_id(self, video_uri: str) -> str:
        if "://" in self._media.check(video_uri):
            raise BadInput("A video at a remote address needs a job id.", "name one, such as final-2026")
        return default_job_id(file_name(video_uri).rpartition(".")[0], self._sha256(video_uri))

    def _sha256(self, video_uri: str) -> str:
        with self._media.open(video_uri) as file:
            return content_sha256(file)[0]


def list_router(jobs: JobList, stored: StoredJobs, may_see: Sequence[Dependency]) -> Endpoints:
    """The endpoints that tell of jobs, for programs and for the pages."""
    router = Endpoints(tags=["jobs"], dependencies=may_see)

    @router.get("/profiles")
    def profiles_() -> list[Profile]:
        """The profiles: sets of params for kinds of footage."""
        return profiles()

    @router.get(JOBS, responses=problems(503))
    def listed(
        q: Annotated[str, Query(max_length=200, description="words that id or video name contain")] = "",
        state: Annotated[State | None, Query(description="only jobs in this state")] = None,
        sort: Sort = Sort.newest,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        after: Annotated[str, Query(max_length=128, description="with `sort=id`: only jobs behind this id")] = "",
    ) -> JobPage:
        """A page of the jobs with their states and, while they run, their progress.

        Pages by number repeat or pass over jobs that move meanwhile, as a replay moves one in the order of time. To
        read all, ask by `sort=id`, each time `after` the last id of the answer before, until `jobs` is empty.
        """
        return jobs.page(text=q, state=state, sort=sort, page=page, after=after)

    @router.get(f"{JOBS}/{{job_id}}", responses=problems(404, 503))
    def job(job_id: JobId) -> Job:
        """One job with its state and, while it runs, its progress."""
        return jobs.job(job_id)

    @router.get("/reports/{job_id}/thumbnail.jpg", include_in_schema=False)
    def thumbnail(job_id: str, of: str = "") -> Response:
        return Response(stored.thumbnail(job_id, of), media_type="image/jpeg", headers=KEEP)

    return router


def job_router(
    client: Client,
    jobs: JobList,
    submissions: Submissions,
    launching: anyio.CapacityLimiter,
    may_change: Sequence[Dependency],
) -> Endpoints:
    """The endpoints that start and stop runs, for programs and for the pages."""
    router = Endpoints(tags=["jobs"], dependencies=may_change)

    @router.post(JOBS, status_code=202, responses=problems(403, 409, 415, 503))
    async def submit(
        asked: NewJob, warnings: Annotated[list[str], Depends(unknown_like(NewJob))], idempotency_key: Key = ""
    ) -> Launched:
        """Check a video and queue a job over it, unless the job has an unfinished run."""
        run = await anyio.to_thread.run_sync(submissions.launch, asked, idempotency_key, limiter=launching)
        return _launched(run, warnings)

    @router.post(f"{JOBS}/{{job_id}}/cancel", responses=problems(403, 404, 409, 415, 503))
    async def cancel(job_id: JobId) -> Launched:
        """Cancel the job's newest run, queued, held or running."""
        run = await run_in_threadpool(jobs.unfinished, job_id)
        if run is None:
            found = await run_in_threadpool(jobs.job, job_id)
            raise Conflict(f"{job_id} is not running: {found.state}.")
        if run.ended and not run.retried_as:
            raise Conflict(f"{job_id} has failed and is about to be executed again: cancel it in a moment.")
        run_id = run.retried_as or run.run_id
        return _launched(await anyio.to_thread.run_sync(client.cancel, run_id, limiter=launching))

    @router.post(f"{JOBS}/{{job_id}}/retry", status_code=202, responses=problems(403, 404, 409, 415, 503))
    async def retry(job_id: JobId) -> Launched:
        """Execute the rest of a failed or cancelled run again, with the same params; finished stages are kept."""
        found = await run_in_threadpool(jobs.job, job_id)
        if found.run_id is None or found.state not in (State.failed, State.cancelled):
            raise Conflict(f"{job_id} has not failed: {found.state}.")
        return _launched(await anyio.to_thread.run_sync(client.rerun, found.run_id, limiter=launching))

    @router.post(f"{JOBS}/{{job_id}}/replay", status_code=202, responses=problems(403, 415, 503))
    async def replay(
        job_id: JobId,
        asked: NewReplay,
        warnings: Annotated[list[str], Depends(unknown_like(NewReplay))],
        idempotency_key: Key = "",
    ) -> Launched:
        """Queue a run of a stage and all below it, and answer at once."""
        launch = partial(asked.launch, client, job_id, idempotency_key, asked.hold_s)
        return _launched(await anyio.to_thread.run_sync(launch, limiter=launching), warnings)

    @router.post(f"{JOBS}/replay", status_code=202, responses=problems(403, 415))
    async def replay_many(
        asked: NewReplays,
        warnings: Annotated[list[str], Depends(unknown_like(NewReplays))],
        idempotency_key: Key = "",
    ) -> Replays:
        """Queue the same replay of many jobs, one after the other, a second or two each.

        The service goes on if the caller leaves before the answer, but not if it is itself stopped, and once Dagster is
        out of reach it refuses the rest. The same request with the same idempotency key queues what is missing, and
        nothing twice.
        """
        replay_all = partial(_replay_all, client, asked, idempotency_key)
        queued, refused = await anyio.to_thread.run_sync(replay_all, limiter=launching)
        return Replays(queued=queued, refused=refused, warnings=warnings)

    return router


def _replay_all(client: Client, asked: NewReplays, key: str) -> tuple[list[Launched], list[Refused]]:
    queued, refused = [], []
    job_ids = list(dict.fromkeys(asked.job_ids))
    for at, job_id in enumerate(job_ids):
        try:
            queued.append(_launched(asked.launch(client, job_id, key and f"{key}/{job_id}", asked.hold_s)))
        except Transient as e:  # it concerns the rest as well
            return queued, refused + [_refused(other, e) for other in job_ids[at:]]
        except BrandDetectError as e:
            refused.append(_refused(job_id, e))
    return queued, refused


def _refused(job_id: str, error: BrandDetectError) -> Refused:
    return Refused(job_id=job_id, detail=str(error), hint=error.hint)


def home_router(client: Client, jobs: JobList, access: Access, uploads: dict[str, Any]) -> Endpoints:
    """The pages; redirects to the login if needed. ``uploads`` says what may be uploaded."""
    router = Endpoints(include_in_schema=False)

    @router.get("/")
    @router.get("/reports")
    def home(
        request: Request, q: str = "", state: str = "", sort: str = "", page: str = "1", part: str = ""
    ) -> Response:
        if not access.may_enter(request):
            return access.to_login(request)
        asked = {
            "q": q[:200],
            "state": state if state in tuple(State) else "",
            "sort": sort if sort in tuple(Sort) else Sort.newest.value,
        }
        found = jobs.page(
            text=asked["q"],
            state=State(asked["state"]) if asked["state"] else None,
            sort=Sort(asked["sort"]),
            page=int(page) if page.isdecimal() and len(page) < 7 else 1,
        ).model_dump(mode="json")
        if part:
            return HTMLResponse(render_jobs(found, asked))
        return page_of(*render_home(found, asked, [p.model_dump() for p in profiles()], uploads))

    @router.get("/reports/{job_id}/replay")
    def replay(request: Request, job_id: str, start: str = "") -> Response:
        if not access.may_enter(request):
            return access.to_login(request)
        found = jobs.job(job_id)
        history = client.checkpoints(job_id)
        if not history:
            raise NotThere(f"{job_id} has no checkpoint to start from.")
        return page_of(*render_replay(found.model_dump(mode="json"), _planned(history), start))

    return router


def _planned(history: History) -> dict[str, dict[str, dict[str, Any]]]:
    """For each stage that a replay can begin with: the params of the stages that run, if none is changed.

    Raises:
        BadInput: no replay is possible.
    """
    planned, refused = {}, None
    for start in STAGES:
        try:
            params = plan_replay(history, ReplayRequest(start)).params
        except BadInput as e:
            refused = e
        else:
            planned[start] = {stage: own.model_dump(mode="json") for stage, own in params.items()}
    if refused and not planned:
        raise refused
    return planned


def page_of(html: str, scripts: Sequence[str]) -> Response:
    """A page that may run only these scripts, and load only from this service."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts]
    return HTMLResponse(html, headers={CSP: policy(hashes, forms=True)})


def _launched(run: Run, warnings: Sequence[str] = ()) -> Launched:
    return Launched(job_id=run.job_id, run_id=run.run_id, status=run.status, warnings=list(warnings))
