"""Tracks are compared by scripted hashes and embeddings."""

import numpy as np

from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS
from brand_detect.domain.hashes import ALIKE_BITS
from brand_detect.domain.tables import table
from brand_detect.stages.run_ocr.reuse import SAME_EMBEDDING, tracks_alike


def view(track, crop_hash=0, quality=1.0):
    return {"track_id": track, "crop_hash": crop_hash, "quality": quality}


def embeddings(**angles):
    """A vector of two numbers for each track; those of a track at angle 0 and of one at x have the product cos(x)."""
    vectors = {t: np.array([np.cos(a), np.sin(a)], np.float16) for t, a in angles.items()}
    rows = [{"track_id": t, "region_id": f"{t}-0", "frame": 0, "embedding": v} for t, v in vectors.items()]
    return table(TRACK_EMBEDDINGS, rows)


def test_the_best_view_is_the_one_to_read():
    views = [view("a", quality=1.0), view("b", quality=3.0), view("c", quality=2.0)]
    assert tracks_alike(views, embeddings(a=0.0, b=0.0, c=0.0)) == {"a": "b", "c": "b"}


def test_both_the_hash_and_the_embedding_must_be_alike():
    few, many = (1 << ALIKE_BITS) - 1, (1 << ALIKE_BITS + 1) - 1
    near, far = np.arccos(SAME_EMBEDDING + 0.01), np.arccos(SAME_EMBEDDING - 0.01)
    views = [view("a", quality=2.0), view("b", few), view("c", many), view("d", few)]
    assert tracks_alike(views, embeddings(a=0.0, b=near, c=near, d=-far)) == {"b": "a"}


def test_what_resembles_only_a_track_that_is_not_read_is_read():
    views = [view("a", 0b0, 3.0), view("b", 0xFF, 2.0), view("c", 0xFFFF, 1.0)]
    assert tracks_alike(views, embeddings(a=0.0, b=0.0, c=0.0)) == {"b": "a"}


def test_tracks_without_embedding_resemble_none():
    views = [view("a", quality=2.0), view("b")]
    assert tracks_alike(views, embeddings()) == {}
    assert tracks_alike(views, embeddings(a=0.0)) == {}
    assert tracks_alike([], embeddings(a=0.0)) == {}
