"""Scripted detectors over drawn scenes whose boards, cameras and captions are known."""

import itertools
import sys
import time
import weakref
from threading import Event

import cv2
import numpy as np
import pytest

from brand_detect.domain.contracts.detect_objects import DetectObjectsParams, Origin, RegionKind
from brand_detect.domain.contracts.filter_scenes import SHOTS, TIMELINE, FilteredScenes
from brand_detect.domain.geometry import box_iou, box_of, quad_of
from brand_detect.domain.protocols import FrameReader, Region
from brand_detect.domain.tables import table
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.motion import OpenCvCameraMotion
from brand_detect.stages.detect_objects.detect import detect_objects
from brand_detect.stages.detect_objects.search import LASTING_S, without_lines
from brand_detect.stages.detect_objects.tracking import SAME_CONTENT_BITS, SAME_CONTENT_BITS_ON_OTHER_BACKGROUND

WIDTH, HEIGHT = 640, 360


def quiet(done: float, total: float, unit: str) -> None: ...


def noise(height, width, seed, cell=8):
    """Blocks of random grey, which corners and hashes can hold on to."""
    cells = np.random.default_rng(seed).integers(0, 255, (-(-height // cell), -(-width // cell)), np.uint8)
    grey = np.kron(cells, np.ones((cell, cell), np.uint8))[:height, :width]
    return np.repeat(grey[:, :, None], 3, axis=2)


def paste(picture, box, seed):
    """A board whose look depends on ``seed``, at ``box`` (x, y, w, h)."""
    x, y, w, h = box
    picture[y : y + h, x : x + w] = noise(h, w, seed, cell=6)


def timeline(shots, duplicates_of=None):
    """One keyframe for each entry of ``shots``; ``duplicates_of`` maps a frame to the one that stands for it."""
    duplicates_of = duplicates_of or {}
    rows = [
        {
            "frame": i,
            "frame_id": f"frame-{i}",
            "t_s": i / 2,
            "start_s": i / 2,
            "end_s": (i + 1) / 2,
            "shot": shot,
            "status": "duplicate" if i in duplicates_of else "keyframe",
            "keyframe": duplicates_of.get(i, i),
            "hamming": 0,
        }
        for i, shot in enumerate(shots)
    ]
    return FilteredScenes(shots=table(SHOTS), timeline=table(TIMELINE, rows))


class Scene(FrameReader):
    """Frames and, as a detector, the true boxes on each."""

    identity = "scripted"

    def __init__(self, pictures, boxes, kind=RegionKind.text):
        self.pictures, self.boxes, self.kind = pictures, boxes, kind
        self.labels = [""] * len(pictures)
        self.searched = []  # (frame, areas)

    def read(self, frame):
        return self.pictures[frame]

    def detect(self, image, areas=()):
        [at] = [i for i, picture in enumerate(self.pictures) if picture is image]
        self.searched.append((at, list(areas)))
        quads = [quad_of((x, y, x + w, y + h)) for x, y, w, h in self.boxes[at]]
        return [Region(self.kind, self.labels[at], 0.9, quad) for quad in quads]

    @property
    def searched_in_full(self):
        return sorted(frame for frame, areas in self.searched if not areas)


def run(scene, shots, duplicates_of=None, motion=None, **params):
    return detect_objects(
        timeline(shots, duplicates_of),
        DetectObjectsParams.model_validate(params),
        frames=scene,
        codec=OpenCvCodec(),
        detectors=[scene],
        motion=motion or OpenCvCameraMotion(),
        progress=quiet,
    )


def tracks_of(found):
    """Frames by track, longest first."""
    rows = found.regions.select(["track_id", "frame"]).to_pylist()
    rows.sort(key=lambda r: r["track_id"])
    groups = [[r["frame"] for r in g] for _, g in itertools.groupby(rows, key=lambda r: r["track_id"])]
    return sorted(groups, key=lambda g: (-len(g), g))


def pan(steps, board=(700, 150, 120, 30), scoreboard=(20, 20, 100, 30)):
    """A camera that moves over a world with one board, under a scoreboard that stays."""
    world = noise(HEIGHT, 2000, seed=1)
    paste(world, board, seed=2)
    pictures, boxes = [], []
    for x in steps:
        picture = world[:, x : x + WIDTH].copy()
        paste(picture, scoreboard, seed=3)
        pictures.append(picture)
        boxes.append([(left, *board[1:]) for left in [board[0] - x] if left < WIDTH] + [scoreboard])
    return Scene(pictures, boxes)


def test_a_board_goes_with_the_camera_and_a_scoreboard_stays():
    scene = pan([200, 260, 320, 400, 480])  # up to 80 px a step, boxes 30 px high
    found = run(scene, [0] * 5)
    assert tracks_of(found) == [[0, 1, 2, 3, 4]] * 2
    assert found.tracks["n_regions"].to_pylist() == [5, 5]


def test_the_cameras_motion_is_part_of_the_result():
    found = run(pan([200, 260, 320, 380]), [0, 0, 1, 1])
    first, second, third, fourth = found.camera_motion.to_pylist()
    assert [row["frame"] for row in (first, second, third, fourth)] == [0, 1, 2, 3]
    assert first["transform"] is third["transform"] is None  # no motion leads into a shot
    for row in (second, fourth):
        np.testing.assert_allclose(row["transform"], [1, 0, -60, 0, 1, 0, 0, 0, 1], atol=0.5)
        assert row["agreement"] > 0.9  # all but the scoreboard


def test_a_fast_pan_is_followed_too():
    assert tracks_of(run(pan([240, 440, 600]), [0] * 3)) == [[0, 1, 2]] * 2


def test_without_overlap_or_across_a_cut_tracks_end():
    found = run(pan([200, 260, 320]), [0, 0, 1])
    assert tracks_of(found) == [[0, 1], [0, 1], [2], [2]]
    assert sorted(found.tracks["shot"].to_pylist()) == [0, 0, 1, 1]


def board_scene(seeds):
    """A still camera and one board that shows another picture for each seed; None = switched off."""
    pictures, boxes = [], []
    for seed in seeds:
        picture = noise(HEIGHT, WIDTH, seed=1)
        if seed is not None:
            paste(picture, (200, 100, 180, 40), seed)
        pictures.append(picture)
        boxes.append([] if seed is None else [(200, 100, 180, 40)])
    return Scene(pictures, boxes)


@pytest.mark.parametrize("search_every", [1, 2, 4])
def test_a_board_that_changes_its_text_gives_a_track_for_each(search_every):
    found = run(board_scene([5, 5, 6, 6, 6]), [0] * 5, search_every=search_every)
    assert tracks_of(found) == [[2, 3, 4], [0, 1]]


def test_a_text_hidden_for_a_moment_stays_one_track():
    assert tracks_of(run(board_scene([5, None, 5, 5]), [0] * 4)) == [[0, 2, 3]]
    assert tracks_of(run(board_scene([5, None, None, None, 5]), [0] * 5)) == [[0], [4]]


def boxes_on(found, frame):
    """The boxes (x, y, w, h) on a frame in whole px, sorted, each with its origin."""
    rows = [r for r in found.regions.to_pylist() if r["frame"] == frame]
    return sorted((tuple(round(r[k]) for k in ("x_px", "y_px", "w_px", "h_px")), r["origin"]) for r in rows)


BOARD = (200, 100, 180, 40)  # of board_scene


@pytest.mark.parametrize(
    ("search_every", "in_full"), [(1, [*range(11)]), (2, [0, 2, 4, 6, 8, 10]), (4, [0, 3, 7, 10]), (16, [0, 10])]
)
def test_every_nth_keyframe_is_searched_and_the_first_and_last_of_a_shot(search_every, in_full):
    scene = board_scene([5] * 11)
    found = run(scene, [0] * 11, search_every=search_every)
    assert scene.searched == [(frame, []) for frame in in_full]
    for frame in range(11):
        assert boxes_on(found, frame) == [(BOARD, "detected" if frame in in_full else "carried")]
    assert tracks_of(found) == [[*range(11)]]
    assert found.stats["pictures_searched"] == len(in_full)
    assert found.stats["searched_in_full_per_100_frames"] == round(100 * len(in_full) / 11, 1)
    assert found.stats["carried_per_100_frames"] == round(100 * (11 - len(in_full)) / 11, 1)


def test_regions_are_carried_along_a_pan_and_stand_still_on_overlays():
    steps = [200, 230, 265, 310, 330]
    scene = pan(steps)
    found = run(scene, [0] * 5, search_every=4)
    assert scene.searched_in_full == [0, 4]
    for frame, x in enumerate(steps):
        origin = "carried" if 0 < frame < 4 else "detected"
        scoreboard, board = boxes_on(found, frame)
        assert scoreboard == ((20, 20, 100, 30), origin)
        assert board[0] == pytest.approx((700 - x, 150, 120, 30), abs=1)
        assert board[1] == origin


def test_a_region_is_carried_back_from_the_next_searched_keyframe():
    scene = pan([0, 190, 200])  # the board comes into view on the second keyframe
    found = run(scene, [0] * 3)
    assert scene.searched_in_full == [0, 2]
    assert [len(boxes_on(found, frame)) for frame in range(3)] == [1, 2, 2]


def test_what_stands_between_covers_a_board_for_as_long_as_it_stands_there():
    scene = board_scene([5] * 5)
    for i in (1, 2):
        paste(scene.pictures[i], (170, 60, 260, 150), seed=11)
        scene.boxes[i] = []
    found = run(scene, [0] * 5, search_every=4)
    assert [len(boxes_on(found, frame)) for frame in range(5)] == [1, 0, 0, 1, 1]
    assert scene.searched_in_full == [0, 4]


def test_a_region_that_is_partly_covered_is_searched_whole():
    scene = board_scene([5, 5, 5])
    paste(scene.pictures[1], (320, 80, 120, 100), seed=11)  # somebody stands before the board's right end
    scene.boxes[1] = [(200, 100, 120, 40)]
    found = run(scene, [0] * 3)
    [_, _, (frame, areas)] = scene.searched
    assert frame == 1
    assert all(area.left <= 200 and area.right >= 380 for area in areas)
    assert found.regions["w_px"].to_pylist() == [180, 120, 180]


@pytest.mark.parametrize(("search_lost", "regions"), [(-1.0, 1), (0.3, 1), (1.0, 0)])
def test_lost_text_is_searched_where_something_like_it_stands(search_lost, regions):
    scene = board_scene([5, 5, 5])
    paste(scene.pictures[1], (320, 80, 120, 100), seed=11)  # hides the right third of the board
    scene.boxes[1] = [(200, 100, 120, 40)]
    found = run(scene, [0] * 3, search_lost=search_lost)
    assert len(boxes_on(found, 1)) == regions
    assert found.stats["detector_calls"] == 2 + regions


def test_text_that_leaves_the_picture_is_searched_whatever_it_looks_like():
    """Its pixels cannot be compared, which is no sign that something is in front of it."""
    scene = pan([640, 730, 760])  # a quarter of the board, then half of it, is over the left edge
    found = run(scene, [0] * 3, search_lost=0.5)
    assert scene.searched_in_full == [0, 2]
    assert [len(boxes_on(found, frame)) for frame in range(3)] == [2, 2, 2]


def test_an_error_does_not_wait_for_overlays(monkeypatch: pytest.MonkeyPatch):
    gave_up = Event()

    def slow(_regions, _tracks, *, stopped, **_):
        until = time.monotonic() + 30
        while not stopped() and time.monotonic() < until:
            time.sleep(0.01)
        if stopped():
            gave_up.set()

    class Broken:
        identity, dimensions = "broken", 4

        def encode(self, crops):
            raise KeyboardInterrupt(len(crops))  # as when a run is cancelled

        encode_drawings = encode

    monkeypatch.setattr(sys.modules[detect_objects.__module__], "find_overlays", slow)
    scene = board_scene([5, 5])
    with pytest.raises(KeyboardInterrupt):
        detect_objects(
            timeline([0, 0]),
            DetectObjectsParams.model_validate({}),
            frames=scene,
            codec=OpenCvCodec(),
            detectors=[scene],
            motion=OpenCvCameraMotion(),
            embedder=Broken(),
            progress=quiet,
        )
    assert gave_up.is_set()


def test_a_board_that_shows_something_for_one_keyframe_is_searched_there():
    scene = board_scene([5, 6, 7])
    found = run(scene, [0] * 3)
    assert scene.searched_in_full == [0, 2]
    assert [boxes_on(found, frame) for frame in range(3)] == [[(BOARD, "detected")]] * 3
    assert tracks_of(found) == [[0], [1], [2]]


def test_text_seen_twice_or_in_part_around_an_area_is_kept_once():
    scene = board_scene([5] * 3)
    for i in (0, 2):
        paste(scene.pictures[i], (20, 300, 100, 30), seed=9)
        scene.boxes[i].append((20, 300, 100, 30))
    paste(scene.pictures[1], (20, 300, 100, 30), seed=10)
    scene.boxes[1] = [(20, 300, 100, 30), (21, 301, 99, 29), (200, 100, 60, 40)]  # twice, and a part of the board
    found = run(scene, [0] * 3)
    assert boxes_on(found, 1) == [((20, 300, 100, 30), "detected"), (BOARD, "carried")]


def test_a_strip_that_neither_neighbour_saw_is_searched():
    scene = pan([100, 400, 100], board=(1000, 150, 30, 30))
    found = run(scene, [0] * 3)
    assert len(boxes_on(found, 1)) == 2
    assert (1, []) in scene.searched or max(area.right for frame, areas in scene.searched for area in areas) == WIDTH


def test_a_keyframe_without_known_motion_is_searched_in_full():
    scene = board_scene([5] * 3)
    scene.pictures[1] = noise(HEIGHT, WIDTH, seed=77)
    scene.boxes[1] = []
    run(scene, [0] * 3)
    assert scene.searched_in_full == [0, 1, 2]


def test_nothing_is_carried_across_a_cut():
    scene = board_scene([5, 5, None, None, 5, 5])
    found = run(scene, [0, 0, 1, 1, 2, 2], search_every=4)
    assert scene.searched_in_full == [*range(6)]
    assert [len(boxes_on(found, frame)) for frame in range(6)] == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("samples", [2, 3])
def test_a_caption_that_lasts_is_found_though_its_keyframe_lies_between(samples):
    """It covers no region, so nothing is lost there; its keyframe stands for more than a second."""
    n = samples + 2
    pictures = [noise(HEIGHT, WIDTH, seed=1) for _ in range(n)]
    caption = (200, 100, 180, 40)
    for picture in pictures[1:-1]:
        paste(picture, caption, seed=2)
    scene = Scene(pictures, [[]] + [[caption]] * samples + [[]])
    result = run(scene, [0] * n, duplicates_of=dict.fromkeys(range(2, n - 1), 1))
    lasting = samples * 0.5 > LASTING_S
    assert scene.searched_in_full == ([0, 1, n - 1] if lasting else [0, n - 1])
    assert result.tracks["end_s"].to_pylist() == ([0.5 + samples / 2] if lasting else [])


def test_an_object_within_another_is_carried_too():
    car, person = (100, 100, 240, 120), (160, 120, 60, 80)
    pictures = [noise(HEIGHT, WIDTH, seed=1) for _ in range(3)]

    class Nested(Scene):
        def detect(self, image, areas=()):
            super().detect(image, areas)
            return [
                Region(RegionKind.object, label, 0.9, quad_of((x, y, x + w, y + h)))
                for label, (x, y, w, h) in (("car", car), ("person", person))
            ]

    found = run(Nested(pictures, [[]] * 3, RegionKind.object), [0] * 3)
    assert sorted(found.tracks.select(["label", "n_regions"]).to_pylist(), key=lambda t: t["label"]) == [
        {"label": "car", "n_regions": 3},
        {"label": "person", "n_regions": 3},
    ]


def test_a_logo_that_is_lost_between_searched_keyframes_stays_one_track():
    """Half of it is covered on all but every fourth keyframe; logos are not searched again there."""
    logo = (200, 100, 80, 80)
    pictures = [noise(HEIGHT, WIDTH, seed=1) for _ in range(9)]
    for n, picture in enumerate(pictures):
        paste(picture, logo, seed=2)
        if n % 4:
            paste(picture, (200, 100, 80, 40), seed=30 + n)
    found = run(Scene(pictures, [[logo]] * 9, RegionKind.logo), [0] * 9, search_every=4)
    assert tracks_of(found) == [[0, 4, 8]]


def test_duplicates_are_searched_where_every_keyframe_is():
    scene = board_scene([2, 2, 2])
    run(scene, [0] * 3, {1: 0, 2: 0}, search_every=1)
    assert scene.searched_in_full == [0, 2]


def test_few_pictures_are_held():
    scene = board_scene([5] * 40)
    held: list[weakref.ref[np.ndarray]] = []
    most = 0

    class Fresh(Scene):
        def read(self, frame):
            nonlocal most
            image = self.pictures[frame].copy()
            held.append(weakref.ref(image))
            most = max(most, sum(one() is not None for one in held))
            return image

        def detect(self, image, areas=()):  # noqa: ARG002
            return [Region(RegionKind.text, "", 0.9, quad_of((200, 100, 380, 140)))]

    run(Fresh(scene.pictures, scene.boxes), [0] * 40, search_every=4)
    assert most <= 10


def test_the_next_keyframe_is_searched_while_regions_are_carried():
    scene, searched = board_scene([5] * 5), Event()

    class Waits(OpenCvCameraMotion):
        def locate(self, before, quads, after, motions):
            assert searched.wait(20)  # for frame 4, before regions are carried to frame 1
            return super().locate(before, quads, after, motions)

    class Tells(Scene):
        def detect(self, image, areas=()):
            if image is self.pictures[4]:
                searched.set()
            return super().detect(image, areas)

    run(Tells(scene.pictures, scene.boxes), [0] * 5, motion=Waits(), search_every=2)
    assert searched.is_set()


def test_an_error_of_the_next_search_ends_the_stage():
    scene = board_scene([5] * 5)

    class Fails(Scene):
        def detect(self, image, areas=()):
            if image is self.pictures[4]:
                raise RuntimeError("no memory")
            return super().detect(image, areas)

    with pytest.raises(RuntimeError, match="no memory"):
        run(Fails(scene.pictures, scene.boxes), [0] * 5, search_every=2)


def test_carrying_finds_what_detection_on_every_frame_finds():
    def camera():  # still, a slow pan, still
        return pan([200] * 4 + [202, 206, 212, 220] + [220] * 4)

    every, carried = camera(), camera()
    a = run(every, [0] * 12, search_every=1).regions.to_pylist()
    b = run(carried, [0] * 12, search_every=4).regions.to_pylist()
    assert len(carried.searched) < len(every.searched)
    assert len(a) == len(b)
    for frame in range(12):
        boxes_a = np.array([box_of(np.reshape(r["quad"], (4, 2))) for r in a if r["frame"] == frame])
        boxes_b = np.array([box_of(np.reshape(r["quad"], (4, 2))) for r in b if r["frame"] == frame])
        assert (box_iou(boxes_a, boxes_b).max(axis=1) > 0.8).all()


def test_a_track_lasts_as_long_as_the_frames_that_its_frames_stand_for():
    scene = board_scene([5] * 6)
    found = run(scene, [0] * 6, duplicates_of={1: 0, 2: 0, 4: 3, 5: 3})
    assert found.tracks.select(["start_s", "end_s", "n_regions"]).to_pylist() == [
        {"start_s": 0.0, "end_s": 3.0, "n_regions": 2}
    ]


def test_what_a_duplicate_shows_and_its_kept_frame_hides_is_found():
    scene = board_scene([5] * 9)
    for i in range(6):  # somebody stands before one board and before a part of another, and goes
        scene.boxes[i] = [(200, 100, 60, 40)]
        paste(scene.pictures[i], (260, 80, 200, 200), seed=20)
    for i in (6, 7, 8):
        paste(scene.pictures[i], (300, 220, 90, 30), seed=21)
        scene.boxes[i].append((300, 220, 90, 30))
    found = run(scene, [0] * 9, duplicates_of=dict.fromkeys(range(1, 9), 0))
    assert [frame for frame, _ in scene.searched if frame] == [8]  # frame 4 looks as frame 0 does
    regions = [(r["frame"], r["seen_on"], round(r["x_px"]), round(r["w_px"])) for r in found.regions.to_pylist()]
    assert sorted(regions) == [(0, [8], 200, 180), (0, [8], 300, 90)]
    assert set(found.tracks["end_s"].to_pylist()) == {4.5}


def test_a_logo_on_a_kept_frame_stays_beside_a_larger_region_around_it_on_a_duplicate():
    scene = board_scene([5] * 9)
    scene.kind = RegionKind.logo
    for i in range(9):
        scene.boxes[i] = [(200, 100, 60, 40)]
    for i in (6, 7, 8):
        paste(scene.pictures[i], (300, 90, 200, 100), seed=20)
        scene.boxes[i].append((180, 80, 330, 130))
    found = run(scene, [0] * 9, duplicates_of=dict.fromkeys(range(1, 9), 0))
    regions = [(r["seen_on"], round(r["x_px"]), round(r["w_px"])) for r in found.regions.to_pylist()]
    assert sorted(regions) == [([0, 4, 8], 200, 60), ([8], 180, 330)]


@pytest.mark.parametrize("kind", [RegionKind.text, RegionKind.logo])
@pytest.mark.parametrize(("kept", "later"), [(80, 180), (180, 80)])  # widths that are seen, of 180 px
def test_a_region_half_hidden_on_one_of_two_duplicates_is_one(kind, kept, later):
    scene = board_scene([5] * 9)
    scene.kind = kind
    for i in range(9):
        scene.boxes[i] = [(200, 100, kept if i < 6 else later, 40)]
        if scene.boxes[i][0][2] == 80:
            paste(scene.pictures[i], (280, 80, 200, 200), seed=20)
    found = run(scene, [0] * 9, duplicates_of=dict.fromkeys(range(1, 9), 0))
    assert [round(w) for w in found.regions["w_px"].to_pylist()] == [180]


def test_a_region_knows_on_which_duplicates_it_can_be_read_again():
    scene = board_scene([5] * 9)
    found = run(scene, [0] * 9, duplicates_of=dict.fromkeys(range(1, 9), 0))
    assert found.regions["seen_on"].to_pylist() == [[0, 4, 8]]
    assert [frame for frame, _ in scene.searched] == [0]


def test_ids_come_from_content_and_not_from_the_run():
    first, second = run(pan([200, 260]), [0, 0]), run(pan([200, 260]), [0, 0])
    assert first.regions.equals(second.regions)
    assert len(set(first.regions["region_id"].to_pylist())) == 4


def test_low_text_is_left_out_and_measures_are_in_px_of_the_frame():
    scene = board_scene([5])
    scene.boxes[0] += [(20, 20, 60, 5), (540, 200, 99, 40)]
    found = run(scene, [0], min_height_px=6)
    [region, cut] = found.regions.to_pylist()
    assert (region["at_edge"], cut["at_edge"]) == (False, True)
    assert [round(region[k]) for k in ("x_px", "y_px", "w_px", "h_px")] == [200, 100, 180, 40]
    assert region["area_frac"] == pytest.approx(180 * 40 / (WIDTH * HEIGHT))
    assert region["sharpness"] > 100


def test_objects_are_joined_without_looking_at_their_content():
    scene = board_scene([5, 6])
    scene.kind = RegionKind.object
    assert tracks_of(run(scene, [0, 0])) == [[0, 1]]


def led_scene(*shown):
    """A still camera and one board: for each picture the board's text and the colour of its ground."""
    pictures = []
    for text, background in shown:
        picture = noise(HEIGHT, WIDTH, seed=1)
        picture[100:140, 200:380] = background
        cv2.putText(picture, text, (208, 130), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 3, cv2.LINE_AA)
        pictures.append(picture)
    return Scene(pictures, [[(200, 100, 180, 40)]] * len(shown))


def test_a_board_that_changes_its_text_and_its_ground_is_two_tracks_however_alike_the_texts_look():
    blue, green = (150, 60, 0), (40, 120, 10)
    other = run(led_scene(("HEINEKEN", blue), ("EMIRATES", green)), [0, 0])
    assert SAME_CONTENT_BITS_ON_OTHER_BACKGROUND < bits(other) <= SAME_CONTENT_BITS
    assert tracks_of(other) == [[0], [1]]
    assert tracks_of(run(led_scene(("HEINEKEN", blue), ("HEINEKEN", blue)), [0, 0])) == [[0, 1]]


def bits(found):
    """By which the looks of two regions differ."""
    one, other = found.regions["crop_hash"].to_pylist()
    return (one ^ other).bit_count()


def test_a_board_that_is_faded_in_behind_a_player_is_one_track():
    scene = led_scene(("ROLEX", (120, 40, 10)), ("ROLEX", (120, 40, 10)))
    grass = np.full_like(scene.pictures[0], (60, 140, 60))
    scene.pictures[0] = cv2.addWeighted(scene.pictures[0], 0.4, grass, 0.6, 0)
    scene.pictures[0][108:140, 300:312] = (40, 40, 175)
    found = run(scene, [0, 0])
    assert 4 < bits(found) <= SAME_CONTENT_BITS_ON_OTHER_BACKGROUND
    assert tracks_of(found) == [[0, 1]]


def test_lettering_that_lies_over_moving_pictures_has_no_ground_of_its_own_and_is_one_track():
    scene = led_scene(("ROLEX", (0, 0, 0)), ("ROLEX", (0, 0, 0)))
    for seed, picture in enumerate(scene.pictures):
        picture[:] = noise(HEIGHT, WIDTH, seed) // 2
        cv2.putText(picture, "ROLEX", (208, 132), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 6, cv2.LINE_AA)
    found = run(scene, [0, 0])
    assert SAME_CONTENT_BITS_ON_OTHER_BACKGROUND < bits(found) <= SAME_CONTENT_BITS
    assert tracks_of(found) == [[0, 1]]


def test_a_track_of_an_object_keeps_the_name_it_began_with():
    scene = board_scene([5, 5, 5])
    scene.kind, scene.labels = RegionKind.object, ["car", "truck", "car"]
    scene.boxes = [[(200, 100, 100, 40)], [(200, 100, 145, 40)], [(200, 100, 100, 40)]]
    found = run(scene, [0] * 3, duplicates_of={1: 0}, search_every=1)
    assert found.tracks["label"].to_pylist() == ["car"]
    assert tracks_of(found) == [[0, 2]]


def test_one_place_found_twice_is_one_region():
    scene = board_scene([5, 5])
    scene.kind = RegionKind.object
    scene.boxes = [[(200, 100, 180, 40), (200.2, 100.1, 180, 40)]] * 2
    found = run(scene, [0, 0], search_every=1)
    assert found.counts() == {"regions": 2, "tracks": 1, "embeddings": 0, "camera_motion": 2, "edges": 0}
    assert len(set(found.regions["region_id"].to_pylist())) == 2


def test_nothing_to_look_for_is_said():
    scenes = timeline([0])
    found = detect_objects(
        scenes,
        DetectObjectsParams.model_validate({}),
        frames=board_scene([5]),
        codec=OpenCvCodec(),
        detectors=[],
        motion=OpenCvCameraMotion(),
        progress=quiet,
    )
    assert found.counts() == {"regions": 0, "tracks": 0, "embeddings": 0, "camera_motion": 1, "edges": 0}
    assert found.notes


def test_a_video_without_kept_frames_gives_empty_tables():
    found = run(board_scene([]), [])
    assert not any(found.counts().values())


def test_a_logo_that_is_a_line_of_text_is_left_out_before_the_best_are_counted():
    def one(kind, box, score=0.5):
        return Region(kind, "", score, quad_of(box)), Origin.detected

    line, badge = (
        one(RegionKind.text, (100, 100, 200, 120)),
        one(RegionKind.logo, (80, 60, 220, 160), 0.6),
    )  # a badge around the words
    same = one(RegionKind.logo, (95, 98, 200, 122), 0.9)
    others = [one(RegionKind.logo, (300 + 60 * i, 10, 340 + 60 * i, 50), 0.1 * i) for i in range(4)]
    found = without_lines([line, same, badge, *others], max_logos=3)
    assert found == [line, badge, others[2], others[3]]


def test_words_inside_a_carried_logo_are_still_found():
    """A badge that is carried over does not hide the line that appears in it."""
    pictures = [noise(HEIGHT, WIDTH, seed=1) for _ in range(3)]
    for seed, picture in enumerate(pictures):
        paste(picture, (310, 190, 80, 16), seed=5 + seed)

    class Both(Scene):
        def detect(self, image, areas=()):  # noqa: ARG002
            words = Region(RegionKind.text, "", 0.9, quad_of((310, 190, 390, 206)))
            return [Region(RegionKind.logo, "", 0.9, quad_of((300, 130, 400, 290))), words]

    found = run(Both(pictures, []), [0] * 3)
    kinds = found.regions.filter(found.regions["frame"].to_numpy() == 1)["kind"].to_pylist()
    assert sorted(kinds) == ["logo", "text"]
