"""Two evaluations compared: what was gained and lost, and why, on fabricated scores."""

from dataclasses import replace

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.evaluation.scoring.compared import changes_table, compare, figures_table
from brand_detect.evaluation.scoring.labels import Kind
from brand_detect.evaluation.scoring.score import Evidence, Unlabelled
from brand_detect.evaluation.scoring.summary import Evaluation
from brand_detect_tests.evaluation.scoring.test_summary import brand, clip, evaluation, half_found, printed, scored

HEAD = Unlabelled("Head", 4.0, Evidence("alias", "HE[AD", 0.8, 3, 1.5))


def test_a_run_against_itself_gains_and_loses_nothing() -> None:
    runs = [scored(), evaluation(*half_found(4, 1), catalog="more")]
    pairs = compare(runs, runs)
    for pair in pairs:
        assert pair.changes == pair.notes == ()
        assert {figure.before == figure.after for figure in pair.figures} == {True}
    clear = pairs[1].figures[0]
    assert (clear.difference, clear.low, clear.high) == ("+0, +0 points", 0, 0), "the same clips are drawn for both"


def test_what_was_gained_and_lost_and_why() -> None:
    before = clip("a.mp4", brand("Kia", True), brand("HP", False), brand("Nike", False, Kind.logos), unlisted=(HEAD,))
    after = clip(
        "a.mp4",
        brand("Kia", False, in_catalog=False),
        brand("HP", True),
        brand("Nike", False, Kind.logos),
        false=(replace(HEAD, brand="Nokia"),),
    )
    (pair,) = compare([evaluation(before)], [evaluation(after)])
    read = "exact '[KIA]' at 3.5 s, confidence 0.90, 2.0 s"
    assert [(c.gained, c.label, c.brand, c.before, c.after) for c in pair.changes] == [
        (True, "clear", "HP", "not matched: read as 'HPX'", read),
        (True, "false", "Nokia", "", "alias 'HE[AD' at 1.5 s, confidence 0.80, 4.0 s"),
        (False, "clear", "Kia", read, "not matched: read as 'KiaX'; not in the catalogue"),
        (False, "unlisted", "Head", "alias 'HE[AD' at 1.5 s, confidence 0.80, 4.0 s", ""),
    ]
    text = printed(changes_table(pair))
    assert [line.split("│")[1].strip() for line in text.splitlines() if "a.mp4" in line] == [
        *("gained", "gained"),
        *("lost", "lost"),
    ]
    assert "HE[AD" in text


def test_the_difference_has_an_interval_over_the_same_clips() -> None:
    """One more found on each of 40 clips is certain, though each recall alone is not."""
    before = [clip(c.clip, *c.brands, brand("more", False)) for c in half_found(40, 3)]
    after = [clip(c.clip, *c.brands, brand("more", True)) for c in half_found(40, 3)]
    (pair,) = compare([evaluation(*before)], [evaluation(*reversed(after))])
    clear = pair.figures[0]
    assert (clear.before[:9], clear.after[:9], clear.difference) == ("60 of 160", "100 of 16", "+40, +25 points")
    assert (clear.low, clear.high) == pytest.approx((0.25, 0.25))
    assert "+40, +25 points (+25 to +25)" in printed(figures_table([pair]))


def test_a_brand_that_is_counted_otherwise_is_no_change_and_the_labels_differ() -> None:
    before, after = (
        clip("a.mp4", brand("Kia", True), unlisted=(HEAD,)),
        clip("a.mp4", brand("Kia", True), false=(HEAD,)),
    )
    (pair,) = compare([evaluation(before)], [evaluation(after)])
    assert pair.changes == ()
    assert pair.notes == ("the labels of a.mp4 differ between the runs",)


def test_shares_of_nothing_are_not_compared() -> None:
    before, after = clip("a.mp4", brand("Kia", False)), clip("a.mp4", brand("Kia", True))
    (pair,) = compare([evaluation(before)], [evaluation(after)])
    precision, error, timed_error = pair.figures[-3:]
    assert (precision.before, precision.after, precision.difference) == ("–", "100%", "–")
    assert (error.before, error.difference) == (timed_error.before, timed_error.difference) == ("–", "–")


def named(*catalogs: str) -> list[Evaluation]:
    return [evaluation(clip("a.mp4", brand("Kia", True)), catalog=catalog) for catalog in catalogs]


def test_catalogues_are_paired_by_name_or_else_by_place() -> None:
    pairs = compare(named("a", "b"), named("b", "a"))
    assert [(pair.before, pair.after, pair.notes) for pair in pairs] == [("a", "a", ()), ("b", "b", ())]
    (pair,) = compare(named("a"), named("c"))
    assert pair.notes == ("the first run is with a, the second with c",)
    assert "a → c, clips: 1" in printed(figures_table([pair]))
    with pytest.raises(BadInput, match="2 catalogues, the other 1"):
        compare(named("a", "b"), named("a"))


def test_only_common_clips_count_and_other_differences_are_told() -> None:
    before = evaluation(clip("a.mp4", brand("Kia", True)), clip("b.mp4", brand("Kia", True)))
    after = evaluation(clip("a.mp4", brand("Kia", True), brand("HP", True)), clip("c.mp4", brand("Kia", True)))
    (pair,) = compare([before], [replace(after, profile="fast", catalog_version="v2")])
    assert (pair.clips, pair.figures[0].before, pair.changes) == (1, "1 of 1, 100 %", ())
    assert pair.notes == (
        "only the first run has b.mp4; not compared",
        "only the second run has c.mp4; not compared",
        "the labels of a.mp4 differ between the runs",
        "the first run has the profile default, the second fast",
        "brands.yaml has changed: 1,200 brands before, 1,200 after",
    )
    with pytest.raises(BadInput, match="no clip in common"):
        compare([evaluation(clip("a.mp4"))], [evaluation(clip("b.mp4"))])
