"""Contract of ``detect_objects``: params, tables and payload."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from brand_detect.domain.params import ModelName, Params, Precision, Unit
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import EDGES, EMBEDDING, F32, F64, I32, STRING, schema, table


class RegionKind(StrEnum):
    """What a region is: a line of text, a logo region or an object."""

    text = "text"
    logo = "logo"
    object = "object"


class Origin(StrEnum):
    """The origin of a region on a keyframe: found there by a detector, or carried over from a keyframe nearby."""

    detected = "detected"
    carried = "carried"


class Side(StrEnum):
    """Which end of a track's time on screen an edge is."""

    start = "start"
    end = "end"


REGIONS = schema(
    "regions",
    "A region on one keyframe",
    region_id=(STRING, "id, from the frame, the box and the kind"),
    track_id=(STRING, "id, from the track's first region"),
    frame=(I32, "the keyframe's ordinal among the sampled frames"),
    seen_on=(
        pa.list_(pa.int32()),
        "frames whose pixels show the region at this position: ``frame`` or its duplicates, best first",
    ),
    kind=(STRING, " | ".join(RegionKind)),
    label=(STRING, "label from the object detector; '' for text"),
    score=(F32, "0..1"),
    quad=(pa.list_(pa.float32(), 8), "x1 y1 .. x4 y4 in px, clockwise from the top left of the reading direction"),
    x_px=(F32, "left edge of the box"),
    y_px=(F32, "upper edge of the box"),
    w_px=(F32, "width of the box"),
    h_px=(F32, "height of the box"),
    area_frac=(F32, "quad area / picture area"),
    sharpness=(F32, "variance of the Laplacian inside the box"),
    contrast=(F32, "RMS contrast inside the box: standard deviation of the grey over 255; null = not measured"),
    crop_hash=(pa.uint64(), "64-bit DCT perceptual hash of the crop"),
    at_edge=(pa.bool_(), "touches the picture's edge, so it may be cut off; null = not measured"),
    origin=(STRING, " | ".join(Origin)),
    glyph_boxes=(
        pa.list_(EDGES),
        "stretches of lettering: left, top, right, bottom as shares of the quad's sides; empty = the whole quad",
    ),
)
TRACKS = schema(
    "tracks",
    "One region followed through one shot",
    track_id=(STRING, "id, from the track's first region"),
    shot=(I32, "ordinal of the shot, from 0"),
    kind=(STRING, " | ".join(RegionKind)),
    label=(STRING, "label from the object detector; '' for text"),
    start_s=(F64, "when it begins, in seconds"),
    end_s=(F64, "when it ends, in seconds"),
    n_regions=(I32, "number of regions"),
    score=(F32, "mean of its regions"),
    area_frac=(F32, "mean of its regions"),
    is_overlay=(pa.bool_(), "graphics laid over the picture, such as a scoreboard or a channel bug"),
)
TRACK_EMBEDDINGS = schema(
    "track_embeddings",
    "Embeddings of a track's best crops",
    track_id=(STRING, "id, from the track's first region"),
    region_id=(STRING, "id, from the frame, the box and the kind"),
    frame=(I32, "the keyframe's ordinal among the sampled frames"),
    embedding=(EMBEDDING, "of unit length"),
)
CAMERA_MOTION = schema(
    "camera_motion",
    "The camera's motion between the keyframes of a shot, one row per keyframe",
    frame=(I32, "the keyframe's ordinal among the sampled frames"),
    transform=(
        pa.list_(pa.float32(), 9),
        "3 x 3, row by row: maps (x, y, 1) in px of the shot's previous keyframe to this one; null for the first of "
        "the shot, and where the two share no content",
    ),
    agreement=(
        F32,
        "share of what both keyframes show that is alike after that motion, 0..1; null where there is none",
    ),
)
TRACK_EDGES = schema(
    "track_edges",
    "When a track appears or disappears between two sampled frames of a shot, found on the pictures between them",
    track_id=(STRING, "id, from the track's first region"),
    frame=(I32, "the sampled frame that shows it, first or last; the one before or after it does not"),
    side=(STRING, " | ".join(Side)),
    t_s=(F64, "when it appears or disappears, in seconds"),
    error_s=(F32, "most by which that may be wrong, in seconds: half the time between the two nearest pictures"),
)


@dataclass(frozen=True)
class DetectedObjects(Payload):
    """``embedder`` is the identity of the embedder that made ``embeddings``; "" if it was off."""

    regions: pa.Table
    tracks: pa.Table
    embeddings: pa.Table = field(default_factory=lambda: table(TRACK_EMBEDDINGS))
    camera_motion: pa.Table = field(default_factory=lambda: table(CAMERA_MOTION))
    edges: pa.Table = field(default_factory=lambda: table(TRACK_EDGES))
    embedder: str = ""
    schemas: ClassVar = {
        "regions": REGIONS,
        "tracks": TRACKS,
        "embeddings": TRACK_EMBEDDINGS,
        "camera_motion": CAMERA_MOTION,
        "edges": TRACK_EDGES,
    }
    added: ClassVar = ("camera_motion", "edges")


class TextDetection(Enum):
    rapidocr = "rapidocr"
    tesseract = "tesseract"
    off = "off"


class LogoDetection(Enum):
    contours = "contours"
    off = "off"


class DetectObjectsParams(Params):
    text: TextDetection = Field(TextDetection.rapidocr, description="detector of text regions")
    longest_side_px: int = Field(
        1920, ge=320, le=8192, description="longest side to which pictures are scaled for the text detector"
    )
    min_score: Unit = Field(0.35, description="lowest detector score of a text region")
    min_height_px: int = Field(6, ge=1, description="lowest height of text regions, in px of the stored frame")
    search_every: int = Field(
        2,
        ge=1,
        le=16,
        description="search every n-th keyframe of a shot in full, and carry regions to those between; 1 = every one. "
        "2n + 2 pictures are held, of 6 MB at 1080p and 25 MB at 4K",
    )
    search_lost: float = Field(
        -1.0,
        ge=-1.0,
        le=1.0,
        description="least correlation with the expected pixels at which text that could not be carried is searched "
        "for; below, something else is in front of it. Text at the edge, which cannot be compared, always is",
    )
    edge_pictures_per_minute: int = Field(
        400,
        ge=0,
        le=10_000,
        description="most pictures that are decoded per minute of video to find when regions appear and disappear "
        "between two sampled frames; 0 = not at all",
    )
    precision: Precision = Field(
        Precision.auto,
        description="precision of the text detector; auto: the fastest on this CPU",
    )
    logos: LogoDetection = Field(LogoDetection.contours, description="detector of logo regions")
    logo_score: Unit = Field(0.1, description="lowest score of a logo region")
    max_logos: int = Field(
        30, ge=1, le=200, description="most logo regions per picture, best first; lines of text do not count"
    )
    min_logo_px: int = Field(16, ge=4, description="shortest side of a logo region, in px of the stored frame")
    object_model: ModelName = Field(
        "off", min_length=1, description="zero-shot object detector: a model's id or folder; off = none"
    )
    object_labels: list[str] = Field([], description="labels that the object detector looks for")
    object_score: Unit = Field(0.3, description="lowest score of an object region")
    embedder: ModelName = Field(
        "built-in",
        min_length=1,
        description="embedder of crops: built-in, off, or an image model's id or folder",
    )
