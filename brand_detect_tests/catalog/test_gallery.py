"""Galleries of made-up vectors, where it is known what is like what."""

import numpy as np
import pytest

from brand_detect.catalog.gallery import BEST, BLOCK, LEAD, ONE_BRAND, RAREST, TAIL, Entry, Gallery

SIZE = 64


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def scattered(n, seed):
    return unit(np.random.default_rng(seed).normal(size=(n, SIZE)))


def gallery(n=40, per_brand=2, unknown=1000):
    entries = [Entry(f"b{i // per_brand}", f"Brand {i // per_brand}", f"e{i}") for i in range(n)]
    return Gallery("e", entries, scattered(n, 1), scattered(unknown, 2))


def near(vectors, noise=0.02, seed=3):
    return unit(vectors + noise * np.random.default_rng(seed).normal(size=np.shape(vectors)))


def test_a_view_of_an_exemplar_is_its_brand():
    views = near(scattered(40, 1))
    found = gallery().recognise(views, np.arange(40))
    assert [f[0].exemplar_id for f in found] == [f"e{i}" for i in range(40)]
    assert [f[0].brand_id for f in found] == [f"b{i // 2}" for i in range(40)]
    assert all(f[0].false_accept_rate == RAREST and f[0].probability > 0.95 for f in found)


def test_the_best_come_first_and_are_few():
    [found] = gallery().recognise(near(scattered(1, 1)), np.array([0]))
    assert len(found) == BEST
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    assert len({f.brand_id for f in found}) == BEST
    assert [f.probability for f in found] == sorted((f.probability for f in found), reverse=True)


def test_as_many_as_asked_for_and_none_that_distractors_resemble_as_often():
    views = np.concatenate([near(scattered(2, 1)), scattered(30, 7)])
    whole = gallery().recognise(views, np.arange(32))
    assert gallery().recognise(views, np.arange(32), best=1) == [of[:1] for of in whole]
    rare = gallery().recognise(views, np.arange(32), max_false_accept_rate=0.01)
    assert rare == [[one for one in of if one.false_accept_rate <= 0.01] for of in whole]
    assert [len(of) for of in rare[:2]] == [1, 1]
    assert sum(map(len, rare)) < 6


def test_what_a_track_resembles_is_not_changed_by_those_beside_it():
    views, track = near(scattered(6, 1), noise=0.1), np.array([3, 0, 3, 3, 5, 5])
    together = gallery().recognise(views, track)
    assert [len(found) for found in together] == [BEST, 0, 0, BEST, 0, BEST]
    for t in (0, 3, 5):
        [alone] = gallery().recognise(views[track == t], np.zeros((track == t).sum(), np.int64))
        assert [one.exemplar_id for one in alone] == [one.exemplar_id for one in together[t]]
        assert [one.score for one in alone] == pytest.approx([one.score for one in together[t]], abs=1e-5)


def test_the_views_of_a_track_speak_together():
    exemplars = scattered(40, 1)
    # one view that is more like another brand, two that are clear
    views = np.stack([unit([exemplars[0] + 1.1 * exemplars[10]])[0], *near(exemplars[[0, 1]])])
    [together] = gallery().recognise(views, np.zeros(3, np.int64))
    [alone] = gallery().recognise(views[:1], np.zeros(1, np.int64))
    assert (together[0].brand_id, alone[0].brand_id) == ("b0", "b5")


def test_unknown_marks_reach_a_score_as_often_as_it_says():
    made = gallery(n=200, unknown=2000)
    found = made.recognise(scattered(4000, 9), np.arange(4000))
    for share in (0.3, 0.1, 0.05, 0.01):
        assert np.mean([f[0].false_accept_rate <= share for f in found]) == pytest.approx(share, rel=0.35)


def test_a_brand_of_packaged_logos_alone_is_told():
    vectors = scattered(3, 1)
    entries = [Entry("a", "A", "a1", is_packaged=True), Entry("b", "B", "b1", is_packaged=True), Entry("b", "B", "b2")]
    found = Gallery("e", entries, vectors, scattered(100, 2)).recognise(vectors, np.arange(3))
    assert [(f[0].brand_id, f[0].by_packaged) for f in found] == [("a", True), ("b", False), ("b", False)]


def test_more_exemplars_give_more_false_alarms():
    score = 0.6
    assert gallery(n=20).false_accept_rate(score) < gallery(n=2000).false_accept_rate(score)


@pytest.mark.parametrize("others", [0, 20])
def test_no_brand_has_more_than_its_share_of_the_false_alarms(others):
    """One picture that many distractors look like, alone and among others."""
    common = unit(np.ones((1, SIZE)))
    unknown = unit(scattered(8000, 9) + np.random.default_rng(4).uniform(0, 0.4, (8000, 1)) * common)
    vectors = np.concatenate([common, scattered(20, 1)[:others]])
    made = Gallery("e", [Entry(f"b{i}", "", "") for i in range(len(vectors))], vectors, unknown[:4000])
    best = [f[0] for f in made.recognise(unknown[4000:], np.arange(4000))]
    for limit in (0.2, 0.1, 0.05):
        taken = np.mean([f.brand_id == "b0" and f.false_accept_rate <= limit for f in best])
        assert 0 < taken <= 1.2 * limit * ONE_BRAND


def test_false_alarms_fall_with_the_score():
    alarms = [gallery().false_accept_rate(s) for s in np.linspace(-0.5, 1.2, 50)]
    assert alarms == sorted(alarms, reverse=True)
    assert (alarms[0], alarms[-1]) == (1.0, RAREST)
    assert any(a > TAIL for a in alarms)


def test_a_lead_counts():
    exemplars = unit(np.eye(SIZE)[:4])
    made = Gallery("e", [Entry(f"b{i}", f"B{i}", f"e{i}") for i in range(4)], exemplars, scattered(100, 2))
    [clear] = made.recognise(unit([[1, 0, 0, 0] + [0.5] * (SIZE - 4)]), np.array([0]))
    likeness = float(unit([[1, 0, 0, 0] + [0.5] * (SIZE - 4)])[0, 0])
    assert clear[0].score == pytest.approx(likeness * (1 + LEAD), abs=1e-5)
    assert clear[1].score == pytest.approx(-LEAD * likeness, abs=1e-5)


@pytest.mark.parametrize("brands", [1, 2])
def test_a_gallery_of_one_or_two(brands):
    entries = [Entry(f"b{i}", f"B{i}", f"e{i}") for i in range(brands)]
    made = Gallery("e", entries, scattered(brands, 1), scattered(500, 2))
    [known], [unknown] = (
        made.recognise(near(scattered(1, 1)), np.array([0])),
        made.recognise(scattered(1, 7), np.array([0])),
    )
    assert len(known) == brands
    assert known[0].false_accept_rate == RAREST
    assert unknown[0].false_accept_rate > 0.001


def test_tracks_without_views_and_no_tracks():
    found = gallery().recognise(near(scattered(1, 1)), np.array([2]))
    assert [len(f) for f in found] == [0, 0, BEST]
    assert gallery().recognise(np.zeros((0, SIZE), np.float32), np.zeros(0, np.int64)) == []


def test_many_views_are_compared_in_blocks():
    views = near(scattered(40, 1))
    tracks = np.repeat(np.arange(40), 40)
    assert len(tracks) > BLOCK
    found = gallery().recognise(np.repeat(views, 40, axis=0), tracks)
    assert [f[0].exemplar_id for f in found] == [f"e{i}" for i in range(40)]
