"""A job and its replay, and then the database is lost: the store brings both back, and replays go on from them. Under
``make test-slow``; the operation itself is tested on one disk."""

import os
import shutil
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as db

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.pipeline import CATALOG, LINE
from brand_detect.operations.rebuild import rebuild
from brand_detect.orchestration.assets import INPUTS
from brand_detect.orchestration.lineage import attempt_of, latest, materializations
from brand_detect_tests.e2e.conftest import Place
from brand_detect_tests.support.pipeline import pipeline, silent

Events = dict[tuple[str, str], dict[str, Any]]


def events(instance: dg.DagsterInstance, job_id: str) -> Events:
    """The metadata of all materializations of a job."""
    found = {}
    for stage in LINE:
        for record in materializations(instance, stage, job_id):
            event, attempt = record.asset_materialization, attempt_of(record)
            assert event
            assert attempt
            found[stage, attempt] = {k: v.value for k, v in event.metadata.items() if k != "rebuilt"}
    return found


def lose_the_database(place: Place) -> None:
    if (place.folder / "dagster.yaml").read_text(encoding="utf-8").find("postgres") > 0:
        with db.create_engine(os.environ["BRAND_DETECT_POSTGRES_URL"]).begin() as connection:
            connection.execute(db.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        return
    for folder in ("history", "storage", "schedules"):
        shutil.rmtree(place.folder / folder)


@pytest.mark.slow
def test_a_job_and_its_replay_survive_the_loss_of_the_database(place: Place):
    where = {"store_root": place.store_root, "media_roots": place.media_roots}
    with pipeline(place.folder, **where, kept=True) as built:
        first = built.runner.submit(place.video, job_id=place.job_id)
        report = first.load("compile_report")
        assert isinstance(report, Report)
        [rolex] = report.brands.to_pylist()
        assert (rolex["brand"], round(rolex["seconds"], 1)) == ("Rolex", 2.0)
        assert [u["text"] for u in report.unresolved.to_pylist()] == ["ACME WIDGETS"]

        stored, read = place.hashes(), built.reader.lines
        tuned = built.runner.replay(place.job_id, "match_brands", {"match_brands": {"min_confidence": 0.99}})
        assert built.reader.lines == read
        assert tuned.manifest("match_brands").overrides == {"min_confidence": 0.99}
        changed = tuned.load("compile_report")
        assert isinstance(changed, Report)
        assert changed.brands.num_rows == 0
        after = place.hashes()
        assert {name: after[name] for name in stored} == stored
        before, catalog = events(built.instance, place.job_id), latest(built.instance, CATALOG, None)

    lose_the_database(place)
    with pipeline(place.folder, **where, kept=True) as built:
        assert built.instance.get_dynamic_partitions("job_id") == []
        done = rebuild(built.instance, built.services.store, INPUTS, silent, built.services.settings.service_url)
        assert (done.jobs, done.events, done.known, done.damaged) == (1, 9 + 4 + 1, 0, [])
        assert built.instance.get_dynamic_partitions("job_id") == [place.job_id]
        assert events(built.instance, place.job_id) == before
        assert latest(built.instance, CATALOG, None) == catalog
        assert built.instance.get_runs_count() == 0

        again = rebuild(built.instance, built.services.store, INPUTS, silent, built.services.settings.service_url)
        assert (again.events, again.known) == (0, done.events)

        built.reader.lines = read
        replayed = built.runner.replay(place.job_id, "escalate_vlm")
        assert replayed.attempts["match_brands"] == tuned.attempts["match_brands"]
        pinned = built.runner.replay(place.job_id, "match_brands", pins={"run_ocr": first.attempts["run_ocr"]})
        retried = built.runner.replay(place.job_id, "escalate_vlm", retry_of=first.run_id)
        assert retried.manifest("escalate_vlm").continues == first.attempts["escalate_cloud"]
        assert pinned.load("compile_report")
        assert built.reader.lines == read
