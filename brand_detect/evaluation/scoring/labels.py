"""Labels of clips: a handmade file, or a generated clip's ground truth.

A handmade file is ``{clip: {duration_s, clear: {brand: {intervals_s?}}, hard: {…}, logos: {…}, absent: […]}}``. The
boxes of the ground truth locate a loss exactly; a list of brands does so only roughly.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from brand_detect.domain.errors import BadInput
from brand_detect.domain.text import key_of

if TYPE_CHECKING:
    from brand_detect.evaluation.synthetic.footage import Truth

Intervals = tuple[tuple[float, float], ...]


class Kind(StrEnum):
    """How a brand is on screen: the keys of a label file."""

    clear = "clear"  # its name can be read: must be found
    hard = "hard"  # its name is small, turned or partly hidden: a bonus
    logos = "logos"  # its logo without its name: counted apart, and found only by the picture


class Half(StrEnum):
    first = "first"
    second = "second"

    @classmethod
    def of(cls, clip: str) -> "Half":
        """The half of a clip, from its file name alone, so that no other clip moves it."""
        return cls.second if sha256(clip.encode()).digest()[0] % 2 else cls.first


@dataclass(frozen=True)
class Label:
    brand: str
    kind: Kind
    intervals_s: Intervals  # when it can be seen
    timed: bool = True  # False: the file has no intervals, so they are the whole clip


@dataclass(frozen=True)
class ClipLabels:
    """The labels of one clip."""

    clip: str  # the video's file name
    duration_s: float
    labels: tuple[Label, ...]
    absent: tuple[str, ...] = ()  # brands that are not in the clip: false if reported
    exhaustive: bool = False  # every brand in the clip has a label: any other is false
    note: str = ""
    unknown_words: tuple[str, ...] = ()  # words on screen that no catalogue lists
    truth: "Truth | None" = None


class _Listed(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    intervals_s: Intervals | None = None
    note: str = ""


class _Entry(BaseModel):
    """A clip in a label file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    duration_s: float = Field(gt=0)
    size: str = ""
    clear: dict[str, _Listed] = {}
    hard: dict[str, _Listed] = {}
    logos: dict[str, _Listed] = {}
    absent: tuple[str, ...] = ()
    exhaustive: bool = False
    note: str = ""


_ENTRIES = TypeAdapter(dict[str, _Entry])


def _without_remarks(entry: Any) -> Any:
    return {key: value for key, value in entry.items() if key[:1] != "_"} if isinstance(entry, dict) else entry


def load_labels(path: Path) -> dict[str, ClipLabels]:
    """The labels in a file, by clip; keys that begin with _ are remarks. A ground truth file labels the clip beside it.

    Raises:
        BadInput: the file is missing or neither, has unknown keys, or contradicts itself.
    """
    from brand_detect.evaluation.synthetic.footage import Truth  # most commands need no drawing

    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        if "boxes" in data:
            clip = path.name.removesuffix(".truth.json") + ".mp4"
            return {clip: labels_of_truth(clip, Truth.from_json(data))}
        entries = _ENTRIES.validate_python({clip: _without_remarks(e) for clip, e in _without_remarks(data).items()})
    except ValidationError as e:
        raise _explained(path, e) from e
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise BadInput(f"{path} is not a label file: {e}.", "the guide on evaluation describes the format") from e
    return {clip: _clip_labels(path, clip, entry) for clip, entry in entries.items()}


def _explained(path: Path, error: ValidationError) -> BadInput:
    first = error.errors()[0]
    *where, last = map(str, first["loc"])
    if first["type"] != "extra_forbidden":
        return BadInput(
            f"{path} is not a label file: {', '.join((*where, last))}: {first['msg']}.",
            "the guide on evaluation describes the format",
        )
    known = _Entry if len(where) == 1 else _Listed
    return BadInput(
        f"{path} has an unknown key {last!r} for {', '.join(where)}.", f"known are {', '.join(known.model_fields)}"
    )


def _clip_labels(path: Path, clip: str, entry: _Entry) -> ClipLabels:
    labels = tuple(
        Label(brand, kind, ((0.0, entry.duration_s),), timed=False)
        if listed.intervals_s is None
        else Label(brand, kind, listed.intervals_s)
        for kind in Kind
        for brand, listed in getattr(entry, kind).items()
    )
    labelled = {key_of(label.brand) for label in labels}
    for brand in entry.absent:
        if key_of(brand) in labelled:
            raise BadInput(f"{path} says of {clip} that {brand} is there and that it is absent.", "remove one of them")
    named: set[tuple[Kind, str]] = set()
    for label in labels:
        if (own := (label.kind, key_of(label.brand))) in named:
            raise BadInput(f"{path} lists {label.brand} twice under {label.kind} of {clip}.", "keep one of the two")
        named.add(own)
        if any(end <= start for start, end in label.intervals_s):
            raise BadInput(
                f"{path} has an interval of {label.brand} in {clip} that ends before it begins.",
                "intervals_s are pairs of start and end in seconds",
            )
    return ClipLabels(clip, entry.duration_s, labels, entry.absent, entry.exhaustive, entry.note)


def labels_of_truth(clip: str, truth: "Truth") -> ClipLabels:
    """A generated clip's labels, which are exhaustive; words that no catalogue lists need not be found."""
    entry = truth.labels()
    labels = tuple(
        Label(brand, Kind.logos if brand in truth.logos else kind, _intervals(listed))
        for kind in (Kind.clear, Kind.hard)
        for brand, listed in entry[kind].items()
        if brand not in truth.unlisted
    )
    shown = tuple(word for word in truth.unlisted if word in entry["clear"])
    return ClipLabels(clip, truth.duration_s, labels, exhaustive=True, unknown_words=shown, truth=truth)


def _intervals(listed: Mapping[str, Any]) -> Intervals:
    return tuple((float(start), float(end)) for start, end in listed["intervals_s"])
