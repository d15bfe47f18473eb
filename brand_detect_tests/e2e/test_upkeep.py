"""Retention, pins and deletion on each kind of storage."""

import time

import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.retention import DAY_S, Retention
from brand_detect.operations.retention.deletion import belongings, delete
from brand_detect.operations.retention.pruning import prune
from brand_detect.orchestration.lineage import materializations
from brand_detect.storage.attempts import AttemptRef
from brand_detect_tests.e2e.conftest import Place
from brand_detect_tests.support.pipeline import pipeline, silent


def test_old_attempts_pictures_and_at_last_the_job_go(place: Place):
    with pipeline(place.folder, store_root=place.store_root, media_roots=place.media_roots, kept=True) as built:
        store, instance, job_id = built.services.store, built.instance, place.job_id
        first = built.runner.submit(place.video, job_id=job_id)
        second = built.runner.replay(job_id, "match_brands")
        built.runner.replay(job_id, "match_brands")
        store.pin(first.ref("compile_report"), "sent")
        store.begin(AttemptRef(job_id, "run_ocr", "killed-0")).write("half.parquet", b"half")

        limits = Retention(keep=1, days=0)
        [found] = prune(instance, store, [job_id], limits, time.time() + 2 * DAY_S, silent)
        assert {a.attempt for a in found.removal.attempts} == {second.attempts["match_brands"]}
        assert [ref.attempt for ref in found.abandoned] == ["killed-0"]
        assert not store.exists(second.ref("compile_report"))
        assert first.load("compile_report")

        store.unpin(first.ref("compile_report"))
        [found] = prune(instance, store, [job_id], Retention(frames_days=1), time.time() + 2 * DAY_S, silent)
        assert [a.attempt for a in found.removal.frames] == [first.attempts["extract_frames"]]
        with pytest.raises(Permanent, match=r"frames of .* are gone"):
            built.runner.replay(job_id, "match_brands")

        delete(instance, store, belongings(instance, store, job_id))
        assert store.jobs() == []
        assert not any(p.is_file() for p in (place.files / job_id).rglob("*"))
        assert [list(materializations(instance, stage, job_id)) for stage in LINE] == [[]] * len(LINE)
