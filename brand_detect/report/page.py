"""The report as one self-contained HTML page with data, pictures, style and script, and no external requests.

Figures, notes and provenance are plain HTML. The script (the files of ``script/``) makes tables sortable and draws
timeline and evidence from the data; it only builds elements, never markup from texts, and the page's policy allows no
other script. The service adds ``player.js``, which plays the video.
"""

import base64
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from brand_detect.domain import timeline
from brand_detect.domain.contracts.compile_report import (
    ZONES,
    CompileReportParams,
    Evidence,
    Exposure,
    PlacementTotal,
    UnresolvedCluster,
)
from brand_detect.domain.contracts.verdicts import REASONS, Rule
from brand_detect.domain.media import file_name
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.protocols import Color, FrameReader, ImageCodec
from brand_detect.domain.tables import BOX
from brand_detect.report.colors import colors_of
from brand_detect.report.exports import ReportDocument
from brand_detect.report.figures import Figure, figures_of, leading, written, zone_shares
from brand_detect.report.home import WORDS
from brand_detect.report.method import in_words, method
from brand_detect.report.pages import JPEG_QUALITY, EvidencePicture, Place, evidence, shown_params, template
from brand_detect.report.words import RULES, has_placement
from brand_detect.report.workbook import WORKBOOK, XLSX

FRAME_PX = 640
"""Width of whole frames in the page."""
FRAMES = 400
"""Limit of frames in the page: each takes about 25 ms to decode and encode."""
READ_TOGETHER = 32
STAGES = {stage: name for stage, (name, _, _) in WORDS.items()}
"""The stages in words."""
CLOSE = 0.1
"""Least width of a close-up, as a share of the frame."""
DOCUMENTS: Mapping[str, str] = {
    "report.json": "application/json",
    "brands.csv": "text/csv; charset=utf-8",
    "placements.csv": "text/csv; charset=utf-8",
    "assets.csv": "text/csv; charset=utf-8",
    "exposures.csv": "text/csv; charset=utf-8",
    "markers.vtt": "text/vtt; charset=utf-8",
}
"""Documents next to the page, with their media types."""
MADE: Mapping[str, str] = {
    WORKBOOK: XLSX,
    "detections.csv": "text/csv; charset=utf-8",
    "unresolved.csv": "text/csv; charset=utf-8",
}
"""Documents that the service makes on demand."""
SERVED: Mapping[str, str] = {**DOCUMENTS, "report.html": "text/html; charset=utf-8", **MADE}
"""All that the service gives, the page as a file among them."""
SCRIPT = (
    *("ask", "data", "elements", "rows", "totals", "filters", "table", "timeline", "pictures", "screen", "panel"),
    *("gallery", "unresolved", "corrections", "making", "annotated", "begin"),
)
"""The files of the page's script in order: one function, so that each sees what those before it define."""
PLAYER = ("script/ask", "script/elements", "script/making", "player")
"""The same of the script that the service adds."""
LISTED_CLUSTERS = 200
PICTURED_CLUSTERS = 48

PER_STAGE = ("seconds", "engines", "stats", "lineage", "params")
"""Facts of the run that are given per stage: ``{stage: value}``."""

SHOWN = (
    *("exposure_id", "start_s", "end_s", "seconds", "area_frac_mean", "area_frac_max", "zone", "n_detections"),
    *("confidence", "frame", *BOX, "text", "rule", "decided_by", "placement"),
    *("placement_confidence", "asset"),
    *("position", "clarity", "visible_frac", "exclusive_s", "quality", "media_factor", "reviewed"),
)
"""Columns of the exposures in the page's data."""


PROVEN = (
    *("score", "text", "matched", "n_tracks", "provider", "model", "prompt_version", "reasoning", "placement"),
    "cost_usd",
)
"""Columns of the evidence in the page's data."""


@dataclass
class _Pictures:
    """JPEGs in Base64: whole frames by their ordinal, and close-ups by exposure and by unresolved cluster."""

    frames: dict[int, str] = field(default_factory=dict)
    exposures: dict[str, EvidencePicture] = field(default_factory=dict)
    clusters: dict[str, EvidencePicture] = field(default_factory=dict)
    size_px: tuple[int, int] | None = None  # size of the stored frames
    size_bytes: int = 0

    def data(self) -> dict[str, Any]:
        """The form that the script reads."""
        return {
            "size_px": self.size_px,
            "frames": self.frames,
            "exposures": {i: _close_up(e) for i, e in self.exposures.items()},
            "clusters": {i: _close_up(e) for i, e in self.clusters.items()},
        }


def render(
    report: ReportDocument,
    detections: pa.Table,
    frames: FrameReader,
    codec: ImageCodec,
    params: CompileReportParams,
) -> str:
    """The page, of at most about ``page_mb`` unless the data alone are larger. ``DOCUMENTS`` are stored next to it.

    Reads only the frames that it shows, each once: every brand's best in turn, until the page is full.
    """
    figures = figures_of(report.brands, report.exposures, bool(report.summary.get("media_value")))
    data = _data(report, detections, figures, params)
    left = int(params.page_mb * 1e6) - len(json.dumps(data))
    clusters = [c for c in report.unresolved[:PICTURED_CLUSTERS] if c.frame is not None]
    shown = _pictures(report, clusters, frames, codec, params.thumbnail_px, left)
    data["pictures"] = shown.data()
    script, style = _function(tuple(f"script/{name}" for name in SCRIPT)), _asset("page.css")
    return template("page.html").render(
        script=script,
        style=style,
        policy=_policy(script, style),
        data=_embedded(data),
        n_pictured=len(shown.exposures),
        n_listed=LISTED_CLUSTERS,
        unresolved_clusters=report.unresolved[:PICTURED_CLUSTERS],
        reasons=REASONS,
        documents=DOCUMENTS,
        served=[name for name in SERVED if name not in DOCUMENTS],
        figures=figures,
        written=written,
        method=method(report, params),
        notes=[in_words(note) for note in report.notes],
        stage_words=STAGES,
        **_totals(report),
        **_run_facts(report.summary["run"]),
    )


def player() -> tuple[str, str]:
    """The script that plays the video on a page before a service, and its hash for the page's policy."""
    script = _function(PLAYER)
    return script, f"'{_digest(script)}'"


def _totals(report: ReportDocument) -> dict[str, Any]:
    """The template's view of the report, with totals over all brands and per brand."""
    own = _by_brand(report)
    start, end = report.summary["range_s"]
    return {
        "report": report,
        "video_name": file_name(report.job.video_uri) or report.job.job_id,
        "job": report.job,
        "summary": report.summary,
        "start": start,
        "end": end,
        "any_brand_s": timeline.union_seconds([(e.start_s, e.end_s) for e in report.exposures]),
        "rows": [
            (brand, brand.model_dump(), list(zone_shares(own[brand.brand_id]).items())) for brand in report.brands
        ],
        **_by_placement(report),
        "total_value": sum(brand.media_value or 0.0 for brand in report.brands),
        "media_value": report.summary.get("media_value"),
    }


def _by_placement(report: ReportDocument) -> dict[str, Any]:
    """What carries brands, longest first, and each brand's parts by it; nothing if no placement is known."""
    carriers: defaultdict[str, float] = defaultdict(float)
    parts: defaultdict[str, dict[str, PlacementTotal]] = defaultdict(dict)
    if has_placement(part.placement for part in report.placements):
        for part in report.placements:
            carriers[part.placement] += part.seconds
            parts[part.brand_id][part.placement] = part
    ranked = sorted(carriers, key=lambda name: (not has_placement([name]), -carriers[name]))
    return {"carriers": ranked, "by_placement": list(parts.values())}


def _run_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance: facts per stage in pipeline order, and facts about the whole run."""
    per_stage = {name: run.get(name, {}) for name in PER_STAGE}
    per_stage["params"] = {stage: shown_params(params) for stage, params in per_stage["params"].items()}
    facts_of = {stage: {name: of[stage] for name, of in per_stage.items() if stage in of} for stage in LINE}
    return {
        "stages": [(stage, facts) for stage, facts in facts_of.items() if facts],
        "facts": {name: value for name, value in run.items() if name not in (*PER_STAGE, "job_id", "profile")},
    }


def _policy(script: str, style: str) -> str:
    """The page's content security policy, which allows only its own script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data: 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _data(
    report: ReportDocument, detections: pa.Table, figures: Sequence[Figure], params: CompileReportParams
) -> dict[str, Any]:
    """The script's data, without pictures."""
    summary, run = report.summary, report.summary["run"]
    number = {brand.brand_id: i for i, brand in enumerate(report.brands)}
    proofs = {proof.verdict_id: i for i, proof in enumerate(report.evidence)}
    seen = {e.frame for e in report.exposures}
    boxes: defaultdict[int, list[list[float]]] = defaultdict(list)
    times: dict[int, float] = {}
    alike = {proof.matched for proof in report.evidence if proof.rule == Rule.reidentified}
    read_s: dict[str, float] = {}
    wanted = ("frame", "t_s", "track_id", "brand_id", *BOX)
    for frame, t_s, track, brand_id, *box in zip(*(detections[c].to_pylist() for c in wanted), strict=True):
        if track in alike:
            read_s.setdefault(track, round(t_s, 3))  # detections are in order of time
        if frame in seen and brand_id in number:
            times[frame] = round(t_s, 3)
            boxes[frame].append([number[brand_id], *(round(side) for side in box)])
    return {
        "range_s": summary["range_s"],
        "interval_s": summary["sampling"]["interval_s"],
        "sure_confidence": params.sure_confidence,
        "media_value": summary.get("media_value"),
        "figures": [f._asdict() for f in figures],
        "leading": leading(figures),
        "colors": [[_css(color) for color in pair] for pair in colors_of([*number])],
        "first_picture_s": report.job.probe.first_picture_s,
        "zones": ZONES,
        "rules": RULES,
        "stages": STAGES,
        "reasons": REASONS,
        "shots_s": [[round(edge, 3) for edge in shot] for shot in summary["shots_s"]],
        "brands": [_plain(brand.model_dump()) for brand in report.brands],
        "exposures": {
            **_columns(report.exposures, SHOWN),
            "brand": [number[e.brand_id] for e in report.exposures],
            "proof": [proofs.get(e.verdict_id) for e in report.exposures],
            "t_s": [times.get(e.frame) for e in report.exposures],
        },
        "boxes": boxes,
        "evidence": {
            **_columns(report.evidence, PROVEN),
            "read_s": [read_s.get(proof.matched) for proof in report.evidence],  # of what it looks like
        },
        "unresolved": [_cluster(c) for c in report.unresolved[:LISTED_CLUSTERS]],
        "run": {
            "engines": run.get("engines", {}),
            "lineage": run.get("lineage", {}),
            "params": {stage: shown_params(params) for stage, params in run.get("params", {}).items()},
        },
        "reviews": summary.get("reviews", []),
    }


def _css(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _cluster(cluster: UnresolvedCluster) -> dict[str, Any]:
    return _plain(cluster.model_dump(exclude={"track_ids", "best_region_id", "crop_hashes"}))


def _columns(rows: Sequence[Exposure | Evidence], names: Iterable[str]) -> dict[str, Any]:
    """Rows as columns; a column of recurring texts has each once (``of``), and its index per row (``at``)."""
    made: dict[str, Any] = {}
    for name in names:
        values = [_figure(getattr(row, name)) for row in rows]
        known = {value: i for i, value in enumerate(dict.fromkeys(values))}
        if len(known) < len(values) / 2 and any(isinstance(value, str) for value in values):
            made[name] = {"of": list(known), "at": [known[value] for value in values]}
        else:
            made[name] = values
    return made


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _figure(value) for name, value in row.items()}


def _figure(value: Any) -> Any:
    """A figure for JSON: null if not measured, and not rounded again, so that the script's figures agree."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _pictures(
    report: ReportDocument,
    clusters: Sequence[UnresolvedCluster],
    frames: FrameReader,
    codec: ImageCodec,
    close_up_px: int,
    limit_bytes: int,
) -> _Pictures:
    """Pictures by importance until ``limit_bytes`` or ``FRAMES`` is reached; a frame includes all its close-ups.

    ``READ_TOGETHER`` frames of about the same importance are taken in their order in the video: neighbours are read in
    one request.
    """
    shown = _Pictures()
    here: defaultdict[int, list[Exposure]] = defaultdict(list)
    for exposure in report.exposures:
        here[exposure.frame].append(exposure)
    open_here: defaultdict[int, list[UnresolvedCluster]] = defaultdict(list)
    for cluster in clusters:
        open_here[cluster.frame].append(cluster)  # pyright: ignore[reportArgumentType]
    best = [*dict.fromkeys(_frames_by_worth(report, clusters))][:FRAMES]
    order = [
        frame for first in range(0, len(best), READ_TOGETHER) for frame in sorted(best[first : first + READ_TOGETHER])
    ]
    for frame, image in zip(order, frames.in_order(order), strict=True):
        if shown.size_bytes >= limit_bytes:
            break
        shown.size_px = (image.shape[1], image.shape[0])
        if here[frame]:
            whole = codec.encode(image, JPEG_QUALITY, FRAME_PX)
            shown.frames[frame] = base64.b64encode(whole).decode()
            shown.size_bytes += len(shown.frames[frame])
        for places, made in ((here[frame], shown.exposures), (open_here[frame], shown.clusters)):
            for place in places:
                cut = evidence(image, _place(place)[1:], codec, close_up_px, CLOSE)
                made[place.exposure_id if isinstance(place, Exposure) else place.cluster_id] = cut
                shown.size_bytes += len(cut.uri)
    return shown


def _frames_by_worth(report: ReportDocument, clusters: Sequence[UnresolvedCluster]) -> Iterator[int]:
    """Frames by importance: the best of each brand, the unresolved clusters, then the brands' others in turn.

    A brand's best exposure is the one with the best evidence; the others are ordered by length.
    """
    ranked = []
    for own in _by_brand(report).values():
        best = max(own, key=lambda e: (round(e.confidence, 2), e.area_frac_max))
        ranked.append(sorted(own, key=lambda e: (e is not best, -e.seconds)))
    for turn, exposures in enumerate(zip_longest(*ranked)):
        yield from (e.frame for e in exposures if e is not None)
        if turn == 0:
            yield from (c.frame for c in clusters if c.frame is not None)
    if not ranked:
        yield from (c.frame for c in clusters if c.frame is not None)


def _by_brand(report: ReportDocument) -> dict[str, list[Exposure]]:
    """The exposures of each brand, brands in the report's order."""
    own: dict[str, list[Exposure]] = {brand.brand_id: [] for brand in report.brands}
    for exposure in report.exposures:
        own[exposure.brand_id].append(exposure)
    return own


def _place(shown: Exposure | UnresolvedCluster) -> Place:
    return (shown.frame, shown.x_px, shown.y_px, shown.w_px, shown.h_px)  # pyright: ignore[reportReturnType]


def _close_up(shown: EvidencePicture) -> list[Any]:
    """The JPEG, its sides in px, and its box in percent."""
    _, _, jpeg = shown.uri.partition(",")
    box = (shown.left, shown.top, shown.width, shown.height)
    return [jpeg, shown.width_px, shown.height_px, *(round(side, 2) for side in box)]


def _embedded(data: dict[str, Any]) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _function(names: Sequence[str]) -> str:
    """The scripts of these names as one function."""
    return "\n".join(('(() => {\n"use strict";', *(_asset(f"{name}.js") for name in names), "})();\n"))


@cache
def _asset(name: str) -> str:
    return files("brand_detect.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """An inline element's hash for a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
