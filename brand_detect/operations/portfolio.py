"""Totals over the newest reports of many jobs."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import JobRequest, check_job_id
from brand_detect.domain.pipeline import ROOT, Stage
from brand_detect.domain.protocols import Progress
from brand_detect.report.portfolio import Entry, Portfolio, brands_csv, render, videos_csv
from brand_detect.report.portfolio import portfolio as summed
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.blobs import concurrently
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store


def portfolio_of(
    store: Store, progress: Progress, jobs: Sequence[str] = (), since: str = "", until: str = ""
) -> Portfolio:
    """Totals over ``jobs`` (default: all) submitted from the day ``since`` to the day ``until``.

    Each job counts with its newest report whose blocking checks passed; a job without one is left out.

    Raises:
        BadInput: a day is malformed, or one of ``jobs`` has no report.
    """
    first, last = _day(since, "since"), _day(until, "until")
    wanted = list(dict.fromkeys(jobs)) or store.jobs()
    entries = []
    for n, (job_id, entry) in enumerate(zip(wanted, concurrently(partial(_entry, store), wanted), strict=True), 1):
        progress(n, len(wanted), "jobs")
        if entry is None and jobs:
            raise BadInput(f"{job_id} has no report to sum up.", "submit its video first, or leave it out")
        if entry and first <= datetime.fromisoformat(entry.submitted).date() <= last:
            entries.append(entry)
    return summed(entries, since, until)


def documents(whole: Portfolio) -> dict[str, bytes]:
    """Page, JSON and tables by file name."""
    return {
        "portfolio.html": render(whole).encode(),
        "portfolio.json": whole.model_dump_json(indent=1).encode(),
        "brands.csv": brands_csv(whole),
        "videos.csv": videos_csv(whole),
    }


def _entry(store: Store, job_id: str) -> Entry | None:
    check_job_id(job_id)
    try:
        newest = Reports(store).find(job_id)
    except BadInput:
        return None
    asked = AttemptRef(job_id, ROOT, newest.upstream[ROOT])
    request, report = (
        store.load(asked),
        store.load(AttemptRef(job_id, Stage.compile_report, newest.attempt), ["brands"]),
    )
    assert isinstance(request, JobRequest)
    assert isinstance(report, Report)
    submitted = store.manifest(asked).created
    return Entry.of(request, report, attempt=newest.attempt, submitted=submitted, made=newest.created)


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text) if text else {"since": date.min, "until": date.max}[name]
    except ValueError as e:
        raise BadInput(f"{text!r} is not a date for {name}.", "write it as 2026-05-31") from e
