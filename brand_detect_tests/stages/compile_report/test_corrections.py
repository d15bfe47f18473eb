"""Corrections in a report whose truth is known: 20 frames at 2 a second, cells of half a second, 1920 x 1080."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st

from brand_detect.domain.contracts.compile_report import DETECTIONS, CompileReportParams, Report, Reviewed
from brand_detect.domain.contracts.detect_objects import TRACK_EDGES, Side
from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.protocols import Hit
from brand_detect.domain.reviews import Review, correction_of, review_of
from brand_detect.domain.tables import table
from brand_detect.domain.timeline import union_seconds
from brand_detect.orchestration.checks import (
    no_exposure_outside_the_video,
    no_instant_counted_twice,
    totals_equal_the_timeline,
)
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages.compile_report.compile import compile_report
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.campaign import holds_for

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEFT, RIGHT, MOVED = (100, 100, 200, 50), (900, 500, 200, 50), (130, 100, 200, 50)
CATALOG = {"adidas": Hit("adidas-ag", "Adidas", "Adidas", Rule.exact, 1.0, 0, 6)}


def said(second: int, action: str, brand_id: str = "", **more: Any) -> Review:
    return review_of(
        correction_of({"action": action, "user": "ana", "brand_id": brand_id, **more}), NOON + timedelta(seconds=second)
    )


def shares(box: tuple[int, ...]) -> list[float]:
    x, y, w, h = box
    return [x / 1920, y / 1080, w / 1920, h / 1080]


def report(
    *reviews: Review,
    shift: int = 0,
    dropped: dict[int, int | str] | None = None,
    edges: tuple[tuple[str, int, Side, float], ...] = (),
    **params: Any,
) -> Report:
    """Nike left on frames 2 to 4 and right on 3 to 5, then left on 10 to 12; Puma on 6 and 7; two clusters."""
    frames = p.frames(20)
    scenes = p.scenes(frames, (), dropped)
    regions = [p.region(f, f"a{shift}", LEFT) for f in (2, 3, 4)] + [p.region(f, "b", RIGHT) for f in (3, 4, 5)]
    regions += [p.region(f, "c", LEFT) for f in (10, 11, 12)] + [p.region(f, "d", RIGHT) for f in (6, 7)]
    regions += [p.region(f, "x", (500, 300, 100, 40), crop_hash=0b1111) for f in (15, 16)]
    regions += [p.region(18, "y", (600, 300, 100, 40), crop_hash=2**60 - 1)]
    verdicts = [
        p.verdict("Nike", [f"a{shift}"], text="NIKE AIR", rule="fuzzy"),
        p.verdict("Nike", ["b"]),
        p.verdict("Nike", ["c"]),
        p.verdict("Puma", ["d"]),
    ]
    clusters = [p.cluster(1, "", regions[-3], cluster_id=f"x{shift}"), p.cluster(2, "KAPRUN 12", regions[-1])]
    found = [dict(zip(TRACK_EDGES.names, (*edge, 0.04), strict=True)) for edge in edges]
    detected = replace(p.detected(regions, scenes), edges=table(TRACK_EDGES, found))
    made = compile_report(
        p.request(),
        frames,
        scenes,
        detected,
        p.verdicts(verdicts, clusters),
        CompileReportParams(**params),
        scale=load_quality("default"),
        statistics={},
        brands={},
        reviews=reviews,
        named=lambda name: CATALOG.get(name.lower()),
    )
    inputs = {"extract_frames": frames, "filter_scenes": scenes, "detect_objects": detected}
    for look in (no_exposure_outside_the_video, no_instant_counted_twice, totals_equal_the_timeline):
        assert look(made, inputs, CompileReportParams(**params)) == ""
    return made


def spans(made: Report, brand: str) -> list[tuple[float, float]]:
    return [(e["start_s"], e["end_s"]) for e in made.exposures.to_pylist() if e["brand"] == brand]


def states(made: Report) -> list[str]:
    return [told["state"] for told in made.summary["reviews"]]


def test_without_corrections_nothing_is_told():
    made = report()
    assert (spans(made, "Nike"), spans(made, "Puma")) == ([(0.75, 2.75), (4.75, 6.25)], [(2.75, 3.75)])
    assert (made.summary["reviews"], made.rejected.num_rows, made.notes) == ([], 0, ())


def test_a_rejected_exposure_is_kept_beside_the_report():
    made = report(said(0, "reject", "nike", start_s=4.75, end_s=6.25))
    assert spans(made, "Nike") == [(0.75, 2.75)]
    assert made.rejected["frame"].to_pylist() == [10, 11, 12]
    assert made.rejected.schema.equals(DETECTIONS)
    [told] = made.summary["reviews"]
    assert (told["state"], told["detections"], told["seconds"]) == ("applied", 3, 1.5)
    assert made.notes == ("1 correction by a person is applied.",)
    assert made.summary["counts"]["detections"] == made.detections.num_rows == 8


def test_an_exposure_that_is_shorter_than_its_cells_is_rejected_as_a_whole():
    """Puma comes just before the sample at 3.0 s and goes just after the one at 3.5 s."""
    edges = (("d", 6, Side.start, 2.96), ("d", 7, Side.end, 3.54))
    assert spans(report(edges=edges), "Puma") == [(2.96, 3.54)]
    made = report(said(0, "reject", "puma", start_s=2.96, end_s=3.54), edges=edges)
    assert (spans(made, "Puma"), states(made)) == ([], ["applied"])
    assert made.rejected["frame"].to_pylist() == [6, 7]


def test_a_correction_of_a_picture_that_comes_back_is_about_the_picture():
    """Frames 13 and 17 show again what frame 12 shows: one detection in two exposures."""
    back: dict[int, int | str] = {13: 12, 17: 12}
    assert spans(report(dropped=back), "Nike") == [(0.75, 2.75), (4.75, 6.75), (8.25, 8.75)]
    first, second = ({"start_s": a, "end_s": b} for a, b in ((4.75, 6.75), (8.25, 8.75)))
    assert spans(report(said(0, "reject", "nike", **first), dropped=back), "Nike") == [(0.75, 2.75)]
    made = report(said(0, "reject", "nike", **second), dropped=back)
    assert (states(made), spans(made, "Nike")) == (["applied"], [(0.75, 2.75), (4.75, 5.75)])
    part = said(0, "reject", "nike", start_s=6.3, end_s=6.45)
    assert states(report(part, dropped=back)) == ["orphaned"], "less than half of the stretch from 5.75 to 6.75 s"


def test_a_box_singles_out_one_mark_of_the_brand():
    at_two = {"start_s": 0.75, "end_s": 2.75, "t_s": 2.0}
    made = report(said(0, "reject", "nike", **at_two, box=shares(RIGHT)))
    assert spans(made, "Nike") == [(0.75, 2.25), (4.75, 6.25)]
    assert set(made.rejected["track_id"].to_pylist()) == {"b"}
    near = report(said(0, "reject", "nike", **at_two, box=shares(MOVED)))
    assert set(near.rejected["track_id"].to_pylist()) == {"a0"}
    off = report(said(0, "reject", "nike", **at_two, box=shares((1500, 900, 100, 50))))
    assert states(off) == ["orphaned"]
    assert off.notes == ("1 correction by a person no longer applies: nothing in this report matches.",)


def test_a_box_on_a_duplicate_is_that_of_the_frame_which_stands_for_it():
    box = {"start_s": 4.75, "end_s": 8.0, "t_s": 7.5, "box": shares(LEFT)}
    made = report(said(0, "reject", "nike", **box), dropped={13: 12, 14: 12, 15: 12})
    assert states(made) == ["applied"]
    assert made.rejected["frame"].to_pylist() == [10, 11, 12]


def test_a_correction_survives_a_replay_that_changes_ids():
    about = {"start_s": 0.75, "end_s": 2.75, "t_s": 1.5, "box": shares(LEFT)}
    log = [said(0, "reject", "nike", **about), said(1, "name", cluster_id="x0", to="Acme", crop_hashes=[0b1110])]
    for shift in (0, 1):
        made = report(*log, shift=shift)
        assert states(made) == ["applied", "applied"]
        assert made.rejected["track_id"].to_pylist() == [f"a{shift}"] * 3
        assert spans(made, "Acme") == [(7.25, 8.25)]


def test_a_rename_takes_the_id_of_the_catalogue_of_the_report_or_the_name():
    made = report(said(0, "rename", "nike", to="adidas", start_s=4.75, end_s=6.25))
    assert [(e["brand_id"], e["reviewed"]) for e in made.exposures.to_pylist() if e["brand"] == "Adidas"] == [
        ("adidas-ag", "renamed")
    ]
    made = report(said(0, "rename", "nike", to="PUMA", start_s=4.75, end_s=6.25), bridge_s=0.0)
    assert spans(made, "Puma") == [(2.75, 3.75), (4.75, 6.25)]
    made = report(said(0, "rename", "nike", to="Kappa", start_s=4.75, end_s=6.25))
    assert made.brands.filter(made.brands["brand"].to_numpy() == "Kappa")["brand_id"].to_pylist() == ["kappa"]


def test_merged_brands_count_once_where_both_were_on_screen():
    both = report(said(0, "merge", "puma", to="Nike"), bridge_s=0.0)
    assert spans(both, "Nike") == [(0.75, 3.75), (4.75, 6.25)]
    assert both.brands["seconds"].to_pylist() == [4.5]
    assert set(both.detections["n_brands"].to_pylist()) == {1}
    marked = both.detections.select(["track_id", "reviewed"]).to_pylist()
    assert {row["track_id"] for row in marked if row["reviewed"]} == {"d"}


def test_accepted_seconds_are_sure():
    sure = said(0, "accept", "puma")
    assert report(sure_confidence=0.95).brands["low_s"].to_pylist() == [0.0, 0.0]
    assert report(sure, sure_confidence=0.95).brands["low_s"].to_pylist() == [0.0, 0.5]
    assert [e["reviewed"] for e in report(sure).exposures.to_pylist()] == ["", "accepted", ""]


def test_a_named_mark_becomes_a_brand_with_its_evidence():
    made = report(said(0, "name", cluster_id="x0", to="Adidas"))
    assert made.unresolved.select(["rank", "text"]).to_pylist() == [{"rank": 1, "text": "KAPRUN 12"}]
    [found] = [e for e in made.exposures.to_pylist() if e["brand"] == "Adidas"]
    assert (found["brand_id"], found["rule"], found["decided_by"]) == ("adidas-ag", "review", "compile_report")
    assert (found["confidence"], found["reviewed"], found["seconds"]) == (1.0, "named", 1.0)
    [proof] = [e for e in made.evidence.to_pylist() if e["verdict_id"] == found["verdict_id"]]
    assert (proof["brand"], proof["rule"], proof["matched"]) == ("Adidas", "review", "Adidas")
    assert made.unresolved["text"].to_pylist() == ["KAPRUN 12"]
    assert made.summary["counts"]["clusters_unresolved"] == 1
    assert made.summary["tracks_resolved_by"] == {"compile_report": 1, "match_brands": 4}
    [told] = made.summary["reviews"]
    assert (told["detections"], told["seconds"]) == (2, 1.0)


def test_a_named_mark_that_is_rejected_is_open_again():
    made = report(said(0, "name", cluster_id="x0", to="Acme"), said(1, "reject", "acme"))
    assert made.unresolved.num_rows == 2
    assert made.rejected["brand"].to_pylist() == ["Acme", "Acme"]
    assert made.summary["tracks_resolved_by"] == {"match_brands": 4}


def test_a_dismissed_mark_is_open_no_more_after_a_replay_that_changes_ids_too():
    for shift in (0, 1):
        made = report(said(0, "dismiss", cluster_id="x0", crop_hashes=[0b1110]), shift=shift)
        assert made.unresolved["text"].to_pylist() == ["KAPRUN 12"]
        assert states(made) == ["applied"]
        assert (made.rejected.num_rows, made.summary["counts"]["clusters_unresolved"]) == (0, 1)
    other = report(said(0, "dismiss", cluster_id="gone", crop_hashes=[(2**20 - 1) << 30]))
    assert (other.unresolved.num_rows, states(other)) == (2, ["orphaned"])


def test_of_a_name_and_a_dismissal_the_later_counts_and_both_can_be_undone():
    name, dismiss = said(0, "name", cluster_id="x0", to="Acme"), said(1, "dismiss", cluster_id="x0")
    assert spans(report(name, dismiss), "Acme") == []
    assert report(name, dismiss).unresolved.num_rows == 1
    again = said(2, "name", cluster_id="x0", to="Acme")
    assert spans(report(name, dismiss, again), "Acme") == [(7.25, 8.25)]
    back = report(dismiss, said(2, "undo", undoes=dismiss.review_id))
    assert (back.unresolved.num_rows, states(back)) == (2, ["undone", "applied"])


def test_an_excluded_text_is_no_brand_and_no_open_mark():
    made = report(
        said(0, "exclude", text="nike air"), said(1, "exclude", text="Kaprun I2"), said(2, "exclude", text="?a")
    )
    assert spans(made, "Nike") == [(1.25, 2.75), (4.75, 6.25)]
    assert made.unresolved["text"].to_pylist() == [""]
    assert states(made) == ["applied", "applied", "orphaned"]
    assert [told["detections"] for told in made.summary["reviews"]] == [3, 0, 0]


def test_a_later_correction_of_the_rest_leaves_the_earlier_one_alone():
    made = report(said(0, "rename", "nike", to="Kappa", start_s=4.75, end_s=6.25), said(1, "merge", "nike", to="Puma"))
    assert spans(made, "Kappa") == [(4.75, 6.25)]
    made = report(said(0, "reject", "nike", start_s=4.75, end_s=6.25), said(1, "accept", "nike"))
    assert spans(made, "Nike") == [(0.75, 2.75)]


def test_what_is_gone_or_undone_is_told():
    reject = said(0, "reject", "puma")
    made = report(reject, said(1, "undo", undoes=reject.review_id), said(2, "reject", "umbro"))
    assert states(made) == ["undone", "applied", "orphaned"]
    assert spans(made, "Puma") == [(2.75, 3.75)]


TABLES = ("brands", "exposures", "detections", "unresolved", "evidence", "rejected")
ranges = st.sampled_from([{}, {"start_s": 0.75, "end_s": 2.75}, {"start_s": 4.75, "end_s": 6.25}])
about_brands = st.builds(
    lambda action, brand, to, span: {"action": action, "brand_id": brand, "to": to, **span},
    st.sampled_from(["accept", "reject", "rename"]),
    st.sampled_from(["nike", "puma", "Kappa", "adidas-ag"]),
    st.sampled_from(["Nike", "puma", "Kappa", "Adidas"]),
    ranges,
)
others = st.sampled_from(
    [
        {"action": "merge", "brand_id": "puma", "to": "Nike"},
        {"action": "merge", "brand_id": "nike", "to": "Kappa"},
        {"action": "name", "cluster_id": "x0", "to": "Nike"},
        {"action": "name", "cluster_id": "x0", "to": "Acme"},
        {"action": "exclude", "text": "NIKE AIR"},
        {"action": "exclude", "text": "Kaprun 12"},
    ]
)
logs = st.lists(about_brands | others, max_size=6)


def log_of(events: list[dict[str, Any]]) -> list[Review]:
    return [said(n, **event) for n, event in enumerate(events)]


@holds_for(12, 60, logs, about_brands | others)
def test_an_undo_restores_the_report(events: list[dict[str, Any]], extra: dict[str, Any]):
    log, wrong = log_of(events), said(50, **extra)
    made, restored = report(*log), report(*log, wrong, said(51, "undo", undoes=wrong.review_id))
    for name in TABLES:
        assert getattr(restored, name).equals(getattr(made, name)), name


@holds_for(
    12,
    60,
    st.sampled_from(["accept", "reject", "rename"]),
    st.sampled_from(["accept", "reject", "rename"]),
    st.sampled_from(["nike", "puma"]),
    ranges,
)
def test_the_later_of_two_about_the_same_beats_the_earlier(first: str, second: str, brand: str, span: dict[str, Any]):
    earlier = said(0, first, brand, to="Kappa", **span)
    later = said(1, second, brand, to="Adidas", **span)
    for log in ([earlier, later], [later, earlier]):  # whatever order they are read in
        both, alone = report(*log), report(later)
        for name in TABLES:
            assert getattr(both, name).equals(getattr(alone, name)), name


def test_the_later_of_two_names_counts():
    both = report(said(0, "name", cluster_id="x0", to="Acme"), said(1, "name", cluster_id="x0", to="Kappa"))
    assert both.detections.equals(report(said(1, "name", cluster_id="x0", to="Kappa")).detections)


@holds_for(20, 100, logs, st.sampled_from([0.0, 0.5, 2.0]))
def test_no_instant_is_counted_twice_and_no_detection_is_lost(events: list[dict[str, Any]], bridge_s: float):
    made = report(*log_of(events), bridge_s=bridge_s)  # which also runs the pipeline's own checks
    for brand in made.brands.to_pylist():
        own = [(e["start_s"], e["end_s"]) for e in made.exposures.to_pylist() if e["brand_id"] == brand["brand_id"]]
        assert brand["seconds"] == pytest.approx(union_seconds(own))
    named = sum(row["rule"] == "review" for t in (made.detections, made.rejected) for row in t.to_pylist())
    assert made.detections.num_rows + made.rejected.num_rows == 11 + named
    assert set(made.detections["reviewed"].to_pylist()) <= {"", *Reviewed}
    assert all(told["state"] in ("applied", "orphaned") for told in made.summary["reviews"])
