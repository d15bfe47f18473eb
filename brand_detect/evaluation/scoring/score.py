"""Scores a report against labels: brands found, missed, false and unlisted, seconds, and where each miss was lost."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz

from brand_detect.catalog import LexiconIndex
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import BrandVerdicts, Rule, VerdictStatus
from brand_detect.domain.errors import BadInput
from brand_detect.domain.geometry import box_of
from brand_detect.domain.records import Payload
from brand_detect.domain.scores import Totals
from brand_detect.domain.tables import Row
from brand_detect.domain.text import fold, key_of, line_of
from brand_detect.domain.timeline import minus, union_seconds
from brand_detect.evaluation.scoring.labels import ClipLabels, Kind, Label
from brand_detect.evaluation.synthetic.footage import Truth
from brand_detect.stages.match_brands.match import match_brands

NOT_SAMPLED = "not sampled"
FILTERED = "filtered"
NOT_DETECTED = "not detected"
NOT_READ = "not read"
NOT_DETECTED_OR_READ = "not detected or not read"  # indistinguishable without boxes
NOT_DETECTED_OR_MATCHED = "not detected or not matched"  # the same for a logo
NOT_MATCHED = "not matched"
EXCLUDED = "matched, but excluded"
NOT_REPORTED = "not reported"
FATES = (
    NOT_SAMPLED,
    FILTERED,
    NOT_DETECTED,
    NOT_DETECTED_OR_READ,
    NOT_READ,
    NOT_DETECTED_OR_MATCHED,
    NOT_MATCHED,
    EXCLUDED,
    NOT_REPORTED,
)
"""Possible losses of a brand, in stage order."""

CLOSE = 80.0
"""Similarity, 0..100, from which a text counts as a misreading of the brand's name."""
COVERED = 0.5
"""Share of the lettering's upright box that a region must cover to count as found."""


@dataclass(frozen=True)
class Loss:
    """Seconds, at the resolution of sampling, with a legible but unreported brand."""

    where: str
    seconds: float
    detail: str  # the most frequent evidence


@dataclass(frozen=True)
class Evidence:
    """What named a brand: the best detection of its longest exposure; of a logo, its best detection by the picture."""

    rule: str
    text: str
    confidence: float
    frame: int
    start_s: float


@dataclass(frozen=True)
class BrandScore:
    """One labelled brand. Seconds count every instant once; ``error`` is (reported - labelled) / labelled."""

    brand: str
    kind: Kind
    found: bool
    labelled_s: float
    reported_s: float
    common_s: float  # both reported and labelled
    error: float
    timed: bool = True  # whether the label has intervals
    in_catalog: bool = True  # whether the catalogue lists the name, or for a logo has a picture of it
    evidence: Evidence | None = None  # if found
    losses: tuple[Loss, ...] = ()  # labelled seconds that were not reported, most first
    lost: str = ""  # if not found: the stage where it was lost

    @property
    def lacks(self) -> str:
        """What the catalogue lacks if it is not ``in_catalog``."""
        return "no picture in the catalogue" if self.kind is Kind.logos else "not in the catalogue"


@dataclass(frozen=True)
class Unlabelled:
    """A reported brand without a label."""

    brand: str
    seconds: float
    evidence: Evidence
    crop: str = ""  # path of a picture of the evidence, if one was written


@dataclass(frozen=True)
class ClipScore:
    """One clip's brands. A reported brand without a label is ``false`` if the labels say that it is not in the clip,
    else ``unlisted``: someone must look at it."""

    clip: str
    duration_s: float
    brands: tuple[BrandScore, ...]
    unlisted: tuple[Unlabelled, ...] = ()
    false: tuple[Unlabelled, ...] = ()
    unknown_words: Mapping[str, bool] = field(default_factory=dict)  # is the word in an unresolved cluster?
    note: str = ""  # of the labels

    @property
    def unlabelled(self) -> tuple[Unlabelled, ...]:
        """``false`` and ``unlisted``, longest first."""
        return tuple(sorted((*self.false, *self.unlisted), key=lambda brand: -brand.seconds))

    def of_kind(self, kind: Kind) -> list[BrandScore]:
        return [brand for brand in self.brands if brand.kind is kind]


def totals(scores: Iterable[ClipScore]) -> Totals:
    scores = list(scores)
    clear, hard = ([b for s in scores for b in s.of_kind(kind)] for kind in (Kind.clear, Kind.hard))
    found = [b for b in clear if b.found]
    bonus = sum(b.found for b in hard)
    unlabelled = sum(len(s.unlabelled) for s in scores)
    right = len(found) + bonus
    return Totals(
        clear=len(clear),
        found=len(found),
        bonus=bonus,
        unlabelled=unlabelled,
        recall=len(found) / len(clear) if clear else 1.0,
        precision=right / (right + unlabelled) if right + unlabelled else 1.0,
        mean_error=_mean_error(found) or 0.0,
        mean_timed_error=_mean_error([b for b in found if b.timed]),
    )


def _mean_error(found: Sequence[BrandScore]) -> float | None:
    return float(np.mean([abs(b.error) for b in found])) if found else None


P = TypeVar("P", bound=Payload)


class _Run:
    """The payloads of one job."""

    def __init__(self, payloads: Mapping[str, Payload]) -> None:
        self.scenes = _payload(payloads, "filter_scenes", FilteredScenes)
        self.objects = _payload(payloads, "detect_objects", DetectedObjects)
        self.texts = _payload(payloads, "run_ocr", TrackTexts)
        self.verdicts = _payload(payloads, "escalate_cloud", BrandVerdicts)
        self.report = _payload(payloads, "compile_report", Report)
        self.timeline = self.scenes.timeline.to_pylist()
        self.times = {row["frame"]: row["t_s"] for row in self.timeline}
        self.regions: dict[int, list[Row]] = {}
        for row in self.objects.regions.to_pylist():
            self.regions.setdefault(row["frame"], []).append(row)
        self.read = {row["track_id"]: row["text"] for row in self.texts.texts.to_pylist()}
        self.logos = {row["track_id"] for row in self.objects.tracks.to_pylist() if row["kind"] == RegionKind.logo}
        self.claims: defaultdict[str, list[Row]] = defaultdict(list)
        self.excluded: dict[str, str] = {}  # the text that the catalogue excludes, by track
        for row in self.verdicts.verdicts.to_pylist():
            for track in row["track_ids"]:
                if row["status"] == VerdictStatus.resolved:
                    self.claims[track].append(row)
                else:
                    self.excluded[track] = row["text"]


def _payload(payloads: Mapping[str, Payload], stage: str, kind: type[P]) -> P:
    payload = payloads.get(stage)
    if not isinstance(payload, kind):
        raise BadInput(f"The job has no checkpoint of {stage}.", "scoring needs a job that ran to its report")
    return payload


def score(payloads: Mapping[str, Payload], clip: ClipLabels, catalog: BrandCatalog | None = None) -> ClipScore:
    """Score one job, given the payload of each stage, against its clip's labels.

    With ``catalog``, a label may be a brand's name, alias or included text.

    Raises:
        BadInput: a stage that scoring needs is missing.
    """
    run = _Run(payloads)
    open_texts = [row["text"] for row in run.report.unresolved.to_pylist()]
    return replace(
        score_exposures(
            run.report.exposures.to_pylist(),
            clip,
            catalog,
            pictured=filter(is_by_picture, run.report.detections.to_pylist()),
            losses_of=lambda label, key, reported: _losses(label, key, clip, run, reported),
        ),
        unknown_words={word: any(is_close(word, text) for text in open_texts) for word in clip.unknown_words},
    )


def is_by_picture(row: Row) -> bool:
    """Whether the brand of an exposure or a detection was named by its picture, by the matcher or by a model."""
    return row["rule"] == Rule.logo_match or not row["text"]


def score_exposures(
    exposures: Sequence[Row],
    clip: ClipLabels,
    catalog: BrandCatalog | None = None,
    *,
    pictured: Iterable[Row] | None = None,
    losses_of: Callable[[Label, str, Sequence[tuple[float, float]]], tuple[Loss, ...]] = lambda *_: (),
) -> ClipScore:
    """Score a report's exposures alone.

    A brand with both clear and hard labels counts as clear, and its hard seconds count for nothing.
    ``pictured`` are the detections that were named by a picture; without them, a logo counts as found where the best
    detection of an exposure is one. ``losses_of`` explains what is missing of a label, given the brand's key and its
    reported intervals.
    """
    brands = catalog.brands if catalog else ()
    names = {key_of(text): key_of(b.name) for b in brands for text in b.texts}
    with_picture = {key_of(b.name) for b in brands if b.exemplars}

    def key(brand: str) -> str:
        return names.get(key_of(brand), key_of(brand))

    shown = _by_brand(exposures)
    shown_as_logo = _by_brand(filter(is_by_picture, exposures) if pictured is None else pictured)
    clear = {key(label.brand) for label in clip.labels if label.kind is Kind.clear}
    hard: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for label in clip.labels:
        if label.kind is Kind.hard:
            hard[key(label.brand)] += label.intervals_s
    scored = []
    for label in clip.labels:
        if label.kind is Kind.hard and key(label.brand) in clear:
            continue
        is_logo = label.kind is Kind.logos
        rows = (shown_as_logo if is_logo else shown).get(key(label.brand), [])
        listed = catalog is None or key(label.brand) in (with_picture if is_logo else names)
        uncounted = hard[key(label.brand)] if label.kind is Kind.clear else []
        scored.append(
            _brand_score(
                label, rows, listed, uncounted, lambda spans, label=label: losses_of(label, key(label.brand), spans)
            )
        )
    labelled, absent = ({key(b) for b in given} for given in ((x.brand for x in clip.labels), clip.absent))
    others = sorted(
        (
            Unlabelled(rows[0]["brand"], sum(row["seconds"] for row in rows), evidence_of(longest(rows)))
            for brand, rows in shown.items()
            if brand not in labelled
        ),
        key=lambda other: -other.seconds,
    )
    false = [clip.exhaustive or key(other.brand) in absent for other in others]
    return ClipScore(
        clip=clip.clip,
        duration_s=clip.duration_s,
        brands=tuple(scored),
        unlisted=tuple(other for other, is_false in zip(others, false, strict=True) if not is_false),
        false=tuple(other for other, is_false in zip(others, false, strict=True) if is_false),
        note=clip.note,
    )


def _brand_score(
    label: Label,
    rows: Sequence[Row],
    listed: bool,
    uncounted: Sequence[tuple[float, float]],
    losses_of: Callable[[Sequence[tuple[float, float]]], tuple[Loss, ...]],
) -> BrandScore:
    """The score of a label, from the exposures or detections that show its brand.

    What is reported in ``uncounted`` seconds, outside the label's own, is neither right nor wrong.
    """
    reported = [(row["start_s"], row["end_s"]) for row in rows]
    losses = losses_of(reported)
    counted = minus(reported, minus(uncounted, label.intervals_s))
    wanted_s, reported_s = union_seconds(label.intervals_s), union_seconds(counted)
    return BrandScore(
        brand=label.brand,
        kind=label.kind,
        found=reported_s > 0,
        labelled_s=wanted_s,
        reported_s=reported_s,
        common_s=wanted_s + reported_s - union_seconds([*label.intervals_s, *counted]),
        error=(reported_s - wanted_s) / wanted_s if wanted_s else 0.0,
        timed=label.timed,
        in_catalog=listed,
        evidence=evidence_of(longest(rows)) if rows else None,
        losses=losses,
        lost="" if reported_s else max((loss.where for loss in losses), key=FATES.index, default=""),
    )


def _by_brand(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Exposures or detections by the key of their brand."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[key_of(row["brand"])].append(row)
    return dict(found)


def longest(rows: Sequence[Row]) -> Row:
    """The longest of a brand's exposures or detections; of equally long ones, the surest."""
    return max(rows, key=lambda row: (row["end_s"] - row["start_s"], row["confidence"]))


def evidence_of(row: Row) -> Evidence:
    return Evidence(*(row[name] for name in ("rule", "text", "confidence", "frame", "start_s")))


def scorer(clip: ClipLabels) -> Callable[[Mapping[str, Payload], BrandCatalog], tuple[Totals, tuple[str, ...]]]:
    """The scorer for ``sweep`` that compares each value with the labels of ``clip``."""

    def compare(payloads: Mapping[str, Payload], catalog: BrandCatalog) -> tuple[Totals, tuple[str, ...]]:
        scored = score(payloads, clip, catalog)
        return totals([scored]), tuple(brand.brand for brand in scored.unlabelled)

    return compare


def is_close(name: str, text: str) -> bool:
    """Whether ``text`` contains ``name``, possibly misread; names of up to three letters must be whole words."""
    wanted, got = fold(key_of(name)), fold(key_of(text))
    if len(wanted) <= 3:
        return wanted == got or wanted in (fold(word) for word in line_of(text).words)
    if len(got) < len(wanted):
        return fuzz.ratio(wanted, got) >= CLOSE
    return fuzz.partial_ratio(wanted, got) >= CLOSE


def _losses(
    label: Label, key: str, clip: ClipLabels, run: _Run, reported: Sequence[tuple[float, float]]
) -> tuple[Loss, ...]:
    """The stages that lost the labelled seconds outside ``reported``, by sampled frame."""
    boxes = _truth_boxes(label.brand, clip.truth) if clip.truth else None
    fps = clip.truth.fps if clip.truth else 0

    def readable(t_s: float) -> bool:
        if boxes is not None:
            return round(t_s * fps) in boxes
        return any(start <= t_s < end for start, end in label.intervals_s)

    shown = [row for row in run.timeline if readable(row["t_s"])]
    if not shown:
        return (Loss(NOT_SAMPLED, union_seconds(label.intervals_s), "no sampled frame shows it"),)
    fates: dict[str, Counter[str]] = {}
    for row in shown:
        if any(start <= row["t_s"] < end for start, end in reported):
            continue
        frame = row["keyframe"]
        if frame is None:
            where, detail = FILTERED, f"dropped as {row['status']}"
        elif not readable(run.times[frame]):
            where, detail = FILTERED, "dropped for a frame that does not show it"
        else:
            regions = run.regions.get(frame, [])
            if boxes is not None:
                there = boxes[round(run.times[frame] * fps)]
                regions = [region for region in regions if any(covers(region, box) for box in there)]
            tracks, exact = {region["track_id"] for region in regions}, boxes is not None
            if label.kind is Kind.logos:
                where, detail = _fate_of_logo(key, tracks, run, exact)
            else:
                where, detail = _fate(label.brand, key, tracks, run, exact)
        fates.setdefault(where, Counter())[detail] += row["end_s"] - row["start_s"]
    losses = [Loss(where, sum(found.values()), max(found, key=found.__getitem__)) for where, found in fates.items()]
    return tuple(sorted(losses, key=lambda loss: -loss.seconds))


def _fate(brand: str, key: str, tracks: set[str], run: _Run, exact: bool) -> tuple[str, str]:
    """The stage that lost ``brand`` on a keyframe, and the evidence. ``tracks`` are those that cover it if ``exact``,
    else all on the frame."""
    if unreported := _unreported(key, tracks, run):
        return unreported
    if not tracks:
        return NOT_DETECTED, "no region there"
    close = _naming(brand, tracks, run.read)
    if excluded := {run.excluded[track] for track in close if track in run.excluded}:
        return EXCLUDED, f"read as {_quoted(excluded)}, which the catalogue excludes"
    if close:
        return NOT_MATCHED, f"read as {_quoted(run.read[track] for track in close)}{_taken(close, run)}"
    if exact:
        return NOT_READ, f"read as {_quoted(run.read.get(track, '') for track in tracks)}"
    return NOT_DETECTED_OR_READ, "no text like it"


def _fate_of_logo(key: str, tracks: set[str], run: _Run, exact: bool) -> tuple[str, str]:
    """As ``_fate``, for a logo without its name."""
    if unreported := _unreported(key, {t for t in tracks if any(map(is_by_picture, run.claims[t]))}, run):
        return unreported
    regions = tracks & run.logos
    if not regions:
        return NOT_DETECTED, "no logo region there"
    found = "1 logo region" if len(regions) == 1 else f"{len(regions)} logo regions"
    return (NOT_MATCHED if exact else NOT_DETECTED_OR_MATCHED), f"{found} there{_taken(regions, run)}"


def _unreported(key: str, tracks: set[str], run: _Run) -> tuple[str, str] | None:
    """The loss of a brand that a verdict on one of ``tracks`` names."""
    named = [claim["confidence"] for track in tracks for claim in run.claims[track] if key_of(claim["brand"]) == key]
    return (NOT_REPORTED, f"a verdict of confidence {max(named):.2f} names it") if named else None


def _taken(tracks: Iterable[str], run: _Run) -> str:
    """The brands that ``tracks`` were taken for, and by which rules."""
    taken = {f"{claim['brand']} ({claim['rule']})" for track in tracks for claim in run.claims[track]}
    return f", taken for {', '.join(sorted(taken))}" if taken else ""


def _quoted(texts: Iterable[str]) -> str:
    return " + ".join(sorted(set(map(repr, texts))))


def _truth_boxes(brand: str, truth: Truth) -> dict[int, list[NDArray[np.float64]]]:
    """Upright boxes of the brand's legible lettering by frame number; of all its lettering if none is legible."""
    own = truth.boxes[truth.boxes[:, 1] == truth.brands.index(brand)]
    legible = own[own[:, 11] > 0]
    boxes: dict[int, list[NDArray[np.float64]]] = {}
    for row in legible if len(legible) else own:
        boxes.setdefault(int(row[0]), []).append(box_of(row[2:10].reshape(4, 2)))
    return boxes


def covers(region: Row, box: NDArray[np.float64]) -> bool:
    """Whether a region covers a box, (left, top, right, bottom) in px, by ``COVERED`` of its area."""
    x, y = region["x_px"], region["y_px"]
    width = min(x + region["w_px"], box[2]) - max(x, box[0])
    height = min(y + region["h_px"], box[3]) - max(y, box[1])
    return width > 0 and height > 0 and width * height >= COVERED * (box[2] - box[0]) * (box[3] - box[1])


def _naming(brand: str, tracks: set[str], read: Mapping[str, str]) -> set[str]:
    """Those of ``tracks`` whose text names ``brand``, alone or all of its words together."""
    texts = {track: read[track] for track in tracks if track in read}
    close = {track for track, text in texts.items() if is_close(brand, text)}
    if not close:
        words = [{t for t, text in texts.items() if is_close(word, text)} for word in line_of(brand).words]
        if len(words) > 1 and all(words):
            close = set().union(*words)
    return close


@dataclass(frozen=True)
class LeftOut:
    """The result for a brand's words with the brand removed from the catalogue.

    ``tracks`` belong to the brand with the full catalogue; ``open`` of them are unresolved without it, and
    ``taken_for`` names the brands that then claim some of them.
    """

    brand: str
    tracks: int
    open: int
    taken_for: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.open > 0 and not self.taken_for


def leave_one_out(
    catalog: BrandCatalog, brands: Iterable[str], match: Callable[[Brand | None], BrandVerdicts]
) -> list[LeftOut]:
    """Remove each of ``brands`` from the catalogue in turn and match again: ``match`` does without the given brand.

    Its words should become unresolved rather than another brand. Brands that the full catalogue does not find in this
    clip are left out of the result.
    """
    full = match(None).verdicts.to_pylist()
    results = []
    for brand in brands:
        key = key_of(brand)
        entry = next((b for b in catalog.brands if key in map(key_of, b.texts)), None)
        own = {t for v in full if entry and v["brand_id"] == entry.brand_id for t in v["track_ids"]}
        if not entry or not own:
            continue
        without = match(entry)
        before = {(v["brand_id"], t) for v in full for t in v["track_ids"]}
        taken = {
            v["brand"]
            for v in without.verdicts.to_pylist()
            if v["status"] == VerdictStatus.resolved
            for t in v["track_ids"]
            if t in own and (v["brand_id"], t) not in before
        }
        still_open = own & {t for row in without.unresolved.to_pylist() for t in row["track_ids"]}
        results.append(LeftOut(brand, len(own), len(still_open), tuple(sorted(taken))))
    return results


def matching(
    payloads: Mapping[str, Payload], catalog: BrandCatalog, params: MatchBrandsParams | None = None
) -> Callable[[Brand | None], BrandVerdicts]:
    """``match_brands`` on a job's stored detections and texts, for ``leave_one_out``."""
    run, index = _Run(payloads), LexiconIndex(catalog)
    chosen = params or MatchBrandsParams.model_validate({})

    def match(left_out: Brand | None) -> BrandVerdicts:
        rest = index.without(left_out) if left_out else index
        return match_brands(run.scenes, run.objects, run.texts, chosen, index=rest)

    return match
