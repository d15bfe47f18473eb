"""Embeds the best crops of every track, so that later stages recognise logos without pictures."""

from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS, RegionKind
from brand_detect.domain.protocols import FrameReader, Image, ImageCodec, LogoEmbedder, Progress
from brand_detect.domain.tables import Row, TableBuilder, rows_of
from brand_detect.stages.views import BLURRED, best_views

VIEWS = {RegionKind.logo: 3, RegionKind.object: 3, RegionKind.text: 1}
"""Crops per track, by kind: one is enough for text, which is mostly recognised by reading."""
BATCH = 64  # crops per call of the embedder
MOST_HELD_BYTES = 64 * 2**20  # of crops that wait: some are as large as the picture


def embed_tracks(
    regions: pa.Table, *, frames: FrameReader, codec: ImageCodec, embedder: LogoEmbedder, progress: Progress
) -> pa.Table:
    """TRACK_EMBEDDINGS of ``regions``. Every frame with a chosen view is decoded once, in order.

    Tracks of logos and objects without a region that is sharp enough to be matched have none.
    """
    sharp = regions.filter(pc.field("sharpness") >= BLURRED)["track_id"].unique()
    matched = (pc.field("kind") == RegionKind.text) | pc.field("track_id").isin(sharp)
    regions = regions.filter(matched)
    parts = [best_views(regions.filter(pc.field("kind") == kind), n) for kind, n in VIEWS.items()]
    chosen = pa.concat_tables(parts).sort_by([("seen_on", "ascending"), ("track_id", "ascending")])
    shown = chosen["seen_on"].unique().to_pylist()
    embedded = TableBuilder(TRACK_EMBEDDINGS)
    waiting: list[tuple[Row, Image]] = []

    def encode() -> None:
        vectors = embedder.encode([crop for _, crop in waiting]).astype(np.float16)
        embedded.add({**view, "embedding": vector} for (view, _), vector in zip(waiting, vectors, strict=True))
        waiting.clear()

    images = frames.in_order(shown)
    for done, (frame, views) in enumerate(groupby(rows_of(chosen), key=lambda view: view["seen_on"])):
        progress(done, len(shown), "frames with crops")
        image = next(images)
        for view in views:
            row = {"track_id": view["track_id"], "region_id": view["region_id"], "frame": frame}
            waiting.append((row, codec.rectify(image, np.reshape(np.asarray(view["quad"], np.float32), (4, 2)))))
            if len(waiting) == BATCH or sum(crop.nbytes for _, crop in waiting) > MOST_HELD_BYTES:
                encode()
    if waiting:
        encode()
    progress(len(shown), len(shown), "frames with crops")
    return embedded.table()
