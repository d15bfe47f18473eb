"""What a step does when it fails, and what its manifest is made of."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.pipeline import STAGES
from brand_detect.domain.tags import PARTITION
from brand_detect.orchestration import stage
from brand_detect.storage.attempts import AttemptRef, AttemptWriter
from brand_detect.storage.store import Store
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import Pipeline, ScriptedReader, pipeline, two_shot_clip


class Flaky(ScriptedReader):
    """Fails with a fault that may pass, ``faults`` times."""

    faults = 0

    def read(self, crops):
        if self.faults:
            self.faults -= 1
            raise Transient("The reader is busy.", "try again")
        return super().read(crops)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stage, "RETRY_PAUSE_S", 0)


def submit(built: Pipeline, folder: Path):
    return built.runner.submit(str(two_shot_clip(folder / "match.mp4", seconds=1.0)), job_id="match")


def test_a_fault_that_may_pass_is_tried_again_in_a_folder_of_its_own(tmp_path: Path):
    reader = Flaky()
    reader.faults = 1
    with pipeline(tmp_path, text_reader=lambda _: reader) as built:
        run = submit(built, tmp_path)
        assert run.attempts["run_ocr"] == f"{run.run_id}-1"
        assert run.attempts["match_brands"] == f"{run.run_id}-0"


def test_each_stage_begins_with_freed_memory_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pipeline(tmp_path) as built:
        begun = []
        monkeypatch.setattr(stage, "give_back_freed", lambda: begun.append(1))
        submit(built, tmp_path)
    assert len(begun) == len(STAGES)


def test_a_stage_gives_memory_back_while_it_works(monkeypatch: pytest.MonkeyPatch):
    given, said = [], []
    monkeypatch.setattr(stage, "give_back_freed", lambda: given.append(len(said)))
    clock = iter((0.0, 1.0, 19.0, 20.0, 20.0, 21.0, 41.0, 41.0))
    monkeypatch.setattr(stage.time, "monotonic", lambda: next(clock))
    progress = stage._giving_back(lambda done, total, unit: said.append((done, total, unit)))
    for done in range(5):
        progress(done, 5, "frames")
    assert said == [(done, 5, "frames") for done in range(5)]
    assert given == [2, 4], "after 20 and after 21 more seconds"


def test_a_fault_that_stays_ends_with_its_own_sentence(tmp_path: Path):
    reader = Flaky()
    reader.faults = 99
    with pipeline(tmp_path, text_reader=lambda _: reader) as built:
        with pytest.raises(Transient, match="The reader is busy"):
            submit(built, tmp_path)
        assert reader.faults == 99 - 1 - stage.MAX_RETRIES
        [run] = [r for r in built.instance.get_runs() if r.tags.get("dagster/partition")]
        assert run.is_failure
        assert int(run.tags["dagster/max_retries"]) > 0


@pytest.mark.parametrize(
    ("stage_name", "call", "nth"),
    [("extract_frames", "append", 2), ("filter_scenes", "_write", 4)],
)
def test_a_write_that_fails_once_is_tried_again_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage_name: str, call: str, nth: int
):
    done, calls = getattr(AttemptWriter, call), []

    def failing(self: AttemptWriter, *arguments: Any):
        if self.ref.stage == stage_name:
            calls.append(self.ref.attempt)
            if len(calls) == nth:
                raise Transient("The disk is busy.")
        return done(self, *arguments)

    monkeypatch.setattr(AttemptWriter, call, failing)
    with pipeline(tmp_path) as built:
        run = submit(built, tmp_path)
        assert calls[0] == f"{run.run_id}-0"
        assert run.attempts[stage_name] == f"{run.run_id}-1"
        assert [ref.attempt for ref in built.services.store.folders("match", stage_name)] == [f"{run.run_id}-1"]


def test_what_is_damaged_is_made_again(tmp_path: Path):
    with pipeline(tmp_path) as built:
        run = finished(built)
        store = built.services.store
        (Path(store.uri(run.ref("compile_report"))) / "manifest.json").write_bytes(b"{")
        with pytest.raises(Permanent, match="is damaged"):
            run.load("compile_report")
        again = built.runner.replay("match", "compile_report")
        assert [m.attempt for m in store.attempts("match", "compile_report")] == [again.attempts["compile_report"]]

        (Path(store.uri(run.ref("job_request"))) / "value.json").write_bytes(b"{")
        with pytest.raises(Permanent) as refused:
            built.launch("match", "job_request", {"job_request": {"profile": "default"}})
        assert "set all of video_uri, profile, overrides" in refused.value.hint


@pytest.mark.parametrize("call", ["exists", "manifest"])
def test_a_fault_after_the_commit_repeats_no_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    with pipeline(tmp_path) as built:
        run, done = finished(built), getattr(Store, call)

        def failing(self: Store, ref: AttemptRef):
            if ref == run.ref("run_ocr"):
                raise Transient("The store did not answer.")
            return done(self, ref)

        monkeypatch.setattr(Store, call, failing)
        again = built.runner.replay("match", "run_ocr")
        assert again.attempts["run_ocr"] == f"{again.run_id}-0"
        assert len(built.services.store.folders("match", "run_ocr")) == 2


def test_what_another_process_has_finished_stays(tmp_path: Path):
    with pipeline(tmp_path) as built:
        run = finished(built)
        writer = AttemptWriter(built.services.store.blobs, run.ref("run_ocr"))
        with pytest.raises(Permanent, match="exists already"), writer.discard_on_error():
            raise Permanent("The checkpoint exists already.")
        assert run.load("run_ocr")


def test_a_value_outside_its_limits_fails_the_step_with_a_sentence_and_for_good(tmp_path: Path):
    """The launchpad checks types alone."""
    with pipeline(tmp_path) as built:
        finished(built)
        with pytest.raises(BadInput):
            built.launch("match", "filter_scenes", {"filter_scenes": {"hamming_threshold": 99}})
        run = next(r for r in built.instance.get_runs() if r.is_failure)
        assert run.tags["dagster/max_retries"] == "0"
        events = [record.dagster_event for record in built.instance.all_logs(run.run_id)]
        [failed] = [event.step_failure_data for event in events if event and event.is_step_failure]
        assert failed.user_failure_data is not None
        sentence, hint = str(failed.user_failure_data.description).splitlines()
        assert sentence == "filter_scenes.hamming_threshold: input should be less than or equal to 64."
        assert hint.startswith("hint: ")


def test_the_code_version_names_packages_and_the_content_of_shipped_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    versions = []
    for name, weights, prompt in (("a", b"1", b"x"), ("b", b"1", b"x"), ("c", b"2", b"x"), ("d", b"1", b"y")):
        (tmp_path / name / "prompts").mkdir(parents=True)
        (tmp_path / name / "net.safetensors").write_bytes(weights)
        (tmp_path / name / "prompts" / "default.md").write_bytes(prompt)
        monkeypatch.setattr(stage, "PACKAGE", tmp_path / name)
        versions.append(stage.code_version_of("3", ["dagster", "no-such-package"], ["net.safetensors", "prompts"]))
    assert re.fullmatch(r"3 dagster \S+ net\.safetensors [0-9a-f]{12} prompts [0-9a-f]{12}", versions[0])
    assert versions[0] == versions[1]
    assert len({*versions}) == 3


def test_recipes_follow_the_video_and_the_catalogue(tmp_path: Path):
    with pipeline(tmp_path) as built:
        first = submit(built, tmp_path)
        two_shot_clip(tmp_path / "match.mp4", seconds=2.0)
        (tmp_path / "brands.yaml").write_text("- Rolex\n- Emirates\n- Lacoste\n", encoding="utf-8")
        again = built.runner.replay("match", "escalate_vlm")
        assert again.manifest("escalate_vlm").recipe == first.manifest("escalate_vlm").recipe
        rematched = built.runner.replay("match", "match_brands")
        assert rematched.manifest("escalate_vlm").recipe != first.manifest("escalate_vlm").recipe
        assert rematched.manifest("match_brands").data_version == first.manifest("match_brands").data_version
        other = built.launch("match", "job_request")
        assert other.manifest("job_request").params == first.manifest("job_request").params
        assert other.manifest("job_request").recipe != first.manifest("job_request").recipe


def test_a_run_for_a_job_that_is_not_there_makes_none(tmp_path: Path):
    """Dagster's API starts such a run; the runner and the UI do not."""
    clip = two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    with pipeline(tmp_path) as built:
        result = built.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=built.instance,
            tags={PARTITION: "gone"},
            asset_selection=[dg.AssetKey("job_request")],
            run_config={"ops": {"job_request": {"config": {"video_uri": str(clip)}}}},
            raise_on_error=False,
        )
        [failed] = [e for e in result.all_events if e.is_step_failure]
        failure = failed.step_failure_data.user_failure_data
        assert failure is not None
        assert (failure.description or "").startswith("There is no job gone.")
        assert built.services.store.jobs() == []


def test_a_request_with_nothing_set_is_the_last_one_again(tmp_path: Path):
    with pipeline(tmp_path) as built:
        clip = two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
        first = built.runner.submit(str(clip), job_id="match", overrides={"filter_scenes": {"hamming_threshold": 3}})
        again = built.launch("match", "job_request")
        assert again.run_id != first.run_id
        assert again.load("job_request") == first.load("job_request")
        assert again.manifest("filter_scenes").params["hamming_threshold"] == 3

        built.instance.add_dynamic_partitions("job_id", ["new"])
        with pytest.raises(BadInput, match="new has no earlier request, and no video is given"):
            built.launch("new", "job_request")


def test_a_request_of_another_shape_is_refused_before_it_is_launched(tmp_path: Path):
    with pipeline(tmp_path) as built:
        job = built.definitions.resolve_implicit_global_asset_job_def()
        shaped = {"ops": {"job_request": {"config": {"overrides": {"filter_scenes": {"hamming_threshold": 3}}}}}}
        dg.validate_run_config(job, shaped)
        with pytest.raises(dg.DagsterInvalidConfigError, match="value must be dict"):
            dg.validate_run_config(job, {"ops": {"job_request": {"config": {"overrides": {"filter_scenes": 8}}}}})
