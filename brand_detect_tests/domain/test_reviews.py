"""Corrections as events: what is refused, what is in force, and which mark a name is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.domain.contracts.verdicts import Cluster
from brand_detect.domain.errors import BadInput
from brand_detect.domain.reviews import (
    Review,
    clusters_named,
    correction_of,
    in_force,
    log_digest,
    review_of,
    undone,
)
from brand_detect.domain.text import same_text
from brand_detect_tests.support import payloads as p

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def review(second: int, **said: Any) -> Review:
    return review_of(
        correction_of({"action": "reject", "user": "ana", "brand_id": "nike", **said}), NOON + timedelta(seconds=second)
    )


def undo(second: int, of: Review) -> Review:
    return review(second, action="undo", undoes=of.review_id)


def test_texts_that_turn_their_direction_can_be_spoken_of():
    said = correction_of(
        {"action": "exclude", "user": "ana", "text": "\u200fרולקס\u200f", "brand": "\u202bרולקס\u202c"}
    )
    assert (said.text, said.brand) == ("רולקס", "רולקס")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"action": "praise"}, "action: "),
        ({"action": "reject", "brand_id": "nike", "user": None}, "user: field required"),
        ({"action": "reject", "brand_id": "nike", "user": " "}, "reject needs user"),
        ({"action": "undo", "undoes": "0" * 16, "user": ""}, "undo needs user"),
        ({"action": "reject", "brand_id": "nike", "user": "--"}, "user has neither a letter"),
        ({"action": "dismiss", "text": "KAPRUN"}, "dismiss needs cluster_id"),
        ({"action": "reject"}, "reject needs brand_id"),
        ({"action": "rename", "brand_id": "nike"}, "rename needs to"),
        ({"action": "merge", "brand_id": "nike", "to": " "}, "merge needs to"),
        ({"action": "name", "to": "Acme"}, "name needs cluster_id"),
        ({"action": "exclude"}, "exclude needs text"),
        ({"action": "exclude", "text": "?!"}, "text has neither a letter"),
        ({"action": "undo"}, "undo needs undoes"),
        ({"action": "undo", "undoes": "../../etc"}, "undoes: "),
        ({"action": "name", "cluster_id": "c", "to": "x" * 101}, "to: "),
        ({"action": "name", "cluster_id": "c", "to": "Acme\x1b[2J"}, "control characters"),
        ({"action": "name", "cluster_id": "c", "to": "Acme\u202e"}, "control characters"),
        ({"action": "reject", "brand_id": "nike", "start_s": 1.0}, "go together"),
        ({"action": "reject", "brand_id": "nike", "start_s": 2.0, "end_s": 2.0}, "must be before"),
        ({"action": "reject", "brand_id": "nike", "start_s": float("nan"), "end_s": 2.0}, "start_s: "),
        ({"action": "reject", "brand_id": "nike", "start_s": 0.0, "end_s": float("inf")}, "end_s: "),
        ({"action": "merge", "brand_id": "nike", "to": "Puma", "start_s": 0.0, "end_s": 1.0}, "use rename for a range"),
        ({"action": "reject", "brand_id": "nike", "box": [0, 0, 0.5, 0.5]}, "a box needs t_s"),
        ({"action": "reject", "brand_id": "nike", "t_s": 1.0, "box": [0.8, 0, 0.5, 0.5]}, "not within the picture"),
        ({"action": "reject", "brand_id": "nike", "t_s": 1.0, "box": [0, 0, 0, 0.5]}, "the box is empty"),
        ({"action": "reject", "brand_id": "nike", "t_s": 1.0, "box": [0, 0, 1]}, "box"),
        ({"action": "name", "cluster_id": "c", "to": "Acme", "crop_hashes": [2**64]}, "crop_hashes"),
        ({"action": "name", "cluster_id": "c", "to": "Acme", "crop_hashes": [1] * 1001}, "crop_hashes"),
    ],
)
def test_what_is_no_correction_is_refused_with_a_sentence(said: dict[str, Any], why: str):
    with pytest.raises(BadInput, match=r"^The correction is not valid: .*\.$") as refused:
        correction_of({"user": "ana"} | said)
    assert why in str(refused.value)


def test_null_is_unset_and_unknown_fields_are_ignored():
    said = correction_of(
        {"action": "accept", "user": "ana", "brand_id": " nike ", "to": None, "box": None, "review_id": "x"}
    )
    assert (said.brand_id, said.to, said.box) == ("nike", "", None)


def test_an_event_reads_back_as_it_was_written():
    made = review(0, start_s=1.0, end_s=2.5, t_s=1.5, box=[0.1, 0.2, 0.3, 0.4], note="not theirs\nsee 1:02", user="ana")
    assert Review.model_validate_json(made.model_dump_json()) == made
    assert made.at == "2026-05-01T12:00:00.000000+00:00"
    assert made.review_id != review(1, start_s=1.0, end_s=2.5).review_id


def test_an_undo_takes_back_what_came_before_it_and_may_be_taken_back():
    first, second = review(0), review(1, brand_id="puma")
    gone = undo(2, first)
    assert in_force([gone, second, first]) == [second]
    assert undone([first, second, gone, undo(3, gone)]) == {gone.review_id}
    assert in_force([first, second, gone, undo(3, gone)]) == [first, second]
    assert in_force([first, undo(-1, first)]) == [first], "nobody undoes what is still to come"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=12), st.integers(0, 12))
def test_an_undo_right_after_an_event_leaves_no_trace_of_it(plan: list[tuple[bool, int]], at: int):
    log: list[Review] = []
    for n, (is_undo, target) in enumerate(plan):
        log.append(undo(n, log[target % len(log)]) if is_undo and log else review(n, brand_id=f"b{n}"))
    extra = review(at, brand_id="extra", note="x")
    assert in_force([*log, extra, undo(100, extra)]) == in_force(log)


def test_the_digest_follows_the_events_and_not_their_order():
    a, b = review(0), review(1)
    assert log_digest([a, b]) == log_digest([b, a]) != log_digest([a])


def cluster(cluster_id: str, text: str = "", hashes: tuple[int, ...] = ()) -> Cluster:
    row = p.cluster(1, text, p.region(0, "t"), cluster_id=cluster_id, crop_hashes=hashes)
    return Cluster(**row)


def test_a_name_finds_its_cluster_by_id_then_by_crop_then_by_text():
    said = review(0, action="name", cluster_id="c1", to="Acme", text="ACME TOOLS", crop_hashes=[0b1111])
    by_logo, other = cluster("c2", "", (0b1110,)), cluster("c3", "ACME TOOLS", (2**63 + 2**40 - 1,))
    contradicts = cluster("c4", "OTHER WORDS", (0b1111,))
    assert clusters_named(said, [by_logo, other, cluster("c1")]) == ["c1"]
    assert clusters_named(said, [contradicts, by_logo, other]) == ["c2"]
    assert clusters_named(said, [contradicts, other]) == ["c3"]
    assert clusters_named(said, [contradicts]) == []


def test_texts_are_compared_as_readers_of_pictures_see_them():
    assert same_text("Itaú 10", "ITAU IO")
    assert not same_text("", "")
    assert not same_text("Acme", "Acme Tools")
