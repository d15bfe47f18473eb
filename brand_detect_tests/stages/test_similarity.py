"""Vectors of tracks."""

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS
from brand_detect.domain.tables import table
from brand_detect.stages.similarity import AT_ONCE, MeanEmbeddings, vectors_of


def embeddings(*vectors):
    rows = [{"track_id": f"t{i}", "region_id": f"r{i}", "frame": i, "embedding": v} for i, v in enumerate(vectors)]
    return table(TRACK_EMBEDDINGS, rows)


@pytest.fixture
def in_parts():
    first, second = np.eye(5, dtype=np.float16)[:2], np.eye(5, dtype=np.float16)[2:]
    return pa.concat_tables([embeddings(*first), embeddings(), embeddings(*second)])


def test_rows_come_in_the_order_asked_for_from_all_parts(in_parts):
    assert in_parts["embedding"].num_chunks > 1
    assert vectors_of(in_parts, [4, 0, 2, 2]).argmax(axis=1).tolist() == [4, 0, 2, 2]
    assert vectors_of(in_parts, np.arange(5)).tolist() == np.eye(5).tolist()


def test_no_rows_have_the_same_dimensions(in_parts):
    assert vectors_of(in_parts, []).shape == (0, 5)
    assert vectors_of(embeddings(), []).shape == (0, 0)


def of_tracks(*owned):
    """TRACK_EMBEDDINGS of pairs: a track and its view's vector."""
    rows = [{"track_id": t, "region_id": f"r{i}", "frame": i, "embedding": v} for i, (t, v) in enumerate(owned)]
    return table(TRACK_EMBEDDINGS, rows)


def test_a_track_looks_like_the_mean_of_its_views():
    views = of_tracks(("a", [1, 0]), ("b", [0, 1]), ("a", [0, 1]), ("c", [0.6, 0.8]))
    means = MeanEmbeddings(views, ["c", "unknown", "a"])
    expected = np.array([[0.6, 0.8], [0, 0], [0.7071, 0.7071]])
    np.testing.assert_allclose(means.vectors(0, 3), expected, atol=1e-3)
    np.testing.assert_allclose(means.vectors(1, 3), expected[1:], atol=1e-3)
    np.testing.assert_allclose(means.likeness(means.vectors(2, 3)), expected @ expected[2:].T, atol=2e-3)


def test_of_no_tracks_or_no_views_nothing_is_like_anything():
    assert MeanEmbeddings(of_tracks(("a", [1, 0])), []).likeness(np.ones((3, 2), np.float32)).shape == (0, 3)
    assert MeanEmbeddings(of_tracks(), ["a"]).vectors(0, 1).shape == (1, 0)
    assert MeanEmbeddings(of_tracks(), []).vectors(0, 0).shape == (0, 0)


def test_many_tracks_are_averaged_and_compared_in_blocks():
    rng = np.random.default_rng(1)
    n = AT_ONCE + 100
    vectors = rng.normal(size=(n + 200, 4)).astype(np.float16)
    owners = [f"t{i % n}" for i in range(len(vectors))]
    means = MeanEmbeddings(of_tracks(*zip(owners, vectors, strict=True)), [f"t{i}" for i in range(n)])
    sums = vectors[:n].astype(np.float32)
    sums[:200] += vectors[n:]
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    np.testing.assert_allclose(means.vectors(0, n), expected, atol=1e-5)
    np.testing.assert_allclose(means.likeness(expected[:3]), expected @ expected[:3].T, atol=1e-5)
