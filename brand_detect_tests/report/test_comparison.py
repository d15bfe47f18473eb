"""Two reports of known truth side by side: what is called gained, lost, changed, and what is not compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.job import JobRequest
from brand_detect.domain.pipeline import LINE
from brand_detect.report.comparison import (
    Comparison,
    Side,
    StageFacts,
    compare,
    in_short,
    in_words,
    outcome_in_words,
)
from brand_detect.report.comparison import settings as set_differently
from brand_detect.report.comparison.document import Outcome
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.campaign import holds_for
from brand_detect_tests.support.report_fakes import select_report

RUN = "run-1-0"


def facts(attempt: str = RUN, **changes: Any) -> StageFacts:
    values = {"code_version": "1", "params": {"fuzzy_score": 0.9}, "engines": {}, "stats": {}, "stage_s": 1.0}
    return StageFacts(attempt=attempt, **(values | changes))


def catalog(*brands: Brand | str) -> BrandCatalog:
    listed = tuple(Brand(b.lower(), b) if isinstance(b, str) else b for b in brands)
    return BrandCatalog(str(hash(listed)), listed)


def side(
    verdicts: Sequence[Mapping[str, Any]] = (),
    unresolved: Sequence[Mapping[str, Any]] = (),
    *,
    regions: Sequence[Mapping[str, Any]],
    attempt: str = RUN,
    stages: Mapping[str, StageFacts] | None = None,
    brands: BrandCatalog | None = None,
    request: JobRequest | None = None,
) -> Side:
    """A report over 10 s, two frames a second, with a cut at 5 s."""
    frames = p.frames(20, size=(640, 360))
    scenes = p.scenes(frames, cuts=(5.0,))
    request, detected, settled = request or p.request(), p.detected(regions, scenes), p.verdicts(verdicts, unresolved)
    return Side(
        request=request,
        attempt=attempt,
        run_id=attempt.removesuffix("-0"),
        created="2026-01-02T03:04:05+00:00",
        stages=stages if stages is not None else {stage: facts() for stage in LINE},
        catalog=brands or catalog("Nike"),
        scenes=scenes,
        detected=detected,
        verdicts=settled,
        report=select_report(request, frames, scenes, detected, settled),
    )


def test_corrections_are_named_as_what_differs() -> None:
    plain = side(regions=track("a", [2, 3]), verdicts=[p.verdict("Nike", ["a"])])
    said = (
        ("a", "reject", "applied"),
        ("b", "reject", "orphaned"),
        ("c", "accept", "undone"),
        ("d", "undo", "applied"),
    )
    told = [{"review_id": i * 16, "action": action, "state": state} for i, action, state in said]
    report = replace(plain.report, summary={**plain.report.summary, "reviews": told})
    corrected = replace(plain, attempt="run-2-0", report=report)
    [note] = compare(plain, corrected).notes
    assert note.startswith("People's corrections differ: 0 are applied before, 1 after.")


def track(name: str, frames: Sequence[int], box: p.Box = (100, 100, 60, 20)) -> list[dict[str, Any]]:
    return [p.region(frame, name, box) for frame in frames]


REGIONS = [*track("a", (2, 3)), *track("b", (12, 13, 14), (300, 100, 90, 40)), *track("c", (16,), (10, 10, 30, 20))]
NIKE = p.verdict("Nike", ["a"])


def brands(comparison: Comparison) -> dict[str, tuple[str, float, float, float]]:
    return {b.brand: (b.change, b.difference_s, b.gained_s, b.lost_s) for b in comparison.brands}


def test_a_report_differs_in_nothing_from_itself() -> None:
    one = side([NIKE], [p.cluster(1, "ACME", REGIONS[2])], regions=REGIONS)
    found = compare(one, one)
    assert brands(found) == {"Nike": ("same", 0.0, 0.0, 0.0)}
    assert found.verdicts == ()
    assert found.tracks.model_dump() == {"both": 3, "changed": 0, "only_before": 0, "only_after": 0}
    assert all(stage.shared for stage in found.stages)
    assert list(set_differently(found)) == []
    assert found.notes == ("Both sides are the same report.",)
    assert found.headline == "No brand gained or lost a second, and no verdict changed."
    assert (found.before.own_s, found.after.own_s) == (0.0, 0.0)


def test_a_brand_that_was_unresolved_is_gained() -> None:
    before = side([NIKE], [p.cluster(1, "ACME", REGIONS[2])], regions=REGIONS)
    after = side([NIKE, p.verdict("Acme", ["b"], text="ACME")], regions=REGIONS, brands=catalog("Nike", "Acme"))
    found = compare(before, after)
    assert brands(found) == {"Acme": ("new", 1.5, 1.5, 0.0), "Nike": ("same", 0.0, 0.0, 0.0)}
    acme = found.brands[0]
    [gained] = acme.gained
    assert (gained.start_s, gained.end_s) == (5.75, 7.25)
    assert gained.place is not None
    assert (gained.place.side, gained.place.x_px, gained.place.w_px) == ("after", 300, 90)
    assert gained.place.frame in (12, 13, 14)
    assert (acme.exposures_before, acme.exposures_after) == (0, 1)
    [change] = found.verdicts
    assert change.text == "ACME"
    assert change.before == Outcome(state="unresolved")
    assert change.after == Outcome(state="resolved", brands=("Acme",), rule="exact", decided_by="match_brands")
    assert (change.confidence_before, change.confidence_after) == (0.0, pytest.approx(0.9))
    assert (change.tracks, change.seconds) == (1, 1.5)
    assert found.catalog.added == ("Acme",)
    assert (found.before.unresolved, found.after.unresolved) == (1, 0)
    assert found.headline == "1 brand gained 1.5 s, 1 track got a different verdict."


def test_parts_of_an_exposure_are_gained_and_lost() -> None:
    """The same seconds at other times are no equality."""
    before = side([p.verdict("Nike", ["a"])], regions=track("a", (2, 3, 4)))
    after = side([p.verdict("Nike", ["a"])], regions=track("a", (3, 4, 5)))
    [nike] = compare(before, after).brands
    assert (nike.change, nike.difference_s, nike.gained_s, nike.lost_s) == ("changed", 0.0, 0.5, 0.5)
    assert [(s.start_s, s.end_s, s.place and s.place.frame) for s in nike.gained] == [(2.25, 2.75, 5)]
    assert [(s.start_s, s.end_s, s.place and s.place.frame) for s in nike.lost] == [(0.75, 1.25, 2)]
    assert nike.shown_before == ((0.75, 2.25),)


def test_the_picture_of_what_was_gained_is_one_on_which_it_can_be_seen() -> None:
    hidden = [p.region(12, "b", seen_on=[13])]
    [nike] = compare(side(regions=hidden), side([p.verdict("Nike", ["b"])], regions=hidden)).brands
    assert [s.place and s.place.frame for s in nike.gained] == [13]


def test_what_is_left_of_a_brand_that_is_gone() -> None:
    found = compare(side([NIKE], regions=REGIONS), side([], regions=REGIONS))
    assert brands(found) == {"Nike": ("gone", -1.0, 0.0, 1.0)}
    assert [s.place and s.place.side for s in found.brands[0].lost] == ["before"]
    [change] = found.verdicts
    assert change.after.state == "not_listed"
    assert found.headline == "1 brand lost 1.0 s, 1 track got a different verdict."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"rule": "fuzzy"}, {}),
        ({"decided_by": "escalate_vlm", "rule": "vlm"}, {"decided_by": "escalate_cloud", "rule": "cloud"}),
        ({}, {"status": "ignored", "brand": "", "brand_id": "", "rule": "excluded"}),
        ({}, {"brand": "Adidas", "brand_id": "adidas"}),
    ],
)
def test_what_makes_another_verdict(before: dict[str, Any], after: dict[str, Any]) -> None:
    sides = [side([{**NIKE, **changes}], regions=REGIONS) for changes in (before, after)]
    [change] = compare(*sides).verdicts
    assert change.before.rule == before.get("rule", "exact")
    assert change.after.state == after.get("status", "resolved")


@pytest.mark.parametrize("changes", [{"confidence": 0.7}, {"text": "NIKE AIR"}, {"verdict_id": "x"}, {"score": 0.5}])
def test_what_makes_no_other_verdict(changes: dict[str, Any]) -> None:
    found = compare(side([NIKE], regions=REGIONS), side([{**NIKE, **changes}], regions=REGIONS))
    assert found.verdicts == ()


def test_a_text_with_two_brands_is_one_outcome() -> None:
    both = [p.verdict("Nike", ["a"]), p.verdict("Adidas", ["a"], rule="alias", confidence=0.95)]
    [change] = compare(side([NIKE], regions=REGIONS), side(both, regions=REGIONS)).verdicts
    assert change.after == Outcome(
        state="resolved", brands=("Adidas", "Nike"), rule="alias, exact", decided_by="match_brands"
    )
    assert change.confidence_after == pytest.approx(0.95)


def test_tracks_with_one_text_and_one_change_are_one_row_and_time_counts_once() -> None:
    """Two marks on the same frames, and a third a shot later."""
    regions = [*track("a", (2, 3)), *track("b", (3, 4), (300, 100, 90, 40)), *track("c", (16,))]
    tracks = ["a", "b", "c"]
    before = side(regions=regions)
    read = zip(tracks, ("NIKE", "N1KE", "NIKE"), strict=True)
    after = side([p.verdict("Nike", [track], text=text) for track, text in read], regions=regions)
    [change] = compare(before, after).verdicts
    assert (change.text, change.tracks, change.seconds) == ("NIKE", 3, 2.0)
    assert change.place.w_px == 90


def test_other_detections_are_counted_and_not_called_changed() -> None:
    before = side([NIKE, p.verdict("Nike", ["c"])], regions=REGIONS)
    after = side([NIKE], regions=track("a", (2, 3)), attempt="run-2-0")
    found = compare(before, after)
    assert found.verdicts == ()
    assert found.tracks.model_dump() == {"both": 1, "changed": 0, "only_before": 2, "only_after": 0}
    assert found.brands[0].lost_s == 0.5
    [note] = found.notes
    assert "2 of 3 tracks were found only before, 0 of 1 only after" in note
    [note] = compare(side([NIKE], regions=track("a", (2, 3))), side(regions=[], attempt="run-2-0")).notes
    assert "1 of 1 track was found only before, 0 of 0 only after" in note


def test_of_two_videos_seconds_alone_are_compared() -> None:
    other = p.request(job_id="other", video_sha256="f" * 64)
    found = compare(
        side([NIKE], regions=REGIONS), side([p.verdict("Nike", ["z"])], regions=track("z", (2, 3, 4)), request=other)
    )
    assert not found.same_video
    assert brands(found) == {"Nike": ("changed", 0.5, 0.5, 0.0)}
    assert found.brands[0].gained == ()
    assert not any(stage.shared for stage in found.stages)  # attempts of one name, of two jobs
    assert found.notes[0].startswith("These are two different videos")
    assert found.headline == "1 brand gained 0.5 s."


def test_what_was_set_differently() -> None:
    was = {stage: facts() for stage in LINE}
    now = was | {
        "job_request": facts(params={"profile": "fixed_camera"}),
        "run_ocr": facts("run-2-0", code_version="2", engines={"reader": "new"}, stage_s=3.5),
        "match_brands": facts("run-2-0", params={"fuzzy_score": 0.8, "extra": True}, stage_s=0.25),
        "escalate_vlm": facts("run-2-0", stats={"questions": 4, "cost_usd": 0.5}),
    }
    listed = Brand("nike", "Nike", aliases=("Swoosh",))
    before = side([NIKE], regions=REGIONS, stages=was, brands=catalog("Nike", "Puma"))
    after = side([NIKE], regions=REGIONS, stages=now, brands=catalog(listed, "Acme"), attempt="run-2-0")
    found = compare(before, after)
    assert list(set_differently(found)) == [
        ("job_request.fuzzy_score", 0.9, None),
        ("job_request.profile", None, "fixed_camera"),
        ("run_ocr.code", "1", "2"),
        ("run_ocr.reader", None, "new"),
        ("match_brands.fuzzy_score", 0.9, 0.8),
        ("match_brands.extra", None, True),
        ("brands in one list only", "Puma", "Acme"),
        ("Nike: aliases", (), ("Swoosh",)),
    ]
    assert {stage.stage for stage in found.stages if not stage.shared} == {"run_ocr", "match_brands", "escalate_vlm"}
    assert (found.before.own_s, found.after.own_s) == (3.0, 4.75)
    assert (found.after.questions, found.after.cost_usd) == (4, 0.5)
    assert (found.before.questions, found.before.cost_usd) == (0, 0.0)


def test_of_long_lists_of_brands_the_first_are_named() -> None:
    names = [f"Brand {i:02d}" for i in range(40)]
    found = compare(side(regions=REGIONS), side(regions=REGIONS, brands=catalog("Nike", *names)))
    [(_, removed, added)] = set_differently(found)
    assert removed == ""
    assert added.startswith("40 brands, such as Brand 00, Brand 01, ")
    assert "Brand 08" not in added
    assert found.catalog.added == tuple(names)


def test_a_checkpoint_that_is_gone_is_said_and_nothing_is_made_up() -> None:
    known = {stage: facts() for stage in LINE if stage != "run_ocr"}
    found = compare(side([NIKE], regions=REGIONS, stages=known), side([NIKE], regions=REGIONS, attempt="run-2-0"))
    gone = next(stage for stage in found.stages if stage.stage == "run_ocr")
    assert (gone.attempt_before, gone.shared, gone.params) == ("", False, ())
    assert found.notes == ("Checkpoints of the report before are gone, with their settings and times: run_ocr.",)


def test_the_document_reads_back() -> None:
    found = compare(side([NIKE], regions=REGIONS), side([p.verdict("Acme", ["b"])], regions=REGIONS))
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_the_document_in_short_stays_under_its_limit_and_says_what_is_missing() -> None:
    names = [f"Brand {i}" for i in range(300)]
    regions = [p.region(i % 20, f"t{i}") for i in range(300)]
    after = side([p.verdict(n, [f"t{i}"]) for i, n in enumerate(names)], regions=regions, brands=catalog(*names))
    found = compare(side(regions=regions), after)
    assert in_short(found, 10**7) == found.model_dump(mode="json")
    kept = []
    for most_bytes in (250_000, 110_000, 60_000, 30_000):
        short = in_short(found, most_bytes)
        assert len(json.dumps(short)) <= most_bytes
        back = Comparison.model_validate(short)
        assert back.left_out
        assert back.after == found.after
        kept.append((len(back.brands), len(back.verdicts)))
        assert back.headline == "300 brands gained 2 min 30 s, 300 tracks got a different verdict."
    assert kept == [(300, 300), (300, 50), (50, 50), (50, 0)]


def test_words_for_people() -> None:
    text = "a|b` <img> [x](http://e)"
    before = side([NIKE], [p.cluster(1, text, REGIONS[2])], regions=REGIONS)
    after = side([NIKE, p.verdict("Acme", ["b"], text=text)], regions=REGIONS, brands=catalog("Nike", "Acme"))
    words = in_words(compare(before, after))
    assert "| Acme | 0.0 s | 1.5 s | +1.5 s | 1.5 s |" in words
    assert r"| a\|b\` \<img\> \[x\](http://e) | unresolved | Acme (exact, match\_brands) | 1 | 1.5 s |" in words
    assert "| brands in one list only |  | Acme |" in words


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(state="unresolved"), "unresolved"),
        (Outcome(state="not_listed"), "not listed"),
        (Outcome(state="ignored", rule="excluded"), "ignored: excluded by the list"),
        (Outcome(state="resolved", brands=("A", "B"), rule="exact", decided_by="x"), "A and B (exact, x)"),
    ],
)
def test_outcomes_in_words(outcome: Outcome, words: str) -> None:
    assert outcome_in_words(outcome) == words


FRAMES = st.sets(st.integers(0, 19), max_size=12)


@holds_for(10, 40, FRAMES, FRAMES, FRAMES)
def test_swapping_the_sides_turns_gains_into_losses(nike: set[int], was: set[int], now: set[int]) -> None:
    """Nike stays, Acme is on other frames on the two sides."""

    def of(acme: set[int]) -> Side:
        regions = [*track("n", sorted(nike)), *track("a", sorted(acme))]
        rows = [p.verdict(b, [t]) for b, t, on in (("Nike", "n", nike), ("Acme", "a", acme)) if on]
        return side(rows, regions=regions)

    there, back = compare(of(was), of(now)), compare(of(now), of(was))
    mirrored = {b.brand: b for b in back.brands}
    assert mirrored.keys() == {b.brand for b in there.brands}
    for brand in there.brands:
        other = mirrored[brand.brand]
        assert (brand.gained_s, brand.lost_s) == (other.lost_s, other.gained_s)
        assert brand.difference_s == -other.difference_s
        assert brand.gained_s - brand.lost_s == pytest.approx(brand.difference_s, abs=1e-5)
        assert brand.change == {"new": "gone", "gone": "new"}.get(other.change, other.change)
