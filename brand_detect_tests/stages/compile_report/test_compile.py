"""compile_report on payloads whose truth is known by construction: 2 samples a second, cells of half a second."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brand_detect.domain.catalog import Brand, BrandKind
from brand_detect.domain.contracts.compile_report import DETECTIONS, CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import TRACK_EDGES, TRACK_EMBEDDINGS, Side
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import BLACK, BLANK
from brand_detect.domain.contracts.verdicts import UNRESOLVED
from brand_detect.domain.reviews import Review, correction_of, review_of
from brand_detect.domain.tables import content_id, table
from brand_detect.domain.timeline import union_seconds
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages.compile_report import unresolved
from brand_detect.stages.compile_report.compile import compile_report
from brand_detect.stages.compile_report.unresolved import locate_unresolved
from brand_detect_tests.support import payloads as p

FULL_HD = 1920 * 1080


def report(
    regions: list[dict[str, Any]],
    verdicts: list[dict[str, Any]],
    *,
    cuts: tuple[float, ...] = (),
    dropped: dict[int, int | str] | None = None,
    unresolved: tuple[dict[str, Any], ...] = (),
    on_overlay: tuple[str, ...] = (),
    brands: tuple[Brand, ...] = (),
    edges: tuple[tuple[str, int, Side, float], ...] = (),
    reviews: tuple[Review, ...] = (),
    frames: ExtractedFrames | None = None,
    **params: Any,
) -> Report:
    """``edges`` are track, frame, side and time of TRACK_EDGES."""
    frames = frames or p.frames(20)
    scenes = p.scenes(frames, cuts, dropped)
    found = [dict(zip(TRACK_EDGES.names, (*edge, 0.04), strict=True)) for edge in edges]
    return compile_report(
        p.request(),
        frames,
        scenes,
        replace(p.detected(regions, scenes, on_overlay), edges=table(TRACK_EDGES, found)),
        p.verdicts(verdicts, unresolved),
        CompileReportParams(**params),
        scale=load_quality("default"),
        statistics={"profile": "default"},
        brands={brand.brand_id: brand for brand in brands},
        reviews=reviews,
    )


def spans(made: Report) -> list[tuple[float, float]]:
    return [(row["start_s"], row["end_s"]) for row in made.exposures.to_pylist()]


def track(name: str, frames: list[int], *args: Any, **changes: Any) -> list[dict[str, Any]]:
    return [p.region(frame, name, *args, **changes) for frame in frames]


def test_presence_reaches_half_a_sample_to_both_sides() -> None:
    made = report(track("a", [4, 5, 6]), [p.verdict("Nike", ["a"])])
    assert spans(made) == [(1.75, 3.25)]
    assert made.brands["seconds"].to_pylist() == [1.5]
    assert made.brands["screen_share"].to_pylist() == pytest.approx([0.15])
    assert made.detections["frame"].to_pylist() == [4, 5, 6]
    assert made.detections["start_s"].to_pylist() == [1.75, 2.25, 2.75]


def test_an_exposure_begins_and_ends_at_the_edges_of_its_tracks() -> None:
    """The first of the brand's boards to appear counts, and the last to disappear."""
    regions = track("a", [4, 5, 6]) + track("b", [4, 5, 6], (900, 500, 200, 50))
    found = (("a", 4, Side.start, 1.6), ("b", 4, Side.start, 1.9), ("a", 6, Side.end, 3.1), ("b", 6, Side.end, 3.4))
    both = [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"], verdict_id="other")]
    made = report(regions, both, edges=found)
    assert spans(made) == [(1.6, 3.4)]
    assert made.placements["seconds"].to_pylist() == pytest.approx([1.8])
    [brand] = made.brands.to_pylist()
    assert brand["seconds"] == pytest.approx(1.8)
    assert (brand["low_s"], brand["high_s"]) == (1.0, 2.0), "what the sampled frames prove"
    assert spans(report(regions, both, edges=found[1:2])) == [(1.75, 3.25)], "the other's is that of its cell"
    assert spans(report(regions, both, edges=found[:1])) == [(1.6, 3.25)]


def test_the_upper_bound_covers_an_edge_that_lies_further_out() -> None:
    """As in an interval that is longer than the others."""
    regions, verdicts = track("a", [4, 5, 6]), [p.verdict("Nike", ["a"])]
    [brand] = report(regions, verdicts, edges=(("a", 4, Side.start, 1.0),)).brands.to_pylist()
    assert brand["seconds"] == pytest.approx(2.25)  # 1.0 to 3.25
    assert (brand["low_s"], brand["high_s"]) == (1.0, 2.5), "the end may be as late as 3.5"


def test_the_bounds_reach_to_the_sampled_frames_however_far_apart_they_are() -> None:
    """As where a picture is held, or a part of the video is lost: from 1.5 s on nothing was seen until 4.5 s."""
    even = p.frames(6)
    at = even.frames.schema.get_field_index("t_s")
    times = pa.array([0.0, 0.5, 1.0, 1.5, 4.5, 5.0])
    frames = replace(even, frames=even.frames.set_column(at, even.frames.field("t_s"), times), end_s=5.5)
    [brand] = report(track("a", [1, 2, 3]), [p.verdict("Nike", ["a"])], frames=frames).brands.to_pylist()
    assert (brand["low_s"], brand["seconds"], brand["high_s"]) == (1.0, 2.75, 4.5)
    [brand] = report(track("a", [4]), [p.verdict("Nike", ["a"])], frames=frames).brands.to_pylist()
    assert (brand["low_s"], brand["seconds"], brand["high_s"]) == (0.0, 1.75, 3.5)


def test_edges_inside_an_exposure_and_at_cuts_change_nothing() -> None:
    regions = track("a", [4, 5]) + track("b", [6, 7], (900, 500, 200, 50))
    found = (("a", 5, Side.end, 2.6), ("b", 6, Side.start, 2.9), ("a", 4, Side.start, 1.9), ("b", 7, Side.end, 3.6))
    both = [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"], verdict_id="other")]
    assert spans(report(regions, both, edges=found)) == [(1.9, 3.6)], "one board goes, the other comes"
    assert spans(report(regions, both, edges=found, cuts=(1.8, 3.9))) == [(1.8, 3.9)]


def test_time_alone_on_screen_is_counted_between_samples_too() -> None:
    """Nike's board and Puma's share a sample, and are on screen together for 0.3 s of the 0.9 s of each."""
    regions = track("a", [4]) + track("b", [4], (900, 500, 200, 50))
    found = (
        *(("a", 4, Side.start, 1.5), ("a", 4, Side.end, 2.4)),
        *(("b", 4, Side.start, 2.1), ("b", 4, Side.end, 3.0)),
    )
    made = report(regions, [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])], edges=found)
    assert [e["exclusive_s"] for e in made.exposures.to_pylist()] == pytest.approx([0.6, 0.6])


def test_time_on_overlays_ends_with_their_edges() -> None:
    found = (("a", 4, Side.start, 1.96), ("a", 4, Side.end, 2.04))
    made = report(track("a", [4]), [p.verdict("Nike", ["a"])], edges=found, on_overlay=("a",))
    assert made.brands["overlay_s"].to_pylist() == pytest.approx([0.08])


def test_exposures_too_short_to_count_count_for_no_time_on_overlays() -> None:
    """Frame 9 shows again what frame 3 shows."""
    bug = track("bug", [0, 1, 2, 3])
    made = report(bug, [p.verdict("Nike", ["bug"])], on_overlay=("bug",), dropped={9: 3}, min_exposure_s=1.0)
    assert made.brands["seconds"].to_pylist() == made.brands["overlay_s"].to_pylist() == [1.75]


def test_a_brand_too_short_to_be_reported_is_no_company() -> None:
    regions, verdicts = track("a", [4, 5, 6]), [p.verdict("Nike", ["a"])]
    alone = report(regions, verdicts, min_exposure_s=1.0)
    glimpse = track("b", [5], (900, 500, 200, 50))
    made = report([*regions, *glimpse], [*verdicts, p.verdict("Puma", ["b"])], min_exposure_s=1.0)
    for name in ("brands", "exposures", "detections"):
        assert getattr(made, name).equals(getattr(alone, name)), name


def test_figures_weigh_the_time_that_edges_leave() -> None:
    """A board of 1 % for 0.6 s, then one of 4 % for 0.9 s."""
    regions = track("a", [4], (100, 100, 192, 108)) + track("b", [5], (100, 100, 384, 216))
    rows = [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"], verdict_id="other")]
    found = (("a", 4, Side.start, 1.65), ("b", 5, Side.end, 3.15))
    [exposure] = report(regions, rows, edges=found).exposures.to_pylist()
    assert exposure["area_frac_mean"] == pytest.approx((0.6 * 0.01 + 0.9 * 0.04) / 1.5)


def test_several_brands_never_exceed_the_price_of_an_instant_between_samples_either() -> None:
    """Each fills the picture, one until 2.4 s by its edge, and one from 2.1 s: together from 1.75 to 2.75 s."""
    whole = (0, 0, 1920, 1080)
    regions = track("a", [4], whole) + track("b", [5], whole)
    found = (("a", 4, Side.end, 2.4), ("b", 5, Side.start, 2.1))
    made = report(
        regions, [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])], edges=found, media_rate=3000.0, bridge_s=0
    )
    nike, puma = (
        made.exposures.filter(made.exposures["brand"].to_numpy() == n).to_pylist()[0] for n in ("Nike", "Puma")
    )
    assert (nike["end_s"], puma["start_s"]) == (2.4, 2.1)
    factors = [scale_free(e) for e in (nike, puma)]
    alone = [e["quality"] for e in (nike, puma)]
    assert sum(factors) <= 1.0 + 1e-6
    assert all(f < q * e["seconds"] for f, q, e in zip(factors, alone, (nike, puma), strict=True))


def scale_free(exposure: dict[str, Any]) -> float:
    """Full-screen seconds that an exposure is worth."""
    return exposure["media_factor"] * exposure["seconds"]


def test_figures_to_compare_attempts_by() -> None:
    regions = track("a", [4, 5, 6]) + track("b", [6, 7], (900, 500, 200, 50))
    made = report(regions, [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])])
    assert made.stats["brand_seconds"] == pytest.approx(2.5)
    assert made.stats["any_brand_s"] == pytest.approx(2.0)
    weighted = sum(e["quality"] * e["seconds"] for e in made.exposures.to_pylist())
    assert made.stats["quality_mean"] == pytest.approx(weighted / 2.5, abs=1e-4)
    assert report([], []).stats["quality_mean"] == 0


def test_low_and_high_seconds_stand_around_the_likely_ones() -> None:
    regions = track("a", [4, 5, 6, 7]) + track("b", [8], (900, 500, 200, 50)) + track("x", [12], (300, 300, 90, 40))
    rows = [p.verdict("Nike", ["a"], confidence=0.95), p.verdict("Nike", ["b"], confidence=0.7)]
    alike = p.cluster(1, "NIK", regions[-1], candidates=["Nike"])
    [nike] = report(regions, rows, unresolved=(alike,)).brands.to_pylist()
    assert nike["seconds"] == pytest.approx(2.5)  # 1.75 to 4.25
    assert nike["low_s"] == pytest.approx(2.0 - 2 * 0.25)  # what is sure, both edges inwards
    assert nike["high_s"] == pytest.approx(2.5 + 0.5 + 4 * 0.25)  # and the unresolved cluster, all edges outwards
    [at_cut] = report(track("a", [4, 5]), [p.verdict("Nike", ["a"])], cuts=(1.9, 2.8)).brands.to_pylist()
    assert at_cut["low_s"] == pytest.approx(at_cut["seconds"]) == pytest.approx(at_cut["high_s"])


def test_what_a_person_has_confirmed_is_unsure_only_at_its_edges() -> None:
    """Frame 6 was lost and is bridged; an unresolved cluster resembles the brand."""
    regions = track("a", [4, 5, 7]) + track("x", [12], (300, 300, 90, 40))
    rows = [p.verdict("Nike", ["a"], confidence=0.7)]
    alike = p.cluster(1, "NIK", regions[-1], candidates=["Nike"])
    right = {"action": "accept", "user": "ana", "brand_id": "nike"}
    [nike] = report(regions, rows, unresolved=(alike,), reviews=(review_of(correction_of(right)),)).brands.to_pylist()
    assert nike["seconds"] == pytest.approx(2.0)  # 1.75 to 3.75
    assert nike["low_s"] == pytest.approx(2.0 - 2 * 0.25)
    assert nike["high_s"] == pytest.approx(2.0 + 2 * 0.25)
    first = review_of(correction_of({**right, "start_s": 1.75, "end_s": 2.75}))
    [half] = report(regions, rows, unresolved=(alike,), reviews=(first,)).brands.to_pylist()
    assert half["low_s"] == pytest.approx(1.0 - 2 * 0.25)
    assert half["high_s"] == pytest.approx(2.0 + 0.5 + 4 * 0.25), "the rest of it is nobody's word"


def test_nothing_is_certain_between_two_frames_of_which_the_one_between_is_rejected() -> None:
    """It is bridged, so the exposure's seconds count it."""
    regions = track("a", [4]) + track("b", [5], (500, 300, 90, 40)) + track("c", [6])
    rows = [p.verdict("Nike", [name], confidence=0.7) for name in "abc"]
    [_, between, _] = report(regions, rows).detections.to_pylist()
    box = [between[c] / side for c, side in zip(("x_px", "y_px", "w_px", "h_px"), 2 * [1920, 1080], strict=True)]
    of_nike = {"user": "ana", "brand_id": "nike"}
    said = ({"action": "reject", **of_nike, "t_s": 2.5, "box": box}, {"action": "accept", **of_nike})
    made = report(regions, rows, reviews=tuple(review_of(correction_of(one)) for one in said))
    assert made.rejected["frame"].to_pylist() == [5]
    [nike] = made.brands.to_pylist()
    assert (nike["seconds"], nike["low_s"]) == pytest.approx((1.5, 0.0))


def test_exclusive_seconds_are_those_without_another_brand() -> None:
    regions = track("a", [4, 5, 6, 7]) + track("b", [6, 7, 8], (900, 500, 200, 50))
    made = report(regions, [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])])
    assert {b["brand"]: b["exclusive_s"] for b in made.brands.to_pylist()} == pytest.approx({"Nike": 1.0, "Puma": 0.5})
    assert [d["n_brands"] for d in made.detections.to_pylist()] == [1, 1, 2, 2, 2, 2, 1]


def values(made: Report) -> dict[str, float]:
    return dict(zip(*(made.brands[c].to_pylist() for c in ("brand", "media_value")), strict=True))


def test_media_value_is_rate_by_seconds_by_size_and_quality_and_off_by_default() -> None:
    regions, rows = track("a", [4, 5, 7], (0, 0, 192, 108)), [p.verdict("Nike", ["a"])]
    assert report(regions, rows).brands["media_value"].to_pylist() == [None]
    made = report(regions, rows, media_rate=3000.0, media_currency="EUR")
    [nike] = made.brands.to_pylist()
    assert nike["seconds"] == 2.0
    shown_s = 1.5  # the bridged gap earns nothing
    assert nike["media_value"] == pytest.approx(3000 / 30 * shown_s * 0.01**0.4 * nike["quality"], rel=1e-5)
    [exposure] = made.exposures.to_pylist()
    assert nike["media_value"] == pytest.approx(3000 / 30 * exposure["seconds"] * exposure["media_factor"])
    told = made.summary["media_value"]
    assert (told["currency"], told["rate_per_30_s"]) == ("EUR", 3000.0)
    assert "to the power 0.4" in told["assumption"]
    assert "0.05 % counts as 0.05, 1 % counts as 0.16, 10 % counts as 0.40" in told["assumption"]


def test_a_mark_of_a_two_thousandth_of_the_picture_earns_a_twentieth_at_most() -> None:
    for box in ((936, 529, 48, 21.6), (900, 538, 120, 8.64)):
        made = report(track("a", list(range(20)), box), [p.verdict("Nike", ["a"])], media_rate=3000.0)
        assert made.exposures["area_frac_mean"].to_pylist() == pytest.approx([0.0005], rel=1e-3)
        assert 0.0 < values(made)["Nike"] <= 0.05 * 3000 / 30 * 10.0


def test_brands_that_fill_the_picture_at_once_share_one_price() -> None:
    names = ("Nike", "Puma", "Itaú")
    regions = [r for n in names for r in track(n, [4, 5, 6, 7], (0, 0, 1920, 1080))]
    regions += track("alone", [12, 13], (0, 0, 192, 108))
    rows = [*(p.verdict(n, [n]) for n in names), p.verdict("Rolex", ["alone"])]
    made = values(report(regions, rows, media_rate=3000.0))
    assert [made[n] for n in names] == pytest.approx([3000 / 30 * 2.0 / 3] * 3, rel=1e-5)
    by_itself = report(regions[-2:], rows[-1:], media_rate=3000.0)
    assert made["Rolex"] == pytest.approx(values(by_itself)["Rolex"])  # the others' crowd is at another time


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 6), st.integers(100, 1920), st.integers(100, 1080)),
        min_size=1,
        max_size=10,
    )
)
def test_all_brands_together_never_come_to_more_than_the_price_of_the_time(rows: list[tuple[int, ...]]) -> None:
    regions = [r for i, (at, n, w, h) in enumerate(rows) for r in track(f"t{i}", list(range(at, at + n)), (0, 0, w, h))]
    verdicts = [p.verdict(f"Brand {i}", [f"t{i}"]) for i in range(len(rows))]
    made = report(regions, verdicts, media_rate=3000.0)
    assert 0.0 < sum(values(made).values()) <= 3000 / 30 * union_seconds(spans(made)) * (1 + 1e-9)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 119), st.integers(1, 119), st.integers(1, 8), st.integers(1, 8))
def test_media_value_grows_with_size_and_with_time(side: int, other: int, n: int, more: int) -> None:
    def value(k: int, frames: int) -> float:
        box = (960 - 8 * k, 540 - 4.5 * k, 16 * k, 9 * k)
        regions = track("a", list(range(2, 2 + frames)), box) + track("b", list(range(20)), (0, 0, 1600, 900))
        rows = [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])]
        return values(report(regions, rows, media_rate=3000.0))["Nike"]

    low, high = sorted((side, other))
    assert value(low, n) <= value(high, n) * (1 + 1e-9)
    assert value(low, n) < value(low, n + more)


def test_the_evidence_tells_who_decided_and_what_it_cost() -> None:
    mark = p.region(4, "x")
    said = p.answer("c1", answer="Nike", brand_id="nike", placement="clothing", reasoning="a swoosh", cost_usd=0.01)
    decided = p.verdict(
        "Nike", ["x"], verdict_id=content_id("c1", "nike", "escalate_cloud"), decided_by="escalate_cloud"
    )
    frames = p.frames(20)
    scenes = p.scenes(frames)
    made = compile_report(
        p.request(),
        frames,
        scenes,
        p.detected([mark, p.region(4, "a", (900, 500, 200, 50))], scenes),
        p.verdicts([decided, p.verdict("Puma", ["a"])], answers=[said]),
        CompileReportParams.model_validate({}),
        scale=load_quality("default"),
        statistics={},
        brands={},
    )
    about = {row["brand"]: row for row in made.evidence.to_pylist()}
    assert about["Nike"]["model"] == "llava"
    assert (about["Nike"]["reasoning"], about["Nike"]["cost_usd"]) == ("a swoosh", 0.01)
    assert (about["Puma"]["model"], about["Puma"]["cost_usd"]) == ("", 0.0)
    assert {e["brand"]: e["placement"] for e in made.exposures.to_pylist()} == {
        "Nike": "clothing",
        "Puma": "unknown",
    }
    assert {e["verdict_id"] for e in made.exposures.to_pylist()} == {row["verdict_id"] for row in about.values()}


def test_the_evidence_is_a_frame_that_shows_the_brand() -> None:
    hidden = track("a", [4], seen_on=[6, 7])  # found on duplicates of frame 4, on which somebody stands before it
    unknown = p.region(8, "x", seen_on=[9])
    made = report(
        [*hidden, unknown],
        [p.verdict("Nike", ["a"])],
        dropped={5: 4, 6: 4, 7: 4, 9: 8},
        unresolved=(p.cluster(1, "ACME", unknown),),
    )
    assert made.exposures["frame"].to_pylist() == [6]
    assert made.detections["frame"].to_pylist() == [4]
    assert made.detections.schema.equals(DETECTIONS)
    assert made.unresolved.select(["frame", "t_s"]).to_pylist() == [{"frame": 9, "t_s": 4.5}]


def test_seconds_on_overlay_are_told_and_can_be_left_out() -> None:
    regions = track("bug", [0, 1, 2, 3]) + track("board", [2, 3, 4, 5], (900, 500, 200, 50)) + track("clock", [8])
    verdicts = [p.verdict("Nike", ["bug"]), p.verdict("Nike", ["board"]), p.verdict("Rolex", ["clock"])]
    made = report(regions, verdicts, on_overlay=("bug", "clock"))
    assert spans(made) == [(0.0, 2.75), (3.75, 4.25)]
    assert made.brands.select(["brand", "overlay_s"]).to_pylist() == [
        {"brand": "Nike", "overlay_s": 1.75},  # the bug's; the board is there for longer
        {"brand": "Rolex", "overlay_s": 0.5},
    ]
    same = report(regions, verdicts, on_overlay=("bug", "clock"), dropped={1: 0})
    assert same.brands["overlay_s"].to_pylist() == [1.75, 0.5]  # a duplicate is on screen as well
    without = report(regions, verdicts, on_overlay=("bug", "clock"), overlays="exclude")
    assert without.brands["brand"].to_pylist() == ["Nike"]
    assert spans(without) == [(0.75, 2.75)]
    assert without.brands["overlay_s"].to_pylist() == [0.0]
    assert any("left out" in note for note in without.notes)
    assert not any("left out" in note for note in made.notes)


LISTED = (
    Brand("nike", "Nike", categories=("sportswear",), country="US"),
    Brand("puma", "Puma", kind=BrandKind.club),
    Brand("rolex", "Rolex", kind=BrandKind.event),
)


def test_a_brand_has_what_the_catalogue_says_of_it() -> None:
    regions = track("a", [4, 5]) + track("b", [4, 5], (900, 500, 200, 50)) + track("c", [8])
    verdicts = [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"]), p.verdict("Acme", ["c"], brand_id="")]
    made = report(regions, verdicts, brands=LISTED).brands.select(["brand", "kind", "country", "categories"])
    assert {row.pop("brand"): row for row in made.to_pylist()} == {
        "Nike": {"kind": "brand", "country": "US", "categories": ["sportswear"]},
        "Puma": {"kind": "club", "country": "", "categories": []},
        "Acme": {"kind": "brand", "country": "", "categories": []},  # not in the catalogue
    }


def test_kinds_that_are_left_out_count_nowhere_and_the_report_names_them() -> None:
    regions = track("a", [4, 5]) + track("b", [4, 5], (900, 500, 200, 50)) + track("c", [8])
    verdicts = [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"]), p.verdict("Rolex", ["c"])]
    made = report(regions, verdicts, brands=LISTED)
    assert {b["brand"]: b["share_of_voice"] for b in made.brands.to_pylist()} == pytest.approx(
        {"Nike": 0.4, "Puma": 0.4, "Rolex": 0.2}
    )
    assert made.notes == ()
    left = report(regions, verdicts, brands=LISTED, exclude_kinds=["club", "league"])
    assert {b["brand"]: b["share_of_voice"] for b in left.brands.to_pylist()} == pytest.approx(
        {"Nike": 2 / 3, "Rolex": 1 / 3}
    )
    assert left.brands["exclusive_s"].to_pylist() == left.brands["seconds"].to_pylist()
    for rows in (left.exposures, left.detections, left.evidence):
        assert set(rows["brand"].to_pylist()) == {"Nike", "Rolex"}
    assert left.notes == ("Names of these kinds are left out (exclude_kinds): club, league. On screen: Puma (club).",)
    without_brands = report(
        regions, [*verdicts[1:], p.verdict("Acme", ["a"], brand_id="")], brands=LISTED, exclude_kinds=["brand"]
    )
    assert without_brands.brands["brand"].to_pylist() == ["Puma", "Rolex"], "a name that is not listed is a brand"
    none = report(regions, verdicts, brands=LISTED, exclude_kinds=["venue"])
    assert none.brands.equals(made.brands)
    assert none.notes == ("Names of these kinds are left out (exclude_kinds): venue. On screen: none was found.",)


def test_brands_that_the_catalogue_excludes_count_nowhere_and_the_report_names_them() -> None:
    regions = track("a", [4, 5]) + track("b", [4, 5], (900, 500, 200, 50)) + track("c", [8])
    verdicts = [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"]), p.verdict("Acme", ["c"], brand_id="")]
    listed = (Brand("nike", "Nike"), Brand("puma", "Puma", excluded=True), Brand("rolex", "Rolex", excluded=True))
    made = report(regions, verdicts, brands=listed)
    assert {b["brand"]: b["share_of_voice"] for b in made.brands.to_pylist()} == pytest.approx(
        {"Nike": 2 / 3, "Acme": 1 / 3}
    )
    assert made.brands["exclusive_s"].to_pylist() == made.brands["seconds"].to_pylist()
    for rows in (made.exposures, made.detections, made.evidence):
        assert set(rows["brand"].to_pylist()) == {"Nike", "Acme"}
    assert made.unresolved.num_rows == 0
    assert made.notes == ("Brands that the catalogue excludes are left out. On screen: Puma.",)
    assert made.summary["excluded_brands"] == {"puma": "Puma"}
    assert "excluded_brands" not in report(regions, verdicts[:1], brands=listed).summary


def test_a_dropped_duplicate_is_still_on_screen() -> None:
    made = report(track("a", [4]), [p.verdict("Nike", ["a"])], dropped={5: 4, 6: 4, 7: 4})
    assert spans(made) == [(1.75, 3.75)]
    assert made.exposures["n_detections"].to_pylist() == [1]


@pytest.mark.parametrize("dark", [BLACK, BLANK])
def test_black_and_blank_frames_carry_no_exposure_and_are_not_bridged(dark: str) -> None:
    made = report(track("a", [4, 6]), [p.verdict("Nike", ["a"])], dropped={5: dark})
    assert spans(made) == [(1.75, 2.25), (2.75, 3.25)]


def test_gaps_up_to_bridge_s_are_bridged_inside_a_shot() -> None:
    regions = track("a", [2, 4, 7])  # 0.5 s and 1 s without it
    assert spans(report(regions, [p.verdict("Nike", ["a"])], bridge_s=1.0)) == [(0.75, 3.75)]
    assert spans(report(regions, [p.verdict("Nike", ["a"])], bridge_s=0.5)) == [(0.75, 2.25), (3.25, 3.75)]
    assert len(spans(report(regions, [p.verdict("Nike", ["a"])], bridge_s=0.0))) == 3


def test_no_gap_is_bridged_over_a_cut() -> None:
    regions = track("a", [3]) + track("b", [5])
    made = report(regions, [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"])], cuts=(1.9,), bridge_s=5.0)
    assert spans(made) == [(1.25, 1.9), (2.25, 2.75)]


def test_edges_lie_on_the_cut_and_presence_on_both_sides_is_one_exposure() -> None:
    regions = track("a", [2, 3]) + track("b", [4])
    alone = report(regions, [p.verdict("Nike", ["a"])], cuts=(1.9,))
    assert spans(alone) == [(0.75, 1.9)]
    both = report(regions, [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"])], cuts=(1.9,))
    assert spans(both) == [(0.75, 2.25)]


def test_a_brand_counts_once_per_instant() -> None:
    regions = track("a", [4, 5]) + track("b", [4, 5], (1000, 800, 200, 50)) + track("c", [5, 6])
    made = report(regions, [p.verdict("Nike", ["a", "b"]), p.verdict("Nike", ["c"])])
    assert spans(made) == [(1.75, 3.25)]
    assert made.exposures["n_detections"].to_pylist() == [6]


def test_the_box_is_cut_to_the_span_of_the_text() -> None:
    quad = [100, 100, 500, 140, 500, 190, 100, 150]  # leans: 400 px along, 40 px down
    made = report(
        track("a", [4], (100, 100, 400, 90), quad=quad), [p.verdict("Nike", ["a"], span_start=0.25, span_end=0.75)]
    )
    [found] = made.detections.to_pylist()
    assert [found[c] for c in ("x_px", "y_px", "w_px", "h_px")] == [200, 110, 200, 70]
    assert found["area_frac"] == pytest.approx(200 * 50 / FULL_HD)


@pytest.mark.parametrize("rule", ["joined", "lexicon"])
def test_joined_tracks_are_one_detection_within_their_span(rule: str) -> None:
    regions = track("a", [4, 5], (100, 100, 150, 50)) + track("b", [4], (260, 100, 150, 50))
    whole = report(regions, [p.verdict("BNP Paribas", ["a", "b"], rule=rule)])
    boxes = [[row[c] for c in ("x_px", "w_px")] for row in whole.detections.to_pylist()]
    assert boxes == [[100, 310], [100, 150]]
    assert whole.detections["area_frac"].to_pylist() == pytest.approx([15000 / FULL_HD, 7500 / FULL_HD])
    # "BNP PARIBAS OPEN": the span ends in the middle of the second region; where that one is missing, nothing is cut
    part = report(regions, [p.verdict("BNP Paribas", ["a", "b"], rule=rule, span_end=0.75)])
    assert [[row[c] for c in ("x_px", "w_px")] for row in part.detections.to_pylist()] == [[100, 235], [100, 150]]
    # a region outside the span is no part of the brand
    first = report(regions, [p.verdict("BNP Paribas", ["a", "b"], rule=rule, span_end=0.5)])
    assert [[row[c] for c in ("x_px", "w_px")] for row in first.detections.to_pylist()] == [[100, 150], [100, 150]]


def test_overlapping_boxes_cover_their_common_area_once() -> None:
    regions = track("a", [4], (100, 100, 200, 100)) + track("b", [4], (200, 100, 200, 100))
    made = report(regions, [p.verdict("Nike", ["a", "b"])])
    assert made.exposures["area_frac_mean"].to_pylist() == pytest.approx([300 * 100 / FULL_HD])


def test_area_is_weighted_by_time_and_leaves_bridged_gaps_out() -> None:
    regions = track("a", [4], (0, 0, 100, 100)) + track("a", [8], (0, 0, 400, 100))
    made = report(regions, [p.verdict("Nike", ["a"])], dropped={5: 4, 6: 4}, bridge_s=1.0)
    [exposure] = made.exposures.to_pylist()
    assert exposure["seconds"] == 2.5
    assert exposure["area_frac_mean"] == pytest.approx((1.5 * 10000 + 0.5 * 40000) / 2.0 / FULL_HD)
    assert exposure["area_frac_max"] == pytest.approx(40000 / FULL_HD)
    assert exposure["frame"] == 8  # the larger box is the better evidence
    # a cut at 1.6 s makes cells of 0.35 and 0.65 s
    regions = track("a", [3], (0, 0, 100, 100)) + track("b", [4], (0, 0, 400, 100))
    [exposure] = report(regions, [p.verdict("Nike", ["a", "b"])], cuts=(1.6,)).exposures.to_pylist()
    assert exposure["area_frac_mean"] == pytest.approx((0.35 * 10000 + 0.65 * 40000) / FULL_HD)


@pytest.mark.parametrize(
    ("centre", "zone"),
    [((0.1, 0.1), "top-left"), ((0.5, 0.5), "centre"), ((0.9, 0.1), "top-right"), ((0.5, 0.9), "bottom")],
)
def test_zone_is_one_of_nine_fields(centre: tuple[float, float], zone: str) -> None:
    box = (centre[0] * 1920 - 50, centre[1] * 1080 - 20, 100, 40)
    [exposure] = report(track("a", [4], box), [p.verdict("Nike", ["a"])]).exposures.to_pylist()
    assert exposure["zone"] == zone
    assert (exposure["cx"], exposure["cy"]) == pytest.approx(centre)


def test_what_the_params_leave_out_is_in_no_table() -> None:
    regions = track("a", [4]) + track("b", [8, 9, 10])
    verdicts = [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"], confidence=0.4)]
    long_only = report(regions, verdicts, min_exposure_s=1.0)
    assert long_only.brands["brand"].to_pylist() == ["Puma"]
    assert set(long_only.detections["brand"].to_pylist()) == {"Puma"}
    sure_only = report(regions, verdicts, min_confidence=0.5)
    assert sure_only.brands["brand"].to_pylist() == ["Nike"]


def test_ignored_verdicts_are_no_brands() -> None:
    made = report(track("a", [4]), [p.verdict("", ["a"], status="ignored", rule="excluded")])
    assert made.counts() == {
        "brands": 0,
        "exposures": 0,
        "detections": 0,
        "unresolved": 0,
        "evidence": 0,
        "rejected": 0,
        "placements": 0,
        "assets": 0,
    }
    assert made.summary["tracks_ignored_by"] == {"match_brands": 1}


def test_a_brand_outside_the_catalogue_goes_by_its_name() -> None:
    made = report(track("a", [4]), [p.verdict("Zentra", ["a"], brand_id="", rule="vlm", decided_by="escalate_vlm")])
    assert made.brands["brand_id"].to_pylist() == ["Zentra"]
    assert made.summary["tracks_resolved_by"] == {"escalate_vlm": 1}


def test_brands_are_ordered_by_time_and_shares_follow() -> None:
    regions = track("a", [1]) + track("b", [5, 6, 7])
    made = report(regions, [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])])
    assert made.brands["brand"].to_pylist() == ["Puma", "Nike"]
    assert made.brands["share_of_voice"].to_pylist() == pytest.approx([0.75, 0.25])


def test_open_marks_know_where_their_best_crop_is() -> None:
    seen = p.region(6, "x", (10, 20, 30, 40))
    marks = (p.cluster(2, "GONE", p.region(7, "y")), p.cluster(1, "KAPRUN", seen))
    made = report([seen], [], unresolved=marks)
    first, second = made.unresolved.to_pylist()
    assert (first["text"], first["frame"], first["t_s"], first["w_px"]) == ("KAPRUN", 6, 3.0, 30.0)
    assert (second["text"], second["frame"], second["t_s"]) == ("GONE", None, None)
    assert first["track_ids"] == ["x"]


def test_open_marks_know_the_others_that_look_like_them() -> None:
    seen = [p.region(6, name, (10, 20, 30, 40)) for name in ("a", "b", "c", "d")]
    names = ("", "", "", "KAPRUN")
    marks = [p.cluster(n, text, region) for n, (text, region) in enumerate(zip(names, seen, strict=True), 1)]
    looks = ([1, 0], [0.95, 0.31], [0, 1], [1, 0])
    views = [
        {"track_id": r["track_id"], "region_id": r["region_id"], "frame": 6, "embedding": np.array(look, np.float16)}
        for r, look in zip(seen, looks, strict=True)
    ]
    frames = p.frames(20)
    detected = replace(p.detected(seen, p.scenes(frames)), embeddings=table(TRACK_EMBEDDINGS, views))
    made = locate_unresolved(table(UNRESOLVED, marks), detected, frames.frames)
    assert made["alike"].to_pylist() == [["cluster-2"], ["cluster-1"], [], []]


def test_clusters_are_alike_if_any_two_of_their_tracks_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unresolved, "AT_ONCE", 2)
    owners = {"a": 1, "b": 1, "text": 2, "c": 3, "d": 3, "e": 4}
    looks = {"a": [1, 0, 0], "b": [0, 1, 0], "text": [0, 1, 0], "c": [0, 0, 1], "d": [0, 0.95, 0.3], "e": [-1, 0, 0]}
    seen = {name: p.region(6, name, (10, 20, 30, 40)) for name in owners}
    firsts = {1: "a", 2: "text", 3: "c", 4: "e"}
    marks = [
        p.cluster(n, "KAPRUN" if name == "text" else "", seen[name])
        | {"track_ids": [track for track, owner in owners.items() if owner == n]}
        for n, name in firsts.items()
    ]
    views = [
        {"track_id": name, "region_id": seen[name]["region_id"], "frame": 6, "embedding": np.array(look, np.float16)}
        for name, look in looks.items()
    ]
    frames = p.frames(20)
    detected = replace(p.detected([*seen.values()], p.scenes(frames)), embeddings=table(TRACK_EMBEDDINGS, views))
    made = locate_unresolved(table(UNRESOLVED, marks), detected, frames.frames)
    assert made["alike"].to_pylist() == [["cluster-3"], [], ["cluster-1"], []]


def test_open_texts_know_the_pieces_of_the_same_text() -> None:
    names = ("KRONE TY", "RONE TYRE", "Krone Tyres", "KRONE", "THRONE", "TYR", "CROWN TYRES OF OHIO", "")
    seen = [p.region(6, f"t{n}", (10, 20, 30, 40)) for n in range(len(names))]
    marks = [p.cluster(n, text, region) for n, (text, region) in enumerate(zip(names, seen, strict=True))]
    frames = p.frames(20)
    made = locate_unresolved(table(UNRESOLVED, marks), p.detected(seen, p.scenes(frames)), frames.frames)
    numbers = [{int(i.removeprefix("cluster-")) for i in alike} for alike in made["alike"].to_pylist()]
    assert numbers == [{1, 2, 3}, {0, 2}, {0, 1}, {0}, set(), set(), set(), set()]


def test_the_summary_counts_and_states_the_sampling_error() -> None:
    made = report(track("a", [4, 5]), [p.verdict("Nike", ["a"])], cuts=(5.1,), dropped={6: 5, 9: BLACK})
    assert made.summary["counts"] | {"regions": 2, "tracks": 1, "detections": 2, "shots": 2} == made.summary["counts"]
    assert made.summary["counts"]["keyframes"] == 18
    assert made.summary["sampling"]["edge_error_s"] == 0.25
    assert "±0.25 s" in made.summary["sampling"]["statement"]
    assert made.summary["shots_s"] == [[0.0, 5.1], [5.1, 10.0]]
    assert made.summary["run"] == {"profile": "default", "cost_usd": 0.0}


def test_nothing_at_all_is_an_empty_report() -> None:
    frames = p.frames(0)
    scenes = p.scenes(frames)
    params = CompileReportParams.model_validate({})
    made = compile_report(
        p.request(),
        frames,
        scenes,
        p.detected([], scenes),
        p.verdicts([]),
        params,
        scale=load_quality("default"),
        statistics={},
        brands={},
    )
    assert set(made.counts().values()) == {0}


BRANDS = ("Nike", "Puma", "Itaú")
region_rows = st.lists(
    st.tuples(
        st.integers(0, 19),
        st.integers(0, 5),
        st.integers(0, 1900),
        st.integers(0, 1000),
        st.integers(1, 900),
        st.integers(1, 400),
    ),
    max_size=40,
    unique_by=lambda r: (r[0], r[1]),
)
fates = st.lists(st.sampled_from(["keyframe", "same", "keyframe", BLACK]), min_size=20, max_size=20)
cut_times = st.sets(st.integers(1, 98).map(lambda k: k / 10 + 0.05), max_size=4).map(lambda c: tuple(sorted(c)))


def dropped_of(fate: list[str], cuts: tuple[float, ...]) -> dict[int, int | str]:
    shot = np.searchsorted(np.array(cuts), np.arange(20) / 2, side="right")
    out: dict[int, int | str] = {}
    for i in range(20):
        if fate[i] == BLACK:
            out[i] = BLACK
        elif fate[i] == "same" and i and shot[i] == shot[i - 1] and out.get(i - 1) != BLACK:
            out[i] = out.get(i - 1, i - 1)
    return out


def made_of(rows: list[tuple[int, ...]], fate: list[str], cuts: tuple[float, ...], bridge_s: float) -> Report:
    dropped = dropped_of(fate, cuts)
    regions = [p.region(f, f"t{t}", (x, y, w, h)) for f, t, x, y, w, h in rows if f not in dropped]
    verdicts = [p.verdict(BRANDS[t % 3], [f"t{t}"]) for t in range(6)]
    return report(regions, verdicts, cuts=cuts, dropped=dropped, bridge_s=bridge_s)


@settings(max_examples=60, deadline=None)
@given(region_rows, fates, cut_times, st.sampled_from([0.0, 0.5, 2.0]))
def test_exposures_lie_in_the_video_and_totals_follow_from_them(
    rows: list[tuple[int, ...]], fate: list[str], cuts: tuple[float, ...], bridge_s: float
) -> None:
    made = made_of(rows, fate, cuts, bridge_s)
    exposures = made.exposures.to_pylist()
    timeline = p.scenes(p.frames(20), cuts, dropped_of(fate, cuts)).timeline.to_pylist()
    dark = [(c["start_s"], c["end_s"]) for c in timeline if c["keyframe"] is None]
    for e in exposures:
        assert 0.0 <= e["start_s"] < e["end_s"] <= 10.0
        assert e["seconds"] == pytest.approx(e["end_s"] - e["start_s"])
        assert 0.0 < e["area_frac_mean"] <= e["area_frac_max"] * (1 + 1e-6) <= 1.0 + 1e-6
        assert 0.0 <= e["cx"] <= 1.0
        assert 0.0 <= e["cy"] <= 1.0
        assert e["n_detections"] >= 1
        assert all(
            0.0 <= e[c] <= 1.0 + 1e-6 for c in ("position", "clarity", "visible_frac", "quality", "media_factor")
        )
        assert not any(a < e["end_s"] - 1e-9 and e["start_s"] + 1e-9 < b for a, b in dark)
    for brand in made.brands.to_pylist():
        own = [(e["start_s"], e["end_s"]) for e in exposures if e["brand_id"] == brand["brand_id"]]
        assert brand["seconds"] == pytest.approx(sum(b - a for a, b in own))
        assert brand["seconds"] == pytest.approx(union_seconds(own))  # no instant twice
        assert brand["screen_share"] == pytest.approx(brand["seconds"] / 10.0)
        assert 0.0 <= brand["low_s"] <= brand["seconds"] <= brand["high_s"] + 1e-9 <= 10.0 + 1e-6
        assert -1e-9 <= brand["exclusive_s"] <= brand["seconds"] + 1e-9
        assert (brand["first_s"], brand["last_s"]) == (own[0][0], own[-1][1])
    if exposures:
        assert sum(made.brands["share_of_voice"].to_pylist()) == pytest.approx(1.0)
    assert {e["brand"] for e in exposures} == set(made.brands["brand"].to_pylist())
    assert {d["brand"] for d in made.detections.to_pylist()} == set(made.brands["brand"].to_pylist())
    assert len({e["exposure_id"] for e in exposures}) == len(exposures)


@settings(max_examples=40, deadline=None)
@given(region_rows, fates, cut_times, st.data())
def test_more_detections_never_shorten_a_brand(
    rows: list[tuple[int, ...]], fate: list[str], cuts: tuple[float, ...], data: st.DataObject
) -> None:
    fewer = [row for row in rows if data.draw(st.booleans())]
    seconds = [
        dict(zip(*(made.brands[c].to_pylist() for c in ("brand", "seconds")), strict=True))
        for made in (made_of(fewer, fate, cuts, 1.0), made_of(rows, fate, cuts, 1.0))
    ]
    for brand, before in seconds[0].items():
        assert seconds[1][brand] >= before - 1e-9


def test_a_brands_placement_is_the_one_with_most_of_its_seconds() -> None:
    # On a board until 1.6 s, on what nothing tells from 1.9 s on: one exposure; the moments between count to neither.
    wide, narrow = (900, 500, 200, 40), (900, 500, 60, 40)
    regions = [p.region(i, "a", wide) for i in range(4)] + [p.region(i, "b", narrow) for i in range(4, 12)]
    made = report(
        regions,
        [p.verdict("Nike", ["a", "b"])],
        edges=(("a", 3, Side.end, 1.6), ("b", 4, Side.start, 1.9)),
        placements=[{"placement": "board", "kind": "text", "min_aspect": 3}],
    )
    [brand], placed = made.brands.to_pylist(), made.placements.to_pylist()
    assert made.exposures["placement"].to_pylist() == ["board"]
    assert brand["placement"] == "unknown"
    assert [row["placement"] for row in placed] == ["unknown", "board"]
    assert sum(row["seconds"] for row in placed) == pytest.approx(brand["seconds"] - 0.3)
