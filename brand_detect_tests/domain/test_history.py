"""What a new run takes from a job's attempts, on histories grown run by run as the pipeline grows them."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from brand_detect.domain.contracts import effective, uses_outside_models
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import (
    carried,
    inherited,
    merged,
    parent_of,
    pinned,
    reports_to_compare,
    reusable,
    select_report,
)
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect_tests.support.history import READS, Job, made_by


@pytest.fixture
def job() -> Job:
    """One whole run, ``a``."""
    job = Job()
    job.submit("a")
    return job


# parent_of: where a replay goes on


def test_a_replay_goes_on_from_the_latest_of_the_stage_above(job: Job):
    b = job.replay("b", "run_ocr")
    assert parent_of(job.history, "match_brands", {}) == b["run_ocr"]
    assert parent_of(job.history, "run_ocr", {}).run_id == "a"


def test_a_pin_names_the_attempt_to_go_on_from(job: Job):
    job.replay("b", "run_ocr")
    assert parent_of(job.history, "match_brands", {"run_ocr": "a-0"}).run_id == "a"


def test_a_pin_further_up_names_the_lineage_and_its_newest_descendant_goes_on(job: Job):
    a = job.history.line_of(job.made[STAGES[-1]][0])
    job.replay("b", "detect_objects")
    job.replay("c", "run_ocr", of=a)
    job.replay("d", "detect_objects")
    pins = {"detect_objects": "a-0", "filter_scenes": "a-0"}
    assert parent_of(job.history, "match_brands", pins).run_id == "c"
    assert parent_of(job.history, "match_brands", {"detect_objects": "b-0"}).run_id == "b"


def test_pins_of_two_lineages_are_refused(job: Job):
    job.replay("b", "detect_objects")
    with pytest.raises(BadInput):
        parent_of(job.history, "match_brands", {"run_ocr": "a-0", "detect_objects": "b-0"})
    assert parent_of(job.history, "match_brands", {"run_ocr": "b-0", "detect_objects": "b-0"}).run_id == "b"


def test_a_pinned_catalogue_does_not_decide_where_it_goes_on(job: Job):
    b = job.replay("b", "run_ocr")
    assert parent_of(job.history, "match_brands", {CATALOG: "list 0"}) == b["run_ocr"]


def test_a_lineage_that_never_came_so_far_is_refused(job: Job):
    job.replay("b", "detect_objects", until="detect_objects")
    with pytest.raises(BadInput, match="match has no checkpoint of run_ocr made from the pinned attempts to start"):
        parent_of(job.history, "match_brands", {"detect_objects": "b-0"})


@pytest.mark.parametrize("start", ["", "nonsense", ROOT, CATALOG])
def test_what_is_no_stage_is_refused(job: Job, start: str):
    with pytest.raises(BadInput, match="There is no stage") as error:
        parent_of(job.history, start, {})
    assert error.value.hint == f"the stages are {', '.join(STAGES)}"


def test_the_brand_list_can_be_pinned_where_it_is_read(job: Job):
    assert parent_of(job.history, "match_brands", {CATALOG: "list 1"}).stage == "run_ocr"
    with pytest.raises(BadInput, match="'brand_catalog' cannot be pinned in a replay from escalate_vlm") as error:
        parent_of(job.history, "escalate_vlm", {CATALOG: "list 1"})
    assert CATALOG not in error.value.hint


@pytest.mark.parametrize("stage", ["match_brands", "compile_report", "nonsense"])
def test_only_what_lies_above_can_be_pinned(job: Job, stage: str):
    with pytest.raises(BadInput, match=f"{stage!r} cannot be pinned in a replay from match_brands") as error:
        parent_of(job.history, "match_brands", {stage: "a-0"})
    assert error.value.hint.startswith("pin one of run_ocr, detect_objects,")


def test_nothing_to_start_from_is_refused():
    with pytest.raises(BadInput, match="match has no checkpoint of run_ocr to start from"):
        parent_of(Job().history, "match_brands", {})


@pytest.mark.parametrize(
    ("done", "hint"), [(ROOT, "extract_frames"), ("extract_frames", "filter_scenes"), ("detect_objects", "run_ocr")]
)
def test_the_hint_names_the_stage_that_a_replay_can_start_from(job: Job, done: str, hint: str):
    for stage in downstream_of(done)[1:]:
        del job.made[stage][:]
    with pytest.raises(BadInput, match="match has no checkpoint of match_brands to start from") as error:
        parent_of(job.history, "escalate_vlm", {})
    assert error.value.hint == f"replay from {hint}"
    assert parent_of(job.history, hint, {}).stage == done


def test_an_attempt_that_failed_its_check_is_refused_unless_pinned_by_name(job: Job):
    job.replay("b", "run_ocr", run_ocr={"failed_check": "texts_are_legible: none is"})
    with pytest.raises(BadInput, match="run_ocr b-0 failed its check texts_are_legible: none is") as error:
        parent_of(job.history, "match_brands", {})
    assert error.value.hint == "replay from run_ocr, or pin this attempt by name"
    assert parent_of(job.history, "match_brands", {"run_ocr": "b-0"}).run_id == "b"
    job.replay("c", "detect_objects", run_ocr={"failed_check": "again"})
    with pytest.raises(BadInput, match="failed its check again"):
        parent_of(job.history, "match_brands", {"detect_objects": "c-0"})


# pinned: names in short


def test_the_first_letters_of_an_attempt_do_when_they_fit_one_only(job: Job):
    job.replay("abc", "run_ocr")
    job.replay("abd", "run_ocr")
    assert pinned(job.history, {"run_ocr": "abc"}) == {"run_ocr": "abc-0"}
    assert pinned(job.history, {"run_ocr": "a-0", "detect_objects": "a"}) == {
        "run_ocr": "a-0",
        "detect_objects": "a-0",
    }
    for short, how_many in (("ab", "2"), ("a", "3"), ("", "no"), ("x", "no"), ("abc-00", "no")):
        with pytest.raises(BadInput, match=f"match has {how_many} attempts {short!r} of run_ocr") as error:
            pinned(job.history, {"run_ocr": short})
        assert error.value.hint == "brand-detect checkpoints match lists them"


def test_a_whole_name_is_taken_even_when_another_begins_with_it(job: Job):
    for name in ("a-0", "a-01"):
        job.made["run_ocr"].insert(0, replace(job.made["run_ocr"][0], attempt=name))
    del job.made["run_ocr"][2:]
    assert pinned(job.history, {"run_ocr": "a-0"}) == {"run_ocr": "a-0"}


def test_a_pinned_brand_list_is_one_that_was_read_or_the_latest(job: Job):
    job.catalog = "list 2"
    job.replay("b", "match_brands")
    job.catalog = "table 3"
    assert job.history.catalogs == {"list 1", "list 2", "table 3"}
    assert pinned(job.history, {CATALOG: "list 1"}) == {CATALOG: "list 1"}
    assert pinned(job.history, {CATALOG: "table"}) == {CATALOG: "table 3"}
    for name, how_many in (("list", "2"), ("list 4", "no"), ("", "no")):
        with pytest.raises(BadInput, match=f"match has {how_many} attempts {name!r} of brand_catalog"):
            pinned(job.history, {CATALOG: name})


def test_a_pin_of_what_is_no_stage_fits_nothing(job: Job):
    with pytest.raises(BadInput, match="match has no attempts 'a-0' of run_orc"):
        pinned(job.history, {"run_orc": "a-0"})


@given(st.sets(st.text("abc-", min_size=1, max_size=4), min_size=1, max_size=8), st.data())
def test_short_names_are_never_taken_for_another(names: set[str], data: st.DataObject):
    job = Job()
    job.submit("a")
    job.made["run_ocr"] = [replace(job.made["run_ocr"][0], attempt=name) for name in sorted(names)]
    name = data.draw(st.sampled_from(sorted(names)))
    short = name[: data.draw(st.integers(0, len(name)))]
    fits = [n for n in names if short and n.startswith(short)]
    if short in names or len(fits) == 1:
        [found] = pinned(job.history, {"run_ocr": short}).values()
        assert found in names
        assert found == short or fits == [found]
    else:
        with pytest.raises(BadInput):
            pinned(job.history, {"run_ocr": short})


# carried and merged: what stays tuned

TUNED: Overrides = {"run_ocr": {"max_crops": 1}, "match_brands": {"min_confidence": 0.9, "fuzzy_score": 0.8}}


def test_what_was_tuned_is_kept_below_the_start(job: Job):
    b = job.replay("b", "run_ocr", TUNED)
    assert carried(job.history, "run_ocr", b["detect_objects"]) == TUNED
    assert carried(job.history, "match_brands", b["run_ocr"]) == {"match_brands": TUNED["match_brands"]}
    assert carried(job.history, "escalate_vlm", b["match_brands"]) == {}


def test_a_reset_drops_what_was_tuned_in_that_stage_alone(job: Job):
    b = job.replay("b", "run_ocr", TUNED)
    assert carried(job.history, "run_ocr", b["detect_objects"], ["match_brands"]) == {"run_ocr": TUNED["run_ocr"]}
    assert carried(job.history, "run_ocr", b["detect_objects"], ["match_brands", "run_ocr"]) == {}


def test_a_stage_that_was_reset_stays_so(job: Job):
    b = job.replay("b", "run_ocr", TUNED)
    job.replay("c", "run_ocr", carried(job.history, "run_ocr", b["detect_objects"], ["match_brands"]))
    assert carried(job.history, "run_ocr", b["detect_objects"]) == {"run_ocr": TUNED["run_ocr"]}


def test_what_was_tuned_on_the_branch_comes_before_what_is_newer_elsewhere(job: Job):
    a = job.history.line_of(job.made[STAGES[-1]][0])
    b = job.replay("b", "run_ocr", TUNED)
    job.replay("c", "run_ocr", {"match_brands": {"min_confidence": 0.1}}, of=a)
    assert carried(job.history, "match_brands", b["run_ocr"]) == {"match_brands": TUNED["match_brands"]}
    assert carried(job.history, "match_brands", a["run_ocr"]) == {}
    newest = {"match_brands": {"min_confidence": 0.1}}
    assert carried(job.history, "run_ocr", a["detect_objects"]) == newest


def test_a_branch_that_has_no_attempt_of_a_stage_takes_the_newest_of_any(job: Job):
    job.replay("b", "match_brands", TUNED)
    c = job.replay("c", "run_ocr", until="run_ocr")
    assert carried(job.history, "match_brands", c["run_ocr"]) == {"match_brands": TUNED["match_brands"]}


def test_the_params_of_a_night_are_not_the_job_s(job: Job):
    a = job.history.line_of(job.made[STAGES[-1]][0])
    job.replay("b", "escalate_vlm", {"escalate_vlm": {"max_questions": 5}})
    night = {"offpeak": "2030-01-02"}
    overrides: Overrides = {"escalate_vlm": {"max_questions": 9}}
    job.replay("c", "escalate_vlm", overrides, escalate_vlm=night, escalate_cloud=night, compile_report=night)
    assert carried(job.history, "escalate_vlm", a["match_brands"]) == {"escalate_vlm": {"max_questions": 5}}


def test_what_is_carried_can_be_changed_without_changing_the_history(job: Job):
    b = job.replay("b", "run_ocr", deepcopy(TUNED))
    carried(job.history, "run_ocr", b["detect_objects"])["run_ocr"]["max_crops"] = 9
    assert b["run_ocr"].overrides == TUNED["run_ocr"]


def test_new_params_win_one_by_one():
    assert merged(TUNED, {"match_brands": {"fuzzy_score": 0.7}, "run_ocr": {}}) == {
        "run_ocr": {"max_crops": 1},
        "match_brands": {"min_confidence": 0.9, "fuzzy_score": 0.7},
    }


params = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3)
overrides = st.dictionaries(st.sampled_from(STAGES[:3]), params, max_size=3)


@given(overrides, overrides)
def test_a_merge_holds_all_params_and_leaves_both_sides_alone(base: Overrides, new: Overrides):
    before = deepcopy((base, new))
    both = merged(base, new)
    assert both.keys() == base.keys() | new.keys()
    for stage, values in both.items():
        assert values == base.get(stage, {}) | new.get(stage, {})
    assert (base, new) == before
    assert merged(both, new) == both


# reusable: what need not be done again


def again(job: Job, start: str, overrides: Overrides | None = None, pins: Mapping[str, str] | None = None) -> list[str]:
    """The stages of a replay that are there already."""
    history = job.history
    return list(reusable(history, start, parent_of(history, start, pins or {}), overrides or {}))


def test_the_same_again_is_all_there(job: Job):
    assert again(job, "extract_frames") == list(STAGES)
    assert again(job, "match_brands") == list(downstream_of("match_brands"))


def test_reuse_ends_where_a_param_differs(job: Job):
    assert again(job, "extract_frames", {"run_ocr": {"max_crops": 1}}) == list(upstream_of("run_ocr")[1:])
    default = effective("run_ocr").model_dump(mode="json")["max_crops"]
    assert again(job, "extract_frames", {"run_ocr": {"max_crops": default}}) == list(STAGES)


def test_layers_of_params_count_by_what_comes_out():
    job = Job(profiles={"fast": {"run_ocr": {"max_crops": 1, "stop_confidence": 0.5}}})
    job.submit("a", {"run_ocr": {"stop_confidence": 0.6}}, profile="fast")
    assert again(job, "run_ocr") == list(downstream_of("run_ocr"))
    assert again(job, "run_ocr", {"run_ocr": {"max_crops": 1, "stop_confidence": 0.6}}) == list(
        downstream_of("run_ocr")
    )
    assert again(job, "run_ocr", {"run_ocr": {"stop_confidence": 0.5}}) == []
    job.profiles["fast"] = {}
    assert again(job, "run_ocr") == []


def test_an_older_branch_with_the_same_recipe_is_taken(job: Job):
    job.replay("b", "match_brands", TUNED)
    found = reusable(job.history, "run_ocr", parent_of(job.history, "run_ocr", {}), {})
    assert {s: a.run_id for s, a in found.items()} == dict.fromkeys(downstream_of("run_ocr"), "a")
    tuned = {"match_brands": TUNED["match_brands"]}
    found = reusable(job.history, "run_ocr", parent_of(job.history, "run_ocr", {}), tuned)
    assert {s: a.run_id for s, a in found.items()} == {"run_ocr": "a"} | dict.fromkeys(
        downstream_of("match_brands"), "b"
    )


def test_of_several_alike_the_newest_is_taken(job: Job):
    job.replay("b", "match_brands")
    parent = parent_of(job.history, "match_brands", {})
    assert {a.run_id for a in reusable(job.history, "match_brands", parent, {}).values()} == {"b"}


def test_of_several_alike_that_one_is_taken_which_most_was_made_from(job: Job):
    job.replay("b", "run_ocr", until="match_brands")
    parent = parent_of(job.history, "run_ocr", {})
    found = reusable(job.history, "run_ocr", parent, {})
    assert {s: a.run_id for s, a in found.items()} == dict.fromkeys(downstream_of("run_ocr"), "a")


@pytest.mark.parametrize(
    "change",
    [
        {"failed_check": "verdicts_are_sound: not these"},
        {"continues": "a-0"},
        {"figures": {"questions_left": 1.0}},
        {"figures": {"edge_intervals_left": 1.0}},
        {"code_version": "0"},
        {"input_versions": {"run_ocr": "other data"}},
        {"input_versions": {"quality": "a scale of one's own"}},
        {"params": {}},
    ],
)
def test_an_attempt_that_is_not_whole_or_not_the_same_is_not_taken(change: dict[str, Any]):
    job = Job()
    a = job.submit("a")
    for stage in ("match_brands", "escalate_vlm"):
        job.made[stage][0] = made_by(a[stage], **change)
        assert again(job, "run_ocr") == [s for s in downstream_of("run_ocr") if s not in downstream_of(stage)], stage
        job.made[stage][0] = a[stage]
    assert again(job, "run_ocr") == list(downstream_of("run_ocr"))


def test_an_attempt_whose_recipe_is_not_known_is_not_taken(job: Job):
    job.made["run_ocr"][0] = replace(job.made["run_ocr"][0], recipe="")
    assert again(job, "run_ocr") == []


def test_other_weights_end_reuse_at_the_stage_that_they_decide(job: Job):
    job.code = dict.fromkeys(LINE, "1 weights/logo_embedder.safetensors aaaa")
    job.submit("b")
    assert again(job, "extract_frames") == list(STAGES)
    job.code["detect_objects"] = "1 weights/logo_embedder.safetensors bbbb"
    assert again(job, "extract_frames") == ["extract_frames", "filter_scenes"]


@pytest.mark.parametrize(
    ("stage", "param", "value"),
    [("escalate_vlm", "timeout_s", 5.0), ("escalate_cloud", "concurrency", 1), ("escalate_vlm", "batch_size", 1)],
)
def test_an_operational_param_does_not_end_reuse(job: Job, stage: str, param: str, value: float):
    assert again(job, "run_ocr", {stage: {param: value}}) == list(downstream_of("run_ocr"))
    job.replay("b", "run_ocr", {stage: {param: value}})
    found = reusable(job.history, "run_ocr", parent_of(job.history, "run_ocr", {}), {})
    assert {a.run_id for a in found.values()} == {"b"}


@pytest.mark.parametrize(
    ("stage", "params"),
    [
        ("detect_objects", {"object_model": "acme/detector"}),
        ("detect_objects", {"embedder": "acme/embedder"}),
        ("detect_objects", {"text": "tesseract"}),
        ("run_ocr", {"engine": "tesseract"}),
        ("escalate_vlm", {"provider": "transformers", "model": "acme/vlm"}),
        ("escalate_vlm", {"provider": "openai_compatible", "model": "vlm", "prompt": "my_own"}),
        ("escalate_cloud", {"provider": "openai", "model": "gpt"}),
    ],
)
def test_what_models_from_outside_the_package_made_is_made_again(stage: str, params: dict[str, Any]):
    job = Job()
    job.submit("a", {stage: params})
    assert again(job, "extract_frames") == list(upstream_of(stage)[1:])
    below = downstream_of(stage)[1]
    assert again(job, below) == list(downstream_of(below)), "what it made is data like any other"


def test_no_question_left_is_whole(job: Job):
    job.made["escalate_vlm"][0] = replace(job.made["escalate_vlm"][0], figures={"questions_left": 0.0})
    assert again(job, "escalate_vlm") == list(downstream_of("escalate_vlm"))


def test_an_older_whole_attempt_is_taken_in_place_of_a_newer_one_that_is_not(job: Job):
    job.replay("b", "escalate_vlm", escalate_vlm={"figures": {"questions_left": 3.0}})
    parent = parent_of(job.history, "escalate_vlm", {})
    found = reusable(job.history, "escalate_vlm", parent, {})
    assert found["escalate_vlm"].run_id == "a"


def test_new_code_ends_reuse_at_its_stage(job: Job):
    job.code["detect_objects"] = "2"
    assert again(job, "extract_frames") == ["extract_frames", "filter_scenes"]


def test_a_new_brand_list_ends_reuse_at_match_brands(job: Job):
    job.catalog = "list 2"
    assert again(job, "extract_frames") == list(upstream_of("match_brands")[1:])
    assert again(job, "match_brands") == []
    job.replay("b", "match_brands")
    assert again(job, "extract_frames") == list(STAGES)


def test_an_escalation_goes_by_the_list_of_its_lineage(job: Job):
    job.catalog = "list 2"
    assert again(job, "escalate_vlm") == list(downstream_of("escalate_vlm"))


def test_a_pinned_list_takes_the_place_of_the_latest(job: Job):
    job.catalog = "list 2"
    b = job.replay("b", "match_brands")
    for catalog, run in (("list 1", "a"), ("list 2", "b"), ("", "b"), ("list 3", None)):
        found = reusable(job.history, "run_ocr", b["detect_objects"], {}, catalog)
        assert "run_ocr" in found
        assert {a.run_id for s, a in found.items() if s != "run_ocr"} == ({run} if run else set())


def test_reuse_follows_the_pinned_lineage(job: Job):
    job.replay("b", "run_ocr", TUNED)
    parent = parent_of(job.history, "match_brands", {"run_ocr": "a-0"})
    assert {a.run_id for a in reusable(job.history, "match_brands", parent, {}).values()} == {"a"}
    assert again(job, "match_brands") == [], "the latest run_ocr says something else"


def test_nothing_is_taken_when_the_request_is_not_known(job: Job):
    parent = parent_of(job.history, "run_ocr", {})
    del job.made[ROOT][:]
    assert reusable(job.history, "run_ocr", parent, {}) == {}


def test_a_job_is_known_by_its_attempts(job: Job):
    assert job.history
    assert not Job().history


def test_what_is_reused_was_made_from_what_was_asked_for(job: Job):
    """Fewer crops lead to the same verdicts here; the report must not say that it looked at more."""
    a = job.history.line_of(job.made[STAGES[-1]][0])
    tuned: Overrides = {"run_ocr": {"max_crops": 1}}
    job.replay("b", "run_ocr", tuned, of=a, match_brands={"data_version": a["match_brands"].data_version})
    job.replay("c", "escalate_vlm", of=a)
    found = reusable(job.history, "run_ocr", parent_of(job.history, "run_ocr", {}), tuned)
    line = job.history.line_of(list(found.values())[-1])
    assert line["run_ocr"].params == found["run_ocr"].params


# what a profile and the request set


def test_params_come_from_the_profile_and_the_request_of_the_lineage():
    job = Job(profiles={"fast": {"run_ocr": {"max_crops": 1}}})
    a = job.submit("a", {"run_ocr": {"stop_confidence": 0.6}}, profile="fast")
    b = job.submit("b")
    assert inherited(job.history, a["run_ocr"], "run_ocr") == ({"max_crops": 1}, {"stop_confidence": 0.6})
    assert inherited(job.history, a[ROOT], "run_ocr") == ({"max_crops": 1}, {"stop_confidence": 0.6})
    assert inherited(job.history, a["run_ocr"], "match_brands") == ({}, {})
    assert inherited(job.history, b["run_ocr"], "run_ocr") == ({}, {})
    job.made[ROOT].remove(a[ROOT])
    assert inherited(job.history, a["run_ocr"], "run_ocr") == ({}, {})


# stale: what would be another now


def stale(job: Job) -> dict[str, tuple[str, ...]]:
    return {stage: reasons for stage in LINE if (reasons := job.history.stale(stage))}


def test_what_was_just_made_is_fresh(job: Job):
    assert stale(job) == {}
    job.replay("b", "match_brands", TUNED)
    assert stale(job) == {}
    assert stale(Job()) == {}


def test_what_read_other_data_than_the_newest_is_stale(job: Job):
    job.replay("b", "detect_objects", {"detect_objects": {"min_score": 0.9}}, until="detect_objects")
    reads = [stage for stage, above in READS.items() if "detect_objects" in above]
    assert stale(job) == dict.fromkeys(reads, ("detect_objects has newer data",))
    job.replay("c", "run_ocr")
    assert stale(job) == {}


def test_an_attempt_with_the_same_data_makes_nothing_stale(job: Job):
    job.replay("b", "detect_objects", until="detect_objects")
    assert stale(job) == {}


def test_a_branch_from_an_older_attempt_is_stale(job: Job):
    a = job.history.line_of(job.made[STAGES[-1]][0])
    job.replay("b", "run_ocr", TUNED)
    job.replay("c", "match_brands", of=a)
    assert stale(job) == {"match_brands": ("run_ocr has newer data",)}


def test_new_code_makes_its_own_stage_stale(job: Job):
    job.code["run_ocr"] = "2"
    assert stale(job) == {"run_ocr": ("the code has changed",)}


def test_several_reasons_are_all_said(job: Job):
    job.code["match_brands"] = "2"
    job.catalog = "list 2"
    job.replay("b", "run_ocr", {"run_ocr": {"max_crops": 1}}, until="run_ocr")
    assert stale(job)["match_brands"] == (
        "the code has changed",
        "run_ocr has newer data",
        "the brand list has changed",
    )


def test_a_new_brand_list_makes_match_brands_stale_and_nothing_below(job: Job):
    job.catalog = "list 2"
    assert stale(job) == {"match_brands": ("the brand list has changed",)}


def test_a_retry_is_fresh_though_it_read_a_stage_below_it(job: Job):
    change = {"input_versions": {**job.made["escalate_vlm"][0].input_versions, "escalate_cloud": "earlier answers"}}
    job.replay("b", "escalate_vlm", escalate_vlm=change)
    assert stale(job) == {}


# any history

CHOICES: dict[str, list[dict[str, Any]]] = {
    "extract_frames": [{}, {"sample_fps": 1.0}],
    "run_ocr": [{}, {"max_crops": 1}],
    "match_brands": [{}, {"min_confidence": 0.9}, {"fuzzy_score": 0.7}],
    "escalate_vlm": [{}, {"provider": "transformers"}],
}
chosen: st.SearchStrategy[Overrides] = st.fixed_dictionaries({s: st.sampled_from(v) for s, v in CHOICES.items()})
flaws = st.sampled_from(
    [{}, {}, {}, {"failed_check": "no"}, {"continues": "r0-0"}, {"figures": {"questions_left": 2.0}}]
)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """A submission and up to six replays from anywhere in the tree, some cut short, with flaws, new lists, new code."""
    job = Job()
    job.submit("r0", draw(chosen))
    for n in range(1, draw(st.integers(0, 6)) + 1):
        start = draw(st.sampled_from(STAGES))
        nearest = upstream_of(start)[-1]
        parent = draw(st.sampled_from(job.made[nearest]))
        until = draw(st.sampled_from(downstream_of(start)))
        if draw(st.booleans()):
            job.catalog = f"list {draw(st.integers(1, 2))}"
        changes = {draw(st.sampled_from(downstream_of(start))): draw(flaws)}
        tuned = {s: v for s, v in draw(chosen).items() if s in downstream_of(start)}
        job.replay(f"r{n}", start, tuned, of={nearest: parent}, until=until, **changes)
    if draw(st.booleans()):
        job.code[draw(st.sampled_from(STAGES))] = "2"
    return job


@given(jobs(), st.sampled_from(STAGES), st.sets(st.sampled_from(STAGES)), st.data())
def test_only_stages_that_run_and_were_not_reset_carry_anything(
    job: Job, start: str, reset: set[str], data: st.DataObject
):
    parent = data.draw(st.sampled_from(job.made[upstream_of(start)[-1]]))
    kept = carried(job.history, start, parent, reset)
    assert set(kept) <= set(downstream_of(start)) - reset
    for stage, values in kept.items():
        assert values in [dict(a.overrides) for a in job.made[stage]]
    job.replay("next", start, kept, of={parent.stage: parent})
    assert carried(job.history, start, parent, reset) == kept, "what was kept once is kept from then on"


@given(jobs(), st.sampled_from(STAGES), chosen)
def test_what_is_reused_is_a_prefix_of_one_lineage_that_fits_what_was_asked(job: Job, start: str, overrides: Overrides):
    history = job.history
    try:
        parent = parent_of(history, start, {})
    except BadInput:
        assume(False)
        return
    found = reusable(history, start, parent, overrides)
    stages = downstream_of(start)
    assert tuple(found) == stages[: len(found)]
    above = history.line_of(parent)
    request = above[ROOT].params
    catalog = above["match_brands"].upstream[CATALOG] if "match_brands" in above else job.catalog
    for stage, attempt in found.items():
        wanted = effective(stage, request["overrides"].get(stage, {}), overrides.get(stage, {}))
        assert attempt.params == wanted.model_dump(mode="json")
        assert not uses_outside_models(wanted)
        assert attempt.code_version == job.code[stage]
        assert not attempt.failed_check
        assert not attempt.continues
        assert not attempt.figures.get("questions_left")
        assert attempt.upstream.get(CATALOG, catalog) == catalog
    if found:
        line = history.line_of(list(found.values())[-1])
        assert {s: line[s] for s in found} == found
        before = {**above, **found}
        assert {s: a.data_version for s, a in line.items()} == {s: before[s].data_version for s in line}
        for attempt in line.values():
            assert all(line[s].attempt == name for s, name in attempt.upstream.items() if s in LINE)
    if len(found) < len(stages):
        after = stages[len(found)]
        wanted = effective(after, request["overrides"].get(after, {}), overrides.get(after, {}))
        params = wanted.model_dump(mode="json")
        line = {**above, **found}
        for attempt in job.made[after]:
            reads = {s: line[s].data_version for s in READS[after]}
            same = attempt.params == params and attempt.code_version == job.code[after]
            flawed = attempt.failed_check or attempt.continues or attempt.figures
            listed = attempt.input_versions.get(CATALOG, catalog) == catalog
            made_from = all(attempt.upstream[s] == a.attempt for s, a in found.items())
            alike = same and listed and made_from and reads.items() <= attempt.input_versions.items()
            assert flawed or not alike or uses_outside_models(wanted), "the next stage is there as well"


# which reports are compared


@dataclass(frozen=True)
class Made:
    attempt: str
    failed_check: str = ""


REPORTS = tuple(map(Made, ("a1-0", "b2-0", "c3-0")))
OTHERS = tuple(map(Made, ("x-0", "y-0")))


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ({}, ("b2-0", "c3-0")),
        ({"attempt": "b"}, ("a1-0", "b2-0")),
        ({"with_attempt": "a1"}, ("a1-0", "c3-0")),
        ({"attempt": "a1-0", "with_attempt": "c3-0"}, ("c3-0", "a1-0")),
        ({"with_job": "other", "others": OTHERS}, ("y-0", "c3-0")),
        ({"with_job": "other", "others": OTHERS, "with_attempt": "x", "attempt": "a"}, ("x-0", "a1-0")),
    ],
)
def test_a_report_is_compared_with_the_one_before_it_or_what_is_named(asked: dict[str, Any], chosen: tuple[str, str]):
    assert reports_to_compare("match", REPORTS, **asked) == chosen


@pytest.mark.parametrize(
    ("reports", "asked", "said"),
    [
        ((), {}, "match has no report"),
        (REPORTS[:1], {}, "match has only one report so far"),
        (REPORTS, {"attempt": "a1"}, "match has no report before a1-0 whose checks passed"),
        (REPORTS, {"attempt": "x"}, "match has no attempts 'x' of compile_report"),
        ((Made("a1-0"), Made("a2-0")), {"with_attempt": "a"}, "match has 2 attempts 'a' of compile_report"),
        (REPORTS, {"with_job": "other"}, "other has no report"),
        (REPORTS, {"with_job": "other", "others": OTHERS[:1], "with_attempt": "a1"}, "other has no attempts 'a1'"),
    ],
)
def test_a_report_that_is_not_there_is_not_compared(reports: tuple[Made, ...], asked: dict[str, Any], said: str):
    with pytest.raises(BadInput, match=said):
        reports_to_compare("match", reports, **asked)


def test_a_report_that_failed_its_check_is_taken_only_by_name():
    first, second, failed = Made("a1-0"), Made("b2-0"), Made("c3-0", "totals_equal_the_timeline: no")
    reports = (first, second, failed)
    assert select_report("match", reports) == second
    assert select_report("match", reports, "c3") == failed
    assert reports_to_compare("match", reports) == ("a1-0", "b2-0")
    assert reports_to_compare("match", reports, "c3") == ("b2-0", "c3-0")
    assert reports_to_compare("match", reports, with_attempt="c3") == ("c3-0", "b2-0")
    with pytest.raises(BadInput, match="no report whose checks passed"):
        select_report("match", (failed,))
