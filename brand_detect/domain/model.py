"""The data model: one declared schema per table, and what each stage hands on.

Per-frame data stays in Arrow tables with units in the column names (``t_s``, ``x_px``, ``area_frac``).
Times are seconds from the first picture of the video. Pixels are those of the stored frame, upright,
origin at the top left. Ids derive from content, so they survive a replay.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from brand_detect.domain.errors import BadInput

SCHEMA_VERSION = 2
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_job_id(job_id: str) -> str:
    """Return ``job_id`` if it is well formed.

    Raises:
        BadInput: for anything but 1 to 128 letters, digits, dots, dashes and underscores, the first a letter or digit.
    """
    if not JOB_ID.fullmatch(job_id):
        shown = job_id if len(job_id) <= 40 else f"{job_id[:40]}…"
        raise BadInput(
            f"The job id {shown!r} is not allowed.",
            "use 1 to 128 of A-Z a-z 0-9 . _ - and begin with a letter or digit",
        )
    return job_id


def content_id(*parts: object) -> str:
    """A 16-digit hex id of ``parts``; floats are taken to the millisecond (or thousandth)."""
    text = "\x1f".join(f"{p:.3f}" if isinstance(p, float) else str(p) for p in parts)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _schema(name: str, **columns: pa.DataType) -> pa.Schema:
    meta = {"brand_detect.table": name, "brand_detect.schema_version": str(SCHEMA_VERSION)}
    return pa.schema([pa.field(k, t) for k, t in columns.items()], metadata=meta)


_str, _i32, _i64, _f32, _f64 = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64()
_strs = pa.list_(pa.string())
_vector = pa.list_(pa.float16())
_edges = pa.list_(pa.float32(), 4)

THUMBNAIL_SHAPE = (36, 64)
"""Rows and columns of a picture's luma thumbnail, whatever the picture's shape."""
FRAMES = _schema(
    "frames",
    frame=_i32,  # ordinal among the sampled frames, from 0
    frame_id=_str,
    t_s=_f64,  # presentation time
    width_px=_i32,
    height_px=_i32,
    shard=_str,  # file name inside the attempt
    offset=_i64,  # of the JPEG inside the shard, in bytes
    size_bytes=_i64,
    crc32=pa.uint32(),  # of the JPEG
    luma_mean=_f32,  # 0..255
    luma_std=_f32,
    phash=pa.uint64(),  # 64-bit DCT perceptual hash of the luma
    thumbnail=pa.binary(THUMBNAIL_SHAPE[0] * THUMBNAIL_SHAPE[1]),  # the luma, row by row, one byte each
)
SIGNALS = _schema(  # one row for every decoded picture, sampled or not
    "signals",
    t_s=_f64,
    luma_mean=_f32,
    luma_std=_f32,
    change=_f32,  # 0..1, distance to the picture decoded before it
    drift=_f32,  # 0..1, distance to the picture half a second before it
)
SHOTS = _schema("shots", shot=_i32, start_s=_f64, end_s=_f64, n_frames=_i32, n_kept=_i32)
TIMELINE = _schema(  # one row per sampled frame; the cells [start_s, end_s) tile the sampled range
    "timeline",
    frame=_i32,
    frame_id=_str,
    t_s=_f64,
    start_s=_f64,
    end_s=_f64,
    shot=_i32,
    status=_str,  # FrameStatus
    shown_by=_i32,  # the frame that stands for this one (itself when kept); null when black or blank
    hamming=_i32,  # bits by which its hash differs from that of shown_by; null when black or blank
)
KEPT, DUPLICATE, BLACK, BLANK = "kept", "duplicate", "black", "blank"

REGIONS = _schema(  # a region on one kept frame
    "regions",
    region_id=_str,
    track_id=_str,
    frame=_i32,
    seen_on=pa.list_(
        pa.int32()
    ),  # frames whose pixels show it at this place: ``frame`` or duplicates of it, best first
    kind=_str,  # text | logo | object
    label=_str,  # what an object detector called it; "" for text
    score=_f32,  # 0..1
    quad=pa.list_(pa.float32(), 8),  # x1 y1 .. x4 y4 in px, clockwise from the top left of the reading direction
    x_px=_f32,
    y_px=_f32,
    w_px=_f32,
    h_px=_f32,
    area_frac=_f32,  # quad area / picture area
    sharpness=_f32,  # variance of the Laplacian inside the box
    contrast=_f32,  # RMS contrast inside the box: standard deviation of the grey over 255; null = not measured
    crop_hash=pa.uint64(),
    at_edge=pa.bool_(),  # touches the picture's edge, so that more of it may lie beyond; null = not measured
    origin=_str,  # detected | propagated
    ink=pa.list_(_edges),  # stretches of lettering: left, top, right, bottom, shares of the quad's sides; none = all
)
TRACKS = _schema(  # one region followed through one shot
    "tracks",
    track_id=_str,
    shot=_i32,
    kind=_str,
    label=_str,
    start_s=_f64,
    end_s=_f64,
    n_regions=_i32,
    score=_f32,  # mean of its regions
    area_frac=_f32,  # mean of its regions
    furniture=pa.bool_(),  # lies over the picture, whatever the camera shows: a scoreboard, a channel's bug
)
MARKS = _schema(  # the best crops of a track as an encoder sees them
    "marks",
    track_id=_str,
    region_id=_str,
    frame=_i32,
    vector=_vector,  # of unit length
)
VECTORS = _schema(  # views of the catalogue's exemplars as an encoder sees them, and of pictures of none of them
    "vectors",
    exemplar_id=_str,  # "" for a picture of none of the catalogue's marks
    vector=_vector,
)
READINGS = _schema(  # one crop read once
    "readings",
    track_id=_str,
    region_id=_str,
    frame=_i32,
    text=_str,
    confidence=_f32,  # 0..1
    letters=pa.list_(pa.float32()),  # middle of each character, share of the region along the line; null = not told
)
TEXTS = _schema(  # what a track says, after the vote over its readings
    "texts",
    track_id=_str,
    text=_str,
    confidence=_f32,
    agreement=_f32,  # share of the readings' weight that agrees with the text
    n_readings=_i32,
    alternatives=_strs,  # the other readings, best first
)
VERDICTS = _schema(  # what was decided about one or several neighbouring tracks
    "verdicts",
    verdict_id=_str,
    track_ids=_strs,
    status=_str,  # resolved | ignored
    brand_id=_str,
    brand=_str,
    rule=_str,  # exact | alias | fuzzy | joined | logo_match | excluded | vlm | cloud | review
    score=_f32,  # 0..1, how well the rule fits
    confidence=_f32,  # 0..1, the rule's score times the reading's confidence
    text=_str,  # the text that was read
    matched=_str,  # the alias or the exemplar it was matched to, or the model's answer
    span_start=_f32,  # share of the text's length where the brand begins and ends, 0..1
    span_end=_f32,
    line_start=_f32,  # share of a region's length where its reader saw the brand begin and end, 0..1; null = not told
    line_end=_f32,
    line_region_id=_str,  # that region
    decided_by=_str,  # the stage that decided
    model=_str,  # provider and model; "" for rules
)
WHOLE_TEXT: Mapping[str, Any] = {
    "span_start": 0.0,
    "span_end": 1.0,
    **dict.fromkeys(("line_start", "line_end", "line_region_id")),
}
"""What a verdict about the whole of a text or a mark has in the columns that tell a part."""
UNRESOLVED = _schema(  # clusters of alike tracks that no rule settled, ranked by time on screen and size
    "unresolved",
    cluster_id=_str,
    rank=_i32,  # from 1
    text=_str,  # the most frequent reading; "" for marks without text
    track_ids=_strs,
    n_regions=_i32,
    seconds=_f64,  # time on screen, counted once per instant
    area_frac=_f32,  # mean
    crop_hashes=pa.list_(pa.uint64()),
    best_region_id=_str,  # the crop to show or to ask about
    reason=_str,  # no_rule | unreadable | no_brand | unsure | unknown_brand | malformed | deferred | failed
    candidates=_strs,  # brands of the catalogue that it resembles, likest first
)
REASONS = {
    "no_rule": "no rule knows it",
    "unreadable": "nobody could read it",
    "no_brand": "a model sees no brand, and is not sure enough",
    "unsure": "a model names a brand, and is not sure enough",
    "unknown_brand": "a model names a brand that the catalogue does not have",
    "malformed": "a model's answer made no sense",
    "deferred": "put off: the budget did not reach",
    "failed": "no model could be reached",
}
"""Why a cluster is open, and what that means."""
ANSWERS = _schema(  # every question put to a model
    "answers",
    cluster_id=_str,
    provider=_str,
    model=_str,
    prompt_version=_str,
    answer=_str,  # the brand's name as the model gave it; "" for none
    brand_id=_str,  # the catalogue's brand it was matched to; "" for none
    confidence=_f32,
    status=_str,  # answered | none | unreadable | malformed | deferred | failed
    detail=_str,
    input_tokens=_i64,  # of the call that was made, as are cost and latency
    output_tokens=_i64,
    cost_usd=_f64,
    latency_s=_f64,
    mark=_str,  # wordmark | symbol | combined | text | other; "" where nobody said
    surface=_str,  # board | clothing | overlay | product | vehicle | building | screen | other
    reasoning=_str,  # the model's, in short
    question_id=_str,  # equal for equal questions to one model; "" where nobody answered
    asked_at=_str,  # UTC, ISO 8601
    remembered=pa.bool_(),  # the call was made earlier: for another attempt, another job or a look-alike
)
MARK_KINDS = ("wordmark", "symbol", "combined", "text", "other")
SURFACES = ("board", "clothing", "overlay", "product", "vehicle", "building", "screen", "other")
DETECTIONS = _schema(  # a brand on one kept frame; the frames that it stands for are on the timeline
    "detections",
    brand_id=_str,
    brand=_str,
    frame=_i32,
    t_s=_f64,
    start_s=_f64,  # the frame's cell on the timeline
    end_s=_f64,
    track_id=_str,
    verdict_id=_str,
    x_px=_f32,
    y_px=_f32,
    w_px=_f32,
    h_px=_f32,
    area_frac=_f32,
    confidence=_f32,
    text=_str,
    rule=_str,
    decided_by=_str,
    furniture=pa.bool_(),  # all of its tracks are
    surface=_str,  # one of SURFACES
    height_px=_f32,  # of the lettering; of a mark its shorter side
    sharpness=_f32,
    contrast=_f32,
    visible_frac=_f32,  # 0..1, what is neither hidden nor beyond the picture's edge
    n_brands=_i32,  # brands on the frame, this one included
    clarity=_f32,  # 0..1
    reviewed=_str,  # what a person said of it, one of REVIEWED; "" for nothing
)
REVIEWED = ("accepted", "renamed", "named")
EXPOSURES = _schema(  # a brand on screen without a break
    "exposures",
    exposure_id=_str,
    brand_id=_str,
    brand=_str,
    start_s=_f64,
    end_s=_f64,
    seconds=_f64,
    area_frac_mean=_f32,  # all of the brand's boxes on a frame together, mean over time
    area_frac_max=_f32,
    cx=_f32,  # mean centre, 0..1 of the picture
    cy=_f32,
    zone=_str,  # one of ZONES
    n_detections=_i32,
    confidence=_f32,  # of the best detection
    frame=_i32,  # the best detection: the evidence to show
    x_px=_f32,
    y_px=_f32,
    w_px=_f32,
    h_px=_f32,
    text=_str,
    rule=_str,
    decided_by=_str,
    verdict_id=_str,  # of the best detection: the row of EVIDENCE
    surface=_str,  # the one of SURFACES with the most area times time
    position=_f32,  # 0..1, worth of the fields of the picture, mean by area and time; so are the next two
    clarity=_f32,
    visible_frac=_f32,
    solus_s=_f64,  # of ``seconds``, those with no other brand on screen
    quality=_f32,  # 0..1
    media_factor=_f64,  # mean share of a full-screen spot; at any instant those of all brands sum to 1 at most
    reviewed=_str,  # of the best detection
)
ZONES = ("top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right")
"""The nine fields of the picture, row by row."""
BRANDS = _schema(
    "brands",
    brand_id=_str,
    brand=_str,
    seconds=_f64,  # once per instant, however many boxes
    screen_share=_f32,  # of the reported range
    share_of_voice=_f32,  # of all brands' seconds
    n_exposures=_i32,
    longest_s=_f64,
    first_s=_f64,
    last_s=_f64,
    area_frac_mean=_f32,
    confidence=_f32,
    furniture_s=_f64,  # of ``seconds``, those with the brand on furniture
    low_s=_f64,  # seconds that are sure: high confidence, edges as late and as early as sampling allows
    high_s=_f64,  # seconds that are possible: open marks that resemble the brand, edges the other way
    mean_s=_f64,  # mean length of an exposure
    area_frac_max=_f32,
    position=_f32,  # 0..1, mean by time over the exposures; so are the next two and quality
    clarity=_f32,
    visible_frac=_f32,
    solus_s=_f64,
    quality=_f32,
    surface=_str,  # the one with the most seconds
    media_value=_f64,  # null where no rate is set
)
EVIDENCE = _schema(  # what stands behind the report's detections: one row per verdict
    "evidence",
    verdict_id=_str,
    brand_id=_str,
    brand=_str,
    rule=_str,
    score=_f32,
    confidence=_f32,
    text=_str,
    matched=_str,  # the alias or the exemplar it was matched to, or the model's answer
    decided_by=_str,
    n_tracks=_i32,
    provider=_str,  # who answered, where a model decided; "" for rules, as are the next four
    model=_str,
    prompt_version=_str,
    reasoning=_str,
    surface=_str,  # what the model says it is on
    cost_usd=_f64,  # 0 for rules
)
OPEN_MARKS = _schema(  # what the report shows of UNRESOLVED: where to look for the best crop
    "open_marks",
    **{column.name: column.type for column in UNRESOLVED},
    frame=_i32,  # of the best region; null when that region is not known, as are its time and box
    t_s=_f64,
    x_px=_f32,
    y_px=_f32,
    w_px=_f32,
    h_px=_f32,
    alike=_strs,  # ids of the other marks without text that look like it
)

Row = Mapping[str, Any]


def table(schema: pa.Schema, rows: Iterable[Row] = ()) -> pa.Table:
    """A table of ``schema`` from rows; a missing or unknown column is an error."""
    listed = list(rows)
    names = set(schema.names)
    for row in listed:
        if row.keys() != names:
            raise ValueError(f"columns differ from the schema: {sorted(names ^ row.keys())}")
    return pa.Table.from_pylist(listed, schema=schema)


class Record(BaseModel):
    """Base of the small, immutable, JSON-stored values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Probe(Record):
    """What the container and the first pictures say about a video. Sizes are upright, as displayed."""

    duration_s: float = Field(description="by the header, else by the packets; in a report no shorter than its range")
    width_px: int
    height_px: int
    fps: float = Field(description="average frames a second")
    rotation_deg: int = Field(description="clockwise turn that makes the stored picture upright: 0, 90, 180 or 270")
    codec: str
    pix_fmt: str
    container: str
    interlaced: bool = False
    variable_frame_rate: bool = False


Overrides = dict[str, dict[str, Any]]
"""``{stage: {param: value}}``."""


class JobRequest(Record):
    """What was asked for: the root of every lineage."""

    job_id: str
    video_uri: str
    video_sha256: str
    video_bytes: int
    profile: str
    overrides: Overrides
    probe: Probe
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Payload:
    """What a stage hands on: tables by field name, plus notes (warnings in plain words) and run figures.

    ``notes`` reach the report, those of ``extract_frames`` as what of the video was lost; ``stats`` are figures such as
    detector calls that do not follow from the tables.
    """

    notes: tuple[str, ...] = field(default=(), kw_only=True)
    stats: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    schemas: ClassVar[Mapping[str, pa.Schema]] = {}

    def tables(self) -> dict[str, pa.Table]:
        """The payload's tables by field name."""
        return {name: getattr(self, name) for name in self.schemas}

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        return {name: t.num_rows for name, t in self.tables().items()}


@dataclass(frozen=True)
class ExtractedFrames(Payload):
    frames: pa.Table
    signals: pa.Table
    start_s: float  # the sampled range of the video
    end_s: float
    schemas: ClassVar = {"frames": FRAMES, "signals": SIGNALS}


@dataclass(frozen=True)
class FilteredScenes(Payload):
    shots: pa.Table
    timeline: pa.Table
    schemas: ClassVar = {"shots": SHOTS, "timeline": TIMELINE}


@dataclass(frozen=True)
class DetectedObjects(Payload):
    """``encoder`` is the identity of the encoder that made the vectors of ``marks``; "" where none was on."""

    regions: pa.Table
    tracks: pa.Table
    marks: pa.Table = field(default_factory=lambda: table(MARKS))
    encoder: str = ""
    schemas: ClassVar = {"regions": REGIONS, "tracks": TRACKS, "marks": MARKS}


@dataclass(frozen=True)
class TrackTexts(Payload):
    readings: pa.Table
    texts: pa.Table
    schemas: ClassVar = {"readings": READINGS, "texts": TEXTS}


@dataclass(frozen=True)
class BrandVerdicts(Payload):
    """Verdicts so far and the clusters still open; ``answers`` stays empty in ``match_brands``."""

    verdicts: pa.Table
    unresolved: pa.Table
    answers: pa.Table
    schemas: ClassVar = {"verdicts": VERDICTS, "unresolved": UNRESOLVED, "answers": ANSWERS}


@dataclass(frozen=True)
class Report(Payload):
    """The tables of the report; the documents (JSON, CSV, page) lie beside them in the attempt.

    ``summary`` is plain JSON: the range, the sampling and its error, the counts, who resolved what, the run's facts.
    """

    brands: pa.Table
    exposures: pa.Table
    detections: pa.Table
    unresolved: pa.Table
    summary: Mapping[str, Any]
    evidence: pa.Table = field(default_factory=lambda: table(EVIDENCE))
    rejected: pa.Table = field(default_factory=lambda: table(DETECTIONS))  # what a person said is not the brand
    quality: str = ""  # the scale that it is measured by: name, version and digest
    losses: tuple[str, ...] = ()  # what of the video and of the corrections was lost, and why, in plain words
    schemas: ClassVar = {
        "brands": BRANDS,
        "exposures": EXPOSURES,
        "detections": DETECTIONS,
        "unresolved": OPEN_MARKS,
        "evidence": EVIDENCE,
        "rejected": DETECTIONS,
    }


@dataclass(frozen=True)
class Exemplar:
    """A picture of a brand's mark."""

    exemplar_id: str  # the first 16 hex digits of the sha256 of the picture's bytes
    suffix: str  # svg | png | jpeg

    @property
    def file_name(self) -> str:
        return f"{self.exemplar_id}.{self.suffix}"


@dataclass(frozen=True)
class Brand:
    """One entry of the brand catalogue."""

    brand_id: str  # slug, stable: "itau"
    name: str  # as shown: "Itaú"
    aliases: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    excluded_texts: tuple[str, ...] = ()  # texts that look like the brand and are not
    min_length: int = 0  # fewest letters of a text that may match fuzzily; 0 = the params' default
    whole_line: tuple[str, ...] = ()  # names, aliases and texts so everyday that they count only as a line of their own
    owner: str = ""  # the company behind it
    included_texts: tuple[str, ...] = ()  # slogans and the like: they say the brand, and never match fuzzily
    colours: tuple[str, ...] = ()  # "#rrggbb"
    logo_only: bool = False  # the brand counts by its logo alone: none of its texts is looked for
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True)
class BrandCatalog:
    """An immutable snapshot of the brand list. ``version`` is the hash of its content."""

    version: str
    brands: Sequence[Brand]

    @property
    def n_exemplars(self) -> int:
        return sum(len(brand.exemplars) for brand in self.brands)
