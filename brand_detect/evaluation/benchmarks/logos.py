"""Textless logos, end to end: a generated clip with known logos, and a catalogue full of other logos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.records import Payload
from brand_detect.domain.text import key_of
from brand_detect.evaluation.benchmarks.common import MIB, RunResult, Section
from brand_detect.evaluation.synthetic.drawing import LOGOS, logo_svg
from brand_detect.evaluation.synthetic.footage import Scenario, Truth, sample_once

CLIP = Scenario(seconds=120, width_px=1920, height_px=1080, logos=tuple(LOGOS))
HEIGHT_PX = 40.0
"""Least height of a logo that must be recognised."""
IN_VIEW = 0.25
"""Visible share of a logo from which naming it is not an error."""
ROUNDING_S = 0.5
"""Tolerance in time for a logo's presence: exposures are rounded to sampled frames."""

RunCatalog = Callable[[Path, Path], RunResult]
"""Runs one video with the catalogue in a folder."""


@dataclass(frozen=True)
class LogoScore:
    """Seconds, summed over logos. ``shown`` counts time with a legible logo of at least ``HEIGHT_PX``."""

    shown_s: Mapping[str, float]
    found_s: Mapping[str, float]  # of these
    named_s: Mapping[str, float]  # time named by logo, of the clip or not
    right_s: Mapping[str, float]  # part of it with the logo in view

    @property
    def recall(self) -> float:
        return sum(self.found_s.values()) / max(sum(self.shown_s.values()), 1e-9)

    @property
    def precision(self) -> float:
        return sum(self.right_s.values()) / max(sum(self.named_s.values()), 1e-9)


def score_logos(truth: Truth, payloads: Mapping[str, Payload]) -> LogoScore:
    """Score a finished job on the logos of a generated clip, second by second.

    A sampled frame counts for its cell on the timeline, with the detections of its keyframe.
    """
    scenes, report = payloads["filter_scenes"], payloads["compile_report"]
    assert isinstance(scenes, FilteredScenes)
    assert isinstance(report, Report)
    named: dict[int, dict[str, bool]] = {}  # by keyframe: brand, and whether it was named by its logo
    for row in report.detections.select(["frame", "brand", "rule"]).to_pylist():
        brands = named.setdefault(row["frame"], {})
        brands[row["brand"]] = brands.get(row["brand"], False) or row["rule"] == Rule.logo_match
    legible = {logo: _frames(truth, logo, HEIGHT_PX, legible=True) for logo in truth.logos}
    in_view = {logo: _frames(truth, logo, 0.0, legible=False) for logo in truth.logos}
    shown, found, named_s, right = ({} for _ in range(4))
    for row in scenes.timeline.to_pylist():
        seconds = row["end_s"] - row["start_s"]
        here = named.get(row["keyframe"], {}) if row["keyframe"] is not None else {}
        at = round(row["t_s"] * truth.fps)
        for logo in truth.logos:
            if at in legible[logo]:
                _add(shown, logo, seconds)
                _add(found, logo, seconds * (logo in here))
        for brand, by_logo in here.items():
            if by_logo:
                _add(named_s, brand, seconds)
                near = range(at - round(ROUNDING_S * truth.fps), at + round(ROUNDING_S * truth.fps) + 1)
                _add(right, brand, seconds * any(f in in_view.get(brand, ()) for f in near))
    return LogoScore(shown, found, named_s, right)


def _add(sums: dict[str, float], name: str, seconds: float) -> None:
    sums[name] = sums.get(name, 0.0) + seconds


def _frames(truth: Truth, logo: str, height_px: float, legible: bool) -> set[int]:
    """The clip's frames that show ``logo``."""
    of_logo = truth.boxes[truth.boxes[:, 1] == truth.brands.index(logo)]
    y: NDArray[np.float32] = of_logo[:, 3:11:2]
    seen = (y.max(axis=1, initial=0) - y.min(axis=1, initial=1e9)) >= height_px if len(of_logo) else np.zeros(0, bool)
    seen &= of_logo[:, 11] > 0 if legible else of_logo[:, 10] >= IN_VIEW
    return set(of_logo[seen, 0].astype(int).tolist())


def write_catalog(folder: Path, names: Sequence[str], others: Mapping[str, bytes]) -> Path:
    """Write a catalogue with ``names`` without pictures, the clip's logos, and the distracting logos ``others``."""
    (folder / "logos").mkdir(parents=True, exist_ok=True)
    entries: list[str | dict[str, object]] = list(names)
    for name, path in LOGOS.items():
        (folder / "logos" / f"{name}.svg").write_text(logo_svg(path), encoding="utf-8")
        entries.append({"name": name, "logos": [f"logos/{name}.svg"], "logo_only": True})
    taken = {key_of(name) for name in (*names, *LOGOS)}
    drawings = {drawing: name for name, drawing in reversed([*others.items()])}  # some brands share a drawing
    for i, (drawing, name) in enumerate(drawings.items()):
        if key_of(name) in taken or not key_of(name):
            continue
        taken.add(key_of(name))
        (folder / "logos" / f"other-{i}.svg").write_bytes(drawing)
        entries.append({"name": name, "logos": [f"logos/other-{i}.svg"], "logo_only": True})
    (folder / "brands.yaml").write_text(yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8")
    return folder


def bench_logos(folder: Path, run: RunCatalog, others: Mapping[str, bytes]) -> list[Section]:
    """Draw the clip in ``folder`` once, run it, and score its logos."""
    video = folder / "logos.mp4"
    truth = sample_once(video, CLIP)
    names = [b for b in truth.brands if b not in truth.logos and b not in truth.unlisted]
    result = run(video, write_catalog(folder / "logos", names, others))
    score = score_logos(truth, result.payloads)
    brands = sorted({*truth.logos, *score.named_s}, key=lambda b: (b not in truth.logos, b))
    rows = [
        (b, *(of.get(b, 0.0) for of in (score.shown_s, score.found_s, score.named_s, score.right_s)), "", "")
        for b in brands
    ]
    sums = [sum(of.values()) for of in (score.shown_s, score.found_s, score.named_s, score.right_s)]
    total = ("all", *sums, f"{score.recall:.2f}", f"{score.precision:.2f}")
    return [
        Section(
            f"Textless logos among {len(others)} others, at least {HEIGHT_PX:g} px high",
            ("logo", "shown, s", "of these found, s", "named, s", "of these right, s", "recall", "precision"),
            [*rows, total],
        ),
        Section(
            "Cost",
            ("stage", "s", "MiB of state per video minute"),
            [(s, t, "") for s, t in result.seconds.items()]
            + [("all", sum(result.seconds.values()), result.store_bytes / MIB / (result.duration_s / 60))],
        ),
    ]
