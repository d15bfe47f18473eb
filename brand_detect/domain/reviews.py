"""A person's corrections of a report, and which of them are in force.

A correction is an immutable event. It refers to its target by brand, time range and box rather than by ids of
detections, so that it survives a replay that changes the ids.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from brand_detect.domain.contracts.verdicts import Cluster
from brand_detect.domain.errors import BadInput
from brand_detect.domain.hashes import alike
from brand_detect.domain.params import Unit
from brand_detect.domain.proposals import Proposal
from brand_detect.domain.records import Record
from brand_detect.domain.tables import content_id
from brand_detect.domain.text import key_of, same_text

LONGEST_S = 1e7
"""Latest time in a correction: 115 days."""
MOST_HASHES = 1000
STEERING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of neighbouring text."""
OF_CLUSTERS = ("name", "dismiss")
"""Actions about an unresolved cluster."""


def _without_steering(text: object) -> object:
    """Strips direction marks from a report's text: OCR of Arabic and Hebrew emits them."""
    return "".join(c for c in text if c not in STEERING).strip() if isinstance(text, str) else text


def _no_steering(text: str) -> str:
    if any(unicodedata.category(c) in ("Cc", "Cs") or c in STEERING for c in text):
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, BeforeValidator(lambda text: text.strip() if isinstance(text, str) else text)]
Echo = Annotated[str, BeforeValidator(_without_steering)]
Time = Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)]


class Correction(Record):
    """A person's correction of a report. ``user`` comes from the client and is not verified."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # so that events of later versions can be read

    action: Literal["accept", "reject", "rename", "merge", "name", "dismiss", "exclude", "undo"] = Field(
        description="accept, reject, rename, merge, name, dismiss, exclude or undo"
    )
    always: ClassVar = ("user",)
    user: Text = Field(max_length=80, description="the person's name, from the client; not verified")
    brand_id: Text = Field("", max_length=200, description="id of the brand, as in the report")
    brand: Echo = Field("", max_length=200, description="name of the brand, as shown")
    to: Text = Field("", max_length=100, description="rename, merge, name: the correct brand's name, new or known")
    text: Echo = Field(
        "", max_length=1000, description="exclude: the text that was read; name, dismiss: the unresolved cluster's text"
    )
    cluster_id: Text = Field("", max_length=64, description="name, dismiss: the unresolved cluster")
    crop_hashes: tuple[Annotated[int, Field(ge=0, lt=2**64)], ...] = Field(
        (),
        max_length=MOST_HASHES,
        description="name, dismiss: the unresolved cluster's hashes; the service takes them from the report",
    )
    start_s: Time | None = Field(
        None, description="start of the exposure, in seconds; null, like end_s: the whole brand"
    )
    end_s: Time | None = Field(None, description="end of the exposure, in seconds")
    t_s: Time | None = Field(None, description="time of the box, in seconds")
    box: Annotated[tuple[Unit, ...], Field(min_length=4, max_length=4)] | None = Field(
        None, description="x, y, width, height as shares of the picture; null = all of the brand in the range"
    )
    undoes: str = Field("", pattern=r"^([0-9a-f]{16})?$", description="undo: review_id of the event to undo")
    note: Text = Field("", max_length=1000, description="the reason, in the person's words")

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v is not None} if isinstance(values, Mapping) else values

    @field_validator("user", "brand_id", "brand", "to", "text", "cluster_id")
    @classmethod
    def _one_line(cls, value: str) -> str:
        return _no_steering(value)

    @field_validator("note")
    @classmethod
    def _lines(cls, value: str) -> str:
        return "\n".join(map(_no_steering, value.splitlines()))

    @model_validator(mode="after")
    def _is_whole(self) -> "Correction":
        about = {"name": "cluster_id", "dismiss": "cluster_id", "exclude": "text", "undo": "undoes"}
        needs = [*self.always, about.get(self.action, "brand_id")]
        if self.action in ("rename", "merge", "name"):
            needs.append("to")
        for field in needs:
            if not getattr(self, field):
                raise ValueError(f"{self.action} needs {field}")
        for field in (*self.always, "to", "text"):
            if field in needs and not key_of(getattr(self, field)):
                raise ValueError(f"{field} has neither a letter nor a digit")
        if (self.start_s is None) != (self.end_s is None):
            raise ValueError("start_s and end_s go together")
        if self.start_s is not None and self.end_s is not None and self.start_s >= self.end_s:
            raise ValueError("start_s must be before end_s")
        if self.action == "merge" and (self.start_s is not None or self.box is not None):
            raise ValueError("merge applies to the whole brand; use rename for a range")
        if self.box is not None:
            x, y, w, h = self.box
            if min(w, h) <= 0 or max(x + w, y + h) > 1 + 1e-6:
                raise ValueError("the box is empty or not within the picture")
            if self.t_s is None:
                raise ValueError("a box needs t_s")
        return self


class Review(Correction):
    """A stored correction. Early ones have no user."""

    always: ClassVar = ()
    user: Text = Field("", max_length=80, description="the person's name, from the client; not verified")

    review_id: str = Field(pattern=r"^[0-9a-f]{16}$", description="id, from the event and its time")
    at: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$", description="when it was made, UTC, ISO 8601"
    )


def correction_of(values: Mapping[str, Any]) -> Correction:
    """Validates ``values`` as a correction.

    Raises:
        BadInput: they are invalid; names the field and the reason.
    """
    try:
        return Correction.model_validate(values)
    except ValidationError as e:
        raise BadInput(sentence(e.errors()), "docs/reference/http.md lists the fields") from e


def sentence(errors: Sequence[Any], what_is_wrong: str = "The correction") -> str:
    """Formats the first of pydantic's validation errors as a sentence."""
    where = ".".join(str(part) for part in errors[0]["loc"] if part != "body")
    what = errors[0]["msg"].removeprefix("Value error, ")
    return f"{what_is_wrong} is not valid: {f'{where}: ' if where else ''}{what[:1].lower()}{what[1:]}."


def review_of(correction: Correction, now: datetime | None = None) -> Review:
    """``correction`` as a stored event made at ``now``; default: the current time."""
    at = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    return Review(**correction.model_dump(), at=at, review_id=content_id(at, correction.model_dump_json()))


def in_order(reviews: Iterable[Review]) -> list[Review]:
    """``reviews`` sorted by time, then by id."""
    return sorted(reviews, key=lambda r: (r.at, r.review_id))


def undone(reviews: Iterable[Review]) -> set[str]:
    """Ids of the events that a later one undoes; an undo can itself be undone."""
    found: set[str] = set()
    listed = in_order(reviews)
    for n, review in reversed(list(enumerate(listed))):
        takes_back = review.action == "undo" and review.review_id not in found
        if takes_back and any(earlier.review_id == review.undoes for earlier in listed[:n]):
            found.add(review.undoes)
    return found


def in_force(reviews: Iterable[Review]) -> list[Review]:
    """The corrections in force, earliest first: later ones override earlier ones with the same target."""
    listed = in_order(reviews)
    gone = undone(listed)
    return [r for r in listed if r.action != "undo" and r.review_id not in gone]


def log_digest(reviews: Iterable[Review]) -> str:
    """Content hash of all events, for recipes."""
    digest = hashlib.sha256()
    for review in in_order(reviews):
        digest.update(review.model_dump_json().encode() + b"\n")
    return digest.hexdigest()[:32]


def clusters_named(review: Review, clusters: Sequence[Cluster | Proposal]) -> list[str]:
    """Ids of the unresolved ``clusters`` that a ``name`` or ``dismiss`` targets.

    Matches by cluster id, else by similar crops unless the texts differ, else by equal text.
    """
    by_id = [c.cluster_id for c in clusters if c.cluster_id == review.cluster_id]
    if by_id:
        return by_id
    by_logo = [
        c.cluster_id
        for c in clusters
        if (same_text(c.text, review.text) or not (key_of(c.text) and key_of(review.text)))
        and alike(c.crop_hashes, review.crop_hashes)
    ]
    return by_logo or [c.cluster_id for c in clusters if same_text(c.text, review.text)]
