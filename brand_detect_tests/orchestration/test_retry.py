"""Retries in a whole pipeline: what was settled stays, and only what is open is asked again."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from brand_detect.domain.contracts import Escalation
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus, BrandVerdicts
from brand_detect.domain.errors import Permanent, Transient
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import CATALOG, LINE, downstream_of, upstream_of
from brand_detect.domain.protocols import Answerer, Area, Image, Question, Region
from brand_detect.domain.tags import LATEST, PIN, RETRY_OF
from brand_detect.orchestration.lineage import latest, record_of, resolve
from brand_detect.orchestration.run import JobRun
from brand_detect.storage.attempts import AttemptWriter
from brand_detect_tests.support.pipeline import (
    Pipeline,
    ScriptedAnswerer,
    ScriptedDetector,
    ScriptedReader,
    pipeline,
    two_shot_clip,
)

JOB = "match"
BRANDS = "brands:\n  - name: Rolex\n  - name: Emirates\n  - name: Lacoste\n"
FIRST, SECOND = "ACME WIDGETS", "GLOBEX"
"""The texts that the brand list does not know, those on screen longest first."""
PROVIDER = "openai_compatible"
PRICE_USD = 0.25


class TwoRegions(ScriptedDetector):
    """Sees a second line at the lower left of every picture."""

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        height, width = image.shape[:2]
        corners = np.array([[0.05, 0.82], [0.4, 0.82], [0.4, 0.95], [0.05, 0.95]], np.float32)
        quad = (corners * [width, height]).astype(np.float32)
        return [*super().detect(image, areas), Region(RegionKind.text, "", 0.9, quad)]


class ThreeTexts(ScriptedReader):
    """ROLEX in the dark shot; in the bright one the first text above and the second below."""

    def read(self, crops: Sequence[Image]) -> list[Any]:
        said = super().read(crops)
        return [replace(r, text=SECOND) if 30 < c.mean() < 128 else r for r, c in zip(said, crops, strict=True)]


class PaidAnswerer(ScriptedAnswerer):
    """Each answer costs the same, however often it is read."""

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        return (replace(answer, cost_usd=PRICE_USD) for answer in super().ask(questions))


@dataclass
class Models:
    """The models that a stage's ``model`` may name."""

    known: dict[str, PaidAnswerer] = field(default_factory=dict)

    def __call__(self, _: str, params: Escalation) -> Answerer | None:
        if params.provider.value == "off":
            return None
        if params.model == "broken":
            raise Permanent("The model is broken today.", "mend it")
        return self.known[params.model]

    def add(self, name: str, **answers: Answer) -> PaidAnswerer:
        """A model under ``name``, with its answers about the ``first`` and the ``second`` text; none by default."""
        texts = {"first": FIRST, "second": SECOND}
        said = {texts[at]: answer for at, answer in answers.items()}
        self.known[name] = PaidAnswerer(said, provider=PROVIDER, model=name)
        return self.known[name]


@dataclass
class Escalated:
    """A pipeline with a job of which the cloud settled the second text and nobody the first."""

    built: Pipeline
    models: Models
    base: JobRun

    def retry(self, overrides: Overrides, start: str = "escalate_vlm", of: str = "") -> JobRun:
        return self.built.launch(JOB, start, overrides, {RETRY_OF: of or self.base.run_id})


def brand(name: str) -> Answer:
    return Answer("", AnswerStatus.answered, name, 0.9)


def verdicts(run: JobRun, stage: str = "escalate_cloud") -> BrandVerdicts:
    value = run.load(stage)
    assert isinstance(value, BrandVerdicts)
    return value


def report(run: JobRun) -> Report:
    value = run.load("compile_report")
    assert isinstance(value, Report)
    return value


def on(model: str, **more: bool) -> dict[str, Any]:
    return {"provider": PROVIDER, "model": model, **more}


def asks(model: str, stage: str = "escalate_vlm", **more: bool) -> Overrides:
    """Only ``stage`` asks, ``model``; "off" = nobody does."""
    off = {"escalate_vlm": {"provider": "off"}, "escalate_cloud": {"provider": "off"}}
    return off if model == "off" else {**off, stage: on(model, **more)}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Escalated]:
    """Asked about once; tests add attempts to it and never change one."""
    folder = tmp_path_factory.mktemp("retry")
    (folder / "brands.yaml").write_text(BRANDS, encoding="utf-8")
    video = two_shot_clip(folder / "match.mp4", seconds=2.0)
    models = Models()
    models.add("local")
    models.add("cloud", second=brand("Emirates"))
    models.add("knows first", first=brand("Lacoste"))
    eyes = {"region_detectors": lambda *_: [TwoRegions()], "text_reader": lambda _: ThreeTexts()}
    asked = {"escalate_vlm": on("local"), "escalate_cloud": on("cloud")}
    with pipeline(folder, answerer=models, **eyes) as built:
        yield Escalated(built, models, built.runner.submit(str(video), job_id=JOB, overrides=asked))


@pytest.fixture(scope="module")
def retried(job: Escalated) -> JobRun:
    """A retry with a model that knows the first text."""
    return job.retry(asks("knows first"))


def test_the_first_time_everything_open_is_asked(job: Escalated):
    assert job.models.known["local"].asked == [FIRST, SECOND]
    assert job.models.known["cloud"].asked == [FIRST, SECOND]
    assert [row["text"] for row in verdicts(job.base).unresolved.to_pylist()] == [FIRST]
    assert job.base.manifest("escalate_vlm").continues == ""


def test_a_retry_asks_about_what_is_open_and_nothing_else(job: Escalated, retried: JobRun):
    assert job.models.known["knows first"].asked == [FIRST]
    assert retried.manifest("escalate_vlm").stats["questions"] == 1
    assert retried.manifest("escalate_cloud").stats["questions"] == 0
    assert verdicts(retried).unresolved.num_rows == 0


def test_what_was_settled_is_taken_over_with_its_own_provenance(job: Escalated, retried: JobRun):
    """The first stage of the retry holds what only the cloud had found."""
    before, after = verdicts(job.base), verdicts(retried, "escalate_vlm")
    rows = after.verdicts.to_pylist()
    assert rows[:-1] == before.verdicts.to_pylist()
    by_text = {row["text"]: (row["brand"], row["rule"], row["decided_by"], row["model"]) for row in rows}
    assert by_text == {
        "ROLEX": ("Rolex", "exact", "match_brands", ""),
        SECOND: ("Emirates", "cloud", "escalate_cloud", f"{PROVIDER}/cloud"),
        FIRST: ("Lacoste", "vlm", "escalate_vlm", f"{PROVIDER}/knows first"),
    }
    assert after.answers.to_pylist()[:-1] == before.answers.to_pylist()
    assert [row["model"] for row in after.answers.to_pylist()] == ["local", "local", "cloud", "cloud", "knows first"]
    assert verdicts(retried).verdicts == after.verdicts
    assert "escalate_vlm: continues an earlier escalation, 1 of its verdicts carried over" in after.notes


def test_the_manifest_names_what_is_continued(job: Escalated, retried: JobRun):
    manifest = retried.manifest("escalate_vlm")
    continued = job.base.attempts["escalate_cloud"]
    assert manifest.continues == continued
    assert manifest.input_versions["escalate_cloud"] == job.base.manifest("escalate_cloud").data_version
    assert manifest.upstream == {**{s: job.base.attempts[s] for s in upstream_of("escalate_vlm")}, **catalog(job)}
    assert retried.manifest("escalate_cloud").continues == ""
    record = record_of(job.built.instance, "escalate_vlm", JOB, retried.attempts["escalate_vlm"])
    assert record is not None
    event = record.asset_materialization
    assert event is not None
    assert event.metadata["continues"].value == continued


def catalog(job: Escalated) -> dict[str, str]:
    return {CATALOG: job.base.manifest("match_brands").upstream[CATALOG]}


def test_the_report_costs_what_all_answers_cost_together(job: Escalated, retried: JobRun):
    assert report(job.base).summary["run"]["cost_usd"] == pytest.approx(4 * PRICE_USD)
    assert report(retried).summary["run"]["cost_usd"] == pytest.approx(5 * PRICE_USD)
    assert retried.manifest("escalate_vlm").stats["cost_usd"] == pytest.approx(PRICE_USD)


def test_the_report_has_the_brands_of_both(job: Escalated, retried: JobRun):
    assert set(report(job.base).brands["brand"].to_pylist()) == {"Rolex", "Emirates"}
    assert set(report(retried).brands["brand"].to_pylist()) == {"Rolex", "Emirates", "Lacoste"}


@pytest.mark.parametrize("stage", ["escalate_vlm", "escalate_cloud"])
@pytest.mark.parametrize(
    "answers",
    [
        None,  # off
        {},
        {"first": brand("Some New Brand"), "second": brand("Lacoste")},
        {"first": Answer("", AnswerStatus.failed), "second": Answer("", AnswerStatus.failed)},
    ],
    ids=["off", "none", "wrong", "failed"],
)
def test_never_fewer_are_resolved_than_before(job: Escalated, stage: str, answers: dict[str, Answer] | None):
    name = "off" if answers is None else f"{stage} {'-'.join(answers)} {len(job.models.known)}"
    model = None if answers is None else job.models.add(name, **answers)
    run = job.retry(asks(name, stage), start=stage)
    before, after = verdicts(job.base), verdicts(run)
    assert after.verdicts == before.verdicts
    assert [row["text"] for row in after.unresolved.to_pylist()] == [FIRST]
    assert after.answers.to_pylist()[:4] == before.answers.to_pylist()
    assert after.answers.num_rows == (4 if model is None else 5)
    assert model is None or model.asked == [FIRST]
    assert report(run).brands == report(job.base).brands


def test_a_retry_from_the_cloud_leaves_the_local_model_alone(job: Escalated):
    model = job.models.add("better cloud", first=brand("Lacoste"))
    asked = len(job.models.known["local"].asked)
    run = job.retry({"escalate_cloud": on("better cloud")}, start="escalate_cloud")
    assert (model.asked, len(job.models.known["local"].asked)) == ([FIRST], asked)
    manifest = run.manifest("escalate_cloud")
    assert manifest.continues == job.base.attempts["escalate_cloud"]
    assert manifest.upstream["escalate_vlm"] == job.base.attempts["escalate_vlm"]
    rows = {row["text"]: row["model"] for row in verdicts(run).verdicts.to_pylist()}
    assert rows == {"ROLEX": "", SECOND: f"{PROVIDER}/cloud", FIRST: f"{PROVIDER}/better cloud"}
    assert report(run).summary["run"]["cost_usd"] == pytest.approx(5 * PRICE_USD)


def test_a_retry_of_a_retry_keeps_what_both_have_settled(job: Escalated, retried: JobRun):
    run = job.retry(asks("local"), of=retried.run_id)
    assert run.manifest("escalate_vlm").continues == retried.attempts["escalate_cloud"]
    assert verdicts(run).verdicts == verdicts(retried).verdicts
    assert verdicts(run).answers == verdicts(retried).answers
    assert run.manifest("escalate_vlm").stats["questions"] == 0


def test_a_model_that_has_answered_before_is_asked_again_only_when_told_to(job: Escalated):
    """What it said then is remembered, and its row is there already."""
    model, before = job.models.known["local"], verdicts(job.base)
    asked = len(model.asked)
    run = job.retry(asks("local"))
    stats = run.manifest("escalate_vlm").stats
    assert (stats["questions"], stats["remembered"], stats["cost_usd"]) == (0, 1, 0)
    assert stats["remembered_usd"] == pytest.approx(PRICE_USD)
    assert (len(model.asked), verdicts(run).answers) == (asked, before.answers)
    assert verdicts(run).unresolved["reason"].to_pylist() == ["no_brand"]

    again = job.retry(asks("local", ask_again=True))
    stats = again.manifest("escalate_vlm").stats
    assert (stats["questions"], stats["remembered"], stats["cost_usd"]) == (1, 0, pytest.approx(PRICE_USD))
    assert model.asked[asked:] == [FIRST]
    assert verdicts(again).answers.num_rows == before.answers.num_rows + 1


def test_a_plain_replay_asks_nobody_what_was_answered_before(job: Escalated):
    """Other attempts and other jobs remember too."""
    known = [job.models.known[name] for name in ("local", "cloud")]
    asked = [len(model.asked) for model in known]
    same: Overrides = {"escalate_vlm": on("local"), "escalate_cloud": on("cloud")}
    replayed = job.built.runner.replay(JOB, "run_ocr", same, reset=same)
    assert [len(model.asked) for model in known] == asked
    for stage in ("escalate_vlm", "escalate_cloud"):
        stats = replayed.manifest(stage).stats
        assert (stats["questions"], stats["remembered"]) == (0, 2)
    assert verdicts(replayed).verdicts == verdicts(job.base).verdicts
    answers = verdicts(replayed).answers
    assert answers.drop_columns("remembered") == verdicts(job.base).answers.drop_columns("remembered")
    assert set(answers["remembered"].to_pylist()) == {True}
    for stage in ("escalate_vlm", "escalate_cloud"):
        assert replayed.manifest(stage).data_version == job.base.manifest(stage).data_version
    assert report(replayed).summary["run"]["cost_usd"] == 0


def test_a_plain_replay_takes_nothing_over_and_a_retry_of_the_latest_continues_it(job: Escalated):
    plain = job.built.runner.replay(JOB, "escalate_vlm", asks("off"))
    assert plain.manifest("escalate_vlm").continues == ""
    assert [row["text"] for row in verdicts(plain).unresolved.to_pylist()] == [FIRST, SECOND]
    latest_one = job.retry(asks("knows first"), of=LATEST)
    assert latest_one.manifest("escalate_vlm").continues == plain.attempts["escalate_cloud"]
    assert [row["text"] for row in verdicts(latest_one).unresolved.to_pylist()] == [SECOND]


def test_a_newer_match_brands_that_nothing_was_made_from_is_not_read(job: Escalated):
    """A replay that died in the escalation leaves one behind."""
    runner = job.built.runner
    before = runner.replay(JOB, "match_brands", {"match_brands": {"fuzzy_score": 0.8}, **asks("off")})
    with pytest.raises(Permanent, match="The model is broken today"):
        runner.replay(JOB, "match_brands", {"match_brands": {"fuzzy_score": 0.7}, **asks("broken")})
    newest = latest(job.built.instance, "match_brands", JOB)
    assert newest != before.attempts["match_brands"]
    run = job.retry(asks("off"), of=LATEST)
    assert {s: run.attempts[s] for s in upstream_of("escalate_vlm")} == {
        s: before.attempts[s] for s in upstream_of("escalate_vlm")
    }
    assert report(run).summary["run"]["lineage"]["match_brands"] == before.attempts["match_brands"]
    assert runner.replay(JOB, "escalate_vlm", asks("off")).attempts["match_brands"] == newest


def test_above_the_escalations_a_retry_is_a_plain_replay(job: Escalated):
    run = job.retry(asks("off"), start="match_brands")
    made = {s for s in LINE if run.attempts[s] == f"{run.run_id}-0"}
    assert made == set(downstream_of("match_brands"))
    assert {run.manifest(s).continues for s in made} == {""}
    assert [row["text"] for row in verdicts(run).unresolved.to_pylist()] == [FIRST, SECOND]


@pytest.mark.parametrize("start", ["escalate_vlm", "escalate_cloud"])
def test_nothing_to_go_on_from_is_said(job: Escalated, start: str):
    job.built.instance.add_dynamic_partitions("job_id", ["unknown"])
    with pytest.raises(Permanent) as error:
        job.built.launch("unknown", start, tags={RETRY_OF: LATEST})
    assert str(error.value) == "unknown has no checkpoint of escalate_cloud for a retry to continue."
    assert error.value.hint == "replay from match_brands first"
    with pytest.raises(
        Permanent, match="match has no checkpoint of escalate_cloud made by run r0 for a retry to continue"
    ):
        job.built.launch(JOB, start, tags={RETRY_OF: "r0"})


def test_a_pin_of_another_lineage_is_refused(job: Escalated):
    other = job.built.runner.replay(JOB, "run_ocr", asks("off"))
    tags = {RETRY_OF: job.base.run_id, f"{PIN}run_ocr": other.attempts["run_ocr"]}
    with pytest.raises(Permanent, match="two lineages would be mixed"):
        job.built.launch(JOB, "escalate_vlm", asks("off"), tags)


def test_a_retry_that_died_goes_on_with_what_it_had_made(job: Escalated):
    """Re-executed from failure, it continues the same escalation, though a newer one is there by then."""
    instance, runner = job.built.instance, job.built.runner
    with pytest.raises(Permanent, match="The model is broken today"):
        job.retry(asks("broken", "escalate_cloud"))
    died = instance.get_runs(limit=1)[0]
    newer = runner.replay(JOB, "escalate_vlm", asks("off"))
    again = instance.create_run_for_job(
        job.built.definitions.resolve_implicit_global_asset_job_def(),
        parent_run_id=died.run_id,
        root_run_id=died.run_id,
        tags={RETRY_OF: job.base.run_id, "dagster/is_resume_retry": "true"},
    )
    lineage = resolve(instance, job.built.services.store, again, JOB, "escalate_cloud")
    assert newer.attempts["escalate_vlm"] != lineage.attempts["escalate_vlm"] == f"{died.run_id}-0"
    assert lineage.attempts["match_brands"] == job.base.attempts["match_brands"]
    assert lineage.continues == "", "what its first stage took over is in there"


def test_a_second_try_of_a_run_that_asks_again_pays_for_no_answer_twice(
    job: Escalated, monkeypatch: pytest.MonkeyPatch
):
    """The last test here: the answer that it stores was asked at another time."""
    model, done = job.models.known["local"], AttemptWriter.seal
    asked, failed = len(model.asked), []

    def failing(self: AttemptWriter):
        if self.ref.stage == "escalate_vlm" and not failed:
            failed.append(self.ref.attempt)
            raise Transient("The disk is busy.")
        done(self)

    monkeypatch.setattr(AttemptWriter, "seal", failing)
    monkeypatch.setattr(model, "asked_at", lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    run = job.retry(asks("local", ask_again=True))
    stats = run.manifest("escalate_vlm").stats
    assert (run.attempts["escalate_vlm"], failed) == (f"{run.run_id}-1", [f"{run.run_id}-0"])
    assert model.asked[asked:] == [FIRST]
    assert (stats["questions"], stats["remembered"]) == (0, 1)
