"""Which views of which tracks are encoded, and in what order the frames are decoded."""

import numpy as np

from brand_detect.domain.contracts.detect_objects import REGIONS, RegionKind
from brand_detect.domain.protocols import FrameReader
from brand_detect.domain.tables import table
from brand_detect.engines.image import OpenCvCodec
from brand_detect.stages.detect_objects.embeddings import BATCH, VIEWS, embed_tracks
from brand_detect_tests.support.payloads import region
from brand_detect_tests.support.pipeline import silent


class Frames(FrameReader):
    def __init__(self):
        self.read_frames = []

    def read(self, frame):
        self.read_frames.append(frame)
        return np.full((1080, 1920, 3), frame, np.uint8)


class Embedder:
    """The first number of a vector is the brightness, which is the frame's number."""

    identity, dimensions = "scripted", 4

    def __init__(self):
        self.batches = []

    def encode(self, crops):
        self.batches.append(len(crops))
        return np.array([[crop.mean(), *crop.shape[:2], 0] for crop in crops], np.float32)

    encode_drawings = encode


def encode(rows):
    frames, embedder = Frames(), Embedder()
    marks = embed_tracks(table(REGIONS, rows), frames=frames, codec=OpenCvCodec(), embedder=embedder, progress=silent)
    return marks.to_pylist(), frames.read_frames, embedder.batches


def test_a_logo_gives_three_views_spread_over_it_and_a_line_one():
    rows = [region(f, "logo", kind="logo") for f in range(9)] + [region(f, "line") for f in range(9)]
    marks, read, _ = encode(rows)
    frames = {t: [r["frame"] for r in marks if r["track_id"] == t] for t in ("logo", "line")}
    assert {t: len(f) for t, f in frames.items()} == {"logo": VIEWS[RegionKind.logo], "line": VIEWS[RegionKind.text]}
    assert [f // 3 for f in frames["logo"]] == [0, 1, 2]
    assert read == sorted(set(read))


def test_vectors_are_of_the_crop_that_the_row_names():
    marks, _, _ = encode([region(7, "a", box=(10, 20, 60, 30), kind="logo")])
    [row] = marks
    assert row["embedding"] == [7.0, 30.0, 60.0, 0.0]
    assert row["region_id"] == region(7, "a", box=(10, 20, 60, 30), kind="logo")["region_id"]


def test_the_embedder_gets_batches():
    marks, _, batches = encode([region(f, f"t{f}", kind="logo") for f in range(150)])
    assert len(marks) == sum(batches) == 150
    assert batches[:2] == [BATCH, BATCH]


def test_no_regions_no_marks():
    assert encode([]) == ([], [], [])


def test_a_logo_that_is_never_sharp_gives_none_and_a_line_does():
    blurred = [region(f, kind, kind=kind) | {"sharpness": 99.0} for kind in ("logo", "text") for f in range(3)]
    once_sharp = [region(f, "glint", kind="logo") | {"sharpness": 99.0 + f} for f in range(2)]
    marks, _, _ = encode([*blurred, *once_sharp])
    assert sorted(r["track_id"] for r in marks) == ["glint", "glint", "text"]
