"""A report against a truth: the figures of both, where both are known."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from brand_detect.domain.contracts.compile_report import (
    BRANDS,
    DETECTIONS,
    EXPOSURES,
    REPORT_UNRESOLVED,
    CompileReportParams,
    Report,
)
from brand_detect.domain.tables import table
from brand_detect.evaluation.benchmarks import exposure
from brand_detect.evaluation.benchmarks.common import RunResult
from brand_detect.evaluation.synthetic.footage import Truth
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages.compile_report.compile import compile_report
from brand_detect_tests.support import payloads as p

FPS, SECONDS = 25, 240
SHOTS = np.random.default_rng(5).uniform(3, 12, 60).cumsum()


def truth_of(seed: int) -> Truth:
    """Boards that come and go with the shots and within them, slowly moving; every one can be read."""
    chance = np.random.default_rng(seed)
    edges = [0.0, *SHOTS[SHOTS < SECONDS].tolist(), float(SECONDS)]
    rows = []
    for start, end in pairwise(edges):
        for brand in range(4):
            if chance.random() < 0.5:
                begin = start if chance.random() < 0.5 else chance.uniform(start, (start + end) / 2)
                x, y, w, h = chance.uniform((0, 0, 80, 20), (1200, 900, 600, 120))
                for frame in range(round(begin * FPS), round(end * FPS)):
                    left = x + 0.5 * (frame - begin * FPS)
                    rows.append([frame, brand, left, y, left + w, y, left + w, y + h, left, y + h, 1.0, 1.0])
    cuts = tuple(edges[1:-1])
    boxes = np.array(rows, np.float32)
    return Truth(("Nike", "Puma", "Itaú", "Oppo"), (), (), 1920, 1080, FPS, SECONDS, cuts, (), (), (), boxes)


def seen_by_a_perfect_detector(truth: Truth, fps: float = 2.0) -> RunResult:
    """What the stages make of boxes that are the truth's, on sampled frames."""
    frames = p.frames(int(SECONDS * fps), fps)
    scenes = p.scenes(frames, truth.cuts_s)
    shot = np.searchsorted(truth.cuts_s, frames.frames["t_s"].to_numpy(), side="right")
    regions = []
    for i, t in enumerate(frames.frames["t_s"].to_pylist()):
        for row in truth.boxes[truth.boxes[:, 0] == round(t * FPS)]:
            box = (float(row[2]), float(row[3]), float(row[4] - row[2]), float(row[7] - row[3]))
            regions.append(p.region(i, f"{truth.brands[int(row[1])]}-{shot[i]}", box))
    tracks = {str(r["track_id"]) for r in regions}
    verdicts = p.verdicts([p.verdict(track.split("-")[0], [track]) for track in sorted(tracks)])
    report = compile_report(
        p.request(float(SECONDS)),
        frames,
        scenes,
        p.detected(regions, scenes),
        verdicts,
        CompileReportParams.model_validate({}),
        scale=load_quality("default"),
        statistics={},
        brands={},
    )
    return RunResult({"compile_report": report}, {}, 0)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_seen_at_two_frames_a_second_is_within_a_tenth_of_the_truth(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = truth_of(seed)
    monkeypatch.setattr(exposure, "sample_once", lambda *_: truth)
    section = exposure.bench_exposure(tmp_path, lambda *_: seen_by_a_perfect_detector(truth), SECONDS, 0)
    rows = section.to_json()["rows"]
    assert [row["brand"] for row in rows] == sorted(truth.brands, key=lambda b: -union(truth, b))
    for row in rows:
        assert abs(row["error"]) < 0.1
        assert abs(row["voice error"]) < 0.1
        assert abs(row["area error"]) < 0.1
        assert row["edge error s"] <= 0.25, "half a sampling interval"


def union(truth: Truth, brand: str) -> float:
    return sum(end - start for start, end in truth.legible_s(brand))


def test_a_brand_that_was_not_found_is_an_error_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = truth_of(0)
    nothing = Report(table(BRANDS), table(EXPOSURES), table(DETECTIONS), table(REPORT_UNRESOLVED), {})
    monkeypatch.setattr(exposure, "sample_once", lambda *_: truth)
    section = exposure.bench_exposure(tmp_path, lambda *_: RunResult({"compile_report": nothing}, {}, 0), SECONDS, 0)
    assert {row["error"] for row in section.to_json()["rows"]} == {-1.0}
    assert section.table().row_count == 4


def test_the_area_is_that_of_what_can_be_read() -> None:
    box = [0, 0, 0, 0, 192, 0, 192, 108, 0, 108]
    rows = [[*box, 1.0, 1.0], [*box, 1.0, 1.0], [*box, 1.0, 0.0]]
    rows[1][0] = 1  # frames 0 and 1 legible, the third box is not
    truth = Truth(("Nike",), (), (), 1920, 1080, FPS, 1.0, (), (), (), (), np.array(rows, np.float32))
    assert exposure.area_frac(truth, "Nike") == pytest.approx(0.01)


def test_the_error_of_starts_and_ends_inside_shots() -> None:
    """Cuts at 4 and 8 s; legible from 2 to 3 s, 4 to 5 s and 6 to 7 s. What is missed or cut in two has no edges."""
    frames = [f for start, end in ((2, 3), (4, 5), (6, 7)) for f in range(start * FPS, end * FPS)]
    rows = [[f, 0, 0, 0, 192, 0, 192, 108, 0, 108, 1.0, 1.0] for f in frames]
    truth = Truth(("Nike",), (), (), 1920, 1080, FPS, 10.0, (4.0, 8.0), (), (), (), np.array(rows, np.float32))
    assert exposure.edge_errors_s(truth, "Nike", [(1.9, 3.2), (4.0, 5.3)]) == pytest.approx([0.1, 0.2, 0.3])
    assert exposure.edge_errors_s(truth, "Nike", [(2.0, 2.2), (2.6, 3.0), (4.0, 6.5)]) == []
