"""Exposures and totals per brand, from the verdicts about tracks.

A brand is on screen during the cells of the kept frames on which one of its tracks has a region, and of the frames
for which those stand. Cells end at cuts, and elsewhere at the middle between two samples, so an edge that is no cut is
known to half a sampling interval.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain import timeline
from brand_detect.domain.model import (
    BLACK,
    BLANK,
    BRANDS,
    DETECTIONS,
    DUPLICATE,
    EXPOSURES,
    KEPT,
    OPEN_MARKS,
    ZONES,
    BrandVerdicts,
    DetectedObjects,
    ExtractedFrames,
    FilteredScenes,
    JobRequest,
    Report,
    Row,
    content_id,
    table,
)
from brand_detect.domain.params import CompileReportParams, Furniture

BOX = ("x_px", "y_px", "w_px", "h_px")
EVIDENCE = ("brand_id", "brand", "confidence", *BOX, "text", "rule", "decided_by")

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def compile_report(
    request: JobRequest,
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    detected: DetectedObjects,
    verdicts: BrandVerdicts,
    params: CompileReportParams,
    *,
    statistics: Mapping[str, Any],
) -> Report:
    """The report's tables and summary.

    How it counts:

    - A *detection* is a brand's box on one kept frame, cut along the text to the span that names the brand; the regions
      of a ``joined`` verdict make one detection together.
    - An *exposure* is the brand on screen without a break: gaps up to ``bridge_s`` inside one shot are bridged, black
      and blank frames never are, and a presence that goes on over a cut is one exposure.
    - ``area_frac`` of an instant is the area of all of the brand's boxes, overlap counted once; means are weighted
      by time and leave bridged gaps out.
    - ``zone`` is the field where the brand's boxes had the most area times time.
    - A brand on furniture (a scoreboard, a channel's bug) counts as any other unless ``furniture`` leaves it out;
      ``furniture_s`` tells the seconds.
    - ``share_of_voice`` is the brand's seconds over the sum of all brands' seconds.

    A verdict without a catalogue id goes by its brand's name. ``statistics`` are JSON facts about the run that the
    payloads do not hold (seconds, engines and params per stage, cost, lineage); they become ``summary["run"]``.
    """
    cells = scenes.timeline.sort_by("frame")
    found = _detections(frames.frames, cells, detected, verdicts.verdicts, params.min_confidence)
    shown = found if params.furniture is Furniture.include else found.filter(~pc.field("furniture"))
    n_left_out, found = found.num_rows - shown.num_rows, shown
    listed = list(_exposures(found, frames.frames, cells, params, request.video_sha256))
    exposures = sorted((row for row, _ in listed), key=lambda e: (e["start_s"], e["brand_id"]))
    reported = np.unique(np.concatenate([rows for _, rows in listed])) if listed else np.zeros(0, np.intp)
    detections = found.take(reported).sort_by([("frame", "ascending"), ("brand_id", "ascending")])
    detections = detections.drop_columns("seen_on")
    notes = dict.fromkeys(n for source in (request, frames, scenes, detected, verdicts) for n in source.notes)
    if n_left_out:
        notes[f"{n_left_out} detections on scoreboards, channel bugs and the like are left out."] = None
    return Report(
        brands=table(BRANDS, _brands(exposures, frames.end_s - frames.start_s, _furniture_s(detections, cells))),
        exposures=table(EXPOSURES, exposures),
        detections=detections,
        unresolved=_open_marks(verdicts.unresolved, detected.regions, frames.frames),
        summary=_summary(frames, scenes, detected, verdicts, detections.num_rows, statistics),
        notes=tuple(notes),
    )


def _detections(
    frames: pa.Table, cells: pa.Table, detected: DetectedObjects, verdicts: pa.Table, min_confidence: float
) -> pa.Table:
    """Every brand box on a kept frame, in order of brand and frame; ``seen_on`` is a frame whose pixels show it."""
    regions = detected.regions
    wanted = (pc.field("status") == "resolved") & (pc.field("confidence") >= min_confidence)
    verdicts = verdicts.filter(wanted).combine_chunks()
    lists = verdicts["track_ids"].combine_chunks()
    tracks, n_tracks = lists.flatten(), lists.value_lengths().to_numpy()
    owner = np.repeat(np.arange(len(lists)), n_tracks)
    members = pa.table({"track_id": tracks, "verdict": owner, "member": np.arange(len(tracks))})
    places = pa.table({"track_id": regions["track_id"], "region": np.arange(regions.num_rows)})
    seen = members.join(places, "track_id", join_type="inner")
    seen = seen.append_column("frame", regions["frame"].take(seen["region"]))
    seen = seen.sort_by([(c, "ascending") for c in ("verdict", "frame", "member", "region")])
    verdict, member, region, frame = (seen[c].to_numpy() for c in ("verdict", "member", "region", "frame"))

    # The regions of one joined verdict on one frame are one detection; every other region is one of its own.
    joined = (verdicts["rule"].to_numpy() == "joined")[verdict]
    opens = np.r_[True, (np.diff(verdict) != 0) | (np.diff(frame) != 0) | ~joined[1:]][: len(verdict)]
    first = np.flatnonzero(opens)
    group = np.cumsum(opens) - 1

    quads = _fixed(regions["quad"])[region]
    complete = np.bincount(group)[group] == np.where(joined, n_tracks[verdict], 1)
    begin, end = (verdicts[c].to_numpy()[verdict].astype(np.float64) for c in ("span_start", "span_end"))
    whole = ~complete | (end <= begin)
    begin, end = _member_spans(quads, group, first, np.where(whole, 0.0, begin), np.where(whole, 1.0, end))
    says = end > begin  # a member outside the span does not say the brand
    size = _sizes(frames, frame)
    cut = np.clip(_slices(quads, begin, end), 0, size[:, None, :])
    low = np.minimum.reduceat(np.where(says[:, None], cut.min(axis=1), np.inf), first)
    high = np.maximum.reduceat(np.where(says[:, None], cut.max(axis=1), -np.inf), first)
    area = np.add.reduceat(np.where(says, _areas(cut), 0.0), first) / size[first].prod(axis=1)

    is_furniture = dict(zip(*(detected.tracks[c].to_pylist() for c in ("track_id", "furniture")), strict=True))
    on_furniture = np.array([is_furniture[t] for t in tracks.take(member).to_pylist()], bool)
    on_furniture = np.logical_and.reduceat(on_furniture, first) if len(first) else on_furniture

    verdict, member, frame = verdict[first], member[first], frame[first]
    about = verdicts.take(verdict)
    row = np.searchsorted(cells["frame"].to_numpy(), frame)
    brand_id, brand = (about[c].to_numpy() for c in ("brand_id", "brand"))
    columns = {
        **{c: about[c] for c in ("brand", "verdict_id", "confidence", "text", "rule", "decided_by")},
        "brand_id": np.where(brand_id == "", brand, brand_id),
        "frame": frame,
        "track_id": tracks.take(member),
        **{c: cells[c].take(row) for c in ("t_s", "start_s", "end_s")},
        **dict(zip(BOX, np.column_stack((low, high - low)).T, strict=True)),
        "area_frac": area,
        "furniture": on_furniture,
    }
    found = pa.table({name: columns[name] for name in DETECTIONS.names}).cast(DETECTIONS)
    found = found.append_column("seen_on", _seen_on(regions).take(region[first]))
    return found.sort_by([("brand_id", "ascending"), ("frame", "ascending")])


def _member_spans(quads: Floats, group: Ints, first: Ints, begin: Floats, end: Floats) -> tuple[Floats, Floats]:
    """The part of each region, 0..1 along its text, that lies in its group's span of the joined text.

    A region holds a share of the joined text in proportion to width over height, that is to its letters.
    """
    across = np.linalg.norm(quads[:, [1, 2]] - quads[:, [0, 3]], axis=2).sum(axis=1)
    down = np.linalg.norm(quads[:, [3, 2]] - quads[:, [0, 1]], axis=2).sum(axis=1)
    letters = np.maximum(across, 1e-6) / np.maximum(down, 1e-6)
    total = np.add.reduceat(letters, first)
    upto = np.cumsum(letters)
    before = upto - letters - (upto - letters)[first][group]
    return tuple(np.clip((edge * total[group] - before) / letters, 0, 1) for edge in (begin, end))


def _slices(quads: Floats, begin: Floats, end: Floats) -> Floats:
    """The quads between two shares of their reading direction, shape (n, 4, 2)."""
    top, bottom = quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 3]
    b, e = begin[:, None], end[:, None]
    corners = (quads[:, 0] + b * top, quads[:, 0] + e * top, quads[:, 3] + e * bottom, quads[:, 3] + b * bottom)
    return np.stack(corners, axis=1)


def _areas(quads: Floats) -> Floats:
    """Areas by the shoelace formula, in square px."""
    x, y = quads[..., 0], quads[..., 1]
    return 0.5 * np.abs((x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1))


def _exposures(
    found: pa.Table, frames: pa.Table, cells: pa.Table, params: CompileReportParams, video: str
) -> Iterator[tuple[Row, Ints]]:
    """Each exposure with the rows of ``found`` that it rests on."""
    if not found.num_rows:
        return
    frame = found["frame"].to_numpy()
    box = np.column_stack([found[c].to_numpy() for c in BOX]).astype(np.float64)
    centre = (box[:, :2] + box[:, 2:] / 2) / _sizes(frames, frame)
    zone = np.minimum(centre * 3, 2).astype(np.intp) @ (1, 3)
    area, confidence = found["area_frac"].to_numpy().astype(np.float64), found["confidence"].to_numpy()
    start, end = cells["start_s"].to_numpy(), cells["end_s"].to_numpy()
    length, shown_by = end - start, cells["shown_by"].fill_null(-1).to_numpy()

    _, brands = np.unique(found["brand_id"].to_numpy(zero_copy_only=False), return_index=True)
    for own in np.split(np.arange(found.num_rows), brands[1:]):
        on, first, group = np.unique(frame[own], return_index=True, return_inverse=True)
        weight = np.maximum(area[own], 1e-12)
        total = np.add.reduceat(weight, first)
        middle = np.add.reduceat(weight[:, None] * centre[own], first) / total[:, None]
        fields = np.zeros((len(on), len(ZONES)))
        np.add.at(fields, (group, zone[own]), weight)
        covered = total * _overlap_once(box[own], group)
        for rows in timeline.runs(cells, on, params.bridge_s):
            begin, finish = float(start[rows[0]]), float(end[rows[-1]])
            if finish - begin <= 0 or finish - begin < params.min_exposure_s:
                continue
            at = np.searchsorted(on, shown_by[rows])
            share = length[rows] / length[rows].sum()
            near = slice(first[at.min()], np.searchsorted(group, at.max(), "right"))
            mine = own[near][np.isin(group[near], at)]
            best = mine[np.lexsort((-frame[mine], area[mine], confidence[mine].round(2)))[-1]]
            evidence = found.slice(best, 1).to_pylist()[0]
            cx, cy = share @ middle[at]
            yield (
                {
                    **{c: evidence[c] for c in EVIDENCE},
                    "frame": evidence["seen_on"],
                    "exposure_id": content_id(video, evidence["brand_id"], begin),
                    "start_s": begin,
                    "end_s": finish,
                    "seconds": finish - begin,
                    "area_frac_mean": float(share @ covered[at]),
                    "area_frac_max": float(covered[at].max()),
                    "cx": float(cx),
                    "cy": float(cy),
                    "zone": ZONES[int((share @ fields[at]).argmax())],
                    "n_detections": len(mine),
                },
                mine,
            )


def _overlap_once(boxes: Floats, group: Ints) -> Floats:
    """Per group, the area that its boxes cover over the sum of their areas: 1 when none overlap.

    ``boxes`` are x, y, width, height, those of one group next to each other.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sizes = np.bincount(group)
    crowded: set[int] = set()
    for k in range(1, int(sizes.max())):
        meet = (np.minimum(high[k:], high[:-k]) > np.maximum(low[k:], low[:-k])).all(axis=1)
        crowded.update(group[k:][meet & (group[k:] == group[:-k])].tolist())
    ratio = np.ones(len(sizes))
    ends = np.cumsum(sizes)
    for g in crowded:
        rows = slice(ends[g] - sizes[g], ends[g])
        ratio[g] = _union_area(low[rows], high[rows]) / boxes[rows, 2:].prod(axis=1).sum()
    return ratio


def _union_area(low: Floats, high: Floats) -> float:
    """The area that upright boxes cover together."""
    x, y = (np.unique(np.r_[low[:, axis], high[:, axis]]) for axis in (0, 1))
    in_x = (low[:, :1] <= x[:-1]) & (high[:, :1] >= x[1:])
    in_y = (low[:, 1:] <= y[:-1]) & (high[:, 1:] >= y[1:])
    return float(np.diff(x) @ (in_x.T.astype(int) @ in_y.astype(int) > 0) @ np.diff(y))


def _furniture_s(detections: pa.Table, cells: pa.Table) -> dict[str, float]:
    """Per brand the seconds with a detection on furniture."""
    seconds = timeline.shown_seconds(cells)
    on_furniture = detections.filter(detections["furniture"]).group_by(["brand_id", "frame"]).aggregate([])
    found: defaultdict[str, float] = defaultdict(float)
    for brand_id, frame in zip(*(on_furniture[c].to_pylist() for c in ("brand_id", "frame")), strict=True):
        found[brand_id] += float(seconds[frame])
    return found


def _brands(exposures: list[Row], range_s: float, furniture_s: Mapping[str, float]) -> list[Row]:
    """Totals per brand, longest on screen first."""
    by_brand: defaultdict[str, list[Row]] = defaultdict(list)
    for exposure in exposures:
        by_brand[exposure["brand_id"]].append(exposure)
    everything = sum(e["seconds"] for e in exposures)
    rows = []
    for brand_id, own in by_brand.items():
        seconds = sum(e["seconds"] for e in own)
        rows.append(
            {
                "brand_id": brand_id,
                "brand": own[0]["brand"],
                "seconds": seconds,
                "screen_share": seconds / range_s,
                "share_of_voice": seconds / everything,
                "n_exposures": len(own),
                "longest_s": max(e["seconds"] for e in own),
                "first_s": own[0]["start_s"],
                "last_s": own[-1]["end_s"],
                "area_frac_mean": sum(e["area_frac_mean"] * e["seconds"] for e in own) / seconds,
                "confidence": max(e["confidence"] for e in own),
                "furniture_s": furniture_s.get(brand_id, 0.0),
            }
        )
    return sorted(rows, key=lambda row: (-row["seconds"], row["brand_id"]))


def _open_marks(unresolved: pa.Table, regions: pa.Table, frames: pa.Table) -> pa.Table:
    """The open clusters by rank, each with the place of its best crop."""
    marks = unresolved.sort_by("rank")
    best = pa.table({"region_id": marks["best_region_id"], "row": np.arange(marks.num_rows)})
    places = best.join(regions.select(["region_id", *BOX]).append_column("frame", _seen_on(regions)), "region_id")
    places = places.join(frames.select(["frame", "t_s"]), "frame").sort_by("row")
    columns = [marks[c] if c in marks.column_names else places[c] for c in OPEN_MARKS.names]
    return pa.table(columns, names=OPEN_MARKS.names).cast(OPEN_MARKS)


def _summary(
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    detected: DetectedObjects,
    verdicts: BrandVerdicts,
    n_detections: int,
    statistics: Mapping[str, Any],
) -> dict[str, Any]:
    times = frames.frames["t_s"].to_numpy()
    interval = float(np.median(np.diff(times))) if len(times) > 1 else frames.end_s - frames.start_s
    statuses = Counter(scenes.timeline["status"].to_pylist())
    models = _models(verdicts.answers)
    settled = {}
    for status in ("resolved", "ignored"):
        rows = verdicts.verdicts.filter(pc.field("status") == status).select(["decided_by", "track_ids"]).to_pylist()
        by = {(track, row["decided_by"]) for row in rows for track in row["track_ids"]}
        settled[status] = dict(sorted(Counter(stage for _, stage in by).items()))
    return {
        "range_s": [frames.start_s, frames.end_s],
        "sampling": {
            "interval_s": round(interval, 6),
            "edge_error_s": round(interval / 2, 6),
            "statement": (
                f"Frames were looked at every {interval:.2f} s. A start or end that is not a cut is therefore known to "
                f"±{interval / 2:.2f} s, and what was on screen for less than {interval:.2f} s may be missing."
            ),
        },
        "shots_s": [[row["start_s"], row["end_s"]] for row in scenes.shots.to_pylist()],
        "counts": {
            "frames_sampled": len(times),
            **{f"frames_{status}": statuses[status] for status in (KEPT, DUPLICATE, BLACK, BLANK)},
            "shots": scenes.shots.num_rows,
            "regions": detected.regions.num_rows,
            "tracks": detected.tracks.num_rows,
            "clusters_unresolved": verdicts.unresolved.num_rows,
            "detections": n_detections,
        },
        "tracks_resolved_by": settled["resolved"],
        "tracks_ignored_by": settled["ignored"],
        "models": models,
        "run": {**statistics, "cost_usd": sum(row["cost_usd"] for row in models)},
    }


def _models(answers: pa.Table) -> list[dict[str, Any]]:
    """What each model was asked and what it cost. An answer that was remembered costs nothing again.

    ``remembered_usd`` is what the remembered answers cost when they were given, equal questions counted once.
    """
    groups: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in answers.to_pylist():
        groups[row["provider"], row["model"], row["prompt_version"]].append(row)
    found = []
    for (provider, model, prompt), rows in groups.items():
        put = [row for row in rows if not row["remembered"] and row["status"] != "deferred"]
        known = {row["question_id"]: row["cost_usd"] for row in rows if row["remembered"]}
        found.append(
            {
                "provider": provider,
                "model": model,
                "prompt_version": prompt,
                "questions": len(put),
                "remembered": sum(row["remembered"] for row in rows),
                "answers": dict(sorted(Counter(row["status"] for row in rows).items())),
                **{c: sum(row[c] for row in put) for c in ("input_tokens", "output_tokens", "cost_usd")},
                "remembered_usd": sum(usd for i, usd in known.items() if i not in {row["question_id"] for row in put}),
                "latency_mean_s": sum(row["latency_s"] for row in put) / len(put) if put else 0.0,
            }
        )
    return found


def _seen_on(regions: pa.Table) -> pa.ChunkedArray:
    """For each region the frame that shows it best: on the kept frame it may be hidden."""
    return pc.list_element(regions["seen_on"], 0)  # pyright: ignore[reportAttributeAccessIssue]


def _fixed(column: pa.ChunkedArray) -> Floats:
    """A column of quads as an array of shape (n, 4, 2)."""
    return column.combine_chunks().flatten().to_numpy().reshape(-1, 4, 2).astype(np.float64)


def _sizes(frames: pa.Table, frame: Ints) -> Floats:
    """Width and height in px of each of ``frame``, shape (n, 2)."""
    at = np.searchsorted(frames["frame"].to_numpy(), frame)
    return np.column_stack([frames[c].to_numpy()[at] for c in ("width_px", "height_px")]).astype(np.float64)
