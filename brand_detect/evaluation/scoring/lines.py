"""Lines of text as they were read, with the names that they show: string rules against scoring with the catalogue.

``lines_of`` takes them from a finished job, ``write_lines`` and ``load_lines`` keep them as CSV, and ``compare_lines``
names them both ways. A line is one reading of a track; what is named is the track.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path

from rich.table import Table

from brand_detect.catalog import LexiconIndex
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import READINGS, STEPS, TEXTS, StoredSteps, TrackTexts, row_of_steps
from brand_detect.domain.errors import BadInput
from brand_detect.domain.geometry import box_of
from brand_detect.domain.lattice import Step
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import Row, rows_of, table
from brand_detect.domain.text import key_of
from brand_detect.evaluation.scoring.labels import ClipLabels
from brand_detect.evaluation.scoring.score import covers
from brand_detect.evaluation.synthetic.footage import Scenario
from brand_detect.stages.match_brands.lexicon import LexiconMatcher, Likely
from brand_detect.stages.match_brands.matching import Chance, Match, TextMatcher, names_spelled_out, readings_of

SCENARIOS = tuple(
    Scenario(seconds=24, width_px=width, height_px=height, seed=seed)
    for seed, (width, height) in enumerate([(1280, 720), (640, 360), (640, 360), (480, 270)], start=5)
)
"""Footage whose lines are taken by default: names are the same, and small enough to be misread."""


CERTAIN, UNKNOWN = "certain", "unknown"
NO_STEPS = {"n_characters": [], "characters": "", "costs": []}
"""The other columns of a row of STEPS, if all is but certain."""


@dataclass(frozen=True)
class Line:
    """One reading. ``shown`` are the names on its track, or, if the clip's labels have no boxes, in the clip."""

    clip: str
    track: str
    region: str
    text: str
    confidence: float
    shown: tuple[str, ...]
    steps: str  # the other columns of its row of STEPS, as JSON; CERTAIN if all but certain, UNKNOWN if it has none


@dataclass(frozen=True)
class LineScore:
    """Names of tracks found by one way. ``recall`` is the share of those that any of the ways finds."""

    way: str
    right: int
    false: int
    recall: float

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.false) if self.right + self.false else 1.0


def lines_of(payloads: Mapping[str, Payload], clip: ClipLabels) -> Iterator[Line]:
    """The readings of a finished job, by track."""
    texts, objects, scenes = (payloads[stage] for stage in ("run_ocr", "detect_objects", "filter_scenes"))
    assert isinstance(texts, TrackTexts)
    assert isinstance(objects, DetectedObjects)
    assert isinstance(scenes, FilteredScenes)
    shown = _shown(objects, scenes, clip)
    steps = StoredSteps(texts)
    for reading, row in enumerate(rows_of(texts.readings)):
        if row["text"]:
            track, region = row["track_id"], row["region_id"]
            own = _written(steps[reading])
            yield Line(clip.clip, track, region, row["text"], round(row["confidence"], 4), shown.get(track, ()), own)


def _written(steps: Sequence[Step] | None) -> str:
    if not steps:
        return UNKNOWN if steps is None else CERTAIN
    row = row_of_steps("", steps)
    return json.dumps({name: value for name, value in row.items() if name != "region_id"}, ensure_ascii=False)


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
        for there in truth.boxes[numbers == round(times[row["frame"]] * truth.fps)]:
            if covers(row, box_of(there[2:10].reshape(4, 2))):
                found.setdefault(row["track_id"], {})[truth.brands[int(there[1])]] = None
    return {track: tuple(names) for track, names in found.items()}


def write_lines(lines: Iterable[Line], path: Path) -> None:
    """Keeps the lines in a CSV file.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Line)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(vars(line) | {"shown": "|".join(line.shown)} for line in lines)
    except OSError as e:
        raise BadInput(f"{path} cannot be written: {e.strerror}.", "name a file in an existing folder") from e


def load_lines(path: Path) -> list[Line]:
    """The lines in a CSV file.

    Raises:
        BadInput: it is missing, or not such a file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets save a byte order mark
            lines = [_line(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, csv.Error) as e:
        raise BadInput(
            f"{path} does not hold lines of text: {e}.", "brand-detect evaluate lines --csv writes it"
        ) from e
    if not lines:
        raise BadInput(f"{path} holds no line of text.", "brand-detect evaluate lines --csv writes it")
    return lines


def _line(row: Mapping[str, str]) -> Line:
    if row["steps"] != UNKNOWN:
        [steps] = rows_of(table(STEPS, [_steps(row["region"], row["steps"])]))
        counts = steps["n_characters"]
        if not sum(counts) == len(steps["characters"]) == len(steps["costs"]) or 0 in counts:
            raise ValueError(f"the steps of {row['text']!r} are damaged")
    if not 0 <= (confidence := float(row["confidence"])) <= 1:
        raise ValueError(f"the confidence of {row['text']!r} is {confidence:g}")
    shown = tuple(filter(None, row["shown"].split("|")))
    return Line(**{**row, "confidence": confidence, "shown": shown})  # pyright: ignore[reportArgumentType]


def _steps(region: str, steps: str) -> Row:
    return {"region_id": region} | (NO_STEPS if steps == CERTAIN else json.loads(steps))


def compare_lines(lines: Sequence[Line], catalog: BrandCatalog) -> list[LineScore]:
    """String rules, scoring alone at no more false names, and both in the order of ``match_brands``.

    Lines have no place in the picture: nothing is joined, occluded or cut off by its edge.
    """
    params = MatchBrandsParams.model_validate({})
    shown = _brands_shown(lines, catalog)
    strings: set[tuple[str, str, str]] = set()
    likely: dict[tuple[str, str, str], float] = {}
    for clip in _matched(lines, catalog, params):
        strings |= {(clip.name, track, hit.brand_id) for track, match in clip.matches.items() for hit in match.hits}
        likely |= {(clip.name, one.tracks[0], one.hit.brand_id): one.probability for one in clip.likely()}
    settled = {(clip, track) for clip, track, _ in strings}
    added = {at for at, p in likely.items() if p >= params.min_probability and at[:2] not in settled}
    false = sum(at not in shown for at in strings)
    wrong = sorted((p for at, p in likely.items() if at not in shown), reverse=True)
    bar = wrong[false] if false < len(wrong) else 0.0
    ways = {
        "string rules": strings,
        "scoring, at no more false names": {at for at, p in likely.items() if p > bar},
        "string rules, then scoring": strings | added,
    }
    known = shown & set[tuple[str, str, str]]().union(*ways.values())
    return [
        LineScore(way, len(found & shown), len(found - shown), len(found & shown) / max(1, len(known)))
        for way, found in ways.items()
    ]


def is_shown(lines: Sequence[Line], catalog: BrandCatalog) -> Iterator[tuple[Likely, str, bool]]:
    """The brand that each track most likely shows, its clip, and whether it does show it."""
    shown = _brands_shown(lines, catalog)
    for clip in _matched(lines, catalog, MatchBrandsParams.model_validate({})):
        for likely in clip.likely():
            yield likely, clip.name, (clip.name, likely.tracks[0], likely.hit.brand_id) in shown


@dataclass(frozen=True)
class _Matched:
    """A clip, matched by string rules."""

    name: str
    texts: TrackTexts
    matches: Mapping[str, Match]
    index: LexiconIndex
    chance: Chance

    def likely(self) -> Iterator[Likely]:
        """The brand that each track most likely shows."""
        tracks = self.texts.texts["track_id"].to_pylist()
        spelled_out = names_spelled_out(self.matches)
        matcher = LexiconMatcher(self.index, self.texts, tracks, cut=(), spelled_out=spelled_out, chance=self.chance)
        return filter(None, map(matcher.find, tracks))


def _matched(lines: Sequence[Line], catalog: BrandCatalog, params: MatchBrandsParams) -> Iterator[_Matched]:
    index = LexiconIndex(catalog)
    matcher = TextMatcher(index, params)
    for clip, own in groupby(lines, key=lambda line: line.clip):
        texts = _texts(list(own))
        readings = readings_of(texts)
        chance = Chance(index, readings)
        matches = matcher.first_pass(readings, chance)
        matches |= matcher.second_pass(matches, readings, names_spelled_out(matches))
        yield _Matched(clip, texts, matches, index, chance)


def _texts(lines: Sequence[Line]) -> TrackTexts:
    """The lines of a clip as ``run_ocr`` has them; a track's text is its most confident reading."""
    tracks: dict[str, list[Line]] = {}
    for line in lines:
        tracks.setdefault(line.track, []).append(line)
    readings = [
        {"track_id": line.track, "region_id": line.region, "text": line.text, "confidence": line.confidence}
        | {"frame": 0, "char_positions": None, "read_in": None}
        for line in lines
    ]
    texts = []
    for track, own in tracks.items():
        best, *others = sorted(own, key=lambda line: -line.confidence)
        alternatives = list(dict.fromkeys(line.text for line in others if line.text != best.text))
        row = {"text": best.text, "confidence": best.confidence, "agreement": 1.0, "alternatives": alternatives}
        texts.append({"track_id": track, "n_readings": len(own)} | row)
    steps = [_steps(line.region, line.steps) for line in lines if line.steps != UNKNOWN]
    return TrackTexts(table(READINGS, readings), table(TEXTS, texts), table(STEPS, steps))


def _brands_shown(lines: Sequence[Line], catalog: BrandCatalog) -> set[tuple[str, str, str]]:
    """Clip, track and id of the brands shown, of those in the catalogue."""
    ids = {key_of(text): brand.brand_id for brand in catalog.brands for text in brand.texts}
    return {(line.clip, line.track, ids[key_of(name)]) for line in lines for name in line.shown if key_of(name) in ids}


def lines_table(scores: Sequence[LineScore]) -> Table:
    table = Table(title="Names on lines of text")
    table.add_column("by")
    for name in ("right", "false", "precision %", "recall %"):
        table.add_column(name, justify="right")
    for s in scores:
        table.add_row(s.way, str(s.right), str(s.false), f"{s.precision:.1%}", f"{s.recall:.1%}")
    return table
