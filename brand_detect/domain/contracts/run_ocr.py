"""Contract of ``run_ocr``: params, tables and payload."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate, pairwise
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from brand_detect.domain.lattice import BLANK, Step
from brand_detect.domain.params import Params, Precision, Unit
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import F32, I32, STRING, STRINGS, Row, schema

BLANK_MARK = "\N{SYMBOL FOR NULL}"
PER_NAT = 20

READINGS = schema(
    "readings",
    "The reading of one crop",
    track_id=(STRING, "id, from the track's first region"),
    region_id=(STRING, "id, from the frame, the box and the kind"),
    frame=(I32, "the keyframe's ordinal among the sampled frames"),
    text=(STRING, "the text that was read"),
    confidence=(F32, "0..1"),
    char_positions=(
        pa.list_(pa.float32()),
        "centre of each character, as a share of the region's length along the line; null = unknown",
    ),
    read_in=(STRING, "track whose reading was taken over; null = its own crop was read"),
)
TEXTS = schema(
    "texts",
    "The text of a track, after the vote over its readings",
    track_id=(STRING, "id, from the track's first region"),
    text=(STRING, "the text that was read"),
    confidence=(F32, "0..1"),
    agreement=(F32, "share of the readings' weight that agrees with the text"),
    n_readings=(I32, "number of readings compared"),
    alternatives=(STRINGS, "the other readings, best first"),
)
STEPS = schema(
    "steps",
    "What the reader's network saw along a line, if the reader tells; a row without steps: every character was "
    "certain. A region that was read several times has a row for each reading with text, in their order",
    region_id=(STRING, "id of the region that was read"),
    n_characters=(pa.list_(pa.uint8()), "number of characters at each step"),
    characters=(
        STRING,
        f"the likeliest characters of all steps, the best of each step first; {BLANK_MARK} = nothing, or the previous "
        "character goes on",
    ),
    costs=(
        pa.list_(pa.uint8()),
        f"of each character: how much likelier the best of its step is, as natural logarithm in 1/{PER_NAT}",
    ),
)


@dataclass(frozen=True)
class TrackTexts(Payload):
    """``steps`` has no row for a reading whose steps are unknown."""

    readings: pa.Table
    texts: pa.Table
    steps: pa.Table = field(default_factory=STEPS.empty_table)
    schemas: ClassVar = {"readings": READINGS, "texts": TEXTS, "steps": STEPS}
    added: ClassVar = ("steps",)


def row_of_steps(region_id: str, steps: Sequence[Step]) -> Row:
    """The row of STEPS of a region's reading."""
    return {
        "region_id": region_id,
        "n_characters": [len(step.characters) for step in steps],
        "characters": "".join(character or BLANK_MARK for step in steps for character in step.characters),
        "costs": [min(255, round(cost * PER_NAT)) for step in steps for cost in step.costs],
    }


class StoredSteps:
    """The steps of readings, made only when asked for: as objects they take fifty times the memory of the table."""

    def __init__(self, texts: TrackTexts) -> None:
        rows, readings = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
        for row, region in enumerate(texts.steps["region_id"].to_pylist()):
            rows[region].append(row)
        read = zip(texts.readings["region_id"].to_pylist(), texts.readings["text"].to_pylist(), strict=True)
        for reading, (region, text) in enumerate(read):
            if text:
                readings[region].append(reading)
        pairs = ((readings[region], rows[region]) for region in rows)
        self._rows = {
            reading: row
            for of_region, told in pairs
            if len(of_region) == len(told)  # else the reader told the steps of some of them
            for reading, row in zip(of_region, told, strict=True)
        }
        self._characters = texts.steps["characters"].combine_chunks()
        self._counts, self._costs = (_Lists(texts.steps[column]) for column in ("n_characters", "costs"))

    def __getitem__(self, reading: int) -> tuple[Step, ...] | None:
        """Those of a row of READINGS: empty if every character was certain, None if they are unknown."""
        row = self._rows.get(reading)
        if row is None:
            return None
        shown = [BLANK if character == BLANK_MARK else character for character in self._characters[row].as_py()]
        costs = [cost / PER_NAT for cost in self._costs[row]]
        ends = accumulate(self._counts[row], initial=0)
        return tuple(Step(tuple(shown[a:b]), tuple(costs[a:b])) for a, b in pairwise(ends))

    def __contains__(self, reading: int) -> bool:
        """Whether they are known."""
        return reading in self._rows


class _Lists:
    """A column of lists of numbers, of which single ones are read."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        lists = column.combine_chunks()
        self._bounds, self._numbers = lists.offsets.to_numpy(), lists.values.to_numpy()

    def __getitem__(self, row: int) -> list[int]:
        return self._numbers[self._bounds[row] : self._bounds[row + 1]].tolist()


class TextEngine(Enum):
    rapidocr = "rapidocr"
    tesseract = "tesseract"


class RunOcrParams(Params):
    engine: TextEngine = Field(TextEngine.rapidocr, description="text recognition engine")
    languages: str = Field(
        "eng", pattern=r"^[a-zA-Z_]+(\+[a-zA-Z_]+)*$", description="Tesseract languages, joined by +"
    )
    max_crops: int = Field(3, ge=1, le=20, description="most crops read per track")
    stop_confidence: Unit = Field(0.92, description="confidence at which reading of a track stops")
    min_confidence: Unit = Field(0.5, description="readings below this confidence are dropped")
    reuse_readings: bool = Field(
        True,
        description="read one track for all whose best crops show the same; never with digits or another embedder",
    )
    precision: Precision = Field(
        Precision.auto, description="precision of text recognition; auto: the fastest on this CPU"
    )
