"""The real engines on generated footage, scored against its truth and replayed from ``match_brands``: a clip of four
brands, and under ``make test-slow`` that of ``make demo``, which also gives equal data in every run.
"""

from pathlib import Path

import dagster as dg
import pytest

from brand_detect.catalog import load_catalog
from brand_detect.definitions import build_definitions
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.settings import Settings
from brand_detect.evaluation.benchmarks.common import result_of
from brand_detect.evaluation.scoring.labels import Kind, load_labels
from brand_detect.evaluation.scoring.score import leave_one_out, matching, score
from brand_detect.evaluation.synthetic.footage import Scenario, sample_once
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.run import Runner
from brand_detect_tests.support.pipeline import home_in

# its words are read with more certainty than those of the many narrower boards of ``make demo``
SHORT = Scenario(seconds=10, fps=10, boards=7, brands=("Eurosport", "Emirates", "Rolex", "Hisense"))


@pytest.mark.parametrize(
    ("scenario", "stricter_confidence", "left_out"),
    [
        pytest.param(SHORT, 0.9998, 1, id="short"),
        pytest.param(Scenario(), 0.999, None, id="make demo", marks=pytest.mark.slow),
    ],
)
def test_the_brands_are_found_and_a_replay_does_not_look_again(
    tmp_path: Path, scenario: Scenario, stricter_confidence: float, left_out: int | None
):
    clip = tmp_path / "sample.mp4"
    sample_once(clip, scenario)
    services = Services.of(Settings(store_root=str(tmp_path / "store"), media_roots=(str(tmp_path),)))
    with dg.DagsterInstance.local_temp(str(home_in(tmp_path))) as instance:
        runner = Runner(build_definitions(services), services, instance)
        first = runner.submit(str(clip), job_id="demo")
        [labels] = load_labels(clip.with_suffix(".truth.json")).values()
        catalog = load_catalog().catalog
        payloads = result_of(first).payloads
        scored = score(payloads, labels, catalog)
        assert [b.brand for b in scored.brands if b.kind is Kind.clear and not b.found] == []
        assert scored.false == ()
        assert all(scored.unknown_words.values()), f"not listed as unresolved: {scored.unknown_words}"
        within = [abs(b.error) for b in scored.brands if b.kind is Kind.clear]
        assert sum(within) / len(within) < 0.2

        clear = [b.brand for b in scored.brands if b.kind is Kind.clear][:left_out]
        assert [out.brand for out in leave_one_out(catalog, clear, matching(payloads, catalog)) if not out.passed] == []

        clip.unlink()  # nothing below match_brands may look at the video
        again = runner.replay("demo", "match_brands", {"match_brands": {"min_confidence": stricter_confidence}})
        assert {s for s in LINE if again.attempts[s] == first.attempts[s]} == set(LINE[: LINE.index("match_brands")])
        stricter, before = again.load("compile_report"), first.load("compile_report")
        assert isinstance(stricter, Report)
        assert isinstance(before, Report)
        assert sum(stricter.brands["seconds"].to_pylist()) < sum(before.brands["seconds"].to_pylist())
        page = services.store.read(again.ref("compile_report"), "report.html").decode()
        assert all(row["brand"] in page for row in stricter.brands.to_pylist())


@pytest.mark.slow
def test_equal_recipes_give_equal_data(tmp_path: Path):
    clip = tmp_path / "sample.mp4"
    sample_once(clip, Scenario())
    services = Services.of(Settings(store_root=str(tmp_path / "store"), media_roots=(str(tmp_path),)))
    with dg.DagsterInstance.local_temp(str(home_in(tmp_path))) as instance:
        runner = Runner(build_definitions(services), services, instance)
        runs = [runner.submit(str(clip), job_id=job_id) for job_id in ("first", "second", "third")]
    for stage in LINE[1:]:  # job_request has the job's id
        assert len({run.manifest(stage).data_version for run in runs}) == 1, stage
