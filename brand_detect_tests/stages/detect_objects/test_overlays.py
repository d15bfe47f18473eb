"""A scoreboard over drawn scenes whose cuts and cameras are known."""

import numpy as np

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.geometry import box_iou, box_of
from brand_detect_tests.stages.detect_objects.test_detect import HEIGHT, WIDTH, Scene, noise, paste, run

SCOREBOARD, BOARD = (20, 20, 120, 30), (300, 180, 140, 40)


def shots(views, *, scoreboard=SCOREBOARD):
    """One frame per shot. ``views`` are a scene's seed, None, or a seed with how far the camera is turned, in px."""
    pictures, boxes = [], []
    for seed, turned in views:
        world = noise(HEIGHT, WIDTH + 400, seed=seed)
        paste(world, BOARD, seed=2)
        picture = world[:, turned : turned + WIDTH].copy()
        paste(picture, scoreboard, seed=3)
        pictures.append(picture)
        boxes.append([(BOARD[0] - turned, *BOARD[1:]), scoreboard])
    return Scene(pictures, boxes)


def marked(scene, **params):
    """Whether the scoreboard's and the board's tracks are overlays, all of them alike."""
    found = run(scene, list(range(len(scene.pictures))), **params)
    place = {r["track_id"]: box_of(np.reshape(r["quad"], (4, 2))) for r in found.regions.to_pylist()}
    at = {True: set(), False: set()}
    for row in found.tracks.to_pylist():
        x, y, w, h = SCOREBOARD
        over = box_iou(place[row["track_id"]][None], np.array([[x, y, x + w, y + h]], float))[0, 0]
        at[over > 0.7].add(row["is_overlay"])
    return at[True], at[False]


def test_what_stays_over_cuts_between_scenes_is_overlay():
    scene = shots([(10, 0), (11, 60), (12, 120), (13, 30)])
    assert marked(scene) == ({True}, {False})


def test_marks_count_as_words_do():
    scene = shots([(10, 0), (11, 60), (12, 120)])
    scene.kind = RegionKind.logo
    assert marked(scene) == ({True}, {False})


def test_a_board_before_a_camera_that_returns_is_none():
    """Two cameras in turn: the scoreboard is on two views only, the board of each camera on one."""
    scene = shots([(10, 0), (11, 0)] * 4)
    assert marked(scene) == ({False}, {False})


def test_a_camera_that_turned_between_the_shots_tells_the_board_from_the_scoreboard():
    scene = shots([(10, 0), (10, 150), (10, 280)])
    assert marked(scene) == ({True}, {False})


def test_a_still_camera_tells_nothing_and_neither_do_two_shots():
    assert marked(shots([(10, 0)] * 5)) == ({False}, {False})
    assert marked(shots([(10, 0), (11, 60)])) == ({False}, {False})


def test_another_look_at_the_same_place_is_not_the_same_thing():
    scene = shots([(10, 0), (11, 60), (12, 120)])
    for seed, picture in zip((31, 32, 33), scene.pictures, strict=True):
        paste(picture, SCOREBOARD, seed=seed)
    assert marked(scene) == ({False}, {False})
