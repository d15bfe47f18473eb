"""Composites show what they say, and the training learns from them."""

import numpy as np
import pytest
import torch

from brand_detect.engines.mark_finder_net import STRIDE_PX, LogoDetectorNet
from brand_detect.evaluation.synthetic.artwork import Artwork
from brand_detect.evaluation.synthetic.drawing import LOGOS, logo_svg
from brand_detect.training.composites import Composer, Composite, scene
from brand_detect.training.train_regions import fused, loss, targets

ART = [Artwork(name, f"own:{name}", logo_svg(path), mono=True) for name, path in LOGOS.items()]


@pytest.fixture(scope="module")
def composites():
    composer = Composer(ART, 192, seed=5, scenes=4)
    return [composer.make() for _ in range(24)]


def test_composites_hold_marks_where_they_say(composites):
    boxes = [box for made in composites for box in made.marks]
    assert len(boxes) > 24
    assert all(((b >= 0) & (b <= 192)).all() and (b[2:] > b[:2]).all() for b in boxes)
    busy = [
        made.picture[int(top) : int(bottom) + 1, int(left) : int(right) + 1].std()
        for made in composites
        for left, top, right, bottom in made.marks
    ]
    assert np.median(busy) > 10


def test_the_same_seed_gives_the_same_composites(composites):
    again = Composer(ART, 192, seed=5, scenes=4)
    for made in composites[:5]:
        assert (again.make().picture == made.picture).all()


def test_a_varied_composite_keeps_its_marks_under_their_boxes():
    picture = np.zeros((192, 192, 3), np.uint8)
    picture[20:60, 100:180] = 200
    made = Composite(picture, np.array([[100.0, 20, 180, 60]]), np.zeros((0, 4)))
    composer = Composer(ART, 192, seed=1)
    for _ in range(8):
        other = composer.again(made)
        left, top, right, bottom = other.marks[0].astype(int)
        inside = other.picture[top:bottom, left:right].astype(int)
        assert inside.std() == 0
        assert abs(inside[0, 0].max() - int(other.picture.min())) > 50


def test_scenes_are_drawn_without_marks_and_differ():
    rng = np.random.default_rng(0)
    assert not (scene(rng) == scene(rng)).all()


def test_targets_peak_once_in_the_middle_of_each_mark():
    made = Composite(
        np.zeros((64, 64, 3), np.uint8), np.array([[4.0, 8, 36, 24], [44, 44, 56, 60]]), np.array([[0.0, 30, 30, 40]])
    )
    heat, weight, boxes, box_weight = targets(made)
    assert sorted(map(tuple, np.argwhere(heat == 1).tolist())) == [(4, 5), (13, 12)]
    assert boxes[:, 4, 5].tolist() == [4, 8, 36, 24]
    assert box_weight.sum() == pytest.approx(2.0)
    assert weight[8, 3] < 1
    assert weight[4, 5] == 1


def test_the_loss_falls_to_nothing_for_the_right_answer():
    made = Composite(np.zeros((64, 64, 3), np.uint8), np.array([[4.0, 8, 36, 24]]), np.zeros((0, 4)))
    wanted = [torch.from_numpy(m)[None] for m in targets(made)]
    heat, _, boxes, _ = wanted
    at = (torch.arange(16) + 0.5) * STRIDE_PX
    left, top, right_side, bottom = boxes[0]
    sides = torch.stack([at[None] - left, at[:, None] - top, right_side - at[None], bottom - at[:, None]])
    right = loss((torch.where(heat == 1, 20.0, -20.0), sides[None]), wanted)
    wrong = loss((torch.full_like(heat, -4.0), torch.full((1, 4, 16, 16), 8.0)), wanted)
    assert max(right).item() < 1e-3
    assert min(wrong).item() > 0.3


def test_batch_normalisation_goes_into_the_weights():
    torch.manual_seed(0)
    net = LogoDetectorNet(norm=True)
    for _ in range(3):
        net(torch.rand(2, 3, 128, 64))
    net.eval()
    pictures = torch.rand(1, 3, 128, 64)
    with torch.no_grad():
        for trained, plain in zip(net(pictures), fused(net)(pictures), strict=True):
            assert torch.allclose(trained, plain, rtol=1e-4, atol=1e-5)
            assert trained.std() > 0
