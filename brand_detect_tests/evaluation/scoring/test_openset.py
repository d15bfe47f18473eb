import numpy as np

from brand_detect.evaluation.scoring import openset

INF = np.inf


def test_a_brand_has_the_score_of_its_best_exemplar():
    scores = np.array([[0.1, 0.9, 0.3], [0.5, 0.2, 0.4]], np.float32)
    best = openset.best_of_brands(scores, [2, 0, 2], 3)
    np.testing.assert_allclose(best, [[0.9, -INF, 0.3], [0.2, -INF, 0.5]])


def test_top_k_counts_the_brands_before_and_shares_ties():
    scores = np.array([[9, 1, 2, 3], [1, 9, 8, 7], [5, 5, 1, 0], [0, 0, 0, 0]], np.float32)
    own = np.array([0, 0, 0, 0])
    assert openset.top(scores, own, 1).tolist() == [1, 0, 0.5, 0.25]
    assert openset.top(scores, own, 3).tolist() == [1, 0, 1, 0.75]
    assert openset.top(scores, own, 4).tolist() == [1, 1, 1, 1]


def test_a_verdict_is_right_when_the_crops_brand_leads():
    scores = np.array([[0.9, 0.2, 0.1], [0.3, 0.8, 0.5], [0.4, 0.4, 0.1]], np.float32)
    found = openset.verdicts(scores, np.array([0, 2, 0]))
    np.testing.assert_allclose(found.score, [0.9, 0.8, 0.4])
    np.testing.assert_allclose(found.lead, [0.7, 0.3, 0], atol=1e-6)
    assert found.right.tolist() == [True, False, False]


def test_a_brand_out_of_the_gallery_leaves_the_next():
    scores = np.array([[0.9, 0.2], [0.3, 0.8]], np.float32)
    left = openset.without(scores, np.array([0, 1]))
    assert left.max(axis=1).tolist() == scores.min(axis=1).tolist()
    assert scores[0, 0] == np.float32(0.9)


def test_recall_at_precision_takes_the_lowest_threshold_that_keeps_it():
    right = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1], bool)
    score = np.linspace(1, 0, len(right))
    # after ten claims nine are right, after eleven nine, at the end ten of thirteen
    assert openset.recall_at_precision(score, right, 12, 0.9) == (9 / 12, score[9])
    assert openset.recall_at_precision(score, right, 12, 0.95) == (4 / 12, score[3])
    assert openset.recall_at_precision(score, right, 12, 0.5)[0] == 10 / 12
    shuffled = np.random.default_rng(0).permutation(len(right))
    assert openset.recall_at_precision(score[shuffled], right[shuffled], 12, 0.9)[0] == 9 / 12


def test_crops_of_one_score_are_claimed_together():
    score, right = np.array([1.0, 1.0, 0.5]), np.array([True, False, True])
    assert openset.recall_at_precision(score, right, 2, 0.9) == (0, INF)
    assert openset.recall_at_precision(score, right, 2, 0.6) == (1, 0.5)


def test_what_a_rejection_gives():
    known, right = np.array([True, True, True, False]), np.array([True, True, False, True])
    unknown, other = np.array([True, False]), np.array([False, False, False, True])
    got = openset.claim_rates(known, right, unknown, other)
    assert (got.recall, got.precision, got.unknown_claimed, got.other_claimed) == (2 / 4, 2 / 5, 1 / 2, 1 / 4)
    nothing = openset.claim_rates(np.zeros(4, bool), right, np.zeros(2, bool), np.zeros(0, bool))
    assert nothing == openset.ClaimRates(0, 1, 0, 0)
