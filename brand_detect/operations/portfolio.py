"""Totals over the newest reports of many jobs."""

from collections.abc import Collection, Sequence, Set
from datetime import date, datetime

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import JobRequest, check_job_id
from brand_detect.domain.pipeline import ROOT, Stage
from brand_detect.domain.protocols import Progress
from brand_detect.report.portfolio import Entry, Portfolio, brands_csv, render, videos_csv
from brand_detect.report.portfolio import portfolio as summed
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.blobs import concurrently
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.reports import Reports


class NewestReports:
    """What sums need of a store's newest reports. A job is read again once it has other reports, since none changes."""

    def __init__(self, reports: Reports) -> None:
        self.store, self._reports = reports.store, reports
        # of every job: a cache for some, which each sum goes through from the first job to the last, would find none
        self._known: dict[str, tuple[Set[str], Entry]] = {}

    def of(self, job_id: str) -> Entry | None:
        """The job's newest report whose blocking checks passed; None if there is none."""
        folders = self.store.folders(check_job_id(job_id), Stage.compile_report)
        there = {ref.attempt for ref in folders if self.store.exists(ref)}
        read, entry = self._known.get(job_id, (frozenset(), None))
        if read != there:  # a damaged one, too, is never among those that were read
            made = self._reports.all(job_id)
            sound = [manifest for manifest in made if not manifest.failed_check]
            if not sound:
                return None
            entry = self._read(sound[-1])
            self._known[job_id] = {manifest.attempt for manifest in made}, entry
        return entry

    def _read(self, made: Manifest) -> Entry:
        asked = AttemptRef(made.job_id, ROOT, made.upstream[ROOT])
        request = self.store.load(asked)
        report = self.store.load(AttemptRef(made.job_id, made.stage, made.attempt), ["brands"])
        assert isinstance(request, JobRequest)
        assert isinstance(report, Report)
        submitted = self.store.manifest(asked).created
        return Entry.of(request, report, attempt=made.attempt, submitted=submitted, made=made.created)


def portfolio_of(
    reports: NewestReports,
    progress: Progress,
    jobs: Sequence[str] = (),
    since: str = "",
    until: str = "",
    without: Collection[str] = (),
) -> Portfolio:
    """Totals over ``jobs`` (default: all) but those of ``without``, submitted from the day ``since`` to ``until``.

    Each job counts with its newest report whose blocking checks passed; a job without one is left out, and so is one
    whose report is damaged, with a note.

    Raises:
        BadInput: a day is malformed, or one of ``jobs`` has no report.
        Permanent: the report of one of ``jobs``, or of all, cannot be read.
    """
    first, last = _day(since, "since"), _day(until, "until")
    wanted = list(dict.fromkeys(jobs)) or reports.store.jobs()
    entries: list[Entry] = []
    damaged: dict[str, Permanent] = {}

    def look(job_id: str) -> Entry | Permanent | None:
        try:
            return reports.of(job_id)
        except Permanent as e:
            return e

    for n, (job_id, entry) in enumerate(zip(wanted, concurrently(look, wanted), strict=True), 1):
        progress(n, len(wanted), "jobs")
        if isinstance(entry, Permanent):
            damaged[job_id] = entry
        elif entry:
            entries.append(entry)
        elif jobs and job_id not in without:
            raise BadInput(f"{job_id} has no report to sum up.", "submit its video first, or leave it out")
    damaged = {job_id: e for job_id, e in damaged.items() if job_id not in without}
    if damaged and (jobs or not entries):  # a store that refuses access refuses all
        raise next(iter(damaged.values()))
    entries = [e for e in entries if first <= datetime.fromisoformat(e.submitted).date() <= last]
    notes = [f"{job_id} is left out: {e}" for job_id, e in damaged.items()]
    return summed(entries, since, until, frozenset(without), notes)


def documents(whole: Portfolio) -> dict[str, bytes]:
    """Page, JSON and tables by file name."""
    return {
        "portfolio.html": render(whole).encode(),
        "portfolio.json": whole.model_dump_json(indent=1).encode(),
        "brands.csv": brands_csv(whole),
        "videos.csv": videos_csv(whole),
    }


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text) if text else {"since": date.min, "until": date.max}[name]
    except ValueError as e:
        raise BadInput(f"{text!r} is not a date for {name}.", "write it as 2026-05-31") from e
