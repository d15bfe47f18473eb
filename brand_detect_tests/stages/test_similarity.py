"""Vectors of tracks."""

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS
from brand_detect.domain.tables import table
from brand_detect.stages.similarity import embedding_matrix, vectors_of


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
    assert vectors_of(in_parts, np.arange(5)).tolist() == embedding_matrix(in_parts).tolist() == np.eye(5).tolist()


def test_no_rows_have_the_same_dimensions(in_parts):
    assert vectors_of(in_parts, []).shape == (0, 5)
    assert vectors_of(embeddings(), []).shape == (0, 0)
