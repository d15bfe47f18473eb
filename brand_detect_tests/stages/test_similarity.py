"""Vectors of tracks."""

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS
from brand_detect.domain.tables import table
from brand_detect.stages.similarity import AT_ONCE, likeness, mean_embeddings, vectors_of


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
    means = mean_embeddings(views, ["c", "unknown", "a"])
    np.testing.assert_allclose(means, [[0.6, 0.8], [0, 0], [0.7071, 0.7071]], atol=1e-3)
    assert mean_embeddings(views, []).shape == (0, 2)
    assert mean_embeddings(of_tracks(), ["a"]).shape == (1, 0)


def test_many_tracks_are_averaged_and_compared_in_blocks():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(AT_ONCE + 300, 4)).astype(np.float16)
    owners = [f"t{i % (AT_ONCE + 100)}" for i in range(len(vectors))]
    means = mean_embeddings(of_tracks(*zip(owners, vectors, strict=True)), [f"t{i}" for i in range(AT_ONCE + 100)])
    sums = vectors[: AT_ONCE + 100].astype(np.float32)
    sums[:200] += vectors[AT_ONCE + 100 :]
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    np.testing.assert_allclose(means, expected, atol=2e-3)
    np.testing.assert_allclose(likeness(means, means[:3]), expected @ expected[:3].T, atol=5e-3)
