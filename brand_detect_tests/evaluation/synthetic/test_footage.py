"""Generated footage: the truth is where the pixels are, and the same scenario gives the same clip."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.evaluation.synthetic import footage as sample
from brand_detect.evaluation.synthetic.drawing import Lettering, board, brand_of
from brand_detect.evaluation.synthetic.footage import Scenario, Truth, draw, load_truth, plan, truth_path, write_sample

TINY = Scenario(seconds=6, width_px=960, height_px=540, fps=12, players=4)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    video = tmp_path_factory.mktemp("sample") / "sample.mp4"
    return video, write_sample(video, TINY)


@pytest.fixture(scope="module")
def pictures(clip: tuple[Path, Truth]) -> list[np.ndarray]:
    with av.open(str(clip[0])) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_the_file_is_h264_of_the_length_asked_for(clip: tuple[Path, Truth], pictures: list[np.ndarray]) -> None:
    with av.open(str(clip[0])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (960, 540, 12)
    assert len(pictures) == TINY.frames == 72
    assert clip[1].duration_s == 6.0


def upright(picture: np.ndarray, quad: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    transform = cv2.getPerspectiveTransform(quad.astype(np.float32), corners)
    return cv2.cvtColor(cv2.warpPerspective(picture, transform, size), cv2.COLOR_BGR2GRAY)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two grey pictures; light on dark counts as dark on light does."""
    return abs(float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1]))


def test_boxes_hold_the_brand_they_name(clip: tuple[Path, Truth], pictures: list[np.ndarray]) -> None:
    truth = clip[1]
    rng = np.random.default_rng(TINY.seed)
    brands = [brand_of(name, i, rng) for i, name in enumerate(truth.brands)]
    there, beside = [], []
    for row in truth.boxes[truth.boxes[:, 11] > 0]:
        quad = row[2:10].reshape(4, 2)
        texture, lettering = board(brands[int(row[1])], 800, 100)
        wanted = cv2.resize(upright(texture, lettering, (160, 40)), (160, 40))
        picture = pictures[int(row[0])]
        there.append(likeness(upright(picture, quad, (160, 40)), wanted))
        aside = 0.25 * (quad[1] - quad[0])
        beside.append(likeness(upright(picture, quad + aside, (160, 40)), wanted))
    assert len(there) > 100
    assert np.median(there) > 0.75
    assert np.percentile(there, 5) > 0.5
    assert np.median(beside) < 0.35


def test_a_player_before_a_board_takes_from_its_visible_share() -> None:
    scenario = replace(TINY, seconds=24, fps=2, width_px=640, height_px=360)
    close = next(shot for shot in plan(scenario) if shot.kind == "close")
    shares = [
        box.visible
        for number, (_, boxes) in enumerate(draw(scenario))
        if close.start <= number < close.start + close.frames
        for box in boxes
        if (box.quad >= 0).all() and (box.quad <= (640, 360)).all()
    ]
    assert any(0.3 < share < 0.9 for share in shares)
    assert any(share == 1.0 for share in shares)


WORD = np.array([[100, 100], [200, 100], [200, 120], [100, 120]], float)  # 20 px high, 12.5 px a letter of EMIRATES


def covering(share: float) -> tuple[float, float, float, float]:
    """A rectangle that covers so much of ``WORD``, from its left."""
    return 90.0, 90.0, 100 + 100 * share, 130.0


@pytest.mark.parametrize(
    ("quad", "laid_over", "players", "smear_px", "visible", "legible"),
    [
        (WORD, [], [], 0.0, 1.0, True),
        (WORD * (1, 0.6), [], [], 0.0, 1.0, True),  # 12 px high
        (WORD * (1, 0.55), [], [], 0.0, 1.0, False),
        (WORD * (0.36, 1), [], [], 0.0, 1.0, True),  # 4.5 px a letter
        (WORD * (0.35, 1), [], [], 0.0, 1.0, False),
        (WORD, [], [], 8.1, 1.0, True),  # 0.65 of a letter
        (WORD, [], [], 8.2, 1.0, False),
        (WORD - (125, 0), [], [], 0.0, 0.75, True),  # cut by the picture's edge
        (WORD - (130, 0), [], [], 0.0, 0.7, False),
        (WORD, [covering(0.25)], [], 0.0, 0.75, True),  # under the scoreboard
        (WORD, [covering(0.3)], [], 0.0, 0.7, False),
        (WORD, [], [covering(0.45)], 0.0, 0.55, True),  # behind a player
        (WORD, [], [covering(0.5)], 0.0, 0.5, False),
        (WORD, [covering(0.25)], [covering(0.45)], 0.0, 0.55, True),  # who stands under the scoreboard
        (WORD - (125, 0), [], [(50.0, 90.0, 76.0, 130.0)], 0.0, 0.5, False),  # who takes the rest of what is cut
    ],
)
def test_what_can_be_read_is_large_still_clear_and_mostly_in_view(
    quad, laid_over, players, smear_px, visible, legible
) -> None:
    box = sample._Studio(TINY)._box(Lettering("Emirates", quad), laid_over, players, smear_px)
    assert box is not None
    assert (box.visible, box.legible) == (pytest.approx(visible), legible)


def test_what_is_hidden_whole_has_no_box() -> None:
    assert sample._Studio(TINY)._box(Lettering("Emirates", WORD), [], [covering(1)], 0.0) is None


@pytest.mark.parametrize(("share", "legible"), [(1.0, True), (0.25, True), (0.24, False)])
def test_a_quarter_of_the_mix_can_be_read(share, legible) -> None:
    faded = sample._faded(sample.Box("Visa", WORD, 0.8, legible=True), share)
    assert (faded.visible, faded.legible) == (pytest.approx(0.8 * share), legible)
    assert not sample._faded(sample.Box("Visa", WORD, 0.8, legible=False), share).legible


def test_the_scoreboard_is_drawn_where_it_is_said_to_lie() -> None:
    shot = next(shot for shot in plan(TINY) if shot.kind == "wide")
    studio = sample._Studio(TINY)
    bare = studio._black.copy()
    (((x0, y0, x1, y1), name),) = studio._overlays(bare, shot, 0)
    drawn = bare.y > bare.y.min()
    assert drawn[int(y0) : int(y1), int(x0) : int(x1)].mean() > 0.5
    drawn[int(y0) : int(y1), int(x0) : int(x1)] = False
    assert not drawn.any()
    assert name.brand == TINY.brands[0]
    assert ((name.quad >= (x0, y0)) & (name.quad <= (x1, y1))).all()


def test_what_can_be_read_is_seen(clip: tuple[Path, Truth]) -> None:
    for brand in clip[1].brands:
        legible, seen = clip[1].legible_s(brand), clip[1].seen_s(brand)
        for start, end in legible:
            assert any(a <= start and end <= b for a, b in seen)


def test_pictures_change_at_the_cuts(clip: tuple[Path, Truth], pictures: list[np.ndarray]) -> None:
    small = [cv2.resize(picture, (64, 36), interpolation=cv2.INTER_AREA).astype(float) for picture in pictures]
    change = [np.abs(after - before).mean() for before, after in pairwise(small)]
    cuts = [round(t * 12) - 1 for t in clip[1].cuts_s]
    assert len(cuts) == 5
    for cut in cuts:
        assert change[cut] > 1.5 * max(change[cut - 1], change[cut + 1])


def test_still_scenes_stand_still_and_the_gap_is_black(clip: tuple[Path, Truth], pictures: list[np.ndarray]) -> None:
    truth = clip[1]
    for start, end in truth.still_s:
        stretch = pictures[round(start * 12) : round(end * 12)]
        assert len(stretch) >= 8
        assert all(np.abs(picture.astype(int) - stretch[0]).mean() < 2 for picture in stretch)
    (start, end), *_ = truth.black_s
    assert pictures[round(start * 12)].max() < 20
    assert not len(truth.boxes[(truth.boxes[:, 0] >= start * 12) & (truth.boxes[:, 0] < end * 12)])


def test_the_default_clip_has_a_still_scene_of_four_seconds_and_boards_that_change() -> None:
    shots = plan(Scenario())
    assert {shot.kind for shot in shots} == {"wide", "close", "corner", "whip", "wall", "black", "card"}
    assert next(shot for shot in shots if shot.kind == "wall").frames >= 4 * 25
    ends = [shot.start + shot.frames for shot in shots]
    assert [shot.start for shot in shots] == [0, *ends[:-1]]
    assert ends[-1] == 24 * 25


def test_truth_survives_its_file(clip: tuple[Path, Truth]) -> None:
    video, truth = clip
    loaded = load_truth(truth_path(video))
    assert loaded.labels() == truth.labels()
    assert loaded.cuts_s == truth.cuts_s
    np.testing.assert_allclose(loaded.boxes[:, 2:10], truth.boxes[:, 2:10], atol=0.051)
    np.testing.assert_array_equal(loaded.boxes[:, [0, 1, 11]], truth.boxes[:, [0, 1, 11]])
    with pytest.raises(BadInput, match="not a truth file"):
        load_truth(video)


def test_labels_count_what_can_be_read(clip: tuple[Path, Truth]) -> None:
    entry = clip[1].labels()
    wall, card = clip[1].still_s
    channel, owner = TINY.brands[:2]
    assert entry["clear"][channel]["intervals_s"] == [[0.0, wall[1]]]
    assert list(card) in clip[1].legible_s(owner)
    assert "FedEx" in entry["hard"], "it can be read for less than a second in all, in so short a clip"
    assert entry["clear"].keys().isdisjoint(entry["hard"])


def test_one_seed_gives_one_clip_and_another_seed_another() -> None:
    short = replace(TINY, seconds=2.5, width_px=320, height_px=180)

    def prints(scenario: Scenario) -> list[int]:
        return [int(picture.y.astype(np.int64).sum()) for picture, _ in draw(scenario)]

    assert prints(short) == prints(short)
    assert prints(short) != prints(replace(short, seed=1))


def test_repeats_copy_the_clip(tmp_path: Path) -> None:
    video = tmp_path / "twice.mp4"
    truth = write_sample(video, replace(TINY, seconds=2.5, repeats=2, width_px=320, height_px=180))
    with av.open(str(video)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert np.allclose(np.diff(np.array(times, float)), 1 / 12, atol=1e-3)
    assert len(times) == 60
    assert truth.duration_s == 5.0
    first = truth.boxes[truth.boxes[:, 0] < 30]
    second = truth.boxes[truth.boxes[:, 0] >= 30]
    np.testing.assert_array_equal(first[:, 1:], second[:, 1:])
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["twice.mp4", "twice.truth.json"]


def test_frames_come_one_at_a_time() -> None:
    frames = draw(Scenario(seconds=7200, width_px=64, height_px=64))
    picture, boxes = next(frames)
    assert picture.y.shape == (64, 64)
    assert isinstance(boxes, list)


def test_a_clip_is_drawn_again_only_for_another_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(sample, "draw", lambda scenario: (drawn.append(scenario), draw(scenario))[1])
    scenario = replace(TINY, seconds=2.5, width_px=64, height_px=64)
    video = tmp_path / "sample.mp4"
    first = sample.sample_once(video, scenario)
    assert sample.sample_once(video, scenario).labels() == first.labels()
    assert drawn == [scenario]
    sample.sample_once(video, replace(scenario, seed=1))
    assert len(drawn) == 2


def test_the_demo_is_the_default_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(sample, "write_sample", lambda video, scenario: asked.append((video, scenario)))
    assert sample.demo_clip(tmp_path) == tmp_path / "sample.mp4"
    assert asked == [(tmp_path / "sample.mp4", Scenario())]


@pytest.mark.parametrize(
    "wrong", [{"width_px": 641}, {"height_px": 20}, {"seconds": 0.5}, {"brands": ("Kia",)}, {"repeats": 0}]
)
def test_scenarios_that_cannot_be_drawn_are_refused(wrong: dict) -> None:
    with pytest.raises(BadInput):
        replace(TINY, **wrong)


PLACED = replace(TINY, seconds=28, fps=2, placements=True)


def test_a_clip_with_placements_shows_each_of_them() -> None:
    shown = {box.placement for _, boxes in draw(PLACED) for box in boxes if box.legible}
    assert shown == {"board", "led", "pitch", "clothing", "overlay", "full_screen"}


def test_boards_that_are_no_screens_keep_their_brand() -> None:
    brands: dict[tuple[int, str, int], set[str]] = {}
    numbers = [shot.number for shot in plan(PLACED) for _ in range(shot.frames)]
    for number, (_, boxes) in zip(numbers, draw(PLACED), strict=True):
        for box in boxes:
            if box.place >= 0:
                brands.setdefault((number, box.placement, box.place), set()).add(box.brand)
    lengths = {kind: max(len(of) for (_, k, _), of in brands.items() if k == kind) for kind in ("board", "led")}
    assert lengths["board"] == 1
    assert lengths["led"] > 1
