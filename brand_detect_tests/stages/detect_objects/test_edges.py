"""Edges of tracks on drawn pictures between sampled frames: when they appear and disappear is known to the picture."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import pytest

from brand_detect.domain.contracts.detect_objects import (
    REGIONS,
    TRACKS,
    DetectedObjects,
    DetectObjectsParams,
    RegionKind,
    Side,
)
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.protocols import Interval, Luma, Picture
from brand_detect.domain.tables import table
from brand_detect.engines.motion import OpenCvCameraMotion
from brand_detect.stages import with_edges
from brand_detect.stages.detect_objects import edges as edges_module
from brand_detect_tests.support import payloads as p

WIDTH, HEIGHT = 640, 360
BOX = (200, 120, 160, 40)
FPS = 24.0


def noise(height: int, width: int, seed: int, cell: int = 8) -> Luma:
    cells = np.random.default_rng(seed).integers(0, 255, (-(-height // cell), -(-width // cell)), np.uint8)
    return np.kron(cells, np.ones((cell, cell), np.uint8))[:height, :width]


SCENE, BOARD, OTHER = noise(HEIGHT, 3 * WIDTH, 1, 40), noise(BOX[3], BOX[2], 2, 4), noise(BOX[3], BOX[2], 3, 4)


def drawn(board: Luma | None, left_px: int = 0, x: int = BOX[0]) -> Luma:
    """The view of a camera that has panned by ``left_px``, with a board that stands in the scene."""
    _, y, w, h = BOX
    scene = SCENE.copy()
    if board is not None:
        scene[y : y + h, WIDTH + x : WIDTH + x + w] = board
    return np.ascontiguousarray(scene[:, WIDTH + left_px : 2 * WIDTH + left_px])


def stored() -> Luma:
    return np.frombuffer(p.BUSY, np.uint8)


Choose = Callable[[Sequence[float]], Sequence[Interval]]


class Video:
    """Media and decoder of a video that is drawn as it is asked for."""

    identity = "drawn"

    def __init__(self, draw: Callable[[float], Luma], key_times: Sequence[float] = (0.0,), size: int = 123_456_789):
        self.draw, self.keys, self.size = draw, list(key_times), size
        self.asked: list[tuple[float, float]] = []

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:  # noqa: ARG002
        class File(BytesIO):
            def seek(self, *args: int) -> int:
                return size if args == (0, 2) else super().seek(*args)

        size = self.size
        yield File()

    def stretches(self, file: BinaryIO, choose: Choose) -> Iterator[tuple[Interval, list[Picture]]]:  # noqa: ARG002
        for start_s, end_s in choose(self.keys):
            self.asked.append((start_s, end_s))
            times = np.arange(round(start_s * FPS), round(end_s * FPS) + 1) / FPS
            pictures = [Picture(t, t + 1 / FPS, lambda t=t: self.draw(t), stored) for t in times.tolist()]
            yield (start_s, end_s), pictures

    probe: Any = None
    decode: Any = None


def detected(
    shown: Sequence[int], kind: RegionKind = RegionKind.text, box: Any = BOX, name: str = "a"
) -> DetectedObjects:
    rows = [p.region(frame, name, box, kind=kind) for frame in shown]
    track = p.row(TRACKS, track_id=name, kind=kind, n_regions=len(rows))
    return DetectedObjects(table(REGIONS, rows), table(TRACKS, [track]))


def edges(
    found: DetectedObjects, video: Video, scenes: FilteredScenes | None = None, **params: Any
) -> tuple[list[tuple[str, int, str, float]], DetectedObjects]:
    """The edges as tuples, and the payload; the video is sampled twice a second."""
    frames = p.frames(40, size=(WIDTH, HEIGHT))
    request = p.request(20.0)
    probe = request.probe.model_copy(update={"width_px": WIDTH, "height_px": HEIGHT, "fps": FPS})
    made = with_edges(
        found,
        request.model_copy(update={"probe": probe}),
        frames,
        scenes or p.scenes(frames),
        DetectObjectsParams(**params),
        media=video,
        decoder=video,
        motion=OpenCvCameraMotion(),
        progress=lambda done, total, unit: None,  # noqa: ARG005
    )
    rows = made.edges.to_pylist()
    return [(row["track_id"], row["frame"], row["side"], row["t_s"]) for row in rows], made


@pytest.mark.parametrize("picture", [1, 5, 9, 12])
def test_a_board_that_lights_up_and_changes_between_two_samples(picture: int) -> None:
    came_s, went_s = 2 + picture / FPS, 4 + picture / FPS
    video = Video(lambda t: drawn(BOARD if came_s - 1e-6 <= t < went_s - 1e-6 else OTHER))
    found, made = edges(detected([5, 6, 7, 8]), video)
    assert [row[:3] for row in found] == [("a", 5, Side.start), ("a", 8, Side.end)]
    assert [row[3] for row in found] == pytest.approx([came_s, went_s], abs=0.05)
    errors = np.array(made.edges["error_s"].to_pylist())
    assert (np.abs([found[0][3] - came_s, found[1][3] - went_s]) <= errors + 1e-6).all()
    assert video.asked == [(2.0, 2.5), (4.0, 4.5)]
    assert (made.stats["edges_sought"], made.stats["edges_found"]) == (2, 2)


def test_a_board_that_the_camera_leaves_ends_where_a_quarter_of_it_is_out() -> None:
    x, speed = 20, 240  # px, and px per second: a quarter of it is out after a quarter of a second
    video = Video(lambda t: drawn(BOARD, round(speed * (t - 2.5)), x))
    [(_, frame, _, t_s)] = [row for row in edges(detected([5], box=(x, *BOX[1:])), video)[0] if row[2] == Side.end]
    assert frame == 5
    assert t_s == pytest.approx(2.75, abs=0.06)


def test_a_passer_by_takes_a_board_off_the_screen_for_as_long_as_he_covers_it() -> None:
    def draw(t_s: float) -> Luma:
        picture = drawn(BOARD)
        if 3.2 <= t_s < 4.2:
            x, y, w, h = BOX
            picture[y - 40 : y + h + 40, x - 20 : x + w + 20] = 90
        return picture

    found, _ = edges(detected([4, 5, 6, 9, 10]), Video(draw))
    assert [row[1:3] for row in found if 3 < row[3] < 4.5] == [(6, Side.end), (9, Side.start)]
    assert [row[3] for row in found if 3 < row[3] < 4.5] == pytest.approx([3.2, 4.2], abs=0.05)


def test_what_is_partly_covered_is_still_there() -> None:
    """A player in front of a third of the board on the sampled frame itself walks on: the board stays."""

    def draw(t_s: float) -> Luma:
        picture = drawn(BOARD if t_s < 2.9 else OTHER)
        left = round(200 + 60 * (t_s - 2.5))
        picture[100:180, left : left + 50] = 90
        return picture

    [(_, _, _, t_s)] = [row for row in edges(detected([5]), Video(draw))[0] if row[2] == Side.end]
    assert t_s == pytest.approx(2.9, abs=0.06)


@pytest.mark.parametrize(
    ("shown", "kind", "why"),
    [
        (range(5, 26), RegionKind.text, "it lasts ten seconds"),
        ([5, 6], RegionKind.object, "objects carry no brand"),
        ([5], RegionKind.logo, "such logo regions are no logos as a rule"),
        (range(40), RegionKind.text, "the range begins and ends with it"),
    ],
)
def test_edges_that_are_not_looked_for(shown: Sequence[int], kind: RegionKind, why: str) -> None:
    video = Video(lambda _: drawn(BOARD))
    found, made = edges(detected(list(shown), kind), video)
    assert not found, why
    assert not video.asked, why
    assert made.notes == ()


def test_edges_at_cuts_are_known_without_pictures() -> None:
    video = Video(lambda _: drawn(BOARD))
    scenes = p.scenes(p.frames(40), cuts=(2.3, 4.3))
    assert edges(detected([5, 6, 7, 8]), video, scenes)[0] == []
    assert video.asked == []


def test_a_frame_that_stands_for_others_has_its_edges_beside_them() -> None:
    """The keyframe 5 is shown from 2.5 s to 3.5 s; its board goes after that."""
    frames = p.frames(40)
    scenes = p.scenes(frames, dropped={6: 5, 7: 5})
    video = Video(lambda t: drawn(BOARD if t < 3.8 else OTHER))
    found, _ = edges(detected([5]), video, scenes)
    assert [(frame, side) for _, frame, side, _ in found if side == Side.end] == [(7, Side.end)]
    assert found[-1][3] == pytest.approx(3.8, abs=0.05)


def test_a_plain_region_keeps_the_grid() -> None:
    video = Video(lambda _: np.full((HEIGHT, WIDTH), 128, np.uint8))
    found, made = edges(detected([5, 6]), video)
    assert found == []
    assert made.stats["edges_sought"] == 2


def test_the_limit_takes_the_intervals_with_most_edges_per_picture_and_says_what_it_left() -> None:
    """Key pictures every 2 s. Three boards go after 13 s; one comes after 3 s, and is further from its key picture."""
    boards = [detected([24, 25, 26], name=name) for name in "xyz"] + [detected([7, 8], name="a")]
    found = DetectedObjects(
        *(
            table(schema, [row for one in boards for row in getattr(one, name).to_pylist()])
            for name, schema in (("regions", REGIONS), ("tracks", TRACKS))
        )
    )
    video = Video(lambda _: drawn(BOARD), key_times=(0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 13.0))
    _, made = edges(found, video, edge_pictures_per_minute=45)  # 15 for the 20 s
    assert video.asked == [(13.0, 13.5)]
    assert (made.stats["edge_intervals"], made.stats["edge_intervals_searched"]) == (4, 1)
    assert made.notes == ()


def test_the_edges_of_short_tracks_come_before_those_of_long_ones() -> None:
    """Two boards at equal cost, one shown for 9 s before it goes, the other for 1 s."""
    long, short = detected([*range(3, 21)], name="long"), detected([5, 6], name="short")
    found = DetectedObjects(
        table(REGIONS, [*long.regions.to_pylist(), *short.regions.to_pylist()]),
        table(TRACKS, [*long.tracks.to_pylist(), *short.tracks.to_pylist()]),
    )
    video = Video(lambda _: drawn(BOARD), key_times=(0.0, 1.0, 2.0, 3.0, 10.0))
    edges(found, video, edge_pictures_per_minute=36)  # 12 for the 20 s: half a second from a key picture
    assert video.asked == [(3.0, 3.5)]


def test_what_is_mostly_covered_is_gone() -> None:
    """A third of the board's contrast is left from 2.8 s on: too little to read it."""
    covered = (0.35 * BOARD + 0.65 * OTHER).astype(np.uint8)
    (*_, (_, frame, side, t_s)), _ = edges(detected([4, 5]), Video(lambda t: drawn(BOARD if t < 2.8 else covered)))
    assert (frame, side) == (5, Side.end)
    assert t_s == pytest.approx(2.8, abs=0.05)


def test_logo_regions_of_less_than_a_second_keep_the_grid() -> None:
    """Shown from a cut at 2.4 s to the middle between two samples, 0.85 s later."""
    frames = p.frames(40, size=(WIDTH, HEIGHT))
    video = Video(lambda t: drawn(BOARD if t < 3.2 else OTHER))
    for kind, asked in ((RegionKind.text, 1), (RegionKind.logo, 0)):
        video.asked.clear()
        edges(detected([5, 6], kind), video, p.scenes(frames, (2.4,)))
        assert len(video.asked) == asked


def test_nothing_was_found() -> None:
    video = Video(lambda _: drawn(BOARD))
    nothing = DetectedObjects(table(REGIONS), table(TRACKS))
    assert edges(nothing, video)[1] is nothing


def test_off() -> None:
    video = Video(lambda _: drawn(BOARD))
    given = detected([5, 6])
    assert edges(given, video, edge_pictures_per_minute=0)[1] is given
    assert video.asked == []


def test_without_the_video_a_note_says_so() -> None:
    class Gone(Video):
        def open(self, uri: str) -> Any:
            raise BadInput(f"There is no video at {uri}.")

    found, made = edges(detected([5, 6]), Gone(lambda _: drawn(BOARD)))
    assert found == []
    assert made.notes == (
        "Edges of exposures are those of the sampling grid, as the video was not at hand: "
        "There is no video at /videos/match.mp4.",
    )
    _, made = edges(detected([5, 6]), Video(lambda _: drawn(BOARD), size=7))
    assert "another file" in made.notes[0]


def test_pictures_of_other_times_are_no_evidence() -> None:
    class Shifted(Video):
        def stretches(self, file: BinaryIO, choose: Choose) -> Iterator[tuple[Interval, list[Picture]]]:
            for interval, pictures in super().stretches(file, choose):
                yield interval, [replace(picture, t_s=picture.t_s + 0.1) for picture in pictures]

    assert edges(detected([5, 6]), Shifted(lambda t: drawn(BOARD if t < 3.2 else OTHER)))[0] == []


def test_pictures_of_another_video_of_the_same_size_are_no_evidence_and_a_note_says_so() -> None:
    class Other(Video):
        def stretches(self, file: BinaryIO, choose: Choose) -> Iterator[tuple[Interval, list[Picture]]]:
            for interval, pictures in super().stretches(file, choose):
                flat = np.full(len(p.BUSY), 90, np.uint8)
                yield interval, [replace(picture, thumbnail=lambda flat=flat: flat) for picture in pictures]

    found, made = edges(detected([5, 6]), Other(lambda t: drawn(BOARD if t < 3.2 else OTHER)))
    assert found == []
    assert "other pictures" in made.notes[0]


def short_lived(t: float) -> Luma:
    return drawn(BOARD if 2.3 < t < 3.2 else OTHER)


class Breaking(Video):
    """Breaks off after the first interval."""

    def __init__(self, error: BrandDetectError) -> None:
        super().__init__(short_lived)
        self.error = error

    def stretches(self, file: BinaryIO, choose: Choose) -> Iterator[tuple[Interval, list[Picture]]]:
        yield next(super().stretches(file, choose))
        raise self.error


@pytest.mark.parametrize(("faults", "found", "left"), [(2, 2, 0), (3, 0, 2)])
def test_a_video_that_is_out_of_reach_is_tried_again_before_it_is_done_without(
    monkeypatch: pytest.MonkeyPatch, faults: int, found: int, left: int
) -> None:
    monkeypatch.setattr(edges_module, "PAUSES_S", (0.0, 0.0))
    video, breaking = Video(short_lived), Breaking(Transient("503."))
    tries = iter([breaking.stretches] * faults + [video.stretches])
    monkeypatch.setattr(video, "stretches", lambda *asked: next(tries)(*asked))
    rows, made = edges(detected([5, 6]), video)
    assert len(rows) == found
    assert made.stats["edge_intervals_left"] == left
    assert ["503." in note for note in made.notes] == [True] * bool(left)


def test_a_video_that_breaks_off_leaves_no_edges_of_its_beginning() -> None:
    found, made = edges(detected([5, 6]), Breaking(Permanent("It is damaged.")))
    assert found == []
    assert made.stats["edge_intervals_searched"] == 0
    assert "It is damaged." in made.notes[0]


def test_a_region_is_looked_for_where_it_is_on_a_source_larger_than_the_stored_frame() -> None:
    def large(t: float) -> Luma:
        return np.kron(drawn(BOARD if t < 3.2 else OTHER), np.ones((2, 2), np.uint8))

    *_, (track, frame, side, t_s) = edges(detected([4, 5, 6]), Video(large))[0]
    assert (track, frame, side) == ("a", 6, Side.end)
    assert t_s == pytest.approx(3.2, abs=0.05)


def test_a_picture_of_another_size_in_between_tells_nothing() -> None:
    """As when a stream changes its resolution and changes back."""

    def sized(t: float) -> Luma:
        picture = drawn(BOARD if t < 3.2 else OTHER)
        return np.ascontiguousarray(picture[:, : WIDTH - 160]) if 3.05 < t < 3.4 else picture

    found, made = edges(detected([4, 5, 6]), Video(sized))
    assert [side for _, _, side, _ in found] == [Side.start]
    assert made.notes == ()
