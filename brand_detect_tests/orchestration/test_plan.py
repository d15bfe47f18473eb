"""What an escalation would cost, against what it would ask: nobody is called."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from brand_detect.cli.plan import _table
from brand_detect.domain.contracts import Escalation, effective
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.engines.providers import ProviderAnswerer
from brand_detect.orchestration.models import model_of
from brand_detect.orchestration.plan import ASSUMED_CALL_S, ASSUMED_OUTPUT_TOKENS, Plan, plan
from brand_detect.storage.answers import Answers
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import (
    Pipeline,
    ScriptedAnswerer,
    ScriptedReader,
    pipeline,
    silent,
    two_shot_clip,
)

OWN: Overrides = {
    "escalate_vlm": {"provider": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "model": "small"}
}
MINI = "openai:gpt-4o-mini"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """``match`` has one open cluster, and no model was set."""
    folder = tmp_path_factory.mktemp("plan")
    with pipeline(folder) as built:
        finished(built)
        yield built


def planned(job: Pipeline, overrides: Overrides | None = None, *models: str) -> Plan:
    return plan(job.services, "match", overrides or {}, models, silent)


def test_with_every_model_off_the_open_clusters_are_told(job: Pipeline):
    found = planned(job)
    assert (found.stage, found.clusters, found.tracks, found.estimates) == ("escalate_cloud", 1, 1, ())
    assert found.notes == ("escalate_vlm: off, no model set", "escalate_cloud: off, no model set")


def test_a_listed_model_is_priced(job: Pipeline):
    [estimate] = planned(job, None, MINI).estimates
    assert (estimate.stage, estimate.provider, estimate.model) == ("escalate_cloud", "openai", "gpt-4o-mini")
    assert (estimate.clusters, estimate.remembered, estimate.calls, estimate.put_off) == (1, 0, 1, 0)
    assert estimate.input_tokens > 1000, "pictures take thousands of this model's tokens"
    assert estimate.output_tokens == ASSUMED_OUTPUT_TOKENS
    assert estimate.usd == pytest.approx((0.15 * estimate.input_tokens + 0.6 * ASSUMED_OUTPUT_TOKENS) / 1e6)
    assert estimate.minutes == pytest.approx(ASSUMED_CALL_S / 4 / 60), "four at a time"
    assert not estimate.measured


def test_what_the_budget_does_not_reach_is_put_off(job: Pipeline):
    [estimate] = planned(job, {"escalate_cloud": {"max_usd": 0.0001}}, MINI).estimates
    assert (estimate.calls, estimate.put_off, estimate.usd) == (0, 1, 0.0)
    assert "0.00 of 10.00 USD are spent or reserved today" in planned(job, None, MINI).notes


def test_a_server_of_ones_own_costs_nothing(job: Pipeline):
    [estimate] = planned(job, OWN).estimates
    assert (estimate.stage, estimate.calls, estimate.usd) == ("escalate_vlm", 1, 0.0)


def test_what_was_answered_before_is_no_call(tmp_path: Path):
    with pipeline(tmp_path) as built:
        finished(built)
        params = effective("escalate_vlm", OWN["escalate_vlm"])
        assert isinstance(params, Escalation)
        model = model_of("escalate_vlm", params, built.services.settings, {}, None)
        assert model is not None
        names: list[str] = []
        ask, model_type = model.question_ids, type(model)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model_type, "question_ids", lambda _, q: [names.append(ask(q)[0]) or names[-1]])
            assert planned(built, OWN).estimates[0].calls == 1
        Answers(built.services.store.blobs).keep(Answer("", AnswerStatus.none, question_id=names[0]))
        [estimate] = planned(built, OWN).estimates
        assert (estimate.remembered, estimate.calls) == (1, 0)
        [estimate] = planned(built, {"escalate_vlm": {**OWN["escalate_vlm"], "ask_again": True}}).estimates
        assert (estimate.remembered, estimate.calls) == (0, 1)


def test_what_a_retry_asks_first_is_planned_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of two clusters one may be asked about, and one has been answered."""
    one_question: Overrides = {"escalate_vlm": {**OWN["escalate_vlm"], "max_questions": 1}}
    engines = {
        "text_reader": lambda _: ScriptedReader(dark="VELORA"),
        "answerer": lambda stage, _: ScriptedAnswerer() if stage == "escalate_vlm" else None,
    }
    with pipeline(tmp_path, **engines) as built:
        built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        [first] = built.services.store.attempts("match", "match_brands")
        assert first.counts["unresolved"] == 2
        names: list[str] = []
        ask = ProviderAnswerer.question_ids
        monkeypatch.setattr(ProviderAnswerer, "question_ids", lambda a, q: [names.append(ask(a, q)[0]) or names[-1]])
        planned(built, one_question)
        Answers(built.services.store.blobs).keep(Answer("", AnswerStatus.none, question_id=names[0]))
        built.runner.replay("match", "escalate_vlm", {"escalate_vlm": {"max_questions": 1}})
        [estimate] = planned(built, one_question).estimates
        assert names[1] != names[0]
        assert (estimate.remembered, estimate.calls) == (0, 1)


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        ("openai:no-such-model", "the price of openai:no-such-model is unknown"),
        ("opneai:gpt-4o-mini", "escalate_cloud.provider"),
        ("openai", "no model is named"),
    ],
)
def test_a_model_that_cannot_be_is_refused(job: Pipeline, model: str, wrong: str):
    with pytest.raises(BadInput, match=wrong):
        planned(job, None, model)


def test_a_job_without_verdicts_is_refused(job: Pipeline):
    with pytest.raises(BadInput, match="unknown has no checkpoint of match_brands"):
        plan(job.services, "unknown", {}, (), silent)


@pytest.mark.parametrize(
    ("clusters", "tracks", "left"), [(1, 1, "1 cluster of 1 track left"), (2, 3, "2 clusters of 3 tracks left")]
)
def test_the_title_counts_in_words(clusters: int, tracks: int, left: str) -> None:
    shown = _table(Plan("match", "match_brands", "r1-0", clusters, tracks, (), ()))
    assert shown.title == f"match: {left} unresolved by match_brands"
