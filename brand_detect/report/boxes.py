"""Detections as labelled pictures for training, evaluation and correction: COCO, YOLO and Label Studio.

The pictures are the keyframes; their duplicates would add nothing. A keyframe without a box is a negative. Boxes that a
person rejected are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.filter_scenes import KEYFRAME
from brand_detect.domain.job import JobRequest
from brand_detect.domain.media import file_name
from brand_detect.domain.tables import BOX, Row
from brand_detect.report.exports import rounded
from brand_detect.report.words import has_placement, one_line

ATTRIBUTES = (
    *("confidence", "track_id", "visible_frac", "reviewed", "placement", "text", "rule", "decided_by", "verdict_id"),
)
"""Columns of DETECTIONS exported with a box."""


@dataclass(frozen=True)
class Box:
    """A brand's box on a picture, in px, the origin at the top left."""

    brand: int  # index into ``Labels.brands``
    x: float
    y: float
    w: float
    h: float
    attributes: Row


@dataclass(frozen=True)
class Picture:
    """A keyframe with its boxes."""

    frame: int
    name: str  # file name
    width_px: int
    height_px: int
    t_s: float
    boxes: list[Box] = field(default_factory=list)
    rejected: list[Box] = field(default_factory=list)


@dataclass(frozen=True)
class Labels:
    """All pictures of a job, in order of time. ``n_hidden`` boxes are left out because they are occluded."""

    brands: Sequence[tuple[str, str]]  # id and name
    pictures: Sequence[Picture]
    n_hidden: int


def labels(request: JobRequest, frames: pa.Table, timeline: pa.Table, regions: pa.Table, report: Report) -> Labels:
    """The labelled pictures of a report.

    If a track is visible only on a duplicate of a keyframe and occluded on the keyframe itself, as ``seen_on`` of
    ``regions`` tells, the keyframe gets no box.
    """
    found, rejected = rounded(report.detections), rounded(report.rejected)
    named = {row["brand_id"]: one_line(row["brand"]) for row in (*rejected, *found)}
    brands = sorted(named.items())
    place = {brand_id: n for n, (brand_id, _) in enumerate(brands)}
    seen = regions.select(["track_id", "frame", "seen_on"]).to_pylist()
    hidden = {(row["track_id"], row["frame"]) for row in seen if row["frame"] not in row["seen_on"]}
    keyframes = pc.unique(timeline.filter(pc.field("status") == KEYFRAME)["frame"])  # pyright: ignore[reportAttributeAccessIssue]
    columns = ("frame", "width_px", "height_px", "t_s")
    pictures = {
        row["frame"]: Picture(name=f"{request.job_id}-{row['frame']:06d}.jpg", **row)
        for row in rounded(frames.select(columns).filter(pc.field("frame").isin(keyframes)).sort_by("frame"))
    }
    n_hidden = 0
    for rows, boxes in ((found, "boxes"), (rejected, "rejected")):
        for row in rows:
            if (row["track_id"], row["frame"]) in hidden:
                n_hidden += boxes == "boxes"
            elif row["w_px"] > 0 and row["h_px"] > 0:
                x, y, w, h = (row[c] for c in BOX)
                box = Box(place[row["brand_id"]], x, y, w, h, {name: row[name] for name in ATTRIBUTES})
                getattr(pictures[row["frame"]], boxes).append(box)
    return Labels(brands, tuple(pictures.values()), n_hidden)


def coco(found: Labels, request: JobRequest) -> dict[str, Any]:
    """One COCO document (https://cocodataset.org/#format-data). Rejected boxes are in a separate list."""
    numbers: defaultdict[str, int] = defaultdict(int)

    def annotations(kind: str) -> Iterator[Row]:
        for picture in found.pictures:
            for box in getattr(picture, kind):
                numbers[kind] += 1
                yield {
                    "id": numbers[kind],
                    "image_id": picture.frame + 1,
                    "category_id": box.brand + 1,
                    "bbox": [box.x, box.y, box.w, box.h],
                    "area": round(box.w * box.h, 2),
                    "iscrowd": 0,
                    "score": box.attributes["confidence"],
                    "attributes": box.attributes,
                }

    return {
        "info": {
            "description": f"brands found in {file_name(request.video_uri)}",
            "job_id": request.job_id,
            "video_sha256": request.video_sha256,
        },
        "licenses": [],
        "categories": [
            {"id": n + 1, "name": name, "supercategory": "brand", "brand_id": brand_id}
            for n, (brand_id, name) in enumerate(found.brands)
        ],
        "images": [
            {
                "id": picture.frame + 1,
                "file_name": picture.name,
                "width": picture.width_px,
                "height": picture.height_px,
                "t_s": picture.t_s,
                "frame": picture.frame,
            }
            for picture in found.pictures
        ],
        "annotations": list(annotations("boxes")),
        "rejected": list(annotations("rejected")),
    }


def yolo(found: Labels) -> dict[str, str]:
    """``data.yaml`` and a text file per picture by path (https://docs.ultralytics.com/datasets/detect).

    Each line is a box: class, centre, width and height as shares of the picture. A picture without boxes has an empty
    file, which makes it a negative. Without ``path``, Ultralytics looks for the pictures beside ``data.yaml``.
    """
    names = {n: name for n, (_, name) in enumerate(found.brands)}
    about = {"train": "images", "val": "images", "nc": len(names), "names": names}
    files = {"data.yaml": yaml.safe_dump(about, allow_unicode=True, sort_keys=False)}
    for picture in found.pictures:
        files[f"labels/{picture.name.removesuffix('.jpg')}.txt"] = "".join(_yolo_lines(picture))
    return files


def _yolo_lines(picture: Picture) -> Iterator[str]:
    for box in picture.boxes:
        x, w = (box.x + box.w / 2) / picture.width_px, box.w / picture.width_px
        y, h = (box.y + box.h / 2) / picture.height_px, box.h / picture.height_px
        yield f"{box.brand} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n"


def label_studio(found: Labels, request: JobRequest, model: str, prefix: str) -> list[dict[str, Any]]:
    """Tasks with predictions (https://labelstud.io/guide/predictions), for the configuration ``label_config``.

    ``prefix`` is put before the pictures' names; ``model`` names the source of the predictions.
    """
    return [
        {
            "data": {
                "image": prefix + picture.name,
                "job_id": request.job_id,
                "frame": picture.frame,
                "t_s": picture.t_s,
                "rejected": [found.brands[box.brand][1] for box in picture.rejected],
            },
            "predictions": [
                {
                    "model_version": model,
                    "score": min((box.attributes["confidence"] for box in picture.boxes), default=0.0),
                    "result": [_rectangle(n, box, picture, found) for n, box in enumerate(picture.boxes)],
                }
            ],
        }
        for picture in found.pictures
    ]


def label_config(brands: Iterable[tuple[str, str]]) -> str:
    """The labelling interface for the tasks."""
    names = dict.fromkeys(name for _, name in brands)
    choices = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in names)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="brand" toName="image">\n{choices}\n  </RectangleLabels>\n</View>\n'
    )


def _rectangle(number: int, box: Box, picture: Picture, found: Labels) -> dict[str, Any]:
    width, height = picture.width_px, picture.height_px
    return {
        "id": f"{picture.frame}-{number}",
        "type": "rectanglelabels",
        "from_name": "brand",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": round(100 * box.x / width, 4),
            "y": round(100 * box.y / height, 4),
            "width": round(100 * box.w / width, 4),
            "height": round(100 * box.h / height, 4),
            "rotation": 0,
            "rectanglelabels": [found.brands[box.brand][1]],
        },
        "score": box.attributes["confidence"],
        "meta": {"text": [f"{name}: {value}" for name, value in box.attributes.items() if _says(name, value)]},
    }


def _says(name: str, value: Any) -> bool:
    return has_placement([value]) if name == "placement" else value not in ("", None)
