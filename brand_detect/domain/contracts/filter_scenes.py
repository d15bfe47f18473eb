"""Contract of ``filter_scenes``: params, tables and payload."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from brand_detect.domain.params import Params
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import F64, I32, STRING, schema

SHOTS = schema(
    "shots",
    "One row per shot, in order",
    shot=(I32, "ordinal of the shot, from 0"),
    start_s=(F64, "when it begins, in seconds"),
    end_s=(F64, "when it ends, in seconds"),
    n_frames=(I32, "sampled frames in the shot"),
    n_keyframes=(I32, "keyframes in the shot"),
)
TIMELINE = schema(
    "timeline",
    "One row per sampled frame; the cells [start_s, end_s) tile the sampled range",
    frame=(I32, "the frame's ordinal among the sampled frames"),
    frame_id=(STRING, "id, from the video's content and the time"),
    t_s=(F64, "when the frame is shown, in seconds"),
    start_s=(F64, "start of the frame's cell, in seconds"),
    end_s=(F64, "end of the frame's cell, in seconds"),
    shot=(I32, "ordinal of the shot, from 0"),
    status=(STRING, "keyframe | duplicate | black | blank"),
    keyframe=(I32, "the keyframe that stands for this frame, itself if it is one; null if black or blank"),
    hamming=(I32, "Hamming distance between its hash and its keyframe's, in bits; null if black or blank"),
)
KEYFRAME, DUPLICATE, BLACK, BLANK = "keyframe", "duplicate", "black", "blank"


@dataclass(frozen=True)
class FilteredScenes(Payload):
    shots: pa.Table
    timeline: pa.Table
    schemas: ClassVar = {"shots": SHOTS, "timeline": TIMELINE}


class FilterScenesParams(Params):
    hamming_threshold: int = Field(
        8, ge=0, le=64, description="most bits by which the hash of a duplicate differs from its keyframe's"
    )
    max_mean_luma_change: float = Field(
        3.0,
        ge=0,
        le=255,
        description="mean change of luma above which the camera moved and the frame is no duplicate; 255 = off",
    )
    max_local_luma_change: float = Field(
        24.0,
        ge=0,
        le=255,
        description="local change of luma that, if it lasts a second, makes the frame no duplicate; 255 = off",
    )
    shot_threshold: float = Field(0.3, gt=0, le=1, description="change between two pictures at which a cut is assumed")
