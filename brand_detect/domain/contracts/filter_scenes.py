"""What ``filter_scenes`` takes and hands on."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from brand_detect.domain.params import Params
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import F64, I32, STRING, schema

SHOTS = schema(
    "shots",
    "One row for every shot, in order",
    shot=(I32, "ordinal of the shot, from 0"),
    start_s=(F64, "when it begins, in seconds"),
    end_s=(F64, "when it ends, in seconds"),
    n_frames=(I32, "sampled frames in the shot"),
    n_keyframes=(I32, "keyframes in the shot"),
)
TIMELINE = schema(
    "timeline",
    "One row per sampled frame; the cells [start_s, end_s) tile the sampled range",
    frame=(I32, "the keyframe's ordinal among the sampled frames"),
    frame_id=(STRING, "id, from the video's content and the time"),
    t_s=(F64, "when the frame is shown, in seconds"),
    start_s=(F64, "when it begins, in seconds"),
    end_s=(F64, "when it ends, in seconds"),
    shot=(I32, "ordinal of the shot, from 0"),
    status=(STRING, "FrameStatus"),
    keyframe=(I32, "the frame that stands for this one (itself when kept); null when black or blank"),
    hamming=(I32, "bits by which its hash differs from that of keyframe; null when black or blank"),
)
KEYFRAME, DUPLICATE, BLACK, BLANK = "keyframe", "duplicate", "black", "blank"


@dataclass(frozen=True)
class FilteredScenes(Payload):
    shots: pa.Table
    timeline: pa.Table
    schemas: ClassVar = {"shots": SHOTS, "timeline": TIMELINE}


class FilterScenesParams(Params):
    hamming_threshold: int = Field(
        8, ge=0, le=64, description="a duplicate's hash is within so many bits of the frame that stands for it"
    )
    moved_luma: float = Field(
        3.0, ge=0, le=255, description="mean change of luma over which the camera has moved: no duplicate; 255 = off"
    )
    caption_luma: float = Field(
        24.0,
        ge=0,
        le=255,
        description="change of luma in one spot that, lasting a second, shows something new: no duplicate; 255 = off",
    )
    shot_threshold: float = Field(0.3, gt=0, le=1, description="change between two pictures that makes a cut")
