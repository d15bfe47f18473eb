"""What ``match_brands`` and both escalations hand on: verdicts, unresolved clusters, and the answers of models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from brand_detect.domain.records import Payload
from brand_detect.domain.tables import F32, F64, I32, I64, STRING, STRINGS, schema

VERDICTS = schema(
    "verdicts",
    "What was decided about one or several neighbouring tracks",
    verdict_id=(STRING, "id, from the tracks and the brand"),
    track_ids=(STRINGS, "the tracks it is about"),
    status=(STRING, "resolved | ignored"),
    brand_id=(STRING, "the brand's id in the catalogue"),
    brand=(STRING, "the brand's name"),
    rule=(STRING, "exact | alias | fuzzy | joined | logo_match | excluded | vlm | cloud | review"),
    score=(F32, "0..1, how well the rule fits"),
    confidence=(F32, "0..1, the rule's score times the reading's confidence"),
    text=(STRING, "the text that was read"),
    matched=(STRING, "the alias or the exemplar it was matched to, or the model's answer"),
    span_start=(F32, "share of the text's length where the brand begins, 0..1"),
    span_end=(F32, "share of the text's length where the brand ends, 0..1"),
    line_start=(F32, "share of the region's length where the brand begins, 0..1; null = not told"),
    line_end=(F32, "share of the region's length where the brand ends, 0..1; null = not told"),
    line_region_id=(STRING, "that region"),
    decided_by=(STRING, "the stage that decided"),
    model=(STRING, "provider and model; '' for rules"),
)
WHOLE_TEXT: Mapping[str, Any] = {
    "span_start": 0.0,
    "span_end": 1.0,
    **dict.fromkeys(("line_start", "line_end", "line_region_id")),
}
"""What a verdict about the whole of a text or a mark has in the columns that tell a part."""
UNRESOLVED = schema(
    "unresolved",
    "Clusters of alike tracks that no rule settled, ranked by time on screen and size",
    cluster_id=(STRING, "id, from the crops' hashes and the text"),
    rank=(I32, "from 1"),
    text=(STRING, "the most frequent reading; '' for logo regions without text"),
    track_ids=(STRINGS, "the tracks it is about"),
    n_regions=(I32, "number of regions"),
    seconds=(F64, "time on screen, counted once per instant"),
    area_frac=(F32, "mean"),
    crop_hashes=(pa.list_(pa.uint64()), "perceptual hashes of its crops"),
    best_region_id=(STRING, "the crop to show or to ask about"),
    reason=(STRING, "no_rule | unreadable | no_brand | unsure | unknown_brand | malformed | deferred | failed"),
    candidates=(STRINGS, "brands of the catalogue that it resembles, likest first"),
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
ANSWERS = schema(
    "answers",
    "Every question put to a model",
    cluster_id=(STRING, "id, from the crops' hashes and the text"),
    provider=(STRING, "who answered"),
    model=(STRING, "the model that answered"),
    prompt_version=(STRING, "version of the prompt"),
    answer=(STRING, "the brand's name as the model gave it; '' for none"),
    brand_id=(STRING, "the catalogue's brand it was matched to; '' for none"),
    confidence=(F32, "0..1"),
    status=(STRING, "answered | none | unreadable | malformed | deferred | failed"),
    detail=(STRING, "what went wrong, in words"),
    input_tokens=(I64, "of the call that was made, as are cost and latency"),
    output_tokens=(I64, "tokens answered"),
    cost_usd=(F64, "what the call cost, in USD"),
    latency_s=(F64, "how long the answer took, in seconds"),
    logo_type=(STRING, "wordmark | symbol | combined | text | other; '' where nobody said"),
    placement=(STRING, "board | clothing | overlay | product | vehicle | building | screen | other"),
    reasoning=(STRING, "the model's, in short"),
    question_id=(STRING, "equal for equal questions to one model; '' where nobody answered"),
    asked_at=(STRING, "UTC, ISO 8601"),
    remembered=(pa.bool_(), "the call was made earlier: for another attempt, another job or a look-alike"),
)
LOGO_TYPES = ("wordmark", "symbol", "combined", "text", "other")


@dataclass(frozen=True)
class BrandVerdicts(Payload):
    """Verdicts so far and the clusters still open; ``answers`` stays empty in ``match_brands``."""

    verdicts: pa.Table
    unresolved: pa.Table
    answers: pa.Table
    schemas: ClassVar = {"verdicts": VERDICTS, "unresolved": UNRESOLVED, "answers": ANSWERS}
