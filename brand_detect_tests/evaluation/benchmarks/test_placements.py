"""The benchmark of placements, on a report made from the truth itself."""

from pathlib import Path

import numpy as np
import pytest

from brand_detect.domain.contracts.compile_report import CompileReportParams
from brand_detect.domain.placements import PLACEMENTS
from brand_detect.evaluation.benchmarks import placements as bench
from brand_detect.evaluation.benchmarks.common import RunResult
from brand_detect.evaluation.benchmarks.placements import STILL, TRUTHS, bench_placements
from brand_detect.evaluation.synthetic.footage import COLUMNS, Scenario, Truth, plan
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages import compile_report
from brand_detect_tests.support import payloads as p

SCENARIO = Scenario(seconds=28, placements=True)
FPS = SCENARIO.fps


def box(frame: int, brand: int, left: float, placement: str, place: int = -1) -> list[float]:
    corners = [left, 100, left + 200, 100, left + 200, 150, left, 150]
    return [frame, brand, *corners, 1.0, 1.0, PLACEMENTS.index(placement), place]


def test_what_the_report_says_is_set_against_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = next(shot for shot in plan(SCENARIO) if shot.kind == "wall")
    rows = [box(i, 0, 100 + 100 * i, "board", 1) for i in range(3)]
    rows += [box(i, 1, 900, "overlay") for i in range(3)]
    rows += [box(i, 2 if i < 2 else 3, 1100 + 100 * i, "led", 2) for i in range(3)]  # it changes to another brand
    rows += [box(3, 4, 100, "led", 2), box(wall.start, 4, 100, "board")]
    truth = Truth(
        brands=("Nike", "Puma", "Fila", "Kappa", "Asics"),
        unlisted=(),
        logos=(),
        width_px=1920,
        height_px=1080,
        fps=FPS,
        duration_s=28.0,
        cuts_s=(),
        dissolves_s=(),
        still_s=(),
        black_s=(),
        boxes=np.array(rows, np.float32).reshape(-1, len(COLUMNS)),
    )

    def run(_: Path, __: object) -> RunResult:
        frames = p.frames(28 * FPS, FPS)
        scenes = p.scenes(frames)
        tracks = [truth.brands[int(row[1])] for row in rows]
        regions = [p.region(int(row[0]), name, (row[2], 100, 200, 50)) for row, name in zip(rows, tracks, strict=True)]
        detected = p.detected(regions, scenes, pan_px=dict.fromkeys(range(1, 3), 100.0))
        verdicts = p.verdicts([p.verdict(name, [name]) for name in sorted(set(tracks))])
        rest = {"scale": load_quality("default"), "statistics": {}, "brands": {}}
        report = compile_report(
            p.request(28.0), frames, scenes, detected, verdicts, CompileReportParams.model_validate({}), **rest
        )
        payloads = {"extract_frames": frames, "filter_scenes": scenes, "detect_objects": detected}
        return RunResult(payloads | {"escalate_cloud": verdicts, "compile_report": report}, {}, 0)

    monkeypatch.setattr(bench, "sample_once", lambda *_: truth)
    confusion, exposures, calibration, thresholds = bench_placements(Path(), run, 28.0, [0])
    seconds = {row[0]: dict(zip(confusion.columns[1:], row[1:], strict=True)) for row in confusion.rows}
    assert seconds["board"]["board"] == pytest.approx(2.5 / FPS)  # the first frame's cell is half as long
    assert seconds["board"]["right"] == seconds["overlay"]["right"] == 1
    assert 0 < seconds["led"]["right"] == pytest.approx(seconds["led"]["led"] / (3.5 / FPS))
    assert seconds[STILL]["right"] == "–"
    assert seconds[STILL]["unknown"] == pytest.approx(1 / FPS)
    assert {row[0]: row[1] for row in exposures.rows}["board"] == 1
    known = [seconds[of][name] for of in TRUTHS[:6] for name in TRUTHS[:6]]
    assert sum(row[1] for row in calibration.rows) == pytest.approx(sum(known))
    assert any("WIDE" in row[0] for row in thresholds.rows)
