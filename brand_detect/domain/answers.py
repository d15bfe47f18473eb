"""A vision-language model's answer about a logo: its form, and the parser of replies.

A model is a witness, not a judge: its answer is truncated, and it counts only if the catalogue has the brand.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from brand_detect.domain.contracts.verdicts import LOGO_TYPES, AnswerStatus
from brand_detect.domain.placements import ANSWERABLE
from brand_detect.domain.text import line_of

LONGEST_NAME = 80
LONGEST_REASON = 300
MOST_WORDS = 6
"""Most words in a brand's name; anything longer is a sentence."""
GENERIC = frozenset(("logo", "logotype", "brand", "wordmark", "trademark", "company"))
"""Words that models append to a name."""
HEDGES = frozenset(
    (
        *("appears", "seems", "looks", "likely", "possibly", "probably", "maybe", "perhaps", "cannot", "visible"),
        *("unclear", "unknown", "unidentified", "unreadable", "illegible", "unsure", "uncertain"),
        *("generic", "contemporary", "brand", "logo", "none", "null", "undefined"),
    )
)
"""Words that describe a logo: accepted in a name that the catalogue has, never in a new one."""


class BrandAnswer(BaseModel):
    """The form that models are asked to answer in."""

    model_config = ConfigDict(frozen=True)

    verdict: Literal["brand", "none", "unreadable"] = Field(
        description="brand: the outlined mark is a brand's. none: it is something else. unreadable: it cannot be told."
    )
    brand: str = Field("", description="the brand's name and nothing else; empty unless the verdict is brand")
    confidence: float = Field(ge=0, le=1, description="how sure the verdict is, from 0 to 1")
    logo_type: str = Field("other", alias="mark", description="kind of mark", json_schema_extra={"enum": [*LOGO_TYPES]})
    placement: str = Field(
        "other",
        alias="surface",
        description="what the mark is on; overlay: graphics laid over the picture",
        json_schema_extra={"enum": [*ANSWERABLE]},
    )
    reason: str = Field("", description="what speaks for the verdict, in one short sentence")

    @field_validator("verdict", mode="before")
    @classmethod
    def _verdict(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("brand", "reason", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("logo_type", "placement", mode="before")
    @classmethod
    def _kind(cls, value: Any) -> Any:
        return value if value in (*LOGO_TYPES, *ANSWERABLE) else "other"

    @property
    def status(self) -> AnswerStatus:
        """The status of the answer; a brand without a name counts as unreadable."""
        if self.verdict != "brand":
            return AnswerStatus(self.verdict)
        return AnswerStatus.answered if line_of(self.name).key else AnswerStatus.unreadable

    @property
    def name(self) -> str:
        """The brand's name as the model gave it, on one line and truncated."""
        return plain(self.brand, LONGEST_NAME).strip(" \"'“”‘’.,;:") if self.verdict == "brand" else ""

    @property
    def reasoning(self) -> str:
        return plain(self.reason, LONGEST_REASON)


LONGEST_REPLY = 40_000
"""Only so many trailing characters of a reply are parsed: over twice the longest answer of 4,096 tokens."""


def read_reply(reply: str) -> BrandAnswer:
    """Parses a model's reply: its last JSON object of the form counts, and text around it is ignored.

    Raises:
        ValueError: the reply holds no such object.
    """
    wrong = "no JSON object"
    for found in reversed(list(_objects(reply[-LONGEST_REPLY:]))):
        try:
            return BrandAnswer.model_validate(found)
        except ValidationError as e:
            first = e.errors()[0]
            wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    raise ValueError(f"{wrong}, in {plain(reply, 120)!r}")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yields the outermost JSON objects in ``text``."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def plain(text: str, longest: int) -> str:
    """``text`` on one line, without control and format characters such as right-to-left marks, cut to ``longest``."""
    kept = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    line = re.sub(" +", " ", kept).strip()
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_generic(name: str) -> str:
    """``name`` without the generic words that models add: "the Nike logo" and "Nike brand" give "Nike"."""
    words = name.split()
    if len(words) > 1 and words[0].lower() == "the":
        words = words[1:]
    while len(words) > 1 and words[-1].lower().strip(".") in GENERIC:
        words = words[:-1]
    return " ".join(words)


def may_be_a_name(name: str) -> bool:
    """Whether ``name`` could name a brand new to the catalogue, rather than being a sentence about one."""
    words = line_of(name).words
    return bool(words) and len(name.split()) <= MOST_WORDS and HEDGES.isdisjoint(words)
