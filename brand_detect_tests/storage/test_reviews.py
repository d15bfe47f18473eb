"""The log of corrections: append-only, in order of time, and gone with the job alone."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.reviews import Review, correction_of, review_of
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.reviews import Reviews
from brand_detect.storage.store import Store

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def review(second: float) -> Review:
    return review_of(
        correction_of({"action": "accept", "user": "ana", "brand_id": "nike"}), NOON + timedelta(seconds=second)
    )


def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store"))


def test_events_are_listed_by_time_whatever_order_they_came_in(tmp_path: Path):
    log = Reviews(blobs(tmp_path), "match")
    assert log.all() == []
    made = [review(second) for second in (0, 0.000001, 1, 3600)]
    for event in reversed(made):
        log.add(event)
    assert log.all() == made
    assert Reviews(blobs(tmp_path), "other").all() == []


def test_an_event_is_never_written_again(tmp_path: Path):
    log = Reviews(blobs(tmp_path), "match")
    log.add(review(0))
    with pytest.raises(Permanent, match="exists already"):
        log.add(review(0))


def test_a_damaged_event_is_named_and_the_others_are_read(tmp_path: Path):
    log = Reviews(blobs(tmp_path), "match")
    log.add(review(0))
    [file] = (tmp_path / "store" / "match" / "_reviews").iterdir()
    file.write_text("{}")
    log.add(review(1))
    events, damaged = log.read()
    assert events == log.all() == [review(1)]
    assert [f"match/_reviews/{file.name} is damaged" in sentence for sentence in damaged] == [True]


def test_a_job_id_leads_nowhere_else(tmp_path: Path):
    for job_id in ("../x", "_catalog", "a/b"):
        with pytest.raises(BadInput):
            Reviews(blobs(tmp_path), job_id).add(review(0))
        with pytest.raises(BadInput):
            Reviews(blobs(tmp_path), job_id).all()


def test_the_log_goes_with_the_job(tmp_path: Path):
    store = Store(str(tmp_path / "store"))
    Reviews(store.blobs, "match").add(review(0))
    assert store.jobs() == ["match"]
    store.remove_job("match")
    assert Reviews(store.blobs, "match").all() == []


@pytest.mark.usefixtures("s3")
def test_the_log_on_s3():
    log = Reviews(Blobs("s3://bucket/reviews"), "match")
    for second in (1, 0):
        log.add(review(second))
    assert log.all() == [review(0), review(1)]


def test_an_event_of_before_names_were_asked_for_is_still_read(tmp_path: Path) -> None:
    files = Blobs(str(tmp_path))
    early = review_of(correction_of({"action": "accept", "brand_id": "acme", "user": "Ann"})).model_dump(mode="json")
    files.put("match/_reviews/early.json", json.dumps({**early, "user": ""}).encode())
    [read] = Reviews(files, "match").all()
    assert (read.brand_id, read.user) == ("acme", "")
