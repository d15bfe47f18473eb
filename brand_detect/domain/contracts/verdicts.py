"""Output of ``match_brands`` and both escalations: verdicts, unresolved clusters and models' answers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Self

import pyarrow as pa
from pydantic import Field

from brand_detect.domain.records import Payload, Record
from brand_detect.domain.tables import F32, F64, I64, STRING, Float32, Row, schema, schema_of


class VerdictStatus(StrEnum):
    resolved = "resolved"
    ignored = "ignored"


class Rule(StrEnum):
    """The basis of a verdict: how a text or a logo was matched, or who named the brand."""

    exact = "exact"
    alias = "alias"
    fuzzy = "fuzzy"
    lexicon = "lexicon"
    joined = "joined"
    reidentified = "reidentified"
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
    Reason.no_rule: "no rule matches it",
    Reason.unreadable: "it could not be read",
    Reason.no_brand: "a model sees no brand, but is not sure enough",
    Reason.unsure: "a model names a brand, but is not sure enough",
    Reason.unknown_brand: "a model names a brand that the catalogue lacks",
    Reason.malformed: "a model's answer was malformed",
    Reason.deferred: "deferred: the budget was exhausted",
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
"""Statuses of questions that a model replied to; the others are asked again."""
LOGO_TYPES = ("wordmark", "symbol", "combined", "text", "other")


class Verdict(Record):
    """A decision about one or several neighbouring tracks; by default a rule's, about the whole text or logo region."""

    verdict_id: str = Field(description="id, from the tracks and the brand")
    track_ids: tuple[str, ...] = Field(description="the tracks that it covers")
    status: VerdictStatus = Field(default=VerdictStatus.resolved, description=" | ".join(VerdictStatus))
    brand_id: str = Field(default="", description="the brand's id in the catalogue")
    brand: str = Field(default="", description="the brand's name")
    rule: Rule = Field(description=" | ".join(Rule))
    score: Float32 = Field(
        default=1.0,
        description="how well the rule matches, 0..1; lexicon: likelihood per letter, relative to the reader's best; "
        "reidentified: likeness to a track where the name was read",
    )
    confidence: Float32 = Field(
        description="the rule's score times the reading's confidence, 0..1; lexicon, logo_match, reidentified: a "
        "probability"
    )
    text: str = Field(description="the text that was read")
    matched: str = Field(
        description="the alias or exemplar that it matched, the model's answer, or the track that it looks like"
    )
    span_start: Float32 = Field(default=0.0, description="share of the text's length where the brand begins, 0..1")
    span_end: Float32 = Field(default=1.0, description="share of the text's length where the brand ends, 0..1")
    line_start: Annotated[float | None, F32] = Field(
        default=None, description="share of the region's length where the brand begins, 0..1; null = unknown"
    )
    line_end: Annotated[float | None, F32] = Field(
        default=None, description="share of the region's length where the brand ends, 0..1; null = unknown"
    )
    line_region_id: str | None = Field(default=None, description="the region of line_start and line_end")
    decided_by: str = Field(description="the stage that decided")
    model: str = Field(default="", description="provider and model; '' for rules")


class Cluster(Record):
    """Tracks that read or look alike and are unresolved."""

    cluster_id: str = Field(description="id, from the crops' hashes and the text")
    rank: int = Field(default=0, description="rank by time on screen and size, from 1")
    text: str = Field(description="the most frequent reading; '' for logo regions without text")
    track_ids: tuple[str, ...] = Field(description="the tracks in the cluster")
    n_regions: int = Field(description="number of regions")
    seconds: float = Field(description="time on screen, counted once per instant")
    area_frac: Float32 = Field(description="mean share of the picture's area, 0..1")
    crop_hashes: Annotated[tuple[int, ...], pa.list_(pa.uint64())] = Field(
        description="distinct perceptual hashes (crop_hash) of its crops, ascending; they identify it in a replay"
    )
    best_region_id: str = Field(description="region of the best crop, to show or to ask about")
    reason: Reason = Field(description=" | ".join(Reason))
    candidates: tuple[str, ...] = Field(
        default=(), description="catalogue brands that it resembles, most similar first"
    )


VERDICTS = schema_of("verdicts", "Decisions about one or several neighbouring tracks", Verdict)
UNRESOLVED = schema_of("unresolved", "Unresolved clusters, ranked by time on screen and size", Cluster)
ANSWERS = schema(
    "answers",
    "One row per question to a model",
    cluster_id=(STRING, "id, from the crops' hashes and the text"),
    provider=(STRING, "the provider that answered"),
    model=(STRING, "the model that answered"),
    prompt_version=(STRING, "version of the prompt"),
    answer=(STRING, "the brand's name as the model gave it; '' for none"),
    brand_id=(STRING, "id of the catalogue brand that the answer matched; '' for none"),
    confidence=(F32, "0..1"),
    status=(STRING, " | ".join(AnswerStatus)),
    detail=(STRING, "what went wrong, in plain words"),
    input_tokens=(I64, "input tokens of the call"),
    output_tokens=(I64, "output tokens of the call"),
    cost_usd=(F64, "cost of the call, in USD"),
    latency_s=(F64, "latency of the answer, in seconds"),
    logo_type=(STRING, f"{' | '.join(LOGO_TYPES)}; '' if the model gave none"),
    placement=(STRING, "board | clothing | overlay | product | vehicle | building | screen | other"),
    reasoning=(STRING, "the model's reasoning, in short"),
    question_id=(STRING, "equal for equal questions to one model; '' if no model answered"),
    asked_at=(STRING, "when it was asked, UTC, ISO 8601"),
    remembered=(pa.bool_(), "reused from an earlier call: of another attempt, another job or a look-alike"),
)


@dataclass(frozen=True)
class Answer:
    """The outcome of a question: a row of ANSWERS, whose column ``answer`` is ``brand`` here.

    ``provider``, ``model`` and ``question_id`` are empty if no model answered.
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
    question_id: str = ""  # the answering model's entry in ``Answerer.question_ids``
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
