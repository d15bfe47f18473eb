"""Two reports of a real store: which are chosen, what is found, and what the asset leaves behind."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import COMPARISON, LINE, STAGES
from brand_detect.operations.comparison import Compared, compared
from brand_detect.operations.comparison_asset import METADATA_BYTES
from brand_detect.orchestration.run import JobRun
from brand_detect.report.comparison import Comparison
from brand_detect.storage.attempts import AttemptRef
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import CATALOG, Pipeline, materialize, pipeline, two_shot_clip

JOB = "match"


@dataclass
class Job:
    """A job with a first report, and a second after a brand was added that had been unresolved."""

    pipeline: Pipeline
    first: JobRun
    second: JobRun

    def compare(self, **asked: str) -> Compared:
        services = self.pipeline.services
        return compared(services.store, services.engines.codec(), JOB, **asked)

    def materialize(self, job_id: str = JOB, **asked: str) -> dict[str, Any]:
        return materialize(self.pipeline, COMPARISON, job_id, **asked)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("comparison")
    video = two_shot_clip(folder / "match.mp4")
    with pipeline(folder) as built:
        first = built.runner.submit(str(video), job_id=JOB)
        (folder / "brands.yaml").write_text(f"{CATALOG}  - name: Acme Widgets\n", encoding="utf-8")
        second = built.runner.replay(JOB, "match_brands", {"match_brands": {"fuzzy_score": 0.9}})
        yield Job(built, first, second)


def test_a_brand_that_was_added_has_gained_its_seconds(job: Job):
    report = job.second.load("compile_report")
    assert isinstance(report, Report)
    seconds = {row["brand"]: row["seconds"] for row in report.brands.to_pylist()}
    found = job.compare().document
    assert {b.brand: (b.change, b.gained_s, b.lost_s) for b in found.brands} == {
        "Acme Widgets": ("new", pytest.approx(seconds["Acme Widgets"], abs=1e-5), 0.0),
        "Rolex": ("same", 0.0, 0.0),
    }
    assert found.brands[0].gained_s == pytest.approx(2.0, abs=0.3)
    [verdict] = found.verdicts
    assert (verdict.text, verdict.before.state, verdict.after.brands) == (
        "ACME WIDGETS",
        "unresolved",
        ("Acme Widgets",),
    )
    assert found.catalog.added == ("Acme Widgets",)
    assert (found.before.unresolved, found.after.unresolved) == (1, 0)


def test_what_was_set_and_made_is_that_of_the_manifests(job: Job):
    found = job.compare().document
    made = STAGES[STAGES.index("match_brands") :]
    assert {stage.stage for stage in found.stages if not stage.shared} == set(made)
    params = {f"{s.stage}.{c.name}": (c.before, c.after) for s in found.stages for c in s.params}
    assert params == {"match_brands.fuzzy_score": (0.88, 0.9)}
    assert found.after.own_s == pytest.approx(sum(job.second.manifest(stage).stage_s for stage in made), abs=1e-5)
    assert [stage.stage for stage in found.stages] == list(LINE)
    assert found.before.attempt == job.first.attempts["compile_report"]


def test_the_page_shows_the_crop_of_what_changed(job: Job):
    assert job.compare().page().count("<img ") == 2


def test_a_report_differs_in_nothing_from_itself(job: Job):
    found = job.compare(attempt=job.first.run_id, with_attempt=job.first.run_id[:8]).document
    assert found.headline == "No brand gained or lost a second, and no verdict changed."


def test_two_jobs_of_one_video_are_compared_track_by_track(job: Job):
    video = str(job.pipeline.services.settings.media_roots[0]) + "/match.mp4"
    job.pipeline.runner.submit(video, job_id="again", overrides={"match_brands": {"min_confidence": 1.0}})
    found = job.compare(with_job="again").document
    assert (found.before.job_id, found.after.job_id, found.same_video) == ("again", JOB, True)
    assert found.tracks.only_before == found.tracks.only_after == 0
    assert not any(stage.shared for stage in found.stages)
    assert {b.brand: b.change for b in found.brands} == {"Acme Widgets": "new", "Rolex": "new"}


@pytest.mark.parametrize(
    "asked", [{"attempt": "x"}, {"with_attempt": "x"}, {"with_job": "nobody"}, {"with_job": "../match"}]
)
def test_what_is_not_there_is_bad_input(job: Job, asked: dict[str, str]):
    with pytest.raises(BadInput):
        job.compare(**asked)


def test_the_asset_writes_the_page_and_the_document(job: Job):
    made = job.materialize()
    page, document = Path(made["page"]), Path(made["document"])
    assert page.parent.name == "_comparisons"
    assert page.name == f"{job.first.run_id}-0--{job.second.run_id}-0.html"
    assert page.read_text(encoding="utf-8") == job.compare().page()
    whole = Comparison.model_validate_json(document.read_bytes())
    assert whole == job.compare().document
    assert made["json"] == whole.model_dump(mode="json")
    assert len(json.dumps(made["json"])) <= METADATA_BYTES
    assert "| Acme Widgets | 0.0 s | 2" in made["text"]
    assert (made["before"], made["after"]) == (
        str(job.first.ref("compile_report")),
        str(job.second.ref("compile_report")),
    )


def test_the_asset_does_what_its_config_asks_for(job: Job):
    made = job.materialize(attempt=job.first.run_id[:8], with_attempt=job.second.run_id[:8])
    assert made["before"].endswith(f"{job.second.run_id}-0")
    assert {b["brand"]: b["change"] for b in made["json"]["brands"]} == {"Acme Widgets": "gone", "Rolex": "same"}
    assert "no attempts 'x' of compile_report" in job.materialize(attempt="x")["failed"]


def test_a_comparison_makes_no_checkpoint_and_changes_no_staleness(job: Job):
    before = {stage: len(job.pipeline.services.store.attempts(JOB, stage)) for stage in LINE}
    job.materialize()
    assert {stage: len(job.pipeline.services.store.attempts(JOB, stage)) for stage in LINE} == before


def test_with_one_report_or_none_the_asset_says_so(tmp_path: Path):
    with pipeline(tmp_path) as built:
        first = finished(built)
        alone = Job(built, first, first)
        for nothing in ({}, {"attempt": "", "with_job": ""}):
            assert alone.materialize(**nothing) == {"text": "Nothing to compare: match has one report so far."}
        built.instance.add_dynamic_partitions("job_id", ["empty"])
        assert alone.materialize("empty") == {"text": "Nothing to compare: empty has no report so far."}
        assert "match has only one report so far" in alone.materialize(attempt=first.run_id)["failed"]


def test_materialize_all_does_not_wait_for_anything_to_compare(tmp_path: Path):
    with pipeline(tmp_path) as built:
        first = finished(built)
        result = built.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=built.instance,
            partition_key=JOB,
            asset_selection=[dg.AssetKey(name) for name in (*LINE, COMPARISON)],
        )
        assert result.success
        assert len(result.asset_materializations_for_node(COMPARISON)) == 1
        assert Job(built, first, first).materialize()["after"].endswith(f"{result.run_id}-0")


def test_checkpoints_that_are_gone(tmp_path: Path):
    """Without frames there are no pictures; without what was detected nothing can be compared."""
    with pipeline(tmp_path) as built:
        job = Job(built, finished(built), built.runner.replay(JOB, "match_brands"))
        built.reader.dark = "EMIRATES"
        built.runner.replay(JOB, "run_ocr")

        def folder(stage: str) -> Path:
            return Path(built.services.store.uri(AttemptRef(JOB, stage, f"{job.first.run_id}-0")))

        assert job.compare().page().count("<img ") > 0
        for shard in folder("extract_frames").glob("*.tar"):
            shard.unlink()
        assert "frames of the report after are gone" in job.compare().page()
        shutil.rmtree(folder("extract_frames"))
        without = job.compare()
        assert "frames of the report after are gone" in without.page()
        assert any("extract_frames" in note for note in without.document.notes)
        assert {b.brand: b.change for b in without.document.brands} == {"Emirates": "new", "Rolex": "gone"}
        shutil.rmtree(folder("detect_objects"))
        with pytest.raises(Permanent, match=r"detect_objects/.* is gone"):
            job.compare()
