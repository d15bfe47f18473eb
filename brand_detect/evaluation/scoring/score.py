"""Scores a report against labels: brands found, missed and false, seconds, and where each miss was lost.

Labels are a handmade file, ``{clip: {duration_s, clear: {brand: {intervals_s?}}, hard: {…}}}``, or a generated clip's
ground truth. The boxes of the ground truth locate a loss exactly; a list of brands does so only roughly.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz
from rich.table import Table

from brand_detect.catalog import LexiconIndex
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import BrandVerdicts, VerdictStatus
from brand_detect.domain.errors import BadInput
from brand_detect.domain.geometry import box_of
from brand_detect.domain.records import Payload
from brand_detect.domain.scores import Totals
from brand_detect.domain.tables import Row
from brand_detect.domain.text import fold, key_of, line_of
from brand_detect.domain.timeline import union_seconds
from brand_detect.evaluation.synthetic.footage import Truth
from brand_detect.stages.match_brands.match import match_brands

Intervals = tuple[tuple[float, float], ...]

NOT_SAMPLED = "not sampled"
FILTERED = "filtered"
NOT_DETECTED = "not detected"
NOT_READ = "not read"
NOT_DETECTED_OR_READ = "not detected or not read"  # indistinguishable without boxes
NOT_MATCHED = "not matched"
NOT_REPORTED = "not reported"
FATES = (NOT_SAMPLED, FILTERED, NOT_DETECTED, NOT_DETECTED_OR_READ, NOT_READ, NOT_MATCHED, NOT_REPORTED)
"""Possible losses of a brand, in stage order."""

CLOSE = 80.0
"""Similarity, 0..100, from which a text counts as a misreading of the brand's name."""
COVERED = 0.5
"""Share of the lettering's upright box that a region must cover to count as found."""


@dataclass(frozen=True)
class Label:
    brand: str
    clear: bool  # must be found; otherwise a bonus
    intervals_s: Intervals  # when it can be read


@dataclass(frozen=True)
class ClipLabels:
    """The labels of one clip."""

    clip: str  # the video's file name
    duration_s: float
    labels: tuple[Label, ...]
    unlisted: tuple[str, ...] = ()  # words on screen that no catalogue lists
    truth: Truth | None = None


def load_labels(path: Path) -> dict[str, ClipLabels]:
    """The labels in a file, by clip. A ground truth file labels the clip next to it.

    Raises:
        BadInput: the file is missing or neither.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "boxes" in data:
            truth = Truth.from_json(data)
            clip = path.name.removesuffix(".truth.json") + ".mp4"
            return {clip: labels_of_truth(clip, truth)}
        return {clip: _clip_labels(clip, entry) for clip, entry in data.items() if not clip.startswith("_")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise BadInput(f"{path} is not a label file: {e}.", "the guide on evaluation describes the format") from e


def labels_of_truth(clip: str, truth: Truth) -> ClipLabels:
    """A generated clip's labels; words that no catalogue lists need not be found."""
    entry = truth.labels()
    listed = {k: {b: v for b, v in entry[k].items() if b not in truth.unlisted} for k in ("clear", "hard")}
    found = _clip_labels(clip, entry | listed)
    shown = tuple(word for word in truth.unlisted if word in entry["clear"])
    return ClipLabels(clip, found.duration_s, found.labels, shown, truth)


def _clip_labels(clip: str, entry: Mapping[str, Any]) -> ClipLabels:
    duration = float(entry["duration_s"])
    labels = [
        Label(brand, kind == "clear", tuple((float(a), float(b)) for a, b in more.get("intervals_s", [[0, duration]])))
        for kind in ("clear", "hard")
        for brand, more in entry[kind].items()
    ]
    return ClipLabels(clip, duration, tuple(labels))


@dataclass(frozen=True)
class Loss:
    """Seconds, at the resolution of sampling, with a legible but unreported brand."""

    where: str
    seconds: float
    detail: str  # the most frequent evidence


@dataclass(frozen=True)
class BrandScore:
    """One labelled brand. Seconds count every instant once; ``error`` is (reported - labelled) / labelled."""

    brand: str
    clear: bool
    found: bool
    labelled_s: float
    reported_s: float
    common_s: float  # both reported and labelled
    error: float
    losses: tuple[Loss, ...] = ()  # labelled seconds that were not reported, most first
    lost: str = ""  # if not found: the stage where it was lost


@dataclass(frozen=True)
class FalseBrand:
    """A reported brand without a label, with the evidence of its longest exposure."""

    brand: str
    seconds: float
    text: str
    rule: str
    confidence: float
    frame: int


@dataclass(frozen=True)
class ClipScore:
    clip: str
    duration_s: float
    brands: tuple[BrandScore, ...]
    false: tuple[FalseBrand, ...]
    unlisted: Mapping[str, bool] = field(default_factory=dict)  # unlisted word: is it in an unresolved cluster?


def totals(scores: Iterable[ClipScore]) -> Totals:
    scores = list(scores)
    clear = [b for s in scores for b in s.brands if b.clear]
    found = [b for b in clear if b.found]
    bonus = sum(b.found for s in scores for b in s.brands if not b.clear)
    false = sum(len(s.false) for s in scores)
    right = len(found) + bonus
    return Totals(
        clear=len(clear),
        found=len(found),
        bonus=bonus,
        false=false,
        recall=len(found) / len(clear) if clear else 1.0,
        precision=right / (right + false) if right + false else 1.0,
        mean_error=float(np.mean([abs(b.error) for b in found])) if found else 0.0,
    )


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
        self.claims: dict[str, list[Row]] = {}
        for row in self.verdicts.verdicts.to_pylist():
            for track in row["track_ids"] if row["status"] == VerdictStatus.resolved else ():
                self.claims.setdefault(track, []).append(row)


def _payload(payloads: Mapping[str, Payload], stage: str, kind: type[P]) -> P:
    payload = payloads.get(stage)
    if not isinstance(payload, kind):
        raise BadInput(f"The job has no checkpoint of {stage}.", "scoring needs a job that ran to its report")
    return payload


def score(payloads: Mapping[str, Payload], clip: ClipLabels, catalog: BrandCatalog | None = None) -> ClipScore:
    """Score one job, given the payload of each stage, against its clip's labels.

    With ``catalog``, labels may use aliases.

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
            lambda label, key, reported: _losses(label, key, clip, run, reported),
        ),
        unlisted={word: any(is_close(word, text) for text in open_texts) for word in clip.unlisted},
    )


def score_exposures(
    exposures: Iterable[Row],
    clip: ClipLabels,
    catalog: BrandCatalog | None = None,
    losses_of: Callable[[Label, str, Sequence[tuple[float, float]]], tuple[Loss, ...]] = lambda *_: (),
) -> ClipScore:
    """Score a report's exposures alone.

    ``losses_of`` explains what is missing of a label, given the brand's key and its reported intervals.
    """
    names = {
        key_of(alias): key_of(b.name) for b in (catalog.brands if catalog else ()) for alias in (b.name, *b.aliases)
    }
    shown: dict[str, list[Row]] = {}
    for row in exposures:
        shown.setdefault(key_of(row["brand"]), []).append(row)
    brands = []
    labelled = set()
    for label in clip.labels:
        key = key_of(label.brand)
        key = names.get(key, key)
        labelled.add(key)
        reported = [(row["start_s"], row["end_s"]) for row in shown.get(key, [])]
        losses = losses_of(label, key, reported)
        wanted_s, reported_s = union_seconds(label.intervals_s), union_seconds(reported)
        brands.append(
            BrandScore(
                brand=label.brand,
                clear=label.clear,
                found=bool(reported),
                labelled_s=wanted_s,
                reported_s=reported_s,
                common_s=wanted_s + reported_s - union_seconds([*label.intervals_s, *reported]),
                error=(reported_s - wanted_s) / wanted_s if wanted_s else 0.0,
                losses=losses,
                lost="" if reported else max((loss.where for loss in losses), key=FATES.index, default=""),
            )
        )
    false = (_false(rows) for key, rows in shown.items() if key not in labelled)
    return ClipScore(
        clip=clip.clip,
        duration_s=clip.duration_s,
        brands=tuple(brands),
        false=tuple(sorted(false, key=lambda brand: -brand.seconds)),
    )


def scorer(clip: ClipLabels) -> Callable[[Mapping[str, Payload], BrandCatalog], tuple[Totals, tuple[str, ...]]]:
    """The scorer for ``sweep`` that compares each value with the labels of ``clip``."""

    def compare(payloads: Mapping[str, Payload], catalog: BrandCatalog) -> tuple[Totals, tuple[str, ...]]:
        scored = score(payloads, clip, catalog)
        return totals([scored]), tuple(brand.brand for brand in scored.false)

    return compare


def _false(exposures: Sequence[Row]) -> FalseBrand:
    """A reported brand without a label, from its exposures."""
    longest = max(exposures, key=lambda row: row["seconds"])
    evidence = (longest["text"], longest["rule"], longest["confidence"], longest["frame"])
    return FalseBrand(longest["brand"], sum(row["seconds"] for row in exposures), *evidence)


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
                regions = [region for region in regions if any(_covers(region, box) for box in there)]
            where, detail = _fate(label.brand, key, {region["track_id"] for region in regions}, run, boxes is not None)
        fates.setdefault(where, Counter())[detail] += row["end_s"] - row["start_s"]
    losses = [Loss(where, sum(found.values()), max(found, key=found.__getitem__)) for where, found in fates.items()]
    return tuple(sorted(losses, key=lambda loss: -loss.seconds))


def _fate(brand: str, key: str, tracks: set[str], run: _Run, exact: bool) -> tuple[str, str]:
    """The stage that lost ``brand`` on a keyframe, and the evidence. ``tracks`` are those that cover it if ``exact``,
    else all on the frame."""
    claims = [claim for track in tracks for claim in run.claims.get(track, ())]
    named = [claim["confidence"] for claim in claims if key_of(claim["brand"]) == key]
    if named:
        return NOT_REPORTED, f"a verdict of confidence {max(named):.2f} names it"
    if not tracks:
        return NOT_DETECTED, "no region there"
    close = _naming(brand, tracks, run.read)
    if close:
        read = " + ".join(sorted({repr(run.read[track]) for track in close}))
        taken = {f"{c['brand']} ({c['rule']})" for t in close for c in run.claims.get(t, ())}
        return NOT_MATCHED, f"read as {read}" + (f", taken for {', '.join(sorted(taken))}" if taken else "")
    if exact:
        return NOT_READ, "read as " + " + ".join(sorted({repr(run.read.get(track, "")) for track in tracks}))
    return NOT_DETECTED_OR_READ, "no text like it"


def _truth_boxes(brand: str, truth: Truth) -> dict[int, list[NDArray[np.float64]]]:
    """Upright boxes of the brand's legible lettering by frame number; of all its lettering if none is legible."""
    own = truth.boxes[truth.boxes[:, 1] == truth.brands.index(brand)]
    legible = own[own[:, 11] > 0]
    boxes: dict[int, list[NDArray[np.float64]]] = {}
    for row in legible if len(legible) else own:
        boxes.setdefault(int(row[0]), []).append(box_of(row[2:10].reshape(4, 2)))
    return boxes


def _covers(region: Row, box: NDArray[np.float64]) -> bool:
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
    catalog: BrandCatalog, brands: Iterable[str], match: Callable[[BrandCatalog], BrandVerdicts]
) -> list[LeftOut]:
    """Remove each of ``brands`` from the catalogue in turn and match again.

    Its words should become unresolved rather than another brand. Brands that the full catalogue does not find in this
    clip are left out of the result.
    """
    full = match(catalog).verdicts.to_pylist()
    results = []
    for brand in brands:
        key = key_of(brand)
        entry = next((b for b in catalog.brands if key in map(key_of, (b.name, *b.aliases))), None)
        own = {t for v in full if entry and v["brand_id"] == entry.brand_id for t in v["track_ids"]}
        if not entry or not own:
            continue
        rest = tuple(b for b in catalog.brands if b is not entry)
        without = match(BrandCatalog(version=f"{catalog.version} without {entry.brand_id}", brands=rest))
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
    payloads: Mapping[str, Payload], params: MatchBrandsParams | None = None
) -> Callable[[BrandCatalog], BrandVerdicts]:
    """``match_brands`` on a job's stored detections and texts, for ``leave_one_out``."""
    run = _Run(payloads)
    chosen = params or MatchBrandsParams.model_validate({})
    return lambda catalog: match_brands(run.scenes, run.objects, run.texts, chosen, index=LexiconIndex(catalog))


def score_table(score: ClipScore) -> Table:
    """One clip's brands: labelled and reported seconds, the error, and the causes of missing seconds."""
    table = Table(title=f"{score.clip} ({score.duration_s:.1f} s)")
    for name in ("brand", "label", "result"):
        table.add_column(name)
    for name in ("labelled s", "reported s", "error %"):
        table.add_column(name, justify="right")
    table.add_column("seconds lost, or the evidence of a false brand", overflow="fold")
    for b in score.brands:
        cells = (f"{b.labelled_s:.1f}", f"{b.reported_s:.1f}", f"{b.error:+.0%}" if b.found else "")
        lost = "\n".join(f"{x.seconds:.1f} s {x.where}: {x.detail}" for x in b.losses)
        table.add_row(b.brand, "clear" if b.clear else "hard", "found" if b.found else "missed", *cells, lost)
    for f in score.false:
        evidence = f"{f.text!r} by {f.rule}, confidence {f.confidence:.2f}, frame {f.frame}"
        table.add_row(f.brand, "none", "false", "", f"{f.seconds:.1f}", "", evidence)
    for word, listed in score.unlisted.items():
        table.add_row(word, "not in any catalogue", "unresolved" if listed else "not listed", "", "", "", "")
    return table


def totals_table(scores: Sequence[ClipScore]) -> Table:
    """One line per clip, and their sum."""
    table = Table(title="Brands against labels")
    table.add_column("clip")
    for name in ("clear found", "hard found", "false", "recall %", "precision %", "mean |error| of seconds %"):
        table.add_column(name, justify="right")
    rows = [(s.clip, totals([s])) for s in scores] + ([("all", totals(scores))] if len(scores) > 1 else [])
    for name, t in rows:
        shares = (f"{t.recall:.0%}", f"{t.precision:.0%}", f"{t.mean_error:.0%}")
        table.add_row(name, f"{t.found} of {t.clear}", str(t.bonus), str(t.false), *shares)
    return table


def left_out_table(results: Sequence[LeftOut]) -> Table:
    """Each removed brand, and the result for its words."""
    table = Table(title="Each labelled brand removed from the catalogue")
    for name in ("brand", "its tracks", "then unresolved", "taken for", "result"):
        table.add_column(name, justify="right" if "tracks" in name or "then" in name else "left")
    for r in results:
        table.add_row(r.brand, str(r.tracks), str(r.open), ", ".join(r.taken_for), "passed" if r.passed else "FAILED")
    return table


def scores_json(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """The scores and their totals as plain values."""
    return {"clips": [asdict(s) for s in scores], "totals": asdict(totals(scores))}
