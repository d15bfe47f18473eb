"""A sweep's figures are those of real replays with the same values, and it leaves everything as it was."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from brand_detect import stages
from brand_detect.catalog import load_catalog, parse_catalog
from brand_detect.definitions import build_definitions
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts import Escalation
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus, BrandVerdicts
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import upstream_of
from brand_detect.domain.reviews import correction_of, review_of
from brand_detect.evaluation.scoring.labels import ClipLabels, Kind, Label
from brand_detect.evaluation.scoring.score import scorer
from brand_detect.operations.sweep import Point, sweep
from brand_detect.operations.sweep.lineage import Lineage
from brand_detect.operations.sweep.page import cells, columns, page_of
from brand_detect.orchestration.run import JobRun, Runner
from brand_detect.report.curves import render
from brand_detect.storage.reviews import Reviews
from brand_detect_tests.support import logos
from brand_detect_tests.support.logos import write
from brand_detect_tests.support.pipeline import (
    LogoDetector,
    Pipeline,
    ScriptedAnswerer,
    clip_of_logo,
    pipeline,
    two_shot_clip,
)
from brand_detect_tests.support.videos import silent

PLAIN, ASKED, EVENTS, CORRECTED = "plain", "asked", "events", "corrected"
MODEL: Overrides = {"escalate_vlm": {"provider": "transformers"}}
WITHOUT: Overrides = {"compile_report": {"exclude_kinds": ["brand"]}}
LABELS = ClipLabels(
    "match.mp4", 2.0, (Label("Rolex", Kind.clear, ((0.0, 1.0),)), Label("Lacoste", Kind.clear, ((0.0, 1.0),)))
)


@dataclass
class Swept:
    """A pipeline with jobs that no model was asked about, and one whose bright text a model calls Emirates.

    All read ROLEXX, which is a fifth away from Rolex.
    """

    built: Pipeline
    model: ScriptedAnswerer
    folder: Path
    runs: dict[str, JobRun]

    def lineage(self, job_id: str, run: JobRun | None = None) -> Lineage:
        return Lineage.of(self.built.services.store, job_id, (run or self.runs[job_id]).attempts["compile_report"])

    def replay(self, job_id: str, start: str, overrides: Overrides) -> JobRun:
        """Goes on from the job's first run, whatever was replayed since."""
        nearest = upstream_of(start)[-1]
        pins = {nearest: self.runs[job_id].attempts[nearest]}
        return self.built.runner.replay(job_id, start, overrides, pins=pins)

    def files(self) -> dict[Path, str]:
        return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in self.folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "brands.yaml").write_text("- {name: Rolex, kind: event}\n- Emirates\n", encoding="utf-8")
    video = str(two_shot_clip(folder / "match.mp4", seconds=2.0))
    model = ScriptedAnswerer({"ACME WIDGETS": Answer("", AnswerStatus.answered, "Emirates", 0.9)})

    def answerer(_: str, params: Escalation) -> ScriptedAnswerer | None:
        return None if params.provider.value == "off" else model

    with pipeline(folder, answerer=answerer) as built:
        built.reader.dark = "ROLEXX"
        runs = {
            PLAIN: built.runner.submit(video, job_id=PLAIN),
            ASKED: built.runner.submit(video, job_id=ASKED, overrides=MODEL),
            EVENTS: built.runner.submit(video, job_id=EVENTS, overrides=WITHOUT),
            CORRECTED: built.runner.submit(video, job_id=CORRECTED),
        }
        yield Swept(built, model, folder, runs)


def swept(
    lineage: Lineage, name: str, values: list[Any], fixed: Overrides | None = None, **more: Any
) -> dict[Any, Point]:
    stage, param = name.split(".")
    found = sweep(lineage, stage, param, values, fixed or {}, progress=silent, **more)
    return {p.value: p for p in found.points}


def figures(run: JobRun) -> dict[str, Any]:
    """Of a report, what a sweep says about a value."""
    report = run.load("compile_report")
    assert isinstance(report, Report)
    return {
        "brands": report.brands.num_rows,
        "seconds_of": {row["brand"]: row["seconds"] for row in report.brands.to_pylist()},
        "detections": report.detections.num_rows,
        "unresolved": report.unresolved.num_rows,
    }


def said(point: Point) -> dict[str, Any]:
    return {
        "brands": point.brands,
        "seconds_of": dict(point.seconds_of),
        "detections": point.detections,
        "unresolved": point.unresolved,
    }


LOOSE: Overrides = {"match_brands": {"fuzzy_score": 0.7}}


@pytest.mark.parametrize(
    ("name", "values", "fixed"),
    [
        ("match_brands.fuzzy_score", [0.7, 0.95], {}),
        ("compile_report.min_exposure_s", [0.5, 1.5], LOOSE),
    ],
)
def test_each_value_comes_to_what_a_replay_with_it_comes_to(
    jobs: Swept, name: str, values: list[float], fixed: Overrides
):
    points = swept(jobs.lineage(PLAIN), name, values, fixed)
    stage, param = name.split(".")
    for value in values:
        replayed = jobs.replay(PLAIN, "match_brands", {**fixed, stage: {param: value}})
        assert said(points[value]) == figures(replayed), value
    assert [points[v].brands for v in values] == [1, 0]


def test_kinds_that_the_job_leaves_out_are_left_out(jobs: Swept):
    values = [0.7, 0.95]
    points = swept(jobs.lineage(EVENTS), "match_brands.fuzzy_score", values)
    for value in values:
        replayed = jobs.replay(EVENTS, "match_brands", {**WITHOUT, "match_brands": {"fuzzy_score": value}})
        assert said(points[value]) == figures(replayed), value
    assert [points[v].brands for v in values] == [1, 0], "Rolex is an event"


def test_logos_are_matched_by_their_stored_embeddings(tmp_path: Path):
    write(tmp_path, {"brands.yaml": "- {name: Stairs, logos: [stairs.svg]}\n", "stairs.svg": logos.svg("stairs")})
    with pipeline(tmp_path, region_detectors=lambda *_: [LogoDetector()]) as built:
        run = built.runner.submit(str(clip_of_logo(tmp_path / "match.mp4", "stairs")), job_id="match")
        lineage = Lineage.of(built.services.store, "match")
        found = sweep(lineage, "match_brands", "max_false_accept_rate", [0.0], {}, progress=silent)
        off = built.runner.replay("match", "match_brands", {"match_brands": {"max_false_accept_rate": 0.0}})
        assert [*map(said, found.points)] == [figures(off), figures(run)]
        assert [point.brands for point in found.points] == [0, 1]
        assert found.notes == ()

        for catalog, noted in ((cross_beside_stairs(tmp_path), True), (lineage.catalog, False)):
            named = replace(catalog, version="another")
            again = sweep(lineage, "match_brands", "max_false_accept_rate", [0.0], {}, catalog=named, progress=silent)
            assert [point.brands for point in again.points] == [0, 0 if noted else 1]
            assert any("Logos are not matched" in note for note in again.notes) == noted


def cross_beside_stairs(folder: Path) -> BrandCatalog:
    """A list with a logo that nobody has embedded."""
    listed = "- {name: Stairs, logos: [stairs.svg]}\n- {name: Cross, logos: [cross.svg]}\n"
    write(folder, {"more.yaml": listed, "cross.svg": logos.svg("cross")})
    return load_catalog(str(folder / "more.yaml")).catalog


def test_a_persons_corrections_are_applied(jobs: Swept):
    before = jobs.replay(CORRECTED, "match_brands", LOOSE)
    open_ = jobs.lineage(CORRECTED, before).load("compile_report", Report).unresolved
    renaming = {"action": "rename", "brand_id": "rolex", "to": "Tudor"}
    naming = {"action": "name", "cluster_id": open_["cluster_id"][0].as_py(), "text": "ACME WIDGETS", "to": "Acme"}
    for said_ in (renaming, naming):
        Reviews(jobs.built.services.store.blobs, CORRECTED).add(review_of(correction_of({"user": "ana"} | said_)))
    corrected = jobs.replay(CORRECTED, "match_brands", LOOSE)
    for name in ("match_brands.fuzzy_score", "compile_report.min_confidence"):
        [point] = swept(jobs.lineage(CORRECTED, corrected), name, []).values()
        assert said(point) == figures(corrected)
        assert set(point.seconds_of) == {"Tudor", "Acme"}
        [point] = swept(jobs.lineage(CORRECTED, before), name, []).values()
        assert said(point) == figures(before), "its report had none"


def test_stored_answers_are_taken_over_where_the_cluster_is_still_open(jobs: Swept):
    points = swept(jobs.lineage(ASKED), "match_brands.fuzzy_score", [0.7, 0.95])
    for value, unasked in ((0.7, 0), (0.95, 0), (0.88, 0)):
        assert points[value].unasked == unasked
    for value in (0.7, 0.95):
        assert said(points[value]) == figures(
            jobs.replay(ASKED, "match_brands", {"match_brands": {"fuzzy_score": value}})
        )
    assert set(points[0.7].seconds_of) == {"Rolex", "Emirates"}
    assert set(points[0.95].seconds_of) == {"Emirates"}


def test_what_a_model_was_not_asked_about_is_left_open_and_counted(jobs: Swept):
    matched = jobs.replay(ASKED, "match_brands", LOOSE)
    points = swept(jobs.lineage(ASKED, matched), "match_brands.fuzzy_score", [0.95])
    assert points[0.7].unasked == 0
    assert (points[0.95].unasked, points[0.95].unresolved) == (1, 1)


@pytest.mark.parametrize("value", [0.9, 0.95])
def test_a_models_threshold_moves_over_what_it_said(jobs: Swept, value: float):
    """0.9 is what it said: a threshold of just that lets it pass, though it was stored with 32 bits."""
    points = swept(jobs.lineage(ASKED), "escalate_vlm.min_confidence", [value])
    replayed = jobs.replay(ASKED, "escalate_vlm", {"escalate_vlm": {"min_confidence": value}})
    assert said(points[value]) == figures(replayed)
    assert ("Emirates" in points[value].seconds_of) == (value <= 0.9)


def test_a_retry_goes_on_from_the_answers_before_it(jobs: Swept):
    first = jobs.runs[ASKED].run_id
    retried = jobs.built.runner.replay(ASKED, "escalate_vlm", retry_of=first)
    points = swept(jobs.lineage(ASKED, retried), "match_brands.fuzzy_score", [0.95])
    assert said(points[0.88]) == figures(retried)
    with pytest.raises(BadInput, match="answers of escalate_vlm come from 2 runs"):
        swept(jobs.lineage(ASKED, retried), "escalate_vlm.min_confidence", [0.95])


def test_nothing_is_asked_looked_at_or_written(jobs: Swept):
    before = (jobs.files(), list(jobs.model.asked), jobs.built.detector.calls, jobs.built.reader.lines)
    swept(jobs.lineage(ASKED), "match_brands.fuzzy_score", [0.6, 0.7, 0.95], score=scorer(LABELS))
    assert (jobs.files(), jobs.model.asked, jobs.built.detector.calls, jobs.built.reader.lines) == before


def test_against_labels_recall_and_precision_follow_the_value(jobs: Swept):
    points = swept(jobs.lineage(ASKED), "match_brands.fuzzy_score", [0.7, 0.95], score=scorer(LABELS))
    loose, strict = points[0.7], points[0.95]
    assert loose.score
    assert strict.score
    assert (loose.score.recall, loose.score.precision, loose.unlabelled) == (0.5, 0.5, ("Emirates",))
    assert (strict.score.recall, strict.score.precision) == (0.0, 0.0)
    assert loose.score.mean_error < 0.01


def test_fixed_params_and_another_brand_list_hold_for_every_value(jobs: Swept):
    points = swept(jobs.lineage(PLAIN), "compile_report.bridge_s", [0.0, 2.0], LOOSE)
    assert all(set(p.seconds_of) == {"Rolex"} for p in points.values())
    catalog = parse_catalog(b"brands:\n  - name: Acme Widgets\n", "mine.yaml")
    points = swept(jobs.lineage(PLAIN), "compile_report.bridge_s", [0.0], catalog=catalog)
    assert all(set(p.seconds_of) == {"Acme Widgets"} for p in points.values())


def test_the_value_in_force_is_always_there_and_in_its_place(jobs: Swept):
    assert list(swept(jobs.lineage(PLAIN), "match_brands.fuzzy_score", [0.95, 0.7, 0.95])) == [0.7, 0.88, 0.95]
    assert list(swept(jobs.lineage(PLAIN), "match_brands.join_neighbours", [False])) == [False, True]


def test_a_scale_and_an_inventory_of_another_machine_are_not_needed(jobs: Swept, tmp_path: Path):
    scale = resources.files("brand_detect") / "quality" / "default.yaml"
    inventory = "version: 1\nassets: [{name: board, zone: [0.0, 0.0, 1.0, 1.0]}]\n"
    write(tmp_path, {"mine.yaml": scale.read_text(encoding="utf-8"), "rink.yaml": inventory})
    built = jobs.built
    folders = {"quality": str(tmp_path), "inventory": str(tmp_path)}
    there = replace(built.services, settings=built.services.settings.model_copy(update=folders))
    params: Overrides = {"compile_report": {"quality": "mine", "inventory": "rink"}}
    made = Runner(build_definitions(there), there, built.instance).replay(PLAIN, "compile_report", params)
    found = sweep(jobs.lineage(PLAIN, made), "compile_report", "bridge_s", [0.0], {}, progress=silent)
    assert found.notes == ()
    assert [*map(said, found.points)] == [figures(made)] * 2


def test_a_report_that_the_code_would_no_longer_make_is_noted(jobs: Swept, monkeypatch: pytest.MonkeyPatch):
    found = sweep(jobs.lineage(PLAIN), "match_brands", "fuzzy_score", [0.7], {}, progress=silent)
    assert found.notes == ()
    match = stages.match_brands

    def changed(scenes: Any, detected: Any, texts: Any, params: Any, **more: Any) -> BrandVerdicts:
        return match(scenes, detected, texts, params.model_copy(update={"fuzzy_score": 0.7}), **more)

    monkeypatch.setattr(stages, "match_brands", changed)
    found = sweep(jobs.lineage(PLAIN), "match_brands", "fuzzy_score", [0.7], {}, progress=silent)
    assert "The code has changed" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "values", "fixed", "said"),
    [
        ("run_ocr.stop_confidence", [0.5], {}, "run_ocr.stop_confidence cannot be swept: replay it instead"),
        ("escalate_vlm.max_questions", [5], {}, "cannot be swept"),
        ("compile_report.overlays", ["exclude"], {}, "compile_report.overlays cannot be swept: replay it instead"),
        ("match_brands.fuzzy", [0.5], {}, "match_brands.fuzzy is not a param"),
        ("match.fuzzy", [0.5], {}, "no stage 'match'"),
        ("match_brands.fuzzy_score", [0.5, 1.2], {}, "value 1.2 is not allowed"),
        ("match_brands.fuzzy_score", ["high"], {}, "value 'high' is not allowed"),
        ("match_brands.fuzzy_score", [0.5], {"match_brands": {"fuzzy_score": 0.6}}, "both swept and set"),
        (
            "match_brands.fuzzy_score",
            [0.5],
            {"run_ocr": {"stop_confidence": 0.6}},
            "run_ocr.stop_confidence cannot be swept",
        ),
        ("match_brands.fuzzy_score", [n / 1000 for n in range(600)], {}, "601 values are too many"),
        ("escalate_vlm.min_confidence", [0.5], {}, "escalate_vlm was off"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_a_sentence(
    jobs: Swept, name: str, values: list[Any], fixed: Overrides, said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stages, "compile_report", None)  # nothing is computed before all is checked
    with pytest.raises(BadInput, match=said):
        swept(jobs.lineage(PLAIN), name, values, fixed)


def test_reports_go_by_the_first_letters_of_their_attempt(jobs: Swept):
    store, made = jobs.built.services.store, jobs.runs[PLAIN].attempts["compile_report"]
    assert Lineage.of(store, PLAIN, made[:8]).report.attempt == made
    newest = store.attempts(PLAIN, "compile_report")[-1].attempt
    assert Lineage.of(store, PLAIN).report.attempt == newest
    with pytest.raises(BadInput, match="plain has no attempts 'zz' of compile_report"):
        Lineage.of(store, PLAIN, "zz")
    with pytest.raises(BadInput, match="nobody has no report"):
        Lineage.of(store, "nobody")


@pytest.mark.parametrize("job_id", [PLAIN, ASKED])
@pytest.mark.parametrize("clip", ["", "match.mp4"])
def test_table_page_and_data_say_the_same(jobs: Swept, job_id: str, clip: str):
    score = scorer(LABELS) if clip else None
    found = sweep(
        jobs.lineage(job_id),
        "match_brands",
        "fuzzy_score",
        [0.7, 0.95],
        {},
        clip=clip,
        score=score,
        progress=silent,
    )
    data: Mapping[str, Any] = json.loads(json.dumps(found.to_json()))
    assert [p["value"] for p in data["points"]] == [0.7, 0.88, 0.95]
    assert all(len(cells(found, point)) == len(columns(found)) for point in found.points)
    page = page_of(found)
    assert page.labels[page.in_force] == "0.88"
    assert len(page.panels) == 4
    assert all(len(curve.figures) == 3 for panel in page.panels for curve in panel.curves)
    html = render(page)
    for row in page.rows:
        assert all(f"<td>{cell}</td>" in html for cell in row)
