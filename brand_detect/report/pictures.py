"""One small picture per stage: a JPEG that fits into a metadata entry."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import BLACK, BLANK, DUPLICATE, KEYFRAME, FilteredScenes
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import BrandVerdicts, VerdictStatus
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import Canvas, Color, FrameReader, Image, ImageCodec, Label, Shape
from brand_detect.domain.tables import Row
from brand_detect.report.words import clock, duration

T = TypeVar("T")

EMBEDDED_BYTES = 4_800
"""Size limit of a JPEG in Dagster's event log; as a data URI it stays under 7 KB."""
QUALITIES = (55, 45, 35)
"""JPEG qualities of the small picture, tried in this order before it is scaled down."""

FULL_QUALITY = 90

WIDTH = 1200
MARGIN = 12
PAPER: Color = (250, 250, 250)
TEXT_COLOR: Color = (30, 34, 40)
SOFT: Color = (110, 118, 128)
RULE: Color = (220, 224, 230)
ACCENT: Color = (31, 111, 235)
OPEN: Color = (214, 130, 0)
STATUS_COLORS: dict[str, Color] = {
    KEYFRAME: ACCENT,
    DUPLICATE: (168, 198, 245),
    BLACK: TEXT_COLOR,
    BLANK: (200, 160, 90),
}
KIND_COLORS: dict[str, Color] = {
    RegionKind.text: (255, 214, 10),
    RegionKind.logo: (0, 200, 255),
    RegionKind.object: (255, 80, 200),
}


@dataclass(frozen=True)
class Picture:
    """A stage's result as JPEGs: ``small`` for a metadata entry, ``full`` for inspection."""

    small: bytes
    full: bytes


def picture(
    stage: str,
    payloads: Mapping[str, Any],
    frames: FrameReader,
    canvas: Canvas,
    codec: ImageCodec,
    *,
    limit_bytes: int = EMBEDDED_BYTES,
) -> Picture | None:
    """The picture of a stage's result, the small one of at most ``limit_bytes``; None if there is nothing to show.

    ``payloads`` holds the stage's inputs and its result by stage name. At most a few dozen frames are read.
    """
    sheet = DRAWINGS[stage](payloads, _Desk(frames, canvas, codec)) if stage in DRAWINGS else None
    return None if sheet is None else Picture(encoded(sheet, codec, limit_bytes), codec.encode(sheet, FULL_QUALITY, 0))


@dataclass(frozen=True)
class _Desk:
    """Shared tools of the drawings."""

    frames: FrameReader
    canvas: Canvas
    codec: ImageCodec

    def shrunk(self, image: Image) -> Image:
        """The picture, scaled down to a card: a sheet of 8K frames would take gigabytes."""
        scale = WIDTH / 2 / max(image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        return self.canvas.resize(image, width, height) if scale < 1 else image


@dataclass(frozen=True)
class _Card:
    """A picture on a sheet, with one or two lines below."""

    image: Image
    title: str
    line: str = ""
    color: Color = TEXT_COLOR


def _extract_frames(payloads: Mapping[str, Any], desk: _Desk) -> Image | None:
    """A contact sheet of frames spread evenly over the range."""
    extracted: ExtractedFrames = payloads[Stage.extract_frames]
    rows = _spread(extracted.frames.select(["frame", "t_s"]).to_pylist(), 24)
    images = desk.frames.in_order([row["frame"] for row in rows])
    cards = [_Card(desk.shrunk(image), clock(row["t_s"])) for row, image in zip(rows, images, strict=True)]
    heading = f"Frames: {extracted.frames.num_rows}, from {clock(extracted.start_s)} to {clock(extracted.end_s)}"
    return _sheet(heading, cards, desk.canvas, columns=6)


def _filter_scenes(payloads: Mapping[str, Any], desk: _Desk) -> Image | None:
    """A strip of all sampled frames, coloured by status, and the first keyframe of shots."""
    scenes: FilteredScenes = payloads[Stage.filter_scenes]
    cells = scenes.timeline.select(["frame", "start_s", "end_s", "shot", "status"]).to_pylist()
    if not cells:
        return None
    first = {cell["shot"]: cell["frame"] for cell in reversed(cells) if cell["status"] == KEYFRAME}
    shots = _spread([shot for shot in scenes.shots.to_pylist() if shot["shot"] in first], 18)
    cards = [
        _Card(
            desk.shrunk(image),
            f"{clock(shot['start_s'])} to {clock(shot['end_s'])}",
            f"{shot['n_keyframes']} of {shot['n_frames']} keyframes",
        )
        for shot, image in zip(shots, desk.frames.in_order([first[shot["shot"]] for shot in shots]), strict=True)
    ]
    left, width = MARGIN, WIDTH - 2 * MARGIN
    start, end = cells[0]["start_s"], cells[-1]["end_s"]
    scale = width / max(end - start, 1e-9)

    def box(a: float, b: float, top: float, bottom: float, color: Color) -> Shape:
        x0, x1 = left + (a - start) * scale, left + (b - start) * scale
        return Shape([(x0, top), (x1, top), (x1, bottom), (x0, bottom)], color)

    shapes: list[Shape | Label] = [box(c["start_s"], c["end_s"], 14, 44, STATUS_COLORS[c["status"]]) for c in cells]
    shapes += [box(s["start_s"], s["start_s"] + 1 / scale, 8, 50, TEXT_COLOR) for s in scenes.shots.to_pylist()]
    x = float(left)
    for status, color in STATUS_COLORS.items():
        n = sum(cell["status"] == status for cell in cells)
        shapes += [
            Shape([(x, 58), (x + 12, 58), (x + 12, 70), (x, 70)], color),
            Label(x + 18, 55, f"{n} {status}", 14, TEXT_COLOR),
        ]
        x += 150
    strip = desk.canvas.draw(_blank(WIDTH, 80), shapes)
    sheet = _sheet(f"Shots: {scenes.shots.num_rows}", cards, desk.canvas, columns=6)
    return strip if sheet is None else np.concatenate((strip, sheet))


def _detect_objects(payloads: Mapping[str, Any], desk: _Desk) -> Image | None:
    """Boxes on the frames with most regions, from different shots if possible."""
    detected: DetectedObjects = payloads[Stage.detect_objects]
    scenes: FilteredScenes = payloads[Stage.filter_scenes]
    numbers, counts = np.unique(detected.regions["frame"].to_numpy(), return_counts=True)
    shot_of = dict(zip(*(scenes.timeline[c].to_pylist() for c in ("frame", "shot")), strict=True))
    by_fullness = numbers[np.argsort(-counts, kind="stable")].tolist()
    fullest = {shot_of[frame]: frame for frame in reversed(by_fullness)}
    shown = [f for f in by_fullness if fullest[shot_of[f]] == f] + _spread(numbers.tolist(), 6)
    cards = []
    read = sorted(list(dict.fromkeys(shown))[:6])
    for frame, image in zip(read, desk.frames.in_order(read), strict=True):
        regions = detected.regions.filter(pc.field("frame") == frame).to_pylist()
        line = max(2, round(image.shape[1] / 320))
        boxes = [
            Shape(list(zip(r["quad"][::2], r["quad"][1::2], strict=True)), KIND_COLORS.get(r["kind"], ACCENT), line)
            for r in regions
        ]
        drawn = desk.shrunk(desk.canvas.draw(image, boxes))
        cards.append(_Card(drawn, f"frame {frame}", f"regions: {len(regions)}"))
    heading = f"Regions: {detected.regions.num_rows}, tracks: {detected.tracks.num_rows}"
    return _sheet(heading, cards, desk.canvas, columns=3)


def _run_ocr(payloads: Mapping[str, Any], desk: _Desk) -> Image | None:
    """The recognised texts, each with its largest crop."""
    detected: DetectedObjects = payloads[Stage.detect_objects]
    read: TrackTexts = payloads[Stage.run_ocr]
    texts = [row for row in read.texts.to_pylist() if row["text"]]
    tracks = Counter(row["text"] for row in texts)
    best = _best_regions(detected.regions, [row["track_id"] for row in texts])
    texts.sort(key=lambda row: (-best[row["track_id"]]["area_frac"], row["track_id"]))
    shown = list({row["text"]: row for row in reversed(texts)}.values())[::-1][:30]
    cards = [
        _Card(crop, row["text"], f"confidence {row['confidence']:.2f}, tracks {tracks[row['text']]}")
        for row, crop in zip(shown, _crops([best[row["track_id"]] for row in shown], desk), strict=True)
    ]
    heading = f"Tracks read: {len(texts)} of {detected.tracks.num_rows}, different texts: {len(tracks)}"
    return _sheet(heading, cards, desk.canvas, columns=6, cell_height=64)


def _verdicts(stage: str) -> Callable[[Mapping[str, Any], _Desk], Image | None]:
    def draw(payloads: Mapping[str, Any], desk: _Desk) -> Image | None:
        """The largest crop of each brand, then unresolved clusters."""
        detected: DetectedObjects = payloads[Stage.detect_objects]
        verdicts: BrandVerdicts = payloads[stage]
        resolved = verdicts.verdicts.filter(pc.field("status") == VerdictStatus.resolved).to_pylist()
        best = _best_regions(detected.regions, [t for row in resolved for t in row["track_ids"]])
        per_brand: dict[str, tuple[Row, Row]] = {}
        for row in sorted(resolved, key=lambda r: -r["confidence"]):
            for track in row["track_ids"]:
                _, shown = per_brand.get(row["brand"], (row, best[track]))
                if shown["area_frac"] <= best[track]["area_frac"]:
                    per_brand[row["brand"]] = (row, best[track])
        brands = sorted(per_brand.values(), key=lambda pair: -pair[1]["area_frac"])[:18]
        still_open = verdicts.unresolved.sort_by("rank").slice(0, 12).to_pylist()
        wanted = pc.field("region_id").isin(pa.array([row["best_region_id"] for row in still_open], pa.string()))
        regions = {row["region_id"]: row for row in detected.regions.filter(wanted).to_pylist()}
        still_open = [row for row in still_open if row["best_region_id"] in regions]
        crops = _crops([r for _, r in brands] + [regions[row["best_region_id"]] for row in still_open], desk)
        cards = [
            _Card(crop, row["brand"], f"{row['rule']} {row['score']:.2f}: {row['text'] or '(no text)'}", ACCENT)
            for (row, _), crop in zip(brands, crops, strict=False)
        ]
        cards += [
            _Card(crop, f"open: {row['text'] or '(no text)'}", f"{duration(row['seconds'])} on screen", OPEN)
            for row, crop in zip(still_open, crops[len(brands) :], strict=True)
        ]
        heading = f"Brands resolved: {len(per_brand)}, unresolved: {verdicts.unresolved.num_rows}"
        return _sheet(heading, cards, desk.canvas, columns=6, cell_height=64)

    return draw


def _compile_report(payloads: Mapping[str, Any], desk: _Desk) -> Image | None:
    """When each of the longest brands was on screen, with the shots beneath."""
    report: Report = payloads[Stage.compile_report]
    brands = report.brands.slice(0, 20).to_pylist()
    if not brands:
        return None
    start, end = report.summary["range_s"]
    left, top, lane, gap = 210, 44, 20, 6
    bottom = top + len(brands) * (lane + gap)
    scale = (WIDTH - left - MARGIN) / (end - start)
    lanes = {row["brand_id"]: top + i * (lane + gap) for i, row in enumerate(brands)}

    def box(a: float, b: float, y: float, height: float, color: Color) -> Shape:
        x0 = left + (a - start) * scale
        x1 = max(left + (b - start) * scale - 1, x0 + 1)  # the corner is the last pixel drawn
        return Shape([(x0, y), (x1, y), (x1, y + height - 1), (x0, y + height - 1)], color)

    heading = f"Brands: {report.brands.num_rows}, exposures: {report.exposures.num_rows}"
    shapes: list[Shape | Label] = [Label(MARGIN, 12, heading, 18, TEXT_COLOR)]
    for row in brands:
        y = lanes[row["brand_id"]]
        shapes.append(box(start, end, y, lane, RULE))
        shapes.append(Label(MARGIN, y + 2, row["brand"], 14, TEXT_COLOR, left - MARGIN - 80))
        shapes.append(Label(left - 68, y + 2, duration(row["seconds"]), 14, SOFT, 62))
    for e in report.exposures.to_pylist():
        if e["brand_id"] in lanes:
            shapes.append(box(e["start_s"], e["end_s"], lanes[e["brand_id"]], lane, ACCENT))
    shapes += [box(a, b, bottom, 8, RULE if i % 2 else SOFT) for i, (a, b) in enumerate(report.summary["shots_s"])]
    shapes += [Label(left, bottom + 12, clock(start), 13, SOFT), Label(WIDTH - 70, bottom + 12, clock(end), 13, SOFT)]
    return desk.canvas.draw(_blank(WIDTH, bottom + 36), shapes)


DRAWINGS: dict[str, Callable[[Mapping[str, Any], _Desk], Image | None]] = {
    Stage.extract_frames: _extract_frames,
    Stage.filter_scenes: _filter_scenes,
    Stage.detect_objects: _detect_objects,
    Stage.run_ocr: _run_ocr,
    **{stage: _verdicts(stage) for stage in (Stage.match_brands, Stage.escalate_vlm, Stage.escalate_cloud)},
    Stage.compile_report: _compile_report,
}


def _best_regions(regions: pa.Table, tracks: Iterable[str]) -> dict[str, Row]:
    """The largest region of each of ``tracks``."""
    rows = regions.filter(pc.field("track_id").isin(pa.array(list(tracks), pa.string())))
    order = np.lexsort((rows["frame"].to_numpy(), -rows["area_frac"].to_numpy()))
    _, first = np.unique(rows["track_id"].to_numpy()[order], return_index=True)
    return {row["track_id"]: row for row in rows.take(order[first]).to_pylist()}


def _crops(regions: Sequence[Row], desk: _Desk) -> list[Image]:
    """Upright crops of the regions, in the given order; each frame is read once."""
    crops: dict[int, Image] = {}
    read = sorted({row["seen_on"][0] for row in regions})
    for frame, image in zip(read, desk.frames.in_order(read), strict=True):
        for i, row in enumerate(regions):
            if row["seen_on"][0] == frame:
                crops[i] = desk.codec.rectify(image, np.array(row["quad"], np.float32).reshape(4, 2))
    return [crops[i] for i in range(len(regions))]


def _spread(rows: list[T], most: int) -> list[T]:
    """At most ``most`` of ``rows``, evenly spread."""
    if len(rows) <= most:
        return rows
    return [rows[i] for i in np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _sheet(heading: str, cards: list[_Card], canvas: Canvas, columns: int, cell_height: int = 0) -> Image | None:
    """``cards`` in rows below a heading, each picture fitted into its cell; None without cards."""
    if not cards:
        return None
    if not cell_height:
        columns = min(columns, max(len(cards), 2))
    cell = (WIDTH - MARGIN) // columns
    width = cell - MARGIN
    height = cell_height or round(max(width * card.image.shape[0] / card.image.shape[1] for card in cards))
    height = min(height, width)
    lines = 24 + 18 * any(card.line for card in cards)
    row_height = height + lines + MARGIN
    sheet = _blank(WIDTH, 44 + row_height * -(-len(cards) // columns))
    labels: list[Shape | Label] = [Label(MARGIN, 12, heading, 18, TEXT_COLOR)]
    for i, card in enumerate(cards):
        x, y = MARGIN + cell * (i % columns), 44 + row_height * (i // columns)
        scale = min(width / card.image.shape[1], height / card.image.shape[0])
        w, h = (max(1, round(side * scale)) for side in card.image.shape[1::-1])
        sheet[y : y + height, x : x + width] = RULE[::-1]
        left, top = x + (width - w) // 2, y + (height - h) // 2
        sheet[top : top + h, left : left + w] = canvas.resize(card.image, w, h)
        labels.append(Label(x, y + height + 4, card.title, 15, card.color, width))
        labels.append(Label(x, y + height + 23, card.line, 13, SOFT, width))
    return canvas.draw(sheet, labels)


def _blank(width: int, height: int) -> Image:
    return np.full((height, width, 3), PAPER[::-1], np.uint8)


def encoded(image: Image, codec: ImageCodec, limit_bytes: int) -> bytes:
    """The best JPEG within the limit: reduces first the quality, then the size."""
    *better, lowest = QUALITIES
    longest = max(image.shape)
    while len(data := codec.encode(image, lowest, longest)) > limit_bytes and longest >= 64:
        # bytes grow about as the area does
        longest = round(longest * min(0.95, (limit_bytes / len(data)) ** 0.5))
    for quality in better:
        if len(best := codec.encode(image, quality, longest)) <= limit_bytes:
            return best
    return data
