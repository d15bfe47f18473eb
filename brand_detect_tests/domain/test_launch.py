"""The plan of a replay or a retry: stages, config, pins, tags. Its rules one by one are in test_history."""

from typing import Any

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.launch import LaunchPlan, ReplayRequest, plan_replay
from brand_detect.domain.pipeline import CATALOG, ESCALATIONS, ROOT, STAGES, downstream_of
from brand_detect.domain.tags import LATEST, PIN, RETRY_OF
from brand_detect_tests.support.history import Job

TUNED: Overrides = {"run_ocr": {"max_crops": 2}, "match_brands": {"fuzzy_score": 0.9}}


@pytest.fixture
def job() -> Job:
    """One whole run, ``a``, and a tuned one, ``b``, from run_ocr down."""
    job = Job(profiles={"default": {"compile_report": {"bridge_s": 3.0}}})
    job.submit("a", {"compile_report": {"min_exposure_s": 0.5}})
    job.replay("b", "run_ocr", TUNED)
    return job


def planned(job: Job, start: str, overrides: Overrides | None = None, **more: Any) -> LaunchPlan:
    return plan_replay(job.history, ReplayRequest(start, overrides or {}, **more))


def test_a_plain_replay_carries_what_was_tuned_and_pins_nothing(job: Job):
    plan = planned(job, "run_ocr", {"match_brands": {"fuzzy_score": 0.8}})
    assert plan.stages == downstream_of("run_ocr")
    assert plan.config == {"run_ocr": {"max_crops": 2}, "match_brands": {"fuzzy_score": 0.8}}
    assert (plan.run_tags(), plan.reused, plan.parent_run_id) == ({}, {}, "a")
    assert plan.reads_latest_catalog


def test_its_params_are_those_in_force_below_the_profile_and_the_jobs_own(job: Job):
    params = {stage: own.model_dump() for stage, own in planned(job, "match_brands").params.items()}
    assert tuple(params) == downstream_of("match_brands")
    assert params["match_brands"]["fuzzy_score"] == 0.9
    report = params["compile_report"]
    assert (report["bridge_s"], report["min_exposure_s"]) == (3.0, 0.5)


def test_a_stage_that_is_reset_or_set_to_nothing_has_no_config(job: Job):
    plan = planned(job, "run_ocr", {"escalate_vlm": {}}, reset=("match_brands",))
    assert plan.config == {"run_ocr": {"max_crops": 2}}


@pytest.mark.parametrize("how", [{"overrides": {"run_ocr": {}}}, {"reset": ("run_ocr",)}])
def test_what_does_not_run_can_be_neither_set_nor_reset(job: Job, how: dict[str, Any]):
    with pytest.raises(BadInput, match="run_ocr does not run in a replay from match_brands") as error:
        planned(job, "match_brands", **how)
    assert error.value.hint == f"these run: {', '.join(downstream_of('match_brands'))}"


def test_a_param_outside_its_limits_is_refused(job: Job):
    with pytest.raises(BadInput, match=r"match_brands\.fuzzy_score"):
        planned(job, "match_brands", {"match_brands": {"fuzzy_score": 7}})


def test_pins_come_down_to_the_nearest_attempt_and_the_brand_list(job: Job):
    plan = planned(job, "match_brands", pins={"run_ocr": "a", CATALOG: "list"})
    assert plan.pins == {"run_ocr": "a-0", CATALOG: "list 1"}
    assert plan.run_tags() == {f"{PIN}run_ocr": "a-0", f"{PIN}{CATALOG}": "list 1"}
    assert (plan.parent_run_id, plan.config) == ("a", {}), "what was tuned on that branch"
    assert not plan.reads_latest_catalog
    above = planned(job, "match_brands", pins={"detect_objects": "a"})
    assert above.pins == {"run_ocr": "b-0"}, "the newest that was made from it"


def test_reuse_leaves_out_what_is_there_and_pins_its_last(job: Job):
    plan = planned(job, "run_ocr", {"match_brands": {"fuzzy_score": 0.8}}, reuse=True)
    assert plan.stages == downstream_of("match_brands")
    assert plan.reused == {"run_ocr": "b-0"}
    assert plan.config == {"match_brands": {"fuzzy_score": 0.8}}
    assert (plan.pins, plan.parent_run_id) == ({"run_ocr": "b-0"}, "b")
    assert "run_ocr" in plan.params


def test_when_all_is_there_the_report_is_made_all_the_same(job: Job):
    plan = planned(job, "run_ocr", reuse=True)
    assert plan.stages == STAGES[-1:]
    assert plan.pins == {"escalate_cloud": "b-0"}
    assert plan.reads_latest_catalog, "a newer list would have changed that"


def test_a_pinned_brand_list_is_read_by_reuse_and_goes_where_match_brands_runs(job: Job):
    job.catalog = "list 2"
    same = planned(job, "run_ocr", pins={CATALOG: "list 1"}, reuse=True)
    assert (same.stages, same.pins) == (STAGES[-1:], {"escalate_cloud": "b-0"})
    newest = planned(job, "run_ocr", pins={CATALOG: "list 2"}, reuse=True)
    assert (newest.stages[0], newest.pins) == ("match_brands", {"run_ocr": "b-0", CATALOG: "list 2"})


@pytest.mark.parametrize("start", ESCALATIONS)
def test_a_retry_continues_an_escalation_and_carries_what_was_tuned_below(job: Job, start: str):
    job.replay("c", start, {start: {"max_questions": 5}})
    plan = planned(job, start, {start: {"min_confidence": 0.7}}, retry_of=LATEST)
    assert plan.stages == downstream_of(start)
    assert plan.config == {start: {"max_questions": 5, "min_confidence": 0.7}}
    assert (plan.run_tags(), plan.parent_run_id) == ({RETRY_OF: LATEST}, "c")
    assert not plan.reads_latest_catalog
    first = planned(job, start, retry_of="a")
    assert (first.run_tags(), first.parent_run_id) == ({RETRY_OF: "a"}, "a")


def test_a_retry_of_a_run_that_escalated_nothing_is_refused(job: Job):
    with pytest.raises(
        BadInput, match="match has no checkpoint of escalate_cloud made by run x for a retry to continue"
    ):
        planned(job, "escalate_vlm", retry_of="x")


def test_above_the_escalations_a_retry_is_a_plain_replay(job: Job):
    assert planned(job, "run_ocr", retry_of=LATEST) == planned(job, "run_ocr")
    with pytest.raises(BadInput, match="A retry of a run must start at an escalation, not at run_ocr"):
        planned(job, "run_ocr", retry_of="a")


@pytest.mark.parametrize("start", [ROOT, "run_orc"])
def test_a_stage_that_there_is_not_is_refused(job: Job, start: str):
    with pytest.raises(BadInput, match=f"There is no stage '{start}' to start from"):
        planned(job, start)


def test_a_job_without_checkpoints_is_none():
    with pytest.raises(BadInput, match="There is no job match: it has no checkpoint to start from"):
        planned(Job(), "run_ocr")
