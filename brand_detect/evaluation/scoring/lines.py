"""Lines of text as they were read, with what they show: string rules against lexicon scoring, at equal false alarms.

``lines_of`` takes them from a finished job, ``write_lines`` and ``load_lines`` keep them as CSV, and ``compare_lines``
replays both ways to name them. A line is one reading of a track; what is named is the track.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.table import Table

from brand_detect.catalog import LexiconIndex
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import READINGS, STEPS, TEXTS, TrackTexts
from brand_detect.domain.errors import BadInput
from brand_detect.domain.geometry import box_of
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import rows_of, table
from brand_detect.domain.text import key_of
from brand_detect.evaluation.scoring.score import COVERED, ClipLabels


@dataclass(frozen=True)
class Line:
    """One reading. ``shown`` are the names on the track, or, of a clip whose labels have no boxes, in the clip."""

    clip: str
    track: str
    region: str
    text: str
    confidence: float
    shown: tuple[str, ...]
    steps: str  # the row of STEPS as JSON; "" if there is none


def lines_of(payloads: Mapping[str, Payload], clip: ClipLabels) -> Iterator[Line]:
    """The readings of a finished job, by track."""
    texts, objects = payloads["run_ocr"], payloads["detect_objects"]
    scenes = payloads["filter_scenes"]
    assert isinstance(texts, TrackTexts) and isinstance(objects, DetectedObjects) and isinstance(scenes, FilteredScenes)
    shown = _shown(objects, scenes, clip)
    steps = {row["region_id"]: row for row in rows_of(texts.steps)}
    for row in rows_of(texts.readings):
        if row["text"]:
            own = steps.get(row["region_id"]) if row["read_in"] is None else None
            kept = json.dumps({k: v for k, v in own.items() if k != "region_id"}, ensure_ascii=False) if own else ""
            yield Line(
                clip.clip,
                row["track_id"],
                row["region_id"],
                row["text"],
                round(row["confidence"], 4),
                shown.get(row["track_id"], ()),
                kept,
            )


def _shown(objects: DetectedObjects, scenes: FilteredScenes, clip: ClipLabels) -> dict[str, tuple[str, ...]]:
    """The names on each track: those whose lettering its regions cover, or all labelled ones without boxes."""
    truth = clip.truth
    if truth is None:
        everywhere = tuple(label.brand for label in clip.labels)
        return dict.fromkeys(objects.tracks["track_id"].to_pylist(), everywhere)
    times = dict(zip(*(scenes.timeline[c].to_pylist() for c in ("frame", "t_s")), strict=True))
    numbers = truth.boxes[:, 0].astype(int)
    found: dict[str, dict[str, None]] = {}
    for row in rows_of(objects.regions):
        box = np.array([row["x_px"], row["y_px"], row["x_px"] + row["w_px"], row["y_px"] + row["h_px"]])
        for there in truth.boxes[numbers == round(times[row["frame"]] * truth.fps)]:
            lettering = box_of(there[2:10].reshape(4, 2))
            sides = (np.minimum(box[2:], lettering[2:]) - np.maximum(box[:2], lettering[:2])).clip(0)
            if sides.prod() >= COVERED * (lettering[2:] - lettering[:2]).prod():
                found.setdefault(row["track_id"], {})[truth.brands[int(there[1])]] = None
    return {track: tuple(names) for track, names in found.items()}


def write_lines(lines: Iterable[Line], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Line))
        writer.writerows([*vars(line).values()][:5] + ["|".join(line.shown), line.steps] for line in lines)


def load_lines(path: Path) -> list[Line]:
    """The lines in a CSV file.

    Raises:
        BadInput: it is missing, or not such a file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Line(
                    **row
                    | {"confidence": float(row["confidence"]), "shown": tuple(filter(None, row["shown"].split("|")))}
                )  # pyright: ignore[reportArgumentType]
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BadInput(
            f"{path} does not hold lines of text: {e}.", "brand-detect evaluate lines --csv writes it"
        ) from e
