"""A scripted reader over crops whose pixels say which crop they are."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.domain.contracts.detect_objects import REGIONS, TRACK_EMBEDDINGS, TRACKS, DetectedObjects
from brand_detect.domain.contracts.run_ocr import (
    READINGS,
    STEPS,
    TEXTS,
    RunOcrParams,
    StoredSteps,
    TrackTexts,
    row_of_steps,
)
from brand_detect.domain.lattice import BLANK, Step
from brand_detect.domain.protocols import FrameReader, Reading
from brand_detect.domain.tables import table
from brand_detect.engines.image import OpenCvCodec
from brand_detect.stages.run_ocr.read import run_ocr


def quiet(done: float, total: float, unit: str) -> None: ...


class Frames(FrameReader):
    """Every frame is flat grey of its own number, so a crop tells which frame it was cut from."""

    def __init__(self):
        self.decoded = []

    def read(self, frame):
        self.decoded.append(frame)
        return np.full((100, 200, 3), frame, np.uint8)


class Reader:
    """Reads what the script says for a frame; a width names the track, as tracks have boxes of different widths."""

    identity = "scripted"

    def __init__(self, script):
        self.script, self.asked = script, []

    def read(self, crops):
        # widths are tens of px; a crop may be up to a fifth of its height of 20 px longer at both ends
        self.asked.append([(crop.shape[1] // 10 * 10, int(crop[0, 0, 0])) for crop in crops])
        return [Reading(*self.script[width, frame]) for width, frame in self.asked[-1]]

    @property
    def lines(self):
        return sum(len(batch) for batch in self.asked)


def region(track, frame, width=80, sharpness=100.0, kind="text", seen_on=None):
    quad = [10, 10, 10 + width, 10, 10 + width, 30, 10, 30]
    return {
        "region_id": f"{track}-{frame}",
        "track_id": track,
        "frame": frame,
        "seen_on": seen_on or [frame],
        "kind": kind,
        "label": "",
        "score": 0.9,
        "quad": quad,
        "x_px": 10,
        "y_px": 10,
        "w_px": width,
        "h_px": 20,
        "area_frac": width * 20 / 20000,
        "sharpness": sharpness,
        "contrast": 0.2,
        "crop_hash": 0,
        "origin": "detected",
        "at_edge": False,
        "glyph_boxes": None,
    }


def run(regions, script, alike=(), embedder="logo_embedder_2 0123", **params):
    """``alike``: tracks with equal embeddings. All crops have the same hash."""
    frames, reader = Frames(), Reader(script)
    first = {r["track_id"]: r for r in reversed(regions) if r["track_id"] in alike}
    embeddings = [
        {"track_id": track, "region_id": r["region_id"], "frame": r["frame"], "embedding": np.ones(1, np.float16)}
        for track, r in first.items()
    ]
    detected = DetectedObjects(
        regions=table(REGIONS, regions),
        tracks=table(TRACKS),
        embeddings=table(TRACK_EMBEDDINGS, embeddings),
        embedder=embedder,
    )
    texts = run_ocr(
        detected,
        RunOcrParams.model_validate(params),
        frames=frames,
        codec=OpenCvCodec(),
        reader=reader,
        progress=quiet,
    )
    return texts, frames, reader


def test_a_certain_first_reading_is_the_only_one():
    regions = [region("a", f, sharpness=100.0 + f) for f in range(9)]
    found, _, reader = run(regions, {(80, 8): ("Emirates", 0.95)})
    assert reader.lines == 1
    assert found.texts.to_pylist() == [
        {
            "track_id": "a",
            "text": "Emirates",
            "confidence": pytest.approx(0.95),
            "agreement": 1.0,
            "n_readings": 1,
            "alternatives": [],
        }
    ]
    assert found.readings["region_id"].to_pylist() == ["a-8"]


def test_a_text_without_any_confidence_counts_where_all_do():
    found, _, _ = run([region("a", 0)], {(80, 0): ("Emirates", 0.0)}, min_confidence=0.0)
    assert [(t["text"], t["agreement"]) for t in found.texts.to_pylist()] == [("Emirates", 0.0)]


def test_the_next_crop_is_read_until_one_is_certain():
    script = {(80, 0): ("Emirat", 0.6), (80, 1): ("Emirates", 0.97), (80, 2): ("never", 1.0)}
    regions = [region("a", f, sharpness=200.0 - f) for f in range(3)]
    found, _, reader = run(regions, script)
    assert [batch[0][1] for batch in reader.asked] == [0, 1]
    [text] = found.texts.to_pylist()
    assert (text["text"], text["alternatives"], text["n_readings"]) == ("Emirates", ["Emirat"], 2)


def test_readings_vote_with_their_confidence_whatever_the_case_and_spaces():
    script = {(80, 0): ("Bolex", 0.85), (80, 1): ("Rolex", 0.7), (80, 2): ("RO LEX", 0.75)}
    found, _, reader = run([region("a", f, sharpness=200.0 - f) for f in range(3)], script)
    assert reader.lines == 3
    [text] = found.texts.to_pylist()
    assert (text["text"], text["confidence"], text["alternatives"]) == ("RO LEX", pytest.approx(0.75), ["Bolex"])
    assert text["agreement"] == pytest.approx((0.7 + 0.75) / (0.7 + 0.75 + 0.85))


def test_the_reading_in_the_middle_of_all_wins():
    script = {(80, 0): ("ppo", 0.9), (80, 1): ("oppo", 0.85), (80, 2): ("Voppo", 0.88)}
    [text] = run([region("a", f, sharpness=200.0 - f) for f in range(3)], script, stop_confidence=0.95)[
        0
    ].texts.to_pylist()
    assert text["text"] == "oppo"
    assert set(text["alternatives"]) == {"ppo", "Voppo"}


def test_every_other_crop_is_cut_with_a_margin_at_its_ends():
    widths = []

    class Measuring(Reader):
        def read(self, crops):
            widths.extend(crop.shape[1] for crop in crops)
            return super().read(crops)

    detected = DetectedObjects(regions=table(REGIONS, [region("a", f) for f in range(3)]), tracks=table(TRACKS))
    reader = Measuring({(80, f): ("x", 0.6) for f in range(3)})
    params = RunOcrParams.model_validate({})
    run_ocr(detected, params, frames=Frames(), codec=OpenCvCodec(), reader=reader, progress=quiet)
    assert widths == [88, 80, 88]


def test_letters_are_placed_on_the_region_whatever_margin_the_crop_has():
    char_positions = (0.0, 0.5, 1.0)
    script = {(80, f): ("SKY", 0.6, char_positions) for f in range(2)}
    found, _, _ = run([region("a", f, sharpness=200.0 - f) for f in range(2)], script, stop_confidence=0.95)
    with_margin, without = found.readings["char_positions"].to_pylist()
    assert with_margin == pytest.approx([-0.05, 0.5, 1.05])
    assert without == pytest.approx(char_positions)
    untold, _, _ = run([region("a", 0)], {(80, 0): ("SKY", 0.9)})
    assert untold.readings["char_positions"].to_pylist() == [None]


def test_all_crops_are_read_where_some_show_more_of_the_line():
    script = {(70, 0): ("ppo", 1.0), (90, 1): ("oppo", 1.0), (90, 2): ("oppo", 1.0)}
    regions = [region("a", 0, 70, 250.0), region("a", 1, 90, 100.0), region("a", 2, 90, 90.0)]
    found, _, reader = run(regions, script)
    assert reader.lines == 3
    [text] = found.texts.to_pylist()
    assert (text["text"], text["alternatives"]) == ("oppo", ["ppo"])


def test_the_crop_is_cut_from_the_frame_that_shows_it():
    found, frames, _ = run([region("a", 3, seen_on=[5])], {(80, 5): ("Rolex", 1.0)})
    assert frames.decoded == [5]
    assert found.readings["frame"].to_pylist() == [5]


def test_a_duplicate_is_read_when_the_kept_frame_is_not_certain():
    script = {(80, 3): ("BOLEX", 0.87), (80, 5): ("ROLEX", 0.98), (80, 7): ("never", 1.0)}
    found, _, _ = run([region("a", 3, seen_on=[3, 5, 7])], script)
    [text] = found.texts.to_pylist()
    assert (text["text"], text["alternatives"], text["n_readings"]) == ("ROLEX", ["BOLEX"], 2)


def test_unsure_readings_are_kept_but_do_not_vote():
    script = {(80, 0): ("X1Z", 0.3), (80, 1): ("", 0.0)}
    found, _, _ = run([region("a", 0), region("a", 1)], script, min_confidence=0.5)
    assert found.texts.num_rows == 0
    assert sorted(found.readings["text"].to_pylist()) == ["", "X1Z"]


def test_the_crops_are_spread_over_the_track():
    # the sharpest regions are neighbours; one of each third is read
    regions = [region("a", f, sharpness=50.0 + 10 * f) for f in range(9)]
    script = {(80, f): (f"text {f}", 0.6) for f in range(9)}
    found, _, _ = run(regions, script, max_crops=3)
    assert sorted(found.readings["frame"].to_pylist()) == [2, 5, 8]


def test_large_and_sharp_comes_before_large_or_sharp():
    regions = [region("a", 0, 80, 5.0), region("a", 1, 74, 250.0), region("a", 2, 80, 250.0)]
    _, _, reader = run(regions, {(80, 2): ("yes", 0.99)})
    assert reader.asked == [[(80, 2)]]


def test_tracks_are_read_together_and_every_frame_is_decoded_once():
    widths = {"a": 60, "b": 80, "c": 100}
    regions = [region(t, f, w, sharpness=100.0 + f) for f in range(6) for t, w in widths.items()]
    script = {(w, f): (f"{w}", 0.6 if w == 80 else 0.99) for w in widths.values() for f in range(6)}
    found, frames, reader = run(regions, script)
    assert frames.decoded == sorted(set(frames.decoded))
    assert [len(batch) for batch in reader.asked] == [3, 1, 1]
    assert found.stats == {
        "text_tracks": 3.0,
        "lines_read": 5.0,
        "lines_reused": 0.0,
        "frames_decoded": float(len(frames.decoded)),
        "lines_read_per_100_tracks": 166.7,
        "lines_reused_per_100_tracks": 0.0,
    }
    assert dict(zip(found.texts["track_id"].to_pylist(), found.texts["text"].to_pylist(), strict=True)) == {
        "a": "60",
        "b": "80",
        "c": "100",
    }


def test_crops_of_a_long_video_are_read_in_batches(monkeypatch):
    monkeypatch.setitem(run_ocr.__globals__, "BATCH_TRACKS", 4)
    regions = [region(f"t{f}", f) for f in range(10)]
    found, _, reader = run(regions, {(80, f): (f"t{f}", 0.99) for f in range(10)})
    assert [len(batch) for batch in reader.asked] == [4, 4, 2]
    assert all(r["text"] == r["track_id"] for r in found.texts.to_pylist())


def readings(found):
    """Text and origin of each track's readings."""
    return {
        track: [(r["text"], r["read_in"]) for r in found.readings.to_pylist() if r["track_id"] == track]
        for track in sorted(set(found.readings["track_id"].to_pylist()))
    }


def test_embeddings_of_another_embedder_are_no_reason_to_reuse_a_reading():
    regions = [region("a", 0), region("b", 7)]
    found, _, _ = run(regions, {(80, f): ("Emirates", 0.99) for f in (0, 7)}, alike="ab", embedder="clip 0123")
    assert (found.stats["lines_read"], found.stats["lines_reused"]) == (2.0, 0.0)


def test_a_board_that_returns_takes_over_the_reading_of_its_best_view():
    regions = [region("a", 0, sharpness=100.0), region("b", 7, sharpness=250.0), region("c", 9, sharpness=50.0)]
    found, frames, reader = run(regions, {(80, 7): ("Emirates", 0.99, (0.1, 0.9))}, alike="abc")
    assert reader.asked == [[(80, 7)]]
    assert frames.decoded == [7]
    assert readings(found) == {"a": [("Emirates", "b")], "b": [("Emirates", None)], "c": [("Emirates", "b")]}
    first, _, last = found.readings.to_pylist()
    assert [(r["region_id"], r["frame"]) for r in (first, last)] == [("a-0", 0), ("c-9", 9)]
    assert len(first["char_positions"]) == 2
    assert [(t["track_id"], t["text"], t["n_readings"]) for t in found.texts.to_pylist()] == [
        ("a", "Emirates", 1),
        ("b", "Emirates", 1),
        ("c", "Emirates", 1),
    ]
    assert (found.stats["lines_read"], found.stats["lines_reused"], found.stats["frames_decoded"]) == (1.0, 2.0, 1.0)
    assert found.stats["lines_reused_per_100_tracks"] == 66.7


def test_a_clock_is_read_again_though_it_looks_the_same():
    regions = [region("a", 0, sharpness=250.0), region("b", 7)]
    found, _, reader = run(regions, {(80, 0): ("37:12", 1.0), (80, 7): ("37:13", 1.0)}, alike="ab")
    assert readings(found) == {"a": [("37:12", None)], "b": [("37:13", None)]}
    assert (reader.lines, found.stats["lines_reused"]) == (2, 0.0)


@pytest.mark.parametrize("confidence", [0.6, 0.97])
def test_a_reading_that_is_not_certain_is_not_taken_over(confidence):
    regions = [region("a", 0, sharpness=250.0), region("b", 7)]
    found, _, _ = run(regions, {(80, 0): ("Rolex", confidence), (80, 7): ("Bolex", 0.99)}, alike="ab")
    assert readings(found) == {"a": [("Rolex", None)], "b": [("Bolex", None)]}


def test_a_reading_of_another_crop_than_the_one_compared_is_not_taken_over():
    regions = [region("a", 0, sharpness=250.0), region("a", 1, sharpness=200.0), region("b", 7)]
    script = {(80, 0): ("Rol", 0.6), (80, 1): ("Hublot", 0.99), (80, 7): ("Rolex", 0.99)}
    found, _, _ = run(regions, script, alike="ab")
    assert readings(found)["b"] == [("Rolex", None)]


def test_a_track_of_changing_proportions_is_read_in_full():
    regions = [region("a", 0, sharpness=250.0), region("b", 7), region("b", 8, 60)]
    script = {(80, 0): ("Rolex", 1.0), (80, 7): ("Rolex", 1.0), (60, 8): ("Role", 1.0)}
    found, _, reader = run(regions, script, alike="ab")
    assert (reader.lines, found.stats["lines_reused"]) == (3, 0.0)


def test_every_track_is_read_on_demand():
    regions = [region("a", 0, sharpness=250.0), region("b", 7)]
    script = {(80, 0): ("Rolex", 1.0), (80, 7): ("Rolex", 1.0)}
    assert run(regions, script, alike="ab")[2].lines == 1
    assert run(regions, script, alike="ab", reuse_readings=False)[2].lines == 2


def test_only_text_is_read():
    found, frames, reader = run([region("a", 0, kind="object")], {})
    assert (found.counts(), frames.decoded, reader.asked) == ({"readings": 0, "texts": 0, "steps": 0}, [], [])


def test_no_regions_give_empty_tables():
    assert run([], {})[0].counts() == {"readings": 0, "texts": 0, "steps": 0}


def test_a_reading_that_is_certain_or_taken_over_has_a_row_without_steps_and_an_unknown_one_none():
    regions = [region("a", 0, sharpness=250.0), region("b", 7), region("c", 9, 120)]
    steps = (Step(("R", "B"), (0.0, 1.25)),)
    for told, of_leader in ((steps, steps), ((), ()), (None, None)):
        script = {(80, 0): ("Rolex", 0.99, (), told), (120, 9): ("Visa", 0.9)}
        found, _, _ = run(regions, script, alike="ab")
        assert readings(found)["b"] == [("Rolex", "a")]
        assert stored_steps(found) == {"a-0": [of_leader], "b-7": [None if told is None else ()], "c-9": [None]}


def test_steps_of_uncertain_readings_are_stored_by_region_and_come_back():
    steps = (Step(("R", "B"), (0.0, 1.25)), Step((BLANK,), (0.0,)), Step(("é",), (0.0,)))
    script = {(80, 0): ("Ré", 0.6, (), steps), (80, 1): ("Ra", 0.95), (120, 2): ("", 0.0, (), steps)}
    regions = [region("a", 0, sharpness=200.0), region("a", 1), region("b", 2, width=120)]
    found, _, _ = run(regions, script)
    [row] = found.steps.to_pylist()
    assert (row["region_id"], row["characters"]) == ("a-0", "RB␀é")
    assert stored_steps(found) == {"a-0": [steps], "a-1": [None], "b-2": [None]}


def test_each_reading_of_a_region_has_its_own_steps():
    """A region is read on several pictures if duplicates of its keyframe show it, too."""
    at_first, later = ((Step((letter, "B"), (0.0, 1.25)),) for letter in "RP")
    readings = [
        {"track_id": "a", "region_id": "a-0", "frame": frame, "text": text, "confidence": 0.5}
        | {"char_positions": None, "read_in": None}
        for frame, text in enumerate(("R", "", "P"))
    ]
    rows = [row_of_steps("a-0", at_first), row_of_steps("a-0", later)]
    texts = TrackTexts(table(READINGS, readings), TEXTS.empty_table(), table(STEPS, rows))
    assert stored_steps(texts) == {"a-0": [at_first, None, later]}
    sliced = pa.concat_tables([texts.steps.slice(0, 1), texts.steps.slice(1, 1)])
    assert stored_steps(replace(texts, steps=sliced)) == {"a-0": [at_first, None, later]}
    assert stored_steps(replace(texts, steps=sliced.slice(1, 1))) == {"a-0": [None] * 3}, "whose they are is unknown"
    assert stored_steps(replace(texts, steps=STEPS.empty_table())) == {"a-0": [None] * 3}


def stored_steps(texts):
    steps, found = StoredSteps(texts), {}
    for row, region in enumerate(texts.readings["region_id"].to_pylist()):
        found.setdefault(region, []).append(steps[row])
    return found
