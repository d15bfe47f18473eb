"""Which jobs a night takes up: what is learnt from attempts, the limits, and the runs that are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import SCHEDULE_NAME_TAG

from brand_detect.domain.contracts import Escalation
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import merged
from brand_detect.domain.job import Overrides
from brand_detect.domain.launch import ReplayRequest, plan_replay
from brand_detect.domain.protocols import Answerer
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import LATEST, OFFPEAK, OFFPEAK_USD, PARTITION, RETRY_OF
from brand_detect.operations.retries import offpeak
from brand_detect.operations.retries import open_jobs as module
from brand_detect.operations.retries.offpeak import (
    ASSUMED_USD,
    ONCE,
    load_tried,
    offpeak_retries,
    plan_batch,
    save_tried,
)
from brand_detect.operations.retries.open_jobs import OpenJob, OpenJobs, open_jobs
from brand_detect.orchestration.history import read_history
from brand_detect.orchestration.lineage import latest_record
from brand_detect.orchestration.resources import Services
from brand_detect_tests.support.pipeline import Pipeline, ScriptedAnswerer, home_in, pipeline, two_shot_clip

LOCAL: Overrides = {"escalate_vlm": {"provider": "transformers"}}
CLOUD: Overrides = {"escalate_cloud": {"provider": "openai", "model": "large"}}


def escalated(never_answered: int, **more: Any) -> dict[str, Any]:
    """The metadata of an attempt of an escalation stage, which nobody was asked in."""
    off = {"provider": "off", "model": "", "max_questions": 200}
    return {"params": off, "overrides": {}, "questions": 0.0, "never_answered": float(never_answered), **more}


# what is learnt


def test_a_job_is_open_while_something_was_never_answered():
    known = OpenJobs()
    known.learn("escalate_vlm", "match", 1.0, escalated(2))
    assert known.open == {}, "what the cloud makes of it is not known yet"
    known.learn("escalate_cloud", "match", 2.0, escalated(2))
    assert list(known.open) == ["match"]
    known.learn("escalate_cloud", "match", 3.0, escalated(0))
    assert known.open == {}
    assert known.jobs == {}, "nothing is kept of a job that is settled"


def test_the_oldest_come_first_by_when_they_were_first_left_open():
    known = OpenJobs()
    for at_s, job in enumerate(("b", "a", "c", "b", "a")):
        known.learn("escalate_cloud", job, float(at_s), escalated(1))
    assert list(known.open) == ["b", "a", "c"]
    known.learn("escalate_cloud", "b", 9.0, escalated(0))
    known.learn("escalate_cloud", "b", 10.0, escalated(1))
    assert list(known.open) == ["a", "c", "b"], "open again is newly open"


def test_the_last_attempt_says_what_is_tuned_and_who_was_asked():
    known = OpenJobs()
    asked = {"params": {"provider": "openai", "model": "small", "max_questions": 9, "min_confidence": 0.5}}
    known.learn("escalate_cloud", "match", 1.0, escalated(1, **asked, overrides={"provider": "openai"}))
    known.learn("escalate_vlm", "match", 1.0, escalated(1))
    known.learn("compile_report", "match", 1.0, {"overrides": {"bridge_s": 2.0}, "params": {"bridge_s": 2.0}})
    job = known.jobs["match"]
    tuned = {"escalate_cloud": {"provider": "openai"}, "escalate_vlm": {}, "compile_report": {"bridge_s": 2.0}}
    assert job.overrides == tuned
    assert job.models == {
        "escalate_cloud": {"provider": "openai", "model": "small", "max_questions": 9},
        "escalate_vlm": {"provider": "off", "model": "", "max_questions": 200},
    }
    known.learn("escalate_cloud", "match", 2.0, escalated(1))
    assert known.jobs["match"].overrides["escalate_cloud"] == {}
    assert known.jobs["match"].models["escalate_cloud"]["provider"] == "off"


def test_attempts_of_a_job_that_are_learnt_in_one_tick_are_told_apart():
    known = OpenJobs()
    for asked, open_clusters in (({}, 0), ({"params": {"provider": "transformers", "model": "small"}}, 2)):
        known.learn("escalate_vlm", "match", 1.0, escalated(0, **asked))
        known.learn("escalate_cloud", "match", 2.0, escalated(open_clusters))
    assert known.jobs["match"].models["escalate_vlm"]["provider"] == "transformers"


def test_the_report_of_a_job_that_is_not_open_is_not_kept():
    known = OpenJobs()
    known.learn("compile_report", "match", 1.0, {"overrides": {"bridge_s": 2.0}})
    assert known == OpenJobs()


def test_the_params_of_a_night_are_not_the_job_s():
    known = OpenJobs()
    known.learn("escalate_cloud", "match", 1.0, escalated(2, overrides={"max_questions": 5}))
    night = {
        "params": {"provider": "openai", "model": "large"},
        "overrides": {"provider": "openai"},
        "offpeak": "2030-01-02",
    }
    known.learn("escalate_cloud", "match", 2.0, escalated(1, **night, questions=1.0, cost_usd=0.5))
    job = known.jobs["match"]
    assert (job.never_answered, job.since_s) == (1, 1.0)
    assert job.overrides == {"escalate_cloud": {"max_questions": 5}}
    assert job.models["escalate_cloud"]["provider"] == "off"
    assert known.usd == {"openai/large": 0.5}, "what it cost is a fact all the same"


def test_the_price_of_a_question_is_that_of_the_last_time():
    known = OpenJobs()
    large, small = ({"params": {"provider": "openai", "model": model}} for model in ("large", "small"))
    known.learn("escalate_cloud", "a", 1.0, escalated(0, **large, questions=4.0, cost_usd=1.0))
    known.learn("escalate_cloud", "b", 2.0, escalated(0, **small, questions=10.0, cost_usd=0.1))
    known.learn("escalate_cloud", "c", 3.0, escalated(0, **large, questions=2.0, cost_usd=1.0))
    known.learn("escalate_cloud", "d", 4.0, escalated(5, **large, questions=0.0, cost_usd=0.0))
    assert known.usd == {"openai/large": pytest.approx(0.5), "openai/small": pytest.approx(0.01)}


def test_questions_that_failed_do_not_make_a_paid_model_cheap():
    """An outage, or a wrong key: nothing was billed, and nothing was said of the price."""
    known, paid = OpenJobs(), {"params": {"provider": "openai", "model": "large", "max_questions": 200}}
    known.learn("escalate_cloud", "a", 1.0, escalated(10, **paid, questions=10.0, failed=10.0, cost_usd=0.0))
    assert known.usd == {}
    night = planned(known)
    assert (night.jobs, night.left) == ([], {"over the limit of cost": 1})
    known.learn("escalate_cloud", "a", 2.0, escalated(9, **paid, questions=10.0, failed=9.0, cost_usd=0.1))
    known.learn("escalate_cloud", "a", 3.0, escalated(9, **paid, questions=9.0, failed=9.0, cost_usd=0.0))
    assert known.usd == {"openai/large": pytest.approx(0.1)}


def test_attempts_without_figures_are_taken_up_too():
    known = OpenJobs()
    for stage in ("escalate_vlm", "escalate_cloud", "compile_report"):
        known.learn(stage, "match", 1.0, {})
    assert known.open == {}


def test_what_is_learnt_twice_is_the_same():
    once, twice = OpenJobs(), OpenJobs()
    events = [("escalate_vlm", escalated(2)), ("escalate_cloud", escalated(2, questions=2.0, cost_usd=0.5))]
    for known, times in ((once, 1), (twice, 2)):
        for stage, metadata in events * times:
            known.learn(stage, "match", 1.0, metadata)
    assert once == twice


def test_the_set_is_kept_in_the_instance():
    known = OpenJobs()
    known.learn("escalate_cloud", "match é", 1.5, escalated(2, overrides={"provider": "openai"}, questions=3.0))
    with dg.DagsterInstance.ephemeral() as instance:
        assert OpenJobs.load(instance) == OpenJobs()
        assert load_tried(instance) == {}
        known.save(instance)
        save_tried(instance, {"match é": "2030-01-02"})
        assert OpenJobs.load(instance) == known
        assert OpenJobs.load(instance).open == known.open != {}
        assert load_tried(instance) == {"match é": "2030-01-02"}
        OpenJobs().save(instance)
        assert OpenJobs.load(instance) == OpenJobs()


# what a night takes up


def jobs(**more: OpenJob) -> OpenJobs:
    return OpenJobs(more, {"openai/large": 0.1})


def job(since_s: float = 1.0, never_answered: int = 10, overrides: Overrides = LOCAL, **models: str) -> OpenJob:
    """An open job; ``models`` are providers by ``vlm`` and ``cloud``."""
    said = {"vlm": "transformers", "cloud": "off"} | models
    named = {f"escalate_{s}": {"provider": said[s], "model": "large", "max_questions": 200} for s in said}
    return OpenJob(never_answered, since_s, dict(overrides), named)


@dataclass(frozen=True)
class Planned:
    """A night in short."""

    jobs: list[str]
    usd: float
    left: Mapping[str, int]
    said: str
    overrides: dict[str, Overrides]


def planned(
    known: OpenJobs,
    *,
    in_flight: Sequence[str] = (),
    existing: Sequence[str] | None = None,
    launched: Mapping[str, float] | None = None,
    tried: Mapping[str, str] | None = None,
    **more: Any,
) -> Planned:
    """What a night takes up; ``more`` are settings."""
    settings = Settings(**{f"offpeak_{name}": value for name, value in more.items()})
    there = known.jobs if existing is None else existing
    night = plan_batch(known, settings, there, in_flight, launched=launched, tried=tried)
    usd = sum(retry.usd for retry in night.retries.values())
    overrides = {name: retry.overrides for name, retry in night.retries.items()}
    return Planned(list(night.retries), usd, night.left, str(night), overrides)


def test_the_oldest_jobs_are_taken_up_to_the_limit():
    known = jobs(c=job(3.0), a=job(1.0), d=job(4.0), b=job(2.0))
    night = planned(known, max_jobs=2)
    assert night.jobs == ["a", "b"]
    assert night.left == {"over the limit of jobs": 2}
    assert night.said == "2 jobs retried, about 0.00 USD; left out: 2 over the limit of jobs"
    assert planned(known, max_jobs=4).jobs == ["a", "b", "c", "d"]


def test_those_that_were_tried_longest_ago_come_first():
    """What fails every night would otherwise hold up all others."""
    known = jobs(a=job(1.0), b=job(2.0), c=job(3.0), d=job(4.0))
    tried = {"a": "2030-01-02", "b": "2030-01-01", "c": "2030-01-02"}
    assert planned(known, tried=tried).jobs == ["d", "b", "a", "c"]
    assert planned(known, tried=tried, max_jobs=1).jobs == ["d"]


def test_a_night_costs_no_more_than_its_limit():
    """Ten questions at 0.10 USD each are 1 USD a job; one that is too dear makes room for a cheaper one behind it."""
    known = jobs(
        a=job(1.0, 10, vlm="off", cloud="openai"),
        b=job(2.0, 25, vlm="off", cloud="openai"),
        c=job(3.0, 5, vlm="off", cloud="openai"),
        d=job(4.0, 1, vlm="off", cloud="openai"),
    )
    night = planned(known, max_usd=1.5)
    assert night.jobs == ["a", "c"]
    assert night.usd == pytest.approx(1.5)
    assert night.left == {"over the limit of cost": 2}
    assert "about 1.50 USD" in night.said
    assert planned(known, max_usd=4.2).jobs == ["a", "b", "c", "d"]


def test_what_a_night_has_launched_before_counts():
    """The schedule may tick several times a night."""
    known = jobs(a=job(1.0, vlm="off", cloud="openai"), b=job(2.0, vlm="off", cloud="openai"), c=job(3.0))
    assert planned(known, launched={"a": 1.0}, max_usd=1.5).jobs == ["c"]
    assert planned(known, launched={"a": 1.0}, max_usd=2.0).jobs == ["b", "c"]
    assert planned(known, launched={"a": 1.0, "gone": 0.0}, max_usd=9.0, max_jobs=3).jobs == ["b"]
    assert planned(known, launched={"a": 1.0}, max_usd=9.0).left == {}


def test_no_more_is_paid_for_than_is_asked():
    asked = job(vlm="off", cloud="openai", never_answered=1000)
    asked.models["escalate_cloud"]["max_questions"] = 3
    assert planned(jobs(a=asked), max_usd=9.0).usd == pytest.approx(0.3)
    overrides: Overrides = {"escalate_cloud": {"max_questions": 2}}
    assert planned(jobs(a=asked), max_usd=9.0, overrides=overrides).usd == pytest.approx(0.2)


def test_a_job_costs_what_all_its_open_questions_cost_another_model():
    known = OpenJobs(usd={"openai/large": 0.1})
    known.learn("escalate_cloud", "match", 1.0, escalated(1, unresolved=50, questions=50.0))
    assert planned(known, max_usd=1.0, overrides=CLOUD).jobs == []
    assert planned(known, max_usd=5.0, overrides=CLOUD).usd == pytest.approx(5.0)


def test_nothing_is_paid_for_unless_the_settings_say_so():
    night = planned(jobs(free=job(), paid=job(cloud="openai")))
    assert night.jobs == ["free"]
    assert night.left == {"over the limit of cost": 1}


def test_a_model_that_was_never_asked_has_an_assumed_price():
    known = jobs(a=job(1.0, 10, cloud="anthropic"))
    assert planned(known, max_usd=10 * ASSUMED_USD).usd == pytest.approx(10 * ASSUMED_USD)
    assert planned(known, max_usd=9 * ASSUMED_USD).jobs == []


def test_a_job_that_runs_or_waits_is_left_alone():
    night = planned(jobs(a=job(1.0), b=job(2.0)), in_flight=["a", "", "other"], max_jobs=1)
    assert night.jobs == ["b"]
    assert night.left == {"in flight": 1}


def test_a_job_that_nobody_would_be_asked_about_is_left_alone():
    off: Overrides = {"escalate_vlm": {"provider": "off"}}
    known = jobs(off=job(vlm="off"), unknown=OpenJob(3, 1.0), local=job())
    assert (planned(known).jobs, planned(known).left) == (["local"], {"without a model": 2})
    everyone = planned(known, overrides=LOCAL)
    assert (set(everyone.jobs), everyone.left) == ({"off", "unknown", "local"}, {})
    assert planned(known, overrides=off).left == {"without a model": 3}


def test_a_job_that_was_deleted_is_not_taken_up():
    night = planned(jobs(gone=job(1.0), here=job(2.0)), existing=["here"], max_jobs=1)
    assert (night.jobs, night.left) == (["here"], {})


def test_a_job_without_open_questions_is_not_taken_up():
    assert planned(jobs(done=job(never_answered=0))).jobs == []
    assert planned(jobs()).said == "0 jobs retried, about 0.00 USD; left out: none"


def test_the_settings_go_over_what_was_tuned_and_nobody_is_asked_twice():
    tuned: Overrides = {"escalate_vlm": {"provider": "transformers", "max_questions": 5}, "escalate_cloud": {}}
    tuned["compile_report"] = {}
    overrides: Overrides = {"escalate_vlm": {"max_questions": 7, "ask_again": True}, **CLOUD}
    night = planned(jobs(a=job(overrides=tuned)), overrides=overrides, max_usd=9.0)
    assert night.overrides["a"] == {
        "escalate_vlm": {"provider": "transformers", "max_questions": 7, "ask_again": False},
        "escalate_cloud": {**CLOUD["escalate_cloud"], "ask_again": False},
    }
    assert night.usd == pytest.approx(10 * 0.1), "the price of the model that the settings name"
    assert tuned["escalate_vlm"] == {"provider": "transformers", "max_questions": 5}


# the sensor and the schedule, over what a pipeline made


class Costly(ScriptedAnswerer):
    """Each question has its price, whatever becomes of it."""

    def ask(self, questions: Any) -> Iterator[Answer]:
        return (replace(answer, cost_usd=0.5) for answer in super().ask(questions))


FAILED = Answer("", AnswerStatus.failed)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Two jobs: what is open in ``asked`` a paid model failed at, in ``answered`` a local one saw no brand."""
    folder = tmp_path_factory.mktemp("offpeak")
    video = str(two_shot_clip(folder / "match.mp4", seconds=1.0))

    def answerer(_: str, params: Escalation) -> Answerer | None:
        match params.provider.value:
            case "off":
                return None
            case "openai":
                return Costly({"ACME WIDGETS": FAILED}, provider="openai", model=params.model)
            case provider:
                return ScriptedAnswerer(provider=provider, model=params.model)

    with pipeline(folder, answerer=answerer) as built:
        built.runner.submit(video, job_id="asked")
        built.runner.replay("asked", "escalate_cloud", {**CLOUD, "compile_report": {"bridge_s": 2.0}})
        built.runner.submit(video, job_id="answered", overrides=LOCAL)
        yield built


def tick(built: Pipeline, cursor: str | None = None) -> tuple[str | None, str]:
    """One tick of the sensor: its cursor and what it says."""
    resources = {"services": built.services}
    with dg.build_sensor_context(instance=built.instance, cursor=cursor, resources=resources) as context:
        done = open_jobs.evaluate_tick(context)
    assert not done.run_requests
    assert done.skip_message
    return done.cursor, done.skip_message


@pytest.fixture
def forgotten(built: Pipeline) -> None:
    """Nothing was learnt yet, and no night was."""
    OpenJobs().save(built.instance)
    save_tried(built.instance, {})


@pytest.mark.usefixtures("forgotten")
def test_the_sensor_learns_each_attempt_once(built: Pipeline):
    cursor, said = tick(built)
    assert said == "8 new attempts; open questions in 1 job."
    known = OpenJobs.load(built.instance)
    assert list(known.jobs) == ["asked"]
    asked = known.jobs["asked"]
    assert asked.never_answered == 1
    assert asked.overrides == {"escalate_vlm": {}, **CLOUD, "compile_report": {"bridge_s": 2.0}}
    assert asked.models["escalate_cloud"] == {"provider": "openai", "model": "large", "max_questions": 200}
    assert known.usd == {"openai/large": 0.5, "transformers/": 0.0}
    OpenJobs().save(built.instance)
    assert tick(built, cursor) == (cursor, "There are no new escalations.")
    assert OpenJobs.load(built.instance) == OpenJobs()


@pytest.mark.usefixtures("forgotten")
def test_since_when_a_job_is_open_is_when_its_first_attempt_was_made(built: Pipeline):
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("escalate_cloud"), asset_partitions=["asked"])
    first = built.instance.fetch_materializations(wanted, limit=1, ascending=True).records[0]
    tick(built)
    assert OpenJobs.load(built.instance).jobs["asked"].since_s == pytest.approx(first.timestamp)


@pytest.mark.usefixtures("forgotten")
def test_a_tick_takes_in_a_part_and_the_next_ones_the_rest(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    whole, _ = tick(built)
    known = OpenJobs.load(built.instance)
    OpenJobs().save(built.instance)
    monkeypatch.setattr(module, "EVENTS_A_TICK", 1)
    cursor, said = tick(built)
    assert said.startswith("3 new attempts")
    assert OpenJobs.load(built.instance) != known
    for _ in range(2):
        cursor, _ = tick(built, cursor)
    assert (cursor, OpenJobs.load(built.instance)) == (whole, known)


@pytest.mark.usefixtures("forgotten")
def test_new_attempts_are_learnt_on_top(built: Pipeline):
    cursor, _ = tick(built)
    run = built.launch("asked", "escalate_cloud", {"escalate_cloud": {"provider": "openai_compatible"}})
    try:
        _, said = tick(built, cursor)
        assert said == "2 new attempts; open questions in 0 jobs."
        assert OpenJobs.load(built.instance).usd.keys() == {"openai/large", "transformers/", "openai_compatible/"}
    finally:
        built.instance.delete_run(run.run_id)


@pytest.mark.usefixtures("forgotten")
def test_a_job_that_was_deleted_is_forgotten(built: Pipeline):
    OpenJobs({"deleted": OpenJob(2)}).save(built.instance)
    tick(built)
    assert list(OpenJobs.load(built.instance).jobs) == ["asked"]


@pytest.mark.usefixtures("forgotten")
def test_events_are_read_page_by_page(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    whole = tick(built)
    known = OpenJobs.load(built.instance)
    OpenJobs().save(built.instance)
    fetch, pages = built.instance.fetch_materializations, []

    def one_at_a_time(wanted: dg.AssetRecordsFilter, *, limit: int, **more: Any) -> dg.EventRecordsResult:
        pages.append(limit)
        return fetch(wanted, limit=1, **more)

    monkeypatch.setattr(built.instance, "fetch_materializations", one_at_a_time)
    assert (tick(built), OpenJobs.load(built.instance)) == (whole, known)
    assert len(pages) >= 8


@dg.job
def nothing() -> None:
    """A job for runs that wait."""


@dataclass(frozen=True)
class Batches:
    """Dagster as the schedule sees it; its context takes no instance in memory."""

    instance: dg.DagsterInstance
    services: Services

    def night(self, day: int = 3, hour: int = 1, **settings: Any) -> tuple[list[dg.RunRequest], str | None]:
        """One tick of the schedule in January 2030 in Rome, by default in the night of the 2nd."""
        return self.tick(datetime(2030, 1, day, hour, tzinfo=ZoneInfo("Europe/Rome")), **settings)

    def tick(self, at: datetime, **settings: Any) -> tuple[list[dg.RunRequest], str | None]:
        named = {f"offpeak_{name}": value for name, value in settings.items()}
        services = replace(self.services, settings=self.services.settings.model_copy(update=named))
        with dg.build_schedule_context(
            instance=self.instance, scheduled_execution_time=at, resources={"services": services}
        ) as context:
            done = offpeak_retries(services.settings).evaluate_tick(context)
        return list(done.run_requests or []), done.skip_message

    @contextmanager
    def with_run(self, status: str, tags: Mapping[str, str]) -> Iterator[None]:
        """As long as there is a run with these tags."""
        origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
        run = self.instance.create_run_for_job(
            nothing,
            tags=tags,
            status=dg.DagsterRunStatus(status),
            remote_job_origin=origin.get_job_origin("nothing"),
        )
        yield
        self.instance.delete_run(run.run_id)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    folder = home_in(tmp_path_factory.mktemp("nights"))
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        instance.add_dynamic_partitions("job_id", ["asked", "answered"])
        yield instance


@pytest.fixture
def nights(kept: dg.DagsterInstance, built: Pipeline, forgotten: None) -> Batches:  # noqa: ARG001
    """What the sensor has learnt is there."""
    tick(built)
    OpenJobs.load(built.instance).save(kept)
    save_tried(kept, {})
    return Batches(kept, built.services)


def test_the_schedule_asks_for_a_retry_of_each_open_job(built: Pipeline, nights: Batches):
    [request], said = nights.night(max_usd=1.0)
    assert said is None
    assert request.tags[PARTITION] == "asked"
    assert (request.tags[RETRY_OF], request.tags[OFFPEAK], request.tags[OFFPEAK_USD]) == (
        LATEST,
        "2030-01-02",
        "0.5000",
    )
    assert request.run_key == "2030-01-02 asked"
    cloud = {**CLOUD["escalate_cloud"], "ask_again": False}
    overrides = {"escalate_vlm": {"ask_again": False}, "escalate_cloud": cloud, "compile_report": {"bridge_s": 2.0}}
    assert request.run_config == ops(overrides)
    target = built.definitions.resolve_job_def("retry")
    assert dg.validate_run_config(target, request.run_config)
    assert {key.to_user_string() for key in target.asset_layer.executable_asset_keys} == {
        "escalate_vlm",
        "escalate_cloud",
        "compile_report",
    }


def ops(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {"ops": {stage: {"config": values} for stage, values in overrides.items()}}


def test_the_schedule_launches_what_a_replay_from_the_same_stage_plans(built: Pipeline, nights: Batches):
    """It names its stages: by them a run that died is known as this pipeline's, and one that failed as not done."""
    overrides: Overrides = {"escalate_vlm": {"max_questions": 7, "ask_again": True}, "compile_report": {}}
    [request], _ = nights.night(max_usd=1.0, overrides=overrides)
    history = read_history(built.instance, "asked", built.runner.code_versions)
    plan = plan_replay(history, ReplayRequest("escalate_vlm", merged(overrides, ONCE), retry_of=LATEST))
    assert [key.to_user_string() for key in request.asset_selection or ()] == list(plan.stages)
    assert request.run_config == ops(plan.config)
    own = (PARTITION, OFFPEAK, OFFPEAK_USD, SCHEDULE_NAME_TAG)
    assert {name: value for name, value in request.tags.items() if name not in own} == plan.run_tags()


def test_a_night_is_remembered(nights: Batches):
    """The next one begins with the jobs that were not tried; later ticks of this one leave alone what it launched."""
    nights.night()
    assert load_tried(nights.instance) == {}, "nothing was tried"
    save_tried(nights.instance, {"settled meanwhile": "2029-12-31"})
    [request], _ = nights.night(max_usd=1.0)
    assert load_tried(nights.instance) == {"asked": "2030-01-02"}
    for status in ("QUEUED", "SUCCESS", "FAILURE"):
        with nights.with_run(status, request.tags):
            assert nights.night(max_usd=9.0) == ([], "0 jobs retried, about 0.00 USD; left out: none")


def test_a_night_does_not_end_at_midnight(nights: Batches):
    [request], _ = nights.night(2, 22, max_usd=1.0)
    with nights.with_run("SUCCESS", {**request.tags, PARTITION: "answered"}):
        assert nights.night(3, 2, max_usd=0.9)[0] == [], "both jobs cost 0.5"
        assert len(nights.night(3, 2, max_usd=1.0)[0]) == 1
        [next_night], _ = nights.night(3, 22, max_usd=0.9)
    assert (request.run_key, next_night.run_key) == ("2030-01-02 asked", "2030-01-03 asked")


def rome(day: int, hour: int, minute: int = 0, month: int = 1) -> datetime:
    return datetime(2030, month, day, hour, minute, tzinfo=ZoneInfo("Europe/Rome"))


@pytest.mark.parametrize(("now", "is_late"), [(rome(3, 1, 59), False), (rome(3, 2, 1), True), (rome(3, 8), True)])
def test_a_night_that_was_missed_is_not_made_up_for_by_day(
    nights: Batches, monkeypatch: pytest.MonkeyPatch, now: datetime, is_late: bool
):
    """Dagster evaluates the last tick that it missed as soon as it is back."""
    monkeypatch.setattr(offpeak, "datetime", at(now))
    requests, said = nights.night(max_usd=1.0, timezone="Europe/Rome")
    assert bool(requests) is not is_late
    assert said == (
        "The tick of 2030-01-03 01:00 CET was missed, and now it may be day; the next is at 2030-01-04 01:00 CET."
        if is_late
        else None
    )
    assert load_tried(nights.instance) == ({} if is_late else {"asked": "2030-01-02"})


def test_a_tick_is_late_by_the_clock_that_all_zones_share(nights: Batches, monkeypatch: pytest.MonkeyPatch):
    """In the night in which clocks in Rome go from 2 to 3."""
    scheduled = rome(31, 1, 30, month=3)
    for now, is_late in ((rome(31, 3, 20, month=3), False), (rome(31, 3, 40, month=3), True)):
        monkeypatch.setattr(offpeak, "datetime", at(now))
        requests, _ = nights.tick(scheduled, max_usd=1.0, timezone="Europe/Rome")
        assert bool(requests) is not is_late


def at(now: datetime) -> type[datetime]:
    """A clock that stands."""

    class Standing(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return now.astimezone(tz)

    return Standing


def test_a_night_begins_with_what_was_not_tried_before(nights: Batches):
    known = OpenJobs.load(nights.instance)
    known.jobs["answered"] = replace(known.jobs["asked"], since_s=known.jobs["asked"].since_s + 1)
    known.save(nights.instance)
    for expected, at in (("asked", "2029-12-30"), ("answered", "2029-12-31"), ("asked", "2030-01-01")):
        [request], _ = nights.night(max_usd=9.0, max_jobs=1)
        assert request.tags[PARTITION] == expected
        save_tried(nights.instance, load_tried(nights.instance) | {expected: at})


def test_what_other_jobs_cost_this_night_counts(nights: Batches):
    tags = {PARTITION: "answered", OFFPEAK: "2030-01-02", OFFPEAK_USD: "0.6000"}
    with nights.with_run("SUCCESS", tags):
        assert nights.night(max_usd=1.0)[0] == []
        assert len(nights.night(max_usd=1.2)[0]) == 1
    with nights.with_run("SUCCESS", {**tags, OFFPEAK: "2030-01-01"}):
        assert len(nights.night(max_usd=1.0)[0]) == 1


def test_what_the_schedule_asks_for_is_a_retry_that_can_be_run(built: Pipeline, nights: Batches):
    [request], _ = nights.night(max_usd=0.0, overrides={"escalate_cloud": {"provider": "off"}, **LOCAL})
    overrides = {stage: op["config"] for stage, op in request.run_config["ops"].items()}
    run = built.launch("asked", "escalate_vlm", overrides, request.tags)
    try:
        assert run.manifest("escalate_vlm").continues
        assert run.manifest("escalate_vlm").params["provider"] == "transformers"
        record = latest_record(built.instance, "escalate_vlm", "asked")
        assert record is not None
        assert record.asset_materialization is not None
        assert record.asset_materialization.metadata["offpeak"].value == "2030-01-02"
    finally:
        built.instance.delete_run(run.run_id)


def test_a_night_with_nothing_to_do_says_why(nights: Batches):
    requests, said = nights.night()
    assert (requests, said) == ([], "0 jobs retried, about 0.00 USD; left out: 1 over the limit of cost")


@pytest.mark.parametrize("status", ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_job_of_which_a_run_has_not_ended_is_left_alone(nights: Batches, status: str):
    with nights.with_run(status, {PARTITION: "asked"}):
        assert nights.night(max_usd=1.0) == ([], "0 jobs retried, about 0.00 USD; left out: 1 in flight")
    with nights.with_run(status, {PARTITION: "answered"}):
        assert len(nights.night(max_usd=1.0)[0]) == 1


def test_a_job_that_was_deleted_is_not_asked_for(nights: Batches):
    nights.instance.delete_dynamic_partition("job_id", "asked")
    assert nights.night(max_usd=1.0)[0] == []
    nights.instance.add_dynamic_partitions("job_id", ["asked"])


def test_the_schedule_runs_when_the_settings_say_and_only_if_they_do():
    off = offpeak_retries(Settings())
    assert off.default_status == dg.DefaultScheduleStatus.STOPPED
    on = offpeak_retries(Settings(offpeak=True, offpeak_cron="30 22 * * *", offpeak_timezone="Europe/Rome"))
    assert on.default_status == dg.DefaultScheduleStatus.RUNNING
    assert (on.cron_schedule, on.execution_timezone) == ("30 22 * * *", "Europe/Rome")


@pytest.mark.parametrize("cron", ["99 1 * * *", "0 1 * *", "soon", "0 0 30 2 *"])
def test_a_time_that_is_none_is_refused(cron: str):
    with pytest.raises(BadInput, match=r"BRAND_DETECT_OFFPEAK_CRON: .* is not a cron expression") as error:
        offpeak_retries(Settings(offpeak_cron=cron))
    assert error.value.hint == "for example: 0 1 * * *"


@pytest.mark.usefixtures("forgotten")
def test_a_job_that_was_rebuilt_is_as_old_as_it_was(built: Pipeline):
    metadata = escalated(1, created="2026-05-01T12:00:00+00:00")
    built.instance.add_dynamic_partitions("job_id", ["rebuilt"])
    built.instance.report_runless_asset_event(
        dg.AssetMaterialization("escalate_cloud", partition="rebuilt", metadata=metadata)
    )
    tick(built)
    assert OpenJobs.load(built.instance).open["rebuilt"].since_s == 1777636800.0
