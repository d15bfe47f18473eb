"""Corrections in a whole pipeline: they survive replays, retention and a rebuild; the catalogue learns."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect import stages
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import Permanent, Transient
from brand_detect.domain.proposals import Proposal
from brand_detect.domain.retention import Retention
from brand_detect.domain.reviews import Review, correction_of, review_of
from brand_detect.operations.rebuild import rebuild
from brand_detect.operations.retention.deletion import belongings, delete
from brand_detect.operations.retention.pruning import prune
from brand_detect.orchestration.assets import INPUTS
from brand_detect.orchestration.run import JobRun
from brand_detect.storage.attempts import AttemptWriter
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.proposals import Proposals
from brand_detect.storage.reviews import Reviews
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import Pipeline, pipeline, silent, two_shot_clip


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Pipeline]:
    """A job whose first shot says ROLEX and whose second ACME WIDGETS, which the catalogue does not know."""
    with pipeline(tmp_path) as made:
        finished(made)
        yield made


def correct(built: Pipeline, action: str, **said: Any) -> Review:
    review = review_of(correction_of({"action": action, "user": "ana", **said}))
    Reviews(built.services.store.blobs, "match").add(review)
    return review


def report_of(run: JobRun) -> Report:
    report = run.load("compile_report")
    assert isinstance(report, Report)
    return report


def cluster(built: Pipeline) -> dict[str, Any]:
    [mark] = report_of(built.runner.replay("match", "compile_report")).unresolved.to_pylist()
    return mark


def proposals(built: Pipeline) -> list[tuple[str, str, str]]:
    def short(p: Proposal) -> tuple[str, str, str]:
        return p.kind, p.name, p.text

    undecided, _, _ = Proposals(built.services.store.blobs).read()
    return sorted(short(p) for p in undecided if p.proposer == "person")


def test_corrections_hold_whatever_stage_is_replayed(built: Pipeline):
    mark = cluster(built)
    correct(built, "name", cluster_id=mark["cluster_id"], text=mark["text"], to="Acme")
    correct(built, "rename", brand_id="rolex", to="Emirates", start_s=0.0, end_s=1.0)
    for stage in ("compile_report", "match_brands", "run_ocr", "detect_objects", "extract_frames"):
        overrides = {"detect_objects": {"min_score": 0.31}} if stage == "detect_objects" else None
        made = report_of(built.runner.replay("match", stage, overrides))
        assert sorted(made.brands["brand"].to_pylist()) == ["Acme", "Emirates"], stage
        assert made.brands.filter(made.brands["brand"].to_numpy() == "Emirates")["brand_id"].to_pylist() == ["emirates"]
        assert made.unresolved.num_rows == 0
        assert [told["state"] for told in made.summary["reviews"]] == ["applied", "applied"]


def test_a_damaged_correction_is_left_out_and_the_report_says_so(built: Pipeline, tmp_path: Path):
    correct(built, "reject", brand_id="rolex")
    [file] = (tmp_path / "store" / "match" / "_reviews").iterdir()
    file.write_text("{")
    made = report_of(built.runner.replay("match", "compile_report"))
    assert made.brands["brand"].to_pylist() == ["Rolex"]
    assert any(file.name in loss and "damaged" in loss for loss in made.losses)


def test_a_correction_is_part_of_the_recipe_and_its_undo_gives_the_same_data(built: Pipeline):
    before = built.runner.replay("match", "compile_report").manifest("compile_report")
    assert "reviews" not in before.input_versions
    wrong = correct(built, "reject", brand_id="rolex")
    rejected = built.runner.replay("match", "compile_report")
    correct(built, "undo", undoes=wrong.review_id)
    restored = built.runner.replay("match", "compile_report").manifest("compile_report")
    recipes = {before.recipe, rejected.manifest("compile_report").recipe, restored.recipe}
    assert len(recipes) == 3
    assert report_of(rejected).brands.num_rows == 0
    assert report_of(rejected).rejected.num_rows > 0
    assert restored.data_version == before.data_version


def test_the_catalogue_is_offered_what_was_corrected(built: Pipeline):
    mark = cluster(built)
    named = correct(built, "name", cluster_id=mark["cluster_id"], text=mark["text"], to="Acme")
    assert proposals(built) == []
    built.runner.replay("match", "compile_report")
    assert proposals(built) == [("brand", "Acme", "ACME WIDGETS")]
    correct(built, "undo", undoes=named.review_id)
    correct(built, "rename", brand_id="rolex", to="Emirates")
    built.runner.replay("match", "compile_report")
    assert ("alias", "Emirates", "ROLEX") in proposals(built)
    correct(built, "exclude", text="Rolex")
    built.runner.replay("match", "compile_report")
    assert ("excluded", "Emirates", "ROLEX") in proposals(built)


@pytest.mark.parametrize("fault", ["check", "commit"])
def test_only_a_sound_report_that_is_stored_proposes_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
):
    make, commit = stages.compile_report, AttemptWriter.commit

    def unsound(*read: Any, **also: Any) -> Report:
        report = make(*read, **also)
        return replace(report, summary={**report.summary, "range_s": (0.0, 99.0)})

    def dying(self: AttemptWriter, value: Any, **facts: Any) -> Manifest:
        if self.ref.stage == "compile_report":
            raise Permanent("The disk is full.")
        return commit(self, value, **facts)

    with pipeline(tmp_path) as built:
        with monkeypatch.context() as broken:
            if fault == "check":
                broken.setattr(stages, "compile_report", unsound)
            else:
                broken.setattr(AttemptWriter, "commit", dying)
            with pytest.raises((dg.DagsterError, Permanent), match=r"no_exposure_outside_the_video|The disk is full"):
                built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        kept = Proposals(built.services.store.blobs)
        assert kept.read() == ([], [], [])
        built.runner.replay("match", "compile_report")
        assert [(p.proposer, p.text) for p in kept.read()[0]] == [("cluster", "ACME WIDGETS")]


def test_a_report_does_not_fail_because_its_proposals_cannot_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise Transient("The disk is full.")

    with pipeline(tmp_path) as built:
        with monkeypatch.context() as broken:
            broken.setattr(Proposals, "add", full)
            run = built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        assert run.attempts["compile_report"] == f"{run.run_id}-0"
        stored = Proposals(built.services.store.blobs)
        assert stored.read() == ([], [], [])
        built.runner.replay("match", "compile_report")
        assert [p.text for p in stored.read()[0]] == ["ACME WIDGETS"]


def test_an_accepted_guess_is_offered_as_an_alias(tmp_path: Path):
    (tmp_path / "brands.yaml").write_text("- Deutsche Telekom\n", encoding="utf-8")
    with pipeline(tmp_path) as built:
        built.reader.dark = "VISIT DEUTSCHE TELEXOM"  # one letter off
        built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        correct(built, "accept", brand_id="deutsche-telekom")
        [exposure] = report_of(built.runner.replay("match", "compile_report")).exposures.to_pylist()
        assert (exposure["rule"], exposure["reviewed"]) == ("lexicon", "accepted")
        assert proposals(built) == [("alias", "Deutsche Telekom", "DEUTSCHE TELEXOM")]


def test_retention_and_a_rebuild_leave_the_log_alone_and_a_deletion_takes_it(built: Pipeline):
    said = correct(built, "reject", brand_id="rolex")
    built.runner.replay("match", "match_brands")
    store, log = built.services.store, Reviews(built.services.store.blobs, "match")
    list(prune(built.instance, store, ["match"], Retention(keep=1, days=0), time.time() + 10 * 86_400, silent))
    assert log.all() == [said]
    with dg.DagsterInstance.ephemeral() as fresh:
        done = rebuild(fresh, store, INPUTS, silent)
        assert (done.jobs, done.damaged) == (1, [])
    assert log.all() == [said]
    delete(built.instance, store, belongings(built.instance, store, "match"))
    assert log.all() == []
    assert store.jobs() == []
