"""Turns each complete video in the inbox into a job, in ticks of bounded length.

Dagster writes a sensor's cursor into the row of each tick, so the cursor holds only the files taken by that tick.
Everything else is kept under ``STATE`` in the instance's cursor storage; the next tick adds the taken files to it, if
Dagster has created their runs by then.
"""

import hashlib
import json
import logging
import time
from base64 import urlsafe_b64encode
from codecs import BOM_UTF8
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brand_detect.domain.contracts import check_overrides, effective
from brand_detect.domain.errors import BadInput, BrandDetectError
from brand_detect.domain.job import Overrides, check_job_id
from brand_detect.domain.kubernetes import pod_tags
from brand_detect.domain.media import default_job_id
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES
from brand_detect.domain.protocols import Media
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import ORPHAN_S, PARTITION, VIDEO
from brand_detect.orchestration.lineage import latest
from brand_detect.orchestration.partitions import JOBS
from brand_detect.orchestration.profiles import load_profile
from brand_detect.orchestration.resources import Services
from brand_detect.storage.inbox import Entry, Inbox
from brand_detect.storage.media import MediaFiles

STATE = "brand_detect/inbox"
"""Key of the inbox's state in the instance's cursor storage."""
MOST_RUNS = 50
"""Limit of runs requested per tick."""
MOST_LISTED = 5000
"""Limit of files examined per tick."""
WORK_S = 20.0
"""Time for hashing and look-ups in a tick, which Dagster ends after 60 s."""
CHUNK = 1 << 20
HASHES = 256
"""Limit of cached hashes, unfinished or not yet used."""
REQUEST_BYTES = 1_000_000
"""Largest request file."""
FORGOTTEN_S = 30 * 86_400.0
"""A file is forgotten once it has been gone for this long: a share that is not mounted shows an empty folder."""
RUN_KEY = "dagster/run_key"
UNKNOWN = "?"
"""Stands for a hash that a run in progress has not yet recorded."""
TAKEN, THERE, SETTLING, HASHING = "taken", "there already", "waiting to settle", "being hashed"
REFUSED, LEFT = "refused", "left for the next tick"
HELD, ALONE, AGAIN = "waiting for a new request", "requests without a video", "to be tried again"
ALWAYS = (TAKEN, SETTLING, HASHING, REFUSED, LEFT)
"""Counts that a tick tells even if they are 0."""
ALIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


class RequestFile(BaseModel):
    """Contents of a JSON request file next to a video."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job_id: str = ""
    profile: str = "default"
    overrides: Overrides = Field(default={})

    @classmethod
    def read(cls, media: Media, entry: Entry) -> "RequestFile":
        """
        Raises:
            BadInput: it is malformed, or a value in it is not allowed.
        """
        with media.open(entry.uri) as file:
            text = file.read(REQUEST_BYTES + 1)
        if len(text) > REQUEST_BYTES:
            raise BadInput("The request is too large.", f"write no more than {REQUEST_BYTES} bytes")
        try:
            asked = cls.model_validate_json(text.removeprefix(BOM_UTF8))
        except ValidationError as e:
            first = e.errors(include_input=False)[0]
            name = ".".join(map(str, first["loc"])) or "the request"
            message = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
            raise BadInput(f"{name}: {message}.", f"write JSON with {', '.join(cls.model_fields)}") from e
        if asked.job_id:
            check_job_id(asked.job_id)
        check_overrides(asked.overrides)
        profile = load_profile(asked.profile)
        for stage in STAGES:
            effective(stage, profile.get(stage, {}), asked.overrides.get(stage, {}))
        return asked


@dataclass
class State:
    """State of the files in the inbox, by the digest of their name."""

    after: str = ""
    """Where the next tick continues; "" for the start."""
    done: dict[str, str] = field(default_factory=dict)
    """The version that was taken or rejected."""
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    """For files that may still be growing: the version, and when it was first seen, in seconds since 1970."""
    held: dict[str, str] = field(default_factory=dict)
    """Versions to skip: videos with an invalid request, and invalid requests that could not be moved."""
    unseen: list[str] = field(default_factory=list)
    """Known files that the current pass over the inbox has not met yet."""
    gone: dict[str, int] = field(default_factory=dict)
    """For known files that the last pass did not meet: since when, in seconds since 1970."""

    @classmethod
    def load(cls, instance: dg.DagsterInstance) -> "State":
        stored = instance.daemon_cursor_storage.get_cursor_values({STATE}).get(STATE)
        return cls(**json.loads(stored)) if stored else cls()

    def finish(self, files: Mapping[str, str]) -> None:
        """Mark these versions, by digest of the name, as done."""
        self.done |= files
        for key, version in files.items():
            if self.waiting.get(key, ("",))[0] == version:
                del self.waiting[key]
            if self.held.get(key) == version:
                del self.held[key]

    def miss(self, files: Collection[str]) -> None:
        """Note that a pass did not meet these files, by digest of the name, and forget those gone for long."""
        now_s = time.time()
        self.gone = {key: self.gone.get(key, int(now_s)) for key in sorted(files)}
        for key in [key for key, since_s in self.gone.items() if now_s - since_s >= FORGOTTEN_S]:
            for known in (self.done, self.waiting, self.held, self.gone):
                known.pop(key, None)

    def dump(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def save(self, instance: dg.DagsterInstance) -> None:
        instance.daemon_cursor_storage.set_cursor_values({STATE: self.dump()})


def _digest(text: str) -> str:
    """Digest of 8 characters: 10,000 files collide with a chance of 1 in 5 million, which costs one more hashing."""
    data = text.encode("utf-8", "surrogateescape")
    return urlsafe_b64encode(hashlib.blake2b(data, digest_size=6).digest()).decode()


def _version(entry: Entry) -> str:
    return _digest(f"{entry.size_bytes} {entry.version}")


class Hashes:
    """Hashes large files in pieces, over several ticks; a new process starts again."""

    def __init__(self) -> None:
        self._begun: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()

    def sha256(self, media: Media, entry: Entry, until_s: float) -> str | None:
        """The hash, or None if it is not finished by ``until_s`` on the monotonic clock."""
        key = (entry.uri, entry.version)
        # removed while in use: a tick that Dagster abandoned may still be running
        digest, done = self._begun.pop(key, (hashlib.sha256(), 0))
        try:
            with media.open(entry.uri) as file:
                file.seek(done)
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    done += len(chunk)
                    if time.monotonic() >= until_s:
                        break
        finally:  # keep the progress made before a fault
            self._begun[key] = (digest, done)
            while len(self._begun) > HASHES:
                self._begun.popitem(last=False)
        return digest.hexdigest() if done >= entry.size_bytes else None


class Tick:
    """One scan of the inbox."""

    def __init__(
        self, services: Services, instance: dg.DagsterInstance, log: logging.Logger, hashes: Hashes, state: State
    ) -> None:
        self._services, self._instance, self._log, self._hashes = services, instance, log, hashes
        self._state = state
        self._inbox = Inbox(services.settings.inbox)
        self._until_s = time.monotonic() + WORK_S
        self._videos: dict[str, str] = {}
        self._new: set[str] = set()
        self.runs: dict[str, dg.RunRequest] = {}
        self.taken: dict[str, dict[str, str]] = {}
        """The files that are done once Dagster has the run, by run key."""
        self.counts: Counter[str] = Counter(dict.fromkeys(ALWAYS, 0))

    def __str__(self) -> str:
        return ", ".join(f"{n} {what}" for what, n in self.counts.items() if n or what in ALWAYS) + "."

    def look(self) -> None:
        """Process one page of files, oldest first."""
        state = self._state
        if not state.after:
            state.unseen = [*{*state.done, *state.waiting, *state.held}]
        entries, after = self._inbox.page(state.after, MOST_LISTED)
        for folder, reason in self._inbox.unlisted.items():
            self._log.warning("%r could not be listed: %s", folder, reason)
        unseen = set(state.unseen) - {_digest(entry.name) for entry in entries}
        if self._inbox.unlisted or not (entries or state.after):
            # a folder that cannot be listed, or no file at all: nobody knows what else is gone
            unseen &= state.gone.keys()
        new = [entry for entry in entries if not self._is_known(entry)]
        self._new = {_digest(entry.name) for entry in new if entry.is_video}
        for entry in sorted(new, key=lambda entry: (entry.changed_s, entry.name)):
            try:
                _check_name(entry.name)
                (self._video if entry.is_video else self._request)(entry)
            except BadInput as e:
                self._refuse(entry, e)
            except BrandDetectError as e:
                self._log.warning("%s: %s", entry.name, e.full)
                self.counts[AGAIN] += 1
        if self.counts[LEFT] or self.counts[HASHING]:
            after = state.after
        elif after is None:  # end of a pass
            state.miss(unseen)
            unseen, after = set(), ""
        state.after, state.unseen = after, sorted(unseen)

    def _is_known(self, entry: Entry) -> bool:
        key, version = _digest(entry.name), _version(entry)
        held = not entry.is_video and self._state.held.get(key) == version
        return held or self._state.done.get(key) == version

    def _video(self, entry: Entry) -> None:
        if not entry.size_bytes:
            self.counts[SETTLING] += 1
            return
        settled = entry.whole or self._has_settled(entry)
        if len(self.runs) >= MOST_RUNS or time.monotonic() >= self._until_s:
            self.counts[LEFT if settled else SETTLING] += 1
            return
        request = self._beside(entry)
        if not settled and not (request and request.changed_s >= entry.changed_s):
            self.counts[SETTLING] += 1
        elif request is not None:
            self._asked(entry, request)
        elif self._state.held.get(_digest(entry.name)) == _version(entry):
            self.counts[HELD] += 1
        else:
            self._take(entry, RequestFile())

    def _asked(self, entry: Entry, request: Entry) -> None:
        """Take a video with the options in its request file."""
        try:
            asked = RequestFile.read(self._services.media, request)
        except BadInput as e:
            if self._inbox.entry(request.name) == request and (request.whole or self._has_settled(request)):
                self._hold(entry, request, e)
            else:
                self.counts[SETTLING] += 1
        else:
            self._take(entry, asked, request)

    def _take(self, entry: Entry, asked: RequestFile, request: Entry | None = None) -> None:
        sha256 = self._hashes.sha256(self._services.media, entry, self._until_s)
        if sha256 is None:
            self.counts[HASHING] += 1
            return
        if self._inbox.entry(entry.name) != entry:
            self.counts[SETTLING] += 1
            return
        stem = PurePosixPath(entry.name).stem
        job_id = asked.job_id or self._job_of(sha256) or default_job_id(stem, sha256)
        known = self._video_of(job_id)
        if known == UNKNOWN:
            self._log.info("%s: waiting for a run of %s to record its video", entry.name, job_id)
            self.counts[AGAIN] += 1
            return
        if known not in ("", sha256):
            error = BadInput(f"The job {job_id} belongs to another video.", "name another job_id in a request file")
            self._hold(entry, request, error)
            return
        done = {_digest(file.name): _version(file) for file in (entry, request) if file}
        if known:
            self._log.info("%s is the video of %s: nothing is launched", entry.name, job_id)
            self._state.finish(done)
            self.counts[THERE] += 1
        else:
            self.taken[self._launch(job_id, entry, asked, sha256)] = done

    def _launch(self, job_id: str, entry: Entry, asked: RequestFile, sha256: str) -> str:
        """Request a job's run and return its key, which identifies this file.

        The same file dropped again after its job was deleted gets another key.
        """
        run_key = f"{job_id} {_digest(entry.name)} {_version(entry)}"
        config = {"video_uri": entry.uri, "profile": asked.profile, "overrides": asked.overrides}
        self.runs[job_id] = dg.RunRequest(
            run_key=run_key,
            asset_selection=[dg.AssetKey(stage) for stage in LINE],
            run_config={"ops": {ROOT: {"config": config}}},
            tags={PARTITION: job_id, VIDEO: sha256, **pod_tags(LINE, self._services.settings.run_resources)},
        )
        self._videos[job_id] = sha256
        self._log.info("%s becomes the job %s", entry.name, job_id)
        self.counts[TAKEN] += 1
        return run_key

    def _request(self, entry: Entry) -> None:
        """Process a request file without its video, which was taken already or has not arrived."""
        videos = {_digest(name): name for name in entry.video_names}
        if videos.keys() & self._new:  # already read with its video
            return
        if not any(self._inbox.entry(videos[key]) for key in videos.keys() & self._state.done.keys()):
            self.counts[ALONE] += 1
        elif not self._has_settled(entry):
            self.counts[SETTLING] += 1
        else:
            late = BadInput("The request arrived after its video was taken.")
            self._move_aside(entry, late, "replay the job with other params, or drop request and video again")

    def _beside(self, entry: Entry) -> Entry | None:
        """The request file of a video, unless it was rejected."""
        found = (self._inbox.entry(name) for name in entry.request_names)
        return next((r for r in found if r and self._state.held.get(_digest(r.name)) != _version(r)), None)

    def _has_settled(self, entry: Entry) -> bool:
        """Whether this version was first seen long enough ago."""
        key, version, now_s = _digest(entry.name), _version(entry), time.time()
        known, since_s = self._state.waiting.get(key, ("", now_s))
        if known != version or since_s > now_s:  # later than now: the clock was set back since
            self._state.waiting[key] = (version, since_s := now_s)
        return now_s - since_s >= self._services.settings.inbox_settle_s

    @cached_property
    def _jobs(self) -> set[str]:
        return set(self._instance.get_dynamic_partitions(str(JOBS.name)))

    def _job_of(self, sha256: str) -> str:
        """The existing job with this content, found by the end of its id and its stored request; "" if none."""
        alike = [job_id for job_id in (*self._jobs, *self.runs) if job_id.endswith(f"-{sha256[:8]}")]
        return next((j for video in (sha256, UNKNOWN) for j in sorted(alike) if self._video_of(j) == video), "")

    def _video_of(self, job_id: str) -> str:
        """The hash of a job's video; "" if the job has none, ``UNKNOWN`` if its run has not recorded it yet."""
        if job_id not in self._videos:
            self._videos[job_id] = self._look_up(job_id)
        return self._videos[job_id]

    def _look_up(self, job_id: str) -> str:
        if stored := self._services.store.attempts(job_id, ROOT):  # survives the loss of Dagster's database
            return stored[-1].input_versions["video"]
        if job_id not in self._jobs:
            return ""
        runs = self._instance.get_runs(dg.RunsFilter(tags={PARTITION: job_id}, statuses=ALIVE), limit=1)
        return runs[0].tags.get(VIDEO, UNKNOWN) if runs else ""

    def _refuse(self, entry: Entry, error: BadInput) -> None:
        self._log.error("%r is refused: %s", entry.name, error.full)
        self._state.finish({_digest(entry.name): _version(entry)})
        self.counts[REFUSED] += 1

    def _hold(self, entry: Entry, request: Entry | None, error: BadInput) -> None:
        """Hold a video with an invalid request until a new one arrives; the user may not want the defaults."""
        self._state.held[_digest(entry.name)] = _version(entry)
        if request is not None:
            self._move_aside(request, error, "put a corrected request next to the video; {} takes the defaults")
        else:
            self._log.error("%s is refused: %s", entry.name, error.full)
            self.counts[REFUSED] += 1

    def _move_aside(self, request: Entry, error: BadInput, then: str) -> None:
        self.counts[REFUSED] += 1
        try:
            where = self._inbox.move_aside(request.name, f"{error.full}\n{then}")
            self._log.warning("%s was moved to %s: %s", request.name, where, error.full)
        except BrandDetectError as e:
            self._log.error("%s is refused: %s", request.name, error.full)
            self._log.error("%s", e.full)
            self._state.held[_digest(request.name)] = _version(request)


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as e:
        raise BadInput("The file's name is not UTF-8.", "rename it") from e


def _launched(instance: dg.DagsterInstance, taken: dict[str, dict[str, str]]) -> Iterator[dict[str, str]]:
    """The files whose runs were created; the sensor may have been stopped before all were."""
    if not taken:
        return
    known = {run.tags[RUN_KEY] for run in instance.get_runs(dg.RunsFilter(tags={RUN_KEY: [*taken]}))}
    yield from (files for run_key, files in taken.items() if run_key in known)


def _orphans(instance: dg.DagsterInstance) -> Iterator[dg.RunRequest]:
    """Requests for runs of this sensor that Dagster created but failed to queue.

    Dagster recognises each by its key and queues it.
    """
    found = instance.get_runs(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.NOT_STARTED],
            tags={"dagster/sensor_name": "inbox"},
            created_before=datetime.fromtimestamp(time.time() - ORPHAN_S, UTC),
        ),
        limit=MOST_RUNS,
    )
    for run in found:
        if not run.parent_run_id:
            yield dg.RunRequest(
                run_key=run.tags[RUN_KEY],
                asset_selection=sorted(run.asset_selection or ()),
                run_config=run.run_config,
            )


def inbox_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor over ``BRAND_DETECT_INBOX``; stopped by default if that is unset.

    Raises:
        BadInput: the inbox is outside the media roots.
    """
    if settings.inbox:
        try:
            MediaFiles(settings.media_roots).check(f"{settings.inbox.rstrip('/')}/")
        except BadInput as e:
            raise BadInput(f"BRAND_DETECT_INBOX: {e}", e.hint) from e
    hashes = Hashes()

    @dg.sensor(
        name="inbox",
        asset_selection=dg.AssetSelection.assets(*LINE),
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.inbox else dg.DefaultSensorStatus.STOPPED,
        required_resource_keys={"services"},
        description="Makes a job of each complete video in BRAND_DETECT_INBOX, and moves invalid requests aside.",
    )
    def inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        services: Services = context.resources.services
        instance = context.instance
        if not services.settings.inbox:
            return dg.SkipReason("No inbox is configured: set BRAND_DETECT_INBOX.")
        if latest(instance, CATALOG, None) is None:
            return dg.SkipReason("The brand list has no snapshot yet, and jobs would fail without one.")
        state = State.load(instance)
        before = state.dump()
        for files in _launched(instance, json.loads(context.cursor or "{}")):
            state.finish(files)
        tick = Tick(services, instance, context.log, hashes, state)
        tick.look()
        if state.dump() != before:
            state.save(instance)
        context.log.info("%s", tick)
        requests = [*_orphans(instance), *tick.runs.values()]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(str(tick)),
            dynamic_partitions_requests=[JOBS.build_add_request([*tick.runs])] if tick.runs else [],
            cursor=json.dumps(tick.taken),
        )

    return inbox


def definitions(services: Services) -> dg.Definitions:
    return dg.Definitions(sensors=[inbox_sensor(services.settings)])
