"""Scoring, on hand-made tables with a known miss of every kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from brand_detect.domain.catalog import Brand, BrandCatalog, Exemplar
from brand_detect.domain.contracts.compile_report import BRANDS, DETECTIONS, EXPOSURES, Report
from brand_detect.domain.contracts.filter_scenes import BLACK
from brand_detect.domain.contracts.verdicts import UNRESOLVED, BrandVerdicts
from brand_detect.domain.errors import BadInput
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import table
from brand_detect.evaluation.scoring import score as s
from brand_detect.evaluation.scoring.labels import ClipLabels, Kind, Label, labels_of_truth
from brand_detect.evaluation.synthetic.footage import Truth
from brand_detect_tests.support import payloads as p

BOX = (100.0, 100.0, 200.0, 50.0)


def exposure(brand: str, start_s: float, end_s: float) -> dict[str, Any]:
    words = {"exposure_id": f"{brand}{start_s}", "zone": "top", "text": brand, "rule": "exact", "decided_by": "x"}
    span = {"start_s": start_s, "end_s": end_s, "seconds": end_s - start_s}
    return p.row(EXPOSURES, **words, **span, brand=brand, brand_id=brand.lower())


def report(
    exposures: Sequence[Mapping[str, Any]] = (),
    unresolved: Sequence[Mapping[str, Any]] = (),
    detections: Sequence[Mapping[str, Any]] = (),
) -> Report:
    seconds: dict[str, float] = {}
    for e in exposures:
        seconds[e["brand"]] = seconds.get(e["brand"], 0.0) + e["seconds"]
    brands = [p.row(BRANDS, brand=b, brand_id=b.lower(), seconds=v) for b, v in seconds.items()]
    return Report(
        table(BRANDS, brands),
        table(EXPOSURES, exposures),
        table(DETECTIONS, detections),
        table(UNRESOLVED, unresolved),
        {},
    )


def job(
    regions: Sequence[Mapping[str, Any]] = (),
    texts: Sequence[Mapping[str, Any]] = (),
    verdicts: Sequence[Mapping[str, Any]] = (),
    dropped: Mapping[int, int | str] | None = None,
    **reported: Any,
) -> dict[str, Payload]:
    """A job of 10 s at 2 samples a second."""
    frames = p.frames(20)
    scenes = p.scenes(frames, dropped=dropped)
    return {
        "extract_frames": frames,
        "filter_scenes": scenes,
        "detect_objects": p.detected(regions, scenes),
        "run_ocr": p.texts(texts),
        "escalate_cloud": p.verdicts(verdicts),
        "compile_report": report(**reported),
    }


def labels(*wanted: Label, **more: Any) -> ClipLabels:
    return ClipLabels("clip.mp4", 10.0, wanted, **more)


def truth_of(brand: str, start: int, end: int) -> Truth:
    """A clip of 10 s at 25 frames a second that shows ``brand`` in BOX on the frames from ``start`` to ``end``."""
    x, y, w, h = BOX
    quad = [x, y, x + w, y, x + w, y + h, x, y + h]
    boxes = np.array([[k, 0, *quad, 1, 1, 0, -1] for k in range(start, end)], np.float32)
    return Truth((brand,), (), (), 1920, 1080, 25, 10.0, (), (), (), (), boxes)


KIA = Label("Kia", Kind.clear, ((2.0, 5.0),))


def test_seconds_count_every_instant_once_and_errors_are_signed() -> None:
    shown = [exposure("Kia", 2.0, 4.0), exposure("Kia", 3.0, 5.0), exposure("Kia", 8.0, 9.5)]
    (found,) = s.score(job(exposures=shown), labels(KIA)).brands
    assert found.found
    assert (found.labelled_s, found.reported_s, found.common_s) == pytest.approx((3.0, 4.5, 3.0))
    assert found.error == pytest.approx(0.5)


def test_errors_of_labels_with_intervals_are_also_told_apart() -> None:
    """A label without intervals stands for the whole clip, which its labeller may not have meant to the second."""
    shown = [exposure("Kia", 2.0, 3.5), exposure("Claro", 0.0, 2.0)]
    whole = Label("Claro", Kind.clear, ((0.0, 10.0),), timed=False)
    total = s.totals([s.score(job(exposures=shown), labels(KIA, whole))])
    assert (total.mean_error, total.mean_timed_error) == pytest.approx(((0.5 + 0.8) / 2, 0.5))
    assert s.totals([s.score(job(exposures=shown), labels(whole))]).mean_timed_error is None


def test_brands_found_missed_bonus_and_without_a_label() -> None:
    shown = [exposure("KIA", 2, 5), exposure("Claro", 0, 1), exposure("Head", 0, 1), exposure("Head", 4, 7)]
    wanted = [KIA, Label("Itaú", Kind.clear, ((0, 10),)), Label("Claro", Kind.hard, ((0, 10),))]
    scored = s.score(job(exposures=shown), labels(*wanted))
    assert [(b.brand, b.found) for b in scored.brands] == [("Kia", True), ("Itaú", False), ("Claro", True)]
    assert [(other.brand, other.seconds) for other in scored.unlisted] == [("Head", 4)]
    assert scored.unlisted[0].evidence == s.Evidence("exact", "Head", 0, 0, 4)
    total = s.totals([scored])
    assert (total.found, total.clear, total.bonus, total.unlabelled) == (1, 2, 1, 1)
    assert (total.recall, total.precision) == pytest.approx((1 / 2, 2 / 3))


def test_hard_seconds_of_a_clear_brand_count_for_nothing() -> None:
    hard = Label("KIA", Kind.hard, ((4.0, 9.0),))
    shown = [exposure("Kia", 2.0, 4.0), exposure("Kia", 6.0, 9.5)]
    scored = s.score(job(exposures=shown), labels(KIA, hard))
    (found,) = scored.brands
    assert (found.kind, found.found, scored.unlisted) == (Kind.clear, True, ())
    assert (found.labelled_s, found.reported_s, found.common_s) == pytest.approx((3.0, 2.5, 2.0))
    assert found.error == pytest.approx(-0.5 / 3)
    assert sum(loss.seconds for loss in found.losses) == pytest.approx(1.0), "clear seconds alone are missing"
    total = s.totals([scored])
    assert (total.found, total.clear, total.bonus, total.precision) == (1, 1, 0, 1.0)
    named = BrandCatalog("v", [Brand("kia", "Kia", aliases=("Kia Motors",))])
    nowhere_else = s.score(job(exposures=shown[1:]), labels(KIA, replace(hard, intervals_s=((4.0, 10.0),))))
    assert [(b.found, b.reported_s, b.error) for b in nowhere_else.brands] == [(False, 0.0, -1.0)]
    by_alias = s.score(job(exposures=shown), labels(KIA, replace(hard, brand="Kia Motors")), named)
    assert [(b.brand, b.reported_s) for b in by_alias.brands] == [("Kia", found.reported_s)]


@pytest.mark.parametrize(
    "brand",
    [Brand("atp-tour", "ATP Tour", aliases=("ATP",)), Brand("atp-tour", "ATP Tour", included_texts=("ATP",))],
)
def test_a_label_may_use_any_text_of_the_catalogue(brand: Brand) -> None:
    shown = [exposure("ATP Tour", 2, 5)]
    label = labels(Label("ATP", Kind.clear, ((2, 5),)))
    catalog = BrandCatalog("v", [brand])
    assert len(s.score(job(exposures=shown), label).unlisted) == 1
    scored = s.score(job(exposures=shown), label, catalog)
    assert scored.brands[0].found
    assert not scored.unlabelled


def test_a_brand_without_a_label_is_false_only_if_the_labels_say_that_it_is_absent() -> None:
    made = job(exposures=[exposure("Head", 0, 1), exposure("ATP Tour", 2, 5)])
    catalog = BrandCatalog("v", [Brand("atp-tour", "ATP Tour", aliases=("ATP",)), Brand("head", "Head")])

    def others(**said: Any) -> tuple[list[str], list[str]]:
        scored = s.score(made, labels(KIA, **said), catalog)
        assert [other.brand for other in scored.unlabelled] == ["ATP Tour", "Head"], "counted together as before"
        return [other.brand for other in scored.unlisted], [other.brand for other in scored.false]

    assert others() == (["ATP Tour", "Head"], [])
    assert others(absent=("atp", "Nobody")) == (["Head"], ["ATP Tour"])
    assert others(exhaustive=True) == ([], ["ATP Tour", "Head"])


def test_a_logo_is_found_by_its_picture_alone() -> None:
    shown = [exposure("Kia", 2, 5)]
    wanted = labels(KIA, Label("KIA", Kind.logos, ((2, 5),)))
    read = p.row(DETECTIONS, brand="Kia", brand_id="kia", text="KIA", rule="exact", start_s=2, end_s=5)
    seen = read | {"rule": "logo_match", "start_s": 3, "end_s": 4, "confidence": 0.5, "frame": 7}
    asked = read | {"rule": "vlm", "text": "", "start_s": 4, "end_s": 4.5}

    def logo(*detections: Mapping[str, Any]) -> s.BrandScore:
        name, logo = s.score(job(exposures=shown, detections=detections), wanted).brands
        assert (name.kind, name.found, logo.kind) == (Kind.clear, True, Kind.logos)
        return logo

    assert not logo(read).found
    assert (logo(read, seen).found, logo(read, seen).reported_s) == (True, 1)
    assert logo(read, seen).evidence == s.Evidence("logo_match", "KIA", 0.5, 7, 3)
    assert logo(asked).found
    assert not s.score(job(exposures=shown), labels(wanted.labels[1])).unlabelled, "a labelled logo is a label"


def test_where_a_logo_was_lost() -> None:
    label = Label("Kia", Kind.logos, ((2.0, 5.0),))
    region = p.region(AT_3S, "t", BOX, kind="logo")
    where = {
        "text alone": job([p.region(AT_3S, "t", BOX)], [p.text("t", "KIA")], [p.verdict("Kia", ["t"])]),
        "region": job([region]),
        "taken": job([region], (), [p.verdict("Nike", ["t"], rule="logo_match")]),
        "named": job([region], (), [p.verdict("Kia", ["t"], rule="logo_match")]),
    }
    lost = {name: s.score(made, labels(label)).brands[0] for name, made in where.items()}
    assert {name: brand.lost for name, brand in lost.items()} == {
        "text alone": s.NOT_DETECTED,
        "region": s.NOT_DETECTED_OR_MATCHED,
        "taken": s.NOT_DETECTED_OR_MATCHED,
        "named": s.NOT_REPORTED,
    }
    assert lost["taken"].losses[-1].detail == "1 logo region there, taken for Nike (logo_match)"
    with_box = labels(label, truth=truth_of("Kia", 50, 125))
    assert s.score(where["region"], with_box).brands[0].lost == s.NOT_MATCHED


def test_a_name_or_picture_that_the_catalogue_lacks_is_told_apart() -> None:
    catalog = BrandCatalog("v", [Brand("kia", "Kia"), Brand("nike", "Nike", exemplars=(Exemplar("0" * 16, "svg"),))])
    wanted = [KIA, Label("Zymvora", Kind.hard, ()), Label("Kia", Kind.logos, ()), Label("Nike", Kind.logos, ())]
    scored = s.score(job(), labels(*wanted), catalog)
    assert [brand.in_catalog for brand in scored.brands] == [True, False, False, True]


AT_3S = 6  # the sampled frame at 3 s


@pytest.mark.parametrize("with_boxes", [False, True])
@pytest.mark.parametrize(
    ("made", "lost"),
    [
        (job(dropped=dict.fromkeys(range(20), BLACK)), s.FILTERED),
        (job(dropped=dict.fromkeys(range(1, 20), 0)), s.FILTERED),
        (job(), s.NOT_DETECTED),
        (job([p.region(0, "t", BOX)], [p.text("t", "KIA")]), s.NOT_DETECTED),
        (job([p.region(AT_3S, "t", BOX)], [p.text("t", "K1A")]), s.NOT_MATCHED),
        (job([p.region(AT_3S, "t", BOX)], [p.text("t", "KIA")], [p.verdict("Nokia", ["t"])]), s.NOT_MATCHED),
        (job([p.region(AT_3S, "t", BOX)], [p.text("t", "KIA")], [p.verdict("", ["t"], status="ignored")]), s.EXCLUDED),
        (job([p.region(AT_3S, "t", BOX)], [p.text("t", "KIA")], [p.verdict("Kia", ["t"])]), s.NOT_REPORTED),
    ],
)
def test_where_a_miss_was_lost(made: dict[str, Payload], lost: str, with_boxes: bool) -> None:
    truth = truth_of("Kia", 50, 125) if with_boxes else None
    (missed,) = s.score(made, labels(KIA, truth=truth)).brands
    assert (missed.found, missed.lost) == (False, lost)
    assert missed.losses[0].detail


def test_a_brand_between_two_samples_was_not_sampled() -> None:
    assert s.score(job(), labels(Label("Kia", Kind.clear, ((2.1, 2.4),)))).brands[0].lost == s.NOT_SAMPLED
    flash = labels(KIA, truth=truth_of("Kia", 51, 60))
    assert s.score(job(), flash).brands[0].lost == s.NOT_SAMPLED


def test_missing_seconds_of_a_found_brand_are_traced_too() -> None:
    regions = [p.region(k, "t", BOX) for k in (8, 9)]
    made = job(regions, [p.text("t", "K1A")], exposures=[exposure("Kia", 2.0, 3.75)])
    (found,) = s.score(made, labels(KIA, truth=truth_of("Kia", 50, 125))).brands
    assert (found.found, found.lost) == (True, "")
    assert found.losses == (s.Loss(s.NOT_MATCHED, 1.0, "read as 'K1A'"),)


def test_only_boxes_tell_an_unread_region_from_another_one() -> None:
    made = job([p.region(AT_3S, "t", BOX)], [p.text("t", "PARKING")])
    assert s.score(made, labels(KIA)).brands[0].lost == s.NOT_DETECTED_OR_READ
    missed = s.score(made, labels(KIA, truth=truth_of("Kia", 50, 125))).brands[0]
    assert missed.lost == s.NOT_READ
    assert missed.losses == (
        s.Loss(s.NOT_DETECTED, 2.5, "no region there"),
        s.Loss(s.NOT_READ, 0.5, "read as 'PARKING'"),
    )
    elsewhere = job([p.region(AT_3S, "t", (1000, 100, 200, 50))], [p.text("t", "KIA")])
    assert s.score(elsewhere, labels(KIA, truth=truth_of("Kia", 50, 125))).brands[0].lost == s.NOT_DETECTED


def test_a_name_read_in_two_pieces_was_read() -> None:
    label = Label("BNP Paribas", Kind.clear, ((0, 10),))
    regions = [p.region(0, "a", BOX), p.region(0, "b", (310, 100, 200, 50))]
    both = job(regions, [p.text("a", "BNP"), p.text("b", "PARIBAS")])
    assert s.score(both, labels(label)).brands[0].lost == s.NOT_MATCHED
    one = job(regions, [p.text("a", "BNP"), p.text("b", "GATE 4")])
    assert s.score(one, labels(label)).brands[0].lost == s.NOT_DETECTED_OR_READ


@pytest.mark.parametrize(
    ("name", "text", "close"),
    [
        ("Visa", "VISA", True),
        ("Visa", "V1SA", True),
        ("Visa", "Visage Studio", True),
        ("Visa", "VI", False),
        ("Itaú", "ITAU", True),
        ("HP", "hp", True),
        ("HP", "php 8", False),
        ("Emirates", "FLY EMIRATE5", True),
        ("Emirates", "Qatar Airways", False),
    ],
)
def test_closeness(name: str, text: str, close: bool) -> None:
    assert s.is_close(name, text) is close


def test_words_in_no_catalogue_are_looked_for_among_the_unresolved() -> None:
    truth = replace(truth_of("Zymvora", 0, 100), unlisted=("Zymvora",))
    clip = labels_of_truth("clip.mp4", truth)
    assert not clip.labels
    assert s.score(job(), clip).unknown_words == {"Zymvora": False}
    made = job(unresolved=[p.cluster(1, "ZYMVORA", p.region(0, "t"))])
    assert s.score(made, clip).unknown_words == {"Zymvora": True}


def matcher(catalog: BrandCatalog, *claims: tuple[str, str, str]) -> Any:
    """Each claim (brand id, track, text) becomes a verdict if the brand is listed; the first on a track wins."""

    def match(left_out: Brand | None) -> BrandVerdicts:
        listed = {b.brand_id: b.name for b in catalog.brands if b is not left_out}
        won: dict[str, tuple[str, str]] = {}
        for brand_id, track, text in claims:
            if brand_id in listed:
                won.setdefault(track, (brand_id, text))
        rows = [p.verdict(listed[b], [t], text=text, brand_id=b) for t, (b, text) in won.items()]
        still = sorted({t for _, t, _ in claims} - won.keys())
        return p.verdicts(rows, [p.cluster(i + 1, "?", p.region(0, t)) for i, t in enumerate(still)])

    return match


def test_leave_one_out_wants_the_words_unresolved_and_not_taken() -> None:
    catalog = BrandCatalog("v", [Brand("kia", "Kia"), Brand("nokia", "Nokia"), Brand("head", "Head")])
    honest = matcher(catalog, ("kia", "a", "KIA"), ("head", "b", "HEAD"))
    results = s.leave_one_out(catalog, ["Kia", "Head", "Rolex"], honest)
    assert [(r.brand, r.open, r.passed) for r in results] == [("Kia", 1, True), ("Head", 1, True)]
    greedy = matcher(catalog, ("kia", "a", "KIA"), ("kia", "b", "KIA"), ("nokia", "a", "KIA"))
    (result,) = s.leave_one_out(catalog, ["Kia"], greedy)
    assert (result.tracks, result.open, result.taken_for, result.passed) == (2, 1, ("Nokia",), False)


def test_leave_one_out_with_the_real_matcher() -> None:
    catalog = BrandCatalog("v", [Brand("kia", "Kia"), Brand("emirates", "Emirates")])
    regions = [p.region(k, t, (100.0, 300.0 * i, 200.0, 50.0)) for k in range(4) for i, t in enumerate("ab")]
    made = job(regions, [p.text("a", "KIA"), p.text("b", "Emirates")])
    readings = [p.reading(regions[0], "KIA"), p.reading(regions[1], "Emirates")]
    made["run_ocr"] = p.texts([p.text("a", "KIA"), p.text("b", "Emirates")], readings)
    results = s.leave_one_out(catalog, ["Kia", "Emirates"], s.matching(made, catalog))
    assert [(r.brand, r.tracks, r.passed) for r in results] == [("Kia", 1, True), ("Emirates", 1, True)]


def test_a_missing_stage_is_refused() -> None:
    made = job()
    del made["run_ocr"]
    with pytest.raises(BadInput, match="run_ocr"):
        s.score(made, labels(KIA))
