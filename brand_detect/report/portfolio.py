"""Totals of brands over many jobs, such as a season, from the newest reports."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import Field

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.job import JobRequest
from brand_detect.domain.media import file_name
from brand_detect.domain.records import Record
from brand_detect.domain.words import counted
from brand_detect.report.exports import rounded, to_csv
from brand_detect.report.pages import template
from brand_detect.report.words import percent

PORTFOLIO_VERSION = 1
"""Version of ``portfolio.json``; raised when a field changes its meaning or is removed, not when one is added."""

TREND = 40
"""Limit of videos in a brand's trend."""
COLUMNS, ROWS = 12, 300
"""Limit of brands and videos in the page's matrix; JSON and CSV have all."""


SUMMED = ("brand_id", "brand", "seconds", "low_s", "high_s", "n_exposures", "quality", "media_value")
"""The columns of BRANDS that are kept: one with all takes three times as much memory, and there are as many as jobs."""


@dataclass(frozen=True)
class Entry:
    """A job's newest report. ``submitted`` and ``made`` are the times of request and report, UTC in ISO 8601."""

    request: JobRequest
    attempt: str
    submitted: str
    made: str
    brands: pa.Table  # BRANDS, of which SUMMED
    range_s: tuple[float, float]
    quality: str  # its quality scale
    currency: str  # "" = no rate

    @classmethod
    def of(cls, request: JobRequest, report: Report, *, attempt: str, submitted: str, made: str) -> "Entry":
        start_s, end_s = report.summary["range_s"]
        rate = report.summary.get("media_value") or {}
        currency = rate.get("currency", "")
        brands = report.brands.select(list(SUMMED))
        return cls(request, attempt, submitted, made, brands, (start_s, end_s), report.quality, currency)


class BrandSum(Record):
    """A brand over all videos. Seconds count every instant of a video once, however many boxes show the brand."""

    brand_id: str
    brand: str = Field(description="name in the newest report")
    seconds: float = Field(description="time on screen, s; the likely value")
    low_s: float = Field(description="lower bound of the seconds")
    high_s: float = Field(description="upper bound of the seconds")
    screen_share: float = Field(description="seconds divided by the reported time of all videos, 0..1")
    share_of_voice: float = Field(description="seconds divided by the sum of all brands' seconds, 0..1")
    n_exposures: int = Field(description="appearances")
    n_videos: int = Field(description="number of videos that show it, or of parts of one in jobs of their own")
    quality: float | None = Field(description="mean composite score, weighted by time, 0..1; null if not measured")
    media_value: float | None = Field(
        description="advertising equivalent: sum in ``currency``; null without a rate or with several currencies"
    )


class JobBrand(Record):
    brand_id: str
    brand: str
    seconds: float
    n_exposures: int


class JobSum(Record):
    """A video's contribution to the totals."""

    job_id: str
    video: str = Field(description="file name")
    submitted: str = Field(description="UTC, ISO 8601")
    attempt: str = Field(description="attempt of compile_report")
    seconds: float = Field(description="reported time, s")
    brands: tuple[JobBrand, ...] = Field(description="longest on screen first")


class Portfolio(Record):
    """``portfolio.json``."""

    schema_version: int = PORTFOLIO_VERSION
    since: str = Field(description="first day of submission, UTC; empty for no limit")
    until: str = Field(description="last day of submission; empty for no limit")
    seconds: float = Field(description="reported time of all videos, s")
    currency: str = Field(description="currency of media_value; empty if there is none or several")
    brands: tuple[BrandSum, ...] = Field(description="longest on screen first")
    jobs: tuple[JobSum, ...] = Field(description="in order of submission")
    left_out: tuple[JobSum, ...] = Field((), description="jobs that the totals were asked without")
    notes: tuple[str, ...]


TOTALS = """
    SELECT
        brand_id,
        arg_max(brand, made) AS brand,
        sum(seconds) AS seconds,
        sum(low_s) AS low_s,
        sum(high_s) AS high_s,
        sum(seconds) / (SELECT sum(seconds) FROM jobs) AS screen_share,
        sum(seconds) / sum(sum(seconds)) OVER () AS share_of_voice,
        sum(n_exposures)::INTEGER AS n_exposures,
        count(*)::INTEGER AS n_videos,
        sum(quality * seconds) / sum(seconds) FILTER (quality IS NOT NULL) AS quality,
        sum(media_value) AS media_value
    FROM shown
    GROUP BY brand_id
    ORDER BY seconds DESC, brand_id
"""


def portfolio(
    entries: Iterable[Entry],
    since: str = "",
    until: str = "",
    without: Collection[str] = (),
    notes: Iterable[str] = (),
) -> Portfolio:
    """Totals over ``entries`` but for the jobs ``without``, with ``notes`` on others; of jobs whose ranges of one video
    overlap, the one with the newest report counts."""
    ordered = sorted(entries, key=lambda e: (e.submitted, e.request.job_id))
    newest, overlaps = _without_overlaps(ordered)
    newest.sort(key=lambda e: (e.submitted, e.request.job_id))
    left_out = [e for e in newest if e.request.job_id in without]
    newest = [e for e in newest if e.request.job_id not in without]
    currencies = sorted({e.currency for e in newest if e.currency})
    rows = _totals(newest)
    if len(currencies) > 1:
        for row in rows:
            row["media_value"] = None
    return Portfolio(
        since=since,
        until=until,
        seconds=round(sum(_length(e) for e in newest), 6),
        currency=currencies[0] if len(currencies) == 1 else "",
        brands=tuple(BrandSum(**row) for row in rows),
        jobs=tuple(_job(e) for e in newest),
        left_out=tuple(_job(e) for e in left_out),
        notes=(*notes, *overlaps, *_notes(newest, currencies)),
    )


def brands_csv(whole: Portfolio) -> bytes:
    """One line per brand."""
    return _csv(BrandSum, [brand.model_dump() for brand in whole.brands])


def videos_csv(whole: Portfolio) -> bytes:
    """One line per video and brand: the matrix."""
    about = ("job_id", "video", "submitted", "attempt")
    rows = [
        {**{name: getattr(job, name) for name in about}, "video_s": job.seconds, **brand.model_dump()}
        for job in whole.jobs
        for brand in job.brands
    ]
    return to_csv(pa.table({name: [row[name] for row in rows] for name in (*about, "video_s", *JobBrand.model_fields)}))


def render(
    whole: Portfolio,
    *,
    query: str = "",
    chosen: Sequence[str] = (),
    without: Sequence[str] = (),
    served: bool = False,
) -> str:
    """The page, without scripts or external requests; ``served`` with the service's links, which repeat ``query``, and
    a form for other days of the same ``chosen`` jobs, ``without`` the same ones."""
    columns = whole.brands[:COLUMNS]
    jobs = whole.jobs[-ROWS:]
    seconds = [{brand.brand_id: brand.seconds for brand in job.brands} for job in jobs]
    return template("portfolio.html").render(
        page=whole,
        columns=columns,
        rows=[
            (job, [of.get(brand.brand_id, 0.0) for brand in columns], sum(of.values()))
            for job, of in zip(jobs, seconds, strict=True)
        ],
        longest=max((brand.seconds for job in whole.jobs for brand in job.brands), default=1.0),
        trends=_trends(whole, jobs, seconds),
        query=query,
        chosen=chosen,
        unseen=[job_id for job_id in without if job_id not in {job.job_id for job in whole.left_out}],
        served=served,
        n_hidden_jobs=len(whole.jobs) - len(jobs),
        n_hidden_brands=len(whole.brands) - len(columns),
    )


def _trends(
    whole: Portfolio, jobs: Sequence[JobSum], seconds: Sequence[Mapping[str, float]]
) -> dict[str, list[tuple[float, str]]]:
    """By brand, each video's share of screen time relative to the brand's largest, 0..1, with what it says in words;
    of the last ``TREND`` videos, in order of submission."""
    trends = {}
    last = list(zip(jobs, seconds, strict=True))[-TREND:]
    for brand in whole.brands:
        shares = [of.get(brand.brand_id, 0.0) / job.seconds if job.seconds else 0.0 for job, of in last]
        highest = max(shares, default=0.0) or 1.0
        trends[brand.brand_id] = [
            (share / highest, f"{job.submitted[:10]}, {job.video}: {percent(share)}")
            for share, (job, _) in zip(shares, last, strict=True)
        ]
    return trends


def _without_overlaps(entries: Iterable[Entry]) -> tuple[list[Entry], list[str]]:
    """The newest reports; of one video only those of ranges that do not overlap, such as its halves."""
    newest: defaultdict[str, list[Entry]] = defaultdict(list)
    notes = []
    for entry in sorted(entries, key=lambda e: e.made, reverse=True):
        of_video = newest[entry.request.video_sha256]
        newer = next((e for e in of_video if _overlap(e.range_s, entry.range_s)), None)
        if newer is None:
            of_video.append(entry)
        else:
            notes.append(
                f"{entry.request.job_id} is left out: {newer.request.job_id} has a newer report of the same video"
                f"{'' if newer.range_s == entry.range_s else ', and their ranges overlap'}."
            )
    return [entry for of_video in newest.values() for entry in of_video], notes


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def _notes(entries: Sequence[Entry], currencies: Sequence[str]) -> list[str]:
    notes = []
    if len(currencies) > 1:
        notes.append(f"Advertising equivalents are in several currencies ({', '.join(currencies)}) and are not summed.")
    elif currencies and (without := sum(not e.currency for e in entries)):
        notes.append(f"{counted(without, 'report')} without a media rate, not included in advertising equivalents.")
    scales = {e.quality for e in entries if e.quality}
    if len(scales) > 1:
        notes.append(f"Quality was measured with {len(scales)} different scales; the means mix them.")
    return notes


def _totals(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    import duckdb

    if not entries:
        return []
    shown = [e.brands.append_column("made", pa.array([e.made] * e.brands.num_rows, pa.string())) for e in entries]
    with duckdb.connect() as database:
        narrow = pa.concat_tables(shown)
        database.register("narrow", narrow)
        database.register("jobs", pa.table({"seconds": [_length(e) for e in entries]}))
        floats = [c.name for c in narrow.schema if pa.types.is_float32(c.type)]
        wide = ", ".join(f"nullif({name}::DOUBLE, 'nan') AS {name}" for name in floats)  # not measured = null
        database.execute(f"CREATE VIEW shown AS SELECT * REPLACE ({wide}) FROM narrow")
        return rounded(database.sql(TOTALS).to_arrow_table())


def _length(entry: Entry) -> float:
    return entry.range_s[1] - entry.range_s[0]


def _job(entry: Entry) -> JobSum:
    shown = entry.brands.select(list(JobBrand.model_fields)).sort_by(
        [("seconds", "descending"), ("brand_id", "ascending")]
    )
    return JobSum(
        job_id=entry.request.job_id,
        video=file_name(entry.request.video_uri),
        submitted=entry.submitted,
        attempt=entry.attempt,
        seconds=round(_length(entry), 6),
        brands=tuple(JobBrand(**row) for row in rounded(shown)),
    )


def _csv(kind: type[Record], rows: Sequence[dict[str, Any]]) -> bytes:
    return to_csv(pa.table({name: [row[name] for row in rows] for name in kind.model_fields}))
