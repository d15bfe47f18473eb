"""What the list of jobs reads from the store: the request, the newest report's totals, and a picture of the video."""

from dataclasses import dataclass, replace
from functools import lru_cache

from brand_detect.api.stored import ATTEMPT, NotThere
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import JOB_ID, JobRequest
from brand_detect.domain.pipeline import ROOT, Stage
from brand_detect.engines.image import OpenCvCodec
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.reports import Reports

THUMBNAIL_PX, THUMBNAIL_QUALITY = 240, 70
CANDIDATES = 9
"""Frames, evenly spread, of which the one with the most contrast is shown: a video may begin or end in black."""


@dataclass(frozen=True)
class Summary:
    """Totals of a report."""

    n_brands: int
    unresolved: int
    top: tuple[tuple[str, float], ...]
    """Brands and their seconds on screen, longest first."""
    frames: str
    """The attempt with the report's frames."""
    losses: tuple[str, ...] = ()
    """Which parts of the video and which corrections were lost, in sentences."""
    has_earlier: bool = False
    """Whether it can be compared with a report before it."""


class StoredJobs:
    """The jobs of a store. Attempts never change, so each file is read once."""

    def __init__(self, reports: Reports) -> None:
        self._store, self._reports = reports.store, reports
        self._summary_of = lru_cache(4096)(self._load_summary)
        self._thumbnail_of = lru_cache(2048)(self._load_thumbnail)

    def jobs(self) -> list[str]:
        """Every job that has a folder, by name."""
        return self._store.jobs()

    def newest(self, job_id: str) -> Manifest | None:
        """The manifest of the job's newest report whose checks passed; None if there is none.

        Raises:
            Permanent: its reports are damaged.
        """
        try:
            return self._reports.find(job_id)
        except BadInput:
            return None

    def request(self, job_id: str) -> JobRequest | None:
        """The job's newest request that can be read; None if its first stage has not written one."""
        try:
            made = self._store.attempts(job_id, ROOT)
            found = self._store.load(AttemptRef(job_id, ROOT, made[-1].attempt)) if made else None
        except Permanent:  # damaged: ``store verify`` reports it
            return None
        return found if isinstance(found, JobRequest) else None

    def summary(self, job_id: str) -> Summary | None:
        """Totals of the job's newest report; errors as ``newest``."""
        made = self._reports.sound(job_id)
        return replace(self._summary_of(job_id, made[-1].attempt), has_earlier=len(made) > 1) if made else None

    def frames(self, job_id: str) -> str:
        """The newest attempt of ``extract_frames``, "" if there is none."""
        try:
            made = self._store.attempts(job_id, Stage.extract_frames)
        except Permanent:
            return ""
        return made[-1].attempt if made else ""

    def thumbnail(self, job_id: str, attempt: str) -> bytes:
        """A small JPEG of a frame of the attempt of ``extract_frames``.

        Raises:
            NotThere: there is no such attempt, or retention has removed its frames.
        """
        ref = AttemptRef(job_id, Stage.extract_frames, attempt)
        if not JOB_ID.fullmatch(job_id) or not ATTEMPT.fullmatch(attempt) or not self._store.exists(ref):
            raise NotThere(f"There is no picture of {job_id[:128]}.")
        try:
            return self._thumbnail_of(ref)
        except Permanent as e:
            raise NotThere(str(e)) from e

    def _load_summary(self, job_id: str, attempt: str) -> Summary:
        made = self._reports.find(job_id, attempt)
        report = self._store.load(AttemptRef(job_id, Stage.compile_report, attempt), tables=("brands",))
        assert isinstance(report, Report)
        return Summary(
            n_brands=report.brands.num_rows,
            unresolved=made.counts.get("unresolved", 0),
            top=tuple((row["brand"], row["seconds"]) for row in report.brands.slice(0, 10).to_pylist()),
            frames=made.upstream[Stage.extract_frames],
            losses=report.losses,
        )

    def _load_thumbnail(self, ref: AttemptRef) -> bytes:
        extracted = self._store.load(ref, tables=("frames",))
        assert isinstance(extracted, ExtractedFrames)
        n, contrast = extracted.frames.num_rows, extracted.frames["luma_std"]
        if not n:
            raise NotThere(f"{ref.job_id} has no frames.")
        shown = max((n * (2 * i + 1) // (2 * CANDIDATES) for i in range(CANDIDATES)), key=lambda i: contrast[i].as_py())
        codec = OpenCvCodec()
        image = StoredFrames(self._store, self._store.with_frames(ref), extracted.frames, codec).read(shown)
        return codec.encode(image, THUMBNAIL_QUALITY, THUMBNAIL_PX)
