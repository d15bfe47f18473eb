"""The engine around the network, on a network whose maps the test makes."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Area
from brand_detect.engines.mark_finder import NetworkLogoDetector, peaks
from brand_detect.engines.mark_finder_net import LogoDetectorNet


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that sees a mark of 40 x 24 px around every cell: all weights are zero but the last biases."""
    path = tmp_path_factory.mktemp("weights") / "mark_finder.safetensors"
    net = LogoDetectorNet()
    values = {k: v.mul(0) for k, v in net.state_dict().items()}
    values["head.1.bias"][0] = 2.0
    values["head.1.bias"][1:] = torch.tensor([5.0, 3.0, 5.0, 3.0]).log()  # in cells of 4 px
    save_file({k: v.half().contiguous() for k, v in values.items()}, path)
    return path


def test_a_peak_becomes_a_box_around_its_cell():
    middles, sides = np.full((8, 8), 0.01, np.float32), np.zeros((4, 8, 8), np.float32)
    middles[2, 3], middles[2, 4], middles[6, 6] = 0.9, 0.5, 0.3
    sides[:, 2, 3] = (10, 4, 20, 6)
    boxes, scores = peaks(middles, sides, stride_px=4, min_score=0.2)
    assert boxes[0].tolist() == [14 - 10, 10 - 4, 14 + 20, 10 + 6]
    assert scores.tolist() == pytest.approx([0.9, 0.3])  # the neighbour of the best is no peak


def test_boxes_are_px_of_the_picture_however_small_the_network_sees_it(weights):
    picture = np.zeros((256, 512, 3), np.uint8)
    whole = NetworkLogoDetector(most=1000, longest_side_px=512, weights=weights).detect(picture)
    half = NetworkLogoDetector(most=1000, longest_side_px=256, weights=weights).detect(picture)

    def size(found):
        inner = [np.ptp(r.quad, axis=0) for r in found if 100 < r.quad[0, 0] < 300 and 60 < r.quad[0, 1] < 150]
        return np.median(inner, axis=0)

    assert size(whole) == pytest.approx((40, 24), rel=0.02)
    assert size(half) == pytest.approx((80, 48), rel=0.02)
    assert {r.kind for r in whole} == {"logo"}
    assert all(r.quad[:, 0].min() >= 0 and r.quad[:, 0].max() <= 512 for r in whole)


def test_only_the_areas_asked_for_are_searched_and_only_so_many_regions_kept(weights):
    finder = NetworkLogoDetector(most=1000, longest_side_px=512, weights=weights)
    found = finder.detect(np.zeros((256, 512, 3), np.uint8), [Area(256, 64, 320, 128)])
    middles = np.array([r.quad.mean(axis=0) for r in found])
    assert middles[:, 0].min() > 256 - 64
    assert middles[:, 0].max() < 320 + 64
    assert len(NetworkLogoDetector(most=3, weights=weights).detect(np.zeros((256, 512, 3), np.uint8))) == 3


def test_missing_or_other_weights_are_named(tmp_path):
    with pytest.raises(Permanent, match=r"none\.safetensors"):
        NetworkLogoDetector(weights=tmp_path / "none.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"no weights")
    with pytest.raises(Permanent, match=r"other\.safetensors"):
        NetworkLogoDetector(weights=tmp_path / "other.safetensors")
