"""What ``match_brands`` and both escalations hand on: verdicts, unresolved clusters, and the answers of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

import pyarrow as pa

from brand_detect.domain.records import Payload
from brand_detect.domain.tables import F32, F64, I32, I64, STRING, STRINGS, Row, schema


class VerdictStatus(StrEnum):
    resolved = "resolved"
    ignored = "ignored"


class Rule(StrEnum):
    """What a verdict rests on: how a text or a logo was matched, or who named the brand."""

    exact = "exact"
    alias = "alias"
    fuzzy = "fuzzy"
    joined = "joined"
    logo_match = "logo_match"
    excluded = "excluded"
    vlm = "vlm"
    cloud = "cloud"
    review = "review"


class Reason(StrEnum):
    """Why a cluster is unresolved; ``REASONS`` has the wording of each."""

    no_rule = "no_rule"
    unreadable = "unreadable"
    no_brand = "no_brand"
    unsure = "unsure"
    unknown_brand = "unknown_brand"
    malformed = "malformed"
    deferred = "deferred"
    failed = "failed"


REASONS = {
    Reason.no_rule: "no rule knows it",
    Reason.unreadable: "nobody could read it",
    Reason.no_brand: "a model sees no brand, and is not sure enough",
    Reason.unsure: "a model names a brand, and is not sure enough",
    Reason.unknown_brand: "a model names a brand that the catalogue does not have",
    Reason.malformed: "a model's answer made no sense",
    Reason.deferred: "put off: the budget did not reach",
    Reason.failed: "no model could be reached",
}


class AnswerStatus(StrEnum):
    answered = "answered"
    none = "none"
    unreadable = "unreadable"
    malformed = "malformed"
    deferred = "deferred"
    failed = "failed"


REPLIES = (AnswerStatus.answered, AnswerStatus.none, AnswerStatus.unreadable, AnswerStatus.malformed)
"""A model replied. With any other status nobody did, and the question is put again."""
LOGO_TYPES = ("wordmark", "symbol", "combined", "text", "other")

VERDICTS = schema(
    "verdicts",
    "What was decided about one or several neighbouring tracks",
    verdict_id=(STRING, "id, from the tracks and the brand"),
    track_ids=(STRINGS, "the tracks it is about"),
    status=(STRING, " | ".join(VerdictStatus)),
    brand_id=(STRING, "the brand's id in the catalogue"),
    brand=(STRING, "the brand's name"),
    rule=(STRING, " | ".join(Rule)),
    score=(F32, "0..1, how well the rule fits"),
    confidence=(F32, "0..1, the rule's score times the reading's confidence"),
    text=(STRING, "the text that was read"),
    matched=(STRING, "the alias or the exemplar it was matched to, or the model's answer"),
    span_start=(F32, "share of the text's length where the brand begins, 0..1"),
    span_end=(F32, "share of the text's length where the brand ends, 0..1"),
    line_start=(F32, "share of the region's length where the brand begins, 0..1; null = unknown"),
    line_end=(F32, "share of the region's length where the brand ends, 0..1; null = unknown"),
    line_region_id=(STRING, "that region"),
    decided_by=(STRING, "the stage that decided"),
    model=(STRING, "provider and model; '' for rules"),
)
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
    reason=(STRING, " | ".join(Reason)),
    candidates=(STRINGS, "brands of the catalogue that it resembles, likest first"),
)
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
    status=(STRING, " | ".join(AnswerStatus)),
    detail=(STRING, "what went wrong, in words"),
    input_tokens=(I64, "of the call that was made, as are cost and latency"),
    output_tokens=(I64, "tokens answered"),
    cost_usd=(F64, "what the call cost, in USD"),
    latency_s=(F64, "how long the answer took, in seconds"),
    logo_type=(STRING, f"{' | '.join(LOGO_TYPES)}; '' where nobody said"),
    placement=(STRING, "board | clothing | overlay | product | vehicle | building | screen | other"),
    reasoning=(STRING, "the model's, in short"),
    question_id=(STRING, "equal for equal questions to one model; '' where nobody answered"),
    asked_at=(STRING, "UTC, ISO 8601"),
    remembered=(pa.bool_(), "the call was made earlier: for another attempt, another job or a look-alike"),
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A row of VERDICTS, by default a rule's about the whole of a text or logo region."""

    verdict_id: str
    track_ids: Sequence[str]
    status: VerdictStatus = VerdictStatus.resolved
    brand_id: str = ""
    brand: str = ""
    rule: Rule
    score: float = 1.0
    confidence: float
    text: str
    matched: str
    span_start: float = 0.0
    span_end: float = 1.0
    line_start: float | None = None
    line_end: float | None = None
    line_region_id: str | None = None
    decided_by: str
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A row of UNRESOLVED."""

    cluster_id: str
    rank: int = 0
    text: str
    track_ids: Sequence[str]
    n_regions: int
    seconds: float
    area_frac: float
    crop_hashes: Sequence[int]
    best_region_id: str
    reason: Reason
    candidates: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """What became of a question: a row of ANSWERS, whose column ``answer`` is ``brand``.

    ``provider``, ``model`` and ``question_id`` are empty where nobody answered.
    """

    cluster_id: str
    status: AnswerStatus
    brand: str = ""
    confidence: float = 0.0
    detail: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    logo_type: str = ""
    placement: str = ""
    reasoning: str = ""
    provider: str = ""
    model: str = ""
    prompt_version: str = ""
    question_id: str = ""  # of ``Answerer.question_ids``, that of the model that answered
    asked_at: str = ""
    brand_id: str = ""
    remembered: bool = False

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(brand=row["answer"], **{name: value for name, value in row.items() if name != "answer"})

    @property
    def row(self) -> Row:
        return {"answer" if name == "brand" else name: value for name, value in vars(self).items()}


@dataclass(frozen=True)
class BrandVerdicts(Payload):
    """Verdicts so far and the clusters still unresolved; ``answers`` stays empty in ``match_brands``."""

    verdicts: pa.Table
    unresolved: pa.Table
    answers: pa.Table
    schemas: ClassVar = {"verdicts": VERDICTS, "unresolved": UNRESOLVED, "answers": ANSWERS}

    def clusters(self) -> list[Cluster]:
        """``unresolved`` as objects, by rank."""
        return [Cluster(**row) for row in self.unresolved.to_pylist()]
