"""Scores region detectors on annotated pictures: the share of logos covered by their proposals."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from brand_detect.domain.contracts.detect_objects import Origin, RegionKind
from brand_detect.domain.errors import BadInput
from brand_detect.domain.geometry import Boxes, box_iou, boxes_of
from brand_detect.domain.protocols import Area, Image, Progress, Region, RegionDetector
from brand_detect.engines.contours import ContourLogoDetector
from brand_detect.engines.image import read_photograph
from brand_detect.engines.video import PyAvDecoder
from brand_detect.evaluation.scoring.photographs import WithLogos, not_labelled, read_annotations
from brand_detect.evaluation.synthetic.drawing import LOGOS
from brand_detect.evaluation.synthetic.footage import Scenario, load_truth, sample_once, truth_path
from brand_detect.stages.detect_objects.search import without_lines

PROPOSALS = (5, 10, 20, 50, 100)
MOST = max(PROPOSALS)
FOUND_IOU, LOOSE_IOU = 0.5, 0.3
SMALLEST_PX = 16.0  # smaller logos of generated clips do not count

Annotated = tuple[Image, Boxes]
"""A picture and the boxes of its logos."""


@dataclass(frozen=True)
class RegionScore:
    """The proposals of one method. ``ranks`` maps an IoU to the rank, from 0, of the first proposal with this overlap,
    per logo; infinite without one."""

    method: str
    megapixels: float
    seconds: float
    ranks: Mapping[float, NDArray[np.float64]]

    @property
    def logos(self) -> int:
        return len(self.ranks[FOUND_IOU])

    @property
    def ms_per_megapixel(self) -> float:
        return 1000 * self.seconds / max(self.megapixels, 1e-9)

    def recall(self, proposals: int, iou: float = FOUND_IOU) -> float:
        """Share of logos covered by the first ``proposals`` of their picture."""
        return float((self.ranks[iou] < proposals).mean()) if self.logos else 0.0

    def to_json(self) -> dict[str, Any]:
        recall = {str(iou): {str(n): self.recall(n, iou) for n in PROPOSALS} for iou in self.ranks}
        return {
            "method": self.method,
            "logos": self.logos,
            "ms_per_megapixel": self.ms_per_megapixel,
            "recall": recall,
        }


@dataclass(frozen=True)
class TextThenLogos:
    """The pipeline's proposals: lines of text, then logo regions that are not lines of text."""

    text: RegionDetector
    logos: RegionDetector
    kind: RegionKind = RegionKind.logo
    identity: str = "pipeline"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        lines = [replace(line, score=1 + line.score) for line in self.text.detect(image, areas)]
        found = [(region, Origin.detected) for region in (*lines, *self.logos.detect(image, areas))]
        return [region for region, _ in without_lines(found, MOST)]


def methods(text: RegionDetector) -> dict[str, RegionDetector]:
    """All methods by name. ``text`` detects lines of text."""
    contours = ContourLogoDetector(min_score=0.0, most=MOST)
    return {"contours": contours, "text": text, "text, then contours": TextThenLogos(text, contours)}


def annotated(folder: Path) -> list[Annotated]:
    """The pictures in ``folder/images`` with the boxes of their logos.

    ``folder/annotations.json`` lists the boxes of each (``WithLogos``).

    Raises:
        BadInput: the folder has no such photographs, or no box.
    """
    pictures = read_annotations(folder, WithLogos)
    if not any(picture.boxes for picture in pictures):
        raise not_labelled(folder, "has no box", WithLogos)
    return [
        (
            read_photograph(folder / "images" / picture.image),
            np.array([[b.x, b.y, b.x + b.w, b.y + b.h] for b in picture.boxes], float).reshape(-1, 4),
        )
        for picture in pictures
    ]


def of_sample(video: Path, pictures_a_second: float = 1.0) -> list[Annotated]:
    """Pictures of a generated clip with the boxes of its legible textless logos.

    Raises:
        BadInput: the clip has no ground truth, or shows no logos.
    """
    truth = load_truth(truth_path(video))
    if not truth.logos:
        raise BadInput(f"{video} shows no textless logos.", "generate it with Scenario(logos=...)")
    is_logo = np.isin(truth.boxes[:, 1], [truth.brands.index(b) for b in truth.logos]) & (truth.boxes[:, 11] > 0)
    rows = truth.boxes[is_logo]
    pictures = []
    with video.open("rb") as file:
        for frame in PyAvDecoder().decode(file, pictures_a_second, 0.0, float("inf")):
            if frame.image is None:
                continue
            quads = rows[rows[:, 0] == round(frame.t_s * truth.fps), 2:10].reshape(-1, 4, 2)
            boxes = boxes_of(list(quads.clip(0, [truth.width_px - 1, truth.height_px - 1])))
            boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= SMALLEST_PX]
            if len(boxes):
                pictures.append((frame.image, boxes))
    return pictures


def generated(folder: Path) -> list[Annotated]:
    """Pictures of a clip with textless logos, which is drawn into ``folder`` if it does not exist."""
    video = folder / "logos.mp4"
    sample_once(video, Scenario(fps=10, logos=tuple(LOGOS)))
    return of_sample(video)


def evaluate_regions(
    pictures: Sequence[Annotated], methods: Mapping[str, RegionDetector], progress: Progress
) -> list[RegionScore]:
    """Score each method; proposals are ranked by score."""
    scores = []
    for n, (name, detector) in enumerate(methods.items()):
        detector.detect(pictures[0][0])  # loads the model outside the timing
        ranks: dict[float, list[NDArray[np.float64]]] = {FOUND_IOU: [], LOOSE_IOU: []}
        seconds = 0.0
        for done, (image, boxes) in enumerate(pictures):
            progress(n * len(pictures) + done, len(methods) * len(pictures), "pictures")
            start = time.perf_counter()
            regions = detector.detect(image)
            seconds += time.perf_counter() - start
            proposed = boxes_of([r.quad for r in sorted(regions, key=lambda r: -r.score)])
            for iou, found in ranks.items():
                found.append(first_ranks(boxes, proposed, iou))
        scores.append(
            RegionScore(
                name,
                sum(image.shape[0] * image.shape[1] for image, _ in pictures) / 1e6,
                seconds,
                {iou: np.concatenate(found) for iou, found in ranks.items()},
            )
        )
    return scores


def first_ranks(boxes: Boxes, proposed: Boxes, iou: float) -> NDArray[np.float64]:
    """For each box the rank of the first proposal with at least ``iou``; infinite without one."""
    hits = np.column_stack([box_iou(boxes, proposed) >= iou, np.ones(len(boxes), bool)])
    first = hits.argmax(axis=1).astype(float)
    return np.where(first < len(proposed), first, np.inf)


def region_table(scores: Sequence[RegionScore]) -> Table:
    """The scores as a table for the terminal."""
    table = Table(
        title=f"Share of {scores[0].logos} logos found among the first N regions "
        f"(IoU {FOUND_IOU:g}; in brackets {LOOSE_IOU:g})"
    )
    table.add_column("method")
    for n in PROPOSALS:
        table.add_column(f"N = {n}", justify="right")
    table.add_column("ms / megapixel", justify="right")
    for s in scores:
        shares = [f"{s.recall(n):.2f} ({s.recall(n, LOOSE_IOU):.2f})" for n in PROPOSALS]
        table.add_row(s.method, *shares, f"{s.ms_per_megapixel:.0f}")
    return table
