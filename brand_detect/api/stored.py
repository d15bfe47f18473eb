"""The service's access to the store: the newest report of a job, its frames, and its corrections."""

import html
import json
import re
from collections.abc import Collection
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

from fastapi import Query

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import JOB_ID, JobRequest, Probe
from brand_detect.domain.media import file_stem
from brand_detect.domain.pipeline import CATALOG, ROOT, Stage
from brand_detect.domain.reviews import OF_CLUSTERS, Correction, Review, correction_of, review_of, undone
from brand_detect.domain.tables import Row
from brand_detect.domain.text import brand_id_of
from brand_detect.engines.annotate import COPIED_PX
from brand_detect.engines.image import OpenCvCodec
from brand_detect.operations.corrections import ReviewInfo, corrections
from brand_detect.report.documents import on_demand
from brand_detect.report.page import MADE, SERVED, player
from brand_detect.report.words import encoding
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.reports import Reports
from brand_detect.storage.reviews import Reviews

PLACE = b'<script type="application/json" id="service">null</script>'
"""Placeholder in a stored page for the addresses of the service."""
SCREEN = b'<div id="screen">'
"""The player's place in a stored page."""
ATTEMPT = re.compile(r"[A-Za-z0-9-]{1,80}")
META = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
HASH = re.compile(r"'sha256-[A-Za-z0-9+/]{43}='")
MOST_NAMES = 50
"""Limit of names that are suggested at once: a catalogue has tens of thousands."""
ReportAsked = Annotated[str, Query(description="the report's attempt; by default the newest")]
DECODED_S, ENCODED_S = 0.0016, 0.0084
"""Time that two cores take per million pixels of a video, and of the copy that browsers play.

Fitted to what a second took: 0.29 s at 1080p25, 0.55 s at 1080p50 in 10 bits and 4:2:2, 1.04 s at 2160p50.
"""
MOST_EVENTS = 5000
"""Limit of corrections per job: all are read each time."""


class MadeVideo(StrEnum):
    """The videos that are made on demand of a report's: with its boxes, and a copy that browsers play."""

    annotated = "annotated"
    playable = "playable"

    def path(self, made: Manifest) -> str:
        """Where the store keeps it."""
        if self is MadeVideo.annotated:
            return _ref(made).annotated
        return AttemptRef(made.job_id, ROOT, made.upstream[ROOT]).playable

    @property
    def longest_min(self) -> int:
        """The longest video that it is made of here, in minutes. Two cores draw in about its length at 1080p."""
        return {MadeVideo.annotated: 20, MadeVideo.playable: 120}[self]


class NotThere(Exception):
    """The report, frame or event does not exist; the message is one sentence."""


class Conflict(Exception):
    """The request conflicts with the current state; the message is one sentence."""


class StoredReports:
    """The reports of a store, as the service shows them."""

    def __init__(self, reports: Reports) -> None:
        self._store, self._reports = reports.store, reports
        self._frames_of = lru_cache(8)(self._load_frames)
        self._catalog_names = lru_cache(4)(self._load_catalog_names)
        self._made = lru_cache(4)(self._make)

    def newest(self, job_id: str) -> Manifest:
        """The manifest of the job's newest report whose checks passed.

        Raises:
            NotThere: the job has no report.
        """
        try:
            return self._reports.find(job_id)
        except BadInput as e:
            raise NotThere(str(e)) from e

    def made(self, job_id: str, attempt: str = "") -> Manifest:
        """The manifest of one of the job's reports, by default the newest.

        Raises:
            NotThere: there is no such report.
        """
        if not attempt:
            return self.newest(job_id)
        ref = AttemptRef(job_id, Stage.compile_report, attempt)
        if not JOB_ID.fullmatch(job_id) or not ATTEMPT.fullmatch(attempt) or not self._store.exists(ref):
            raise NotThere(f"There is no such report of {job_id}.")
        return self._reports.manifest(ref)

    def is_made(self, job_id: str, run_id: str) -> bool:
        """Whether a run has written a report whose checks passed; the run itself ends a second later."""
        return any(m.attempt.startswith(f"{run_id}-") and not m.failed_check for m in self._reports.all(job_id))

    def document(self, job_id: str, name: str, report: str = "") -> bytes:
        """One of ``SERVED`` of the attempt ``report``, by default the newest.

        Raises:
            NotThere: there is no such report, or no document of that name.
        """
        made = self.made(job_id, report)
        if name in MADE:
            return self._made(job_id, made.attempt, name)
        if name not in SERVED or all(file.name != name for file in made.files):
            raise NotThere(f"The report of {job_id} has no document of that name.")
        return self._store.read(_ref(made), name)

    def report(
        self, job_id: str, attempt: str = "", tables: Collection[str] | None = None
    ) -> tuple[Report, JobRequest]:
        """The report of the attempt, by default the newest, and its job's request; tables as ``Store.load``.

        Raises:
            NotThere: there is no such report.
        """
        report = self._store.load(_ref(self.made(job_id, attempt)), tables)
        assert isinstance(report, Report)
        return report, self.request(job_id, attempt)

    def request(self, job_id: str, attempt: str = "") -> JobRequest:
        """The request that the report of the attempt, by default the newest, was made for.

        Raises:
            NotThere: there is no such report.
        """
        request = self._store.load(AttemptRef(job_id, ROOT, self.made(job_id, attempt).upstream[ROOT]))
        assert isinstance(request, JobRequest)
        return request

    def download(self, job_id: str, attempt: str, name: str) -> str:
        """The name of a report's file on the disk of who downloads it: that of the video, a dash, and ``name``.

        Raises:
            NotThere: there is no such report.
        """
        stem = ""
        with suppress(Permanent):  # a damaged request keeps nobody from the report
            stem = file_stem(self.request(job_id, attempt).video_uri)
        return f"{stem or job_id}-{name}"

    def video(self, kind: MadeVideo, job_id: str, report: str = "") -> str:
        """The path of a video made of that of the attempt ``report``, by default the newest.

        Raises:
            NotThere: there is no such report, or the video has not been made.
        """
        path = kind.path(self.made(job_id, report))
        if not self._store.blobs.exists(path):
            raise NotThere(
                "The video with boxes has not been made: draw it from the report's page, or with the asset "
                "annotated_video."
                if kind is MadeVideo.annotated
                else "The copy that browsers play has not been made: make it from the report's page."
            )
        return path

    def page(self, job_id: str) -> tuple[bytes, list[str]]:
        """The page of the newest report with the service's addresses filled in, and the hashes of its scripts."""
        made, home = self.newest(job_id), f"/reports/{job_id}"
        page = self._store.read(_ref(made), "report.html")
        frames = f"{home}/frames/{{frame}}.jpg?report={made.attempt}"
        places: dict[str, str | float] = {"report": made.attempt, "reviews": f"{home}/reviews", "frames": frames}
        places["apply"] = f"{home}/apply"
        places["documents"] = f"{home}/documents/{{name}}?report={made.attempt}"
        places["clips"] = f"{home}/exposures/{{exposure}}.mp4?report={made.attempt}"
        for kind, ask in ((MadeVideo.annotated, "draw"), (MadeVideo.playable, "copy")):
            is_made = self._store.blobs.exists(kind.path(made))
            places[kind if is_made else ask] = f"{home}/{kind}.mp4?report={made.attempt}"
            places[f"{ask}_min"] = kind.longest_min
        places |= {"encoding": "this video", "duration_s": 0.0, "copy_s": 0.0}
        with suppress(Permanent):  # the page has pictures of its own, and needs no video
            request = self.request(job_id, made.attempt)
            places["encoding"] = encoding(request.probe, request.video_uri)
            places["duration_s"] = request.probe.duration_s
            places["copy_s"] = round(copy_s(request.probe), 1)
        if len(self._reports.sound(job_id)) > 1:
            places["compare"] = f"/compare?job={job_id}"
        places["brands"] = f"{home}/brands"
        places["video"] = f"{home}/video?report={made.attempt}"
        places["boxes"] = f"{home}/boxes?report={made.attempt}"
        told = json.dumps({"job_id": job_id, **places}).translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})
        found = META.search(page)
        policy = html.unescape(found[1].decode()) if found else ""
        scripts = next((d for d in policy.split(";") if d.split()[:1] == ["script-src"]), "")
        page = page.replace(PLACE, PLACE.replace(b"null", told.encode()), 1)
        allowed = HASH.findall(scripts)
        if SCREEN in page:  # a page made before there was a player has no place for it
            script, digest = player()
            allowed.append(digest)  # in the answer's header, which takes the place of the page's own policy
            page = META.sub(b"", page, count=1).replace(b"</body>", b"<script>%s</script></body>" % script.encode(), 1)
        return page, allowed

    def frame(self, job_id: str, frame: int, report: str = "") -> bytes:
        """The JPEG of a sampled frame of the attempt ``report``, by default the newest.

        Raises:
            NotThere: the report or the frame does not exist, or the frames have been deleted.
        """
        made = self.made(job_id, report)
        try:
            return self._frames_of(job_id, made.upstream[Stage.extract_frames]).jpeg(frame)
        except IndexError as e:
            raise NotThere(f"{job_id} has no frame {frame}.") from e
        except Permanent as e:  # retention removes frames before reports
            self._frames_of.cache_clear()
            raise NotThere(str(e)) from e

    def reviews(self, job_id: str) -> tuple[list[ReviewInfo], list[str]]:
        """``corrections`` in the job's newest report.

        Raises:
            NotThere: the job has no report.
        """
        return corrections(self._store, self.newest(job_id))

    def review(self, job_id: str, correction: Correction) -> Review:
        """Store a correction of the newest report.

        Raises:
            NotThere: the job has no report, or there is no such event to undo.
            BadInput: neither the report nor its catalogue has its brand.
            Conflict: it was already undone, or there are too many corrections.
        """
        made, log = self.newest(job_id), Reviews(self._store.blobs, job_id)
        before = log.all()
        if len(before) >= MOST_EVENTS:
            raise Conflict(f"{job_id} has {len(before)} corrections, which is the limit.")
        if correction.action == "undo":
            if all(review.review_id != correction.undoes for review in before):
                raise NotThere(f"{job_id} has no correction {correction.undoes}.")
            if correction.undoes in undone(before):
                raise Conflict("The correction was already undone.")
        if correction.brand_id and not self._has_brand(made, before, correction.brand_id):
            raise BadInput(
                f"Neither the report of {job_id} nor its catalogue has a brand {correction.brand_id!r}.",
                "use the report's brand_id; put the name of a new brand into the field to",
            )
        if correction.action in OF_CLUSTERS:
            correction = self._completed(correction, made, before)
        review = review_of(correction)
        log.add(review)
        return review

    def _completed(self, correction: Correction, made: Manifest, before: list[Review]) -> Correction:
        """``correction`` with the text and hashes of its cluster: a browser's numbers have too few digits for them."""
        report = self._store.load(_ref(made))
        assert isinstance(report, Report)
        clusters: list[Row] = report.unresolved.to_pylist()
        clusters += [r.model_dump() for r in reversed(before) if r.action in OF_CLUSTERS]  # resolved earlier
        cluster = next((c for c in clusters if c["cluster_id"] == correction.cluster_id), None)
        if cluster is None:
            return correction
        known = {"text": cluster["text"][:1000], "crop_hashes": cluster["crop_hashes"][:1000]}
        at = {} if correction.t_s is not None else {"t_s": cluster["t_s"]}
        return correction_of(correction.model_dump() | known | at)

    def _has_brand(self, made: Manifest, before: list[Review], brand_id: str) -> bool:
        """Whether the brand exists: in the report, rejected, named by a person, or in the catalogue."""
        report = self._store.load(_ref(made), tables=("brands", "rejected"))
        assert isinstance(report, Report)
        known = {*report.brands["brand_id"].to_pylist(), *report.rejected["brand_id"].to_pylist()}
        known |= {brand_id_of(review.to) for review in before if review.to}
        return brand_id in known or brand_id in self._catalog_names(made.upstream[CATALOG])

    def brand_names(self, job_id: str, part: str) -> list[str]:
        """Names with ``part`` in the newest report's catalogue: those that begin with it first, then by alphabet."""
        part = part.casefold()
        folded = {n: n.casefold() for n in self._catalog_names(self.newest(job_id).upstream[CATALOG]).values()}
        found = [name for name in folded if part in folded[name]]
        return sorted(found, key=lambda name: (not folded[name].startswith(part), folded[name]))[:MOST_NAMES]

    def _load_catalog_names(self, version: str) -> dict[str, str]:
        catalog = catalog_from_json(self._store.snapshots.read(version), version)
        return {brand.brand_id: brand.name for brand in catalog.brands}

    def _make(self, job_id: str, attempt: str, name: str) -> bytes:
        return on_demand(name, *self.report(job_id, attempt))

    def _load_frames(self, job_id: str, attempt: str) -> StoredFrames:
        ref = AttemptRef(job_id, Stage.extract_frames, attempt)
        extracted = self._store.load(ref)
        assert isinstance(extracted, ExtractedFrames)
        return StoredFrames(self._store, self._store.with_frames(ref), extracted.frames, OpenCvCodec())


def copy_s(probe: Probe) -> float:
    """About how long the copy of a video takes to make, in seconds."""
    pixels = probe.duration_s * probe.fps * probe.width_px * probe.height_px / 1e6
    return pixels * (DECODED_S + ENCODED_S * min(1.0, COPIED_PX / probe.height_px) ** 2)


def _ref(made: Manifest) -> AttemptRef:
    return AttemptRef(made.job_id, made.stage, made.attempt)
