"""Precision and the cache of compiled networks, on the packaged PP-OCR detector."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.domain.geometry import box_iou, boxes_of
from brand_detect.domain.params import Precision
from brand_detect.engines import onnx
from brand_detect.engines.onnx import OnnxNet, quantised
from brand_detect.engines.rapid import DETECTOR, READER, RapidTextDetector, model_file
from brand_detect.evaluation.synthetic.drawing import brand_of, sponsor_wall


def net(precision: Precision, model: str = DETECTOR) -> OnnxNet:
    return OnnxNet(model_file(model), precision, mean=127.5, scale=127.5)


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch):
    """Makes these precisions the CPU's, fastest first."""
    return lambda *fast: monkeypatch.setattr(onnx, "fast_precisions", lambda: list(fast))


@pytest.fixture
def no_int8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The int8 detector in the package was made from another model."""
    other = tmp_path / "PP-OCRv6_det_small.int8.onnx"
    other.write_bytes(b"source_sha256" + b"0" * 64)
    monkeypatch.setattr(onnx, "WEIGHTS", tmp_path)


def test_the_package_has_the_installed_detector_in_int8():
    file = quantised(model_file(DETECTOR))
    assert file is not None
    assert file.stat().st_size < 4e6


def test_int8_finds_the_lines_that_f32_finds():
    rng = np.random.default_rng(3)
    names = ["Emirates", "Rolex", "Coca-Cola", "Visa", "Heineken", "Lenovo", "FedEx"]
    wall = sponsor_wall((960, 540), [brand_of(name, n, rng) for n, name in enumerate(names)], rng).planes.bgr()
    exact, small = (
        boxes_of([r.quad for r in RapidTextDetector(960, precision=p).detect(wall)])
        for p in (Precision.f32, Precision.int8)
    )
    assert len(exact) > 5
    assert (box_iou(exact, small).max(axis=1) > 0.6).mean() > 0.85
    assert len(small) < 1.2 * len(exact)


@pytest.mark.parametrize(
    ("fast", "chosen"),
    [
        ([Precision.int8, Precision.bf16, Precision.f32], Precision.int8),
        ([Precision.int8, Precision.f32], Precision.int8),
        ([Precision.bf16, Precision.f32], Precision.bf16),
        ([Precision.f32], Precision.f32),
    ],
)
def test_auto_takes_the_fastest(cpu, fast, chosen):
    cpu(*fast)
    assert net(Precision.auto).precision is chosen
    assert net(Precision.auto).identity.endswith(chosen.value)


@pytest.mark.usefixtures("no_int8")
def test_another_models_int8_is_not_used(cpu):
    cpu(Precision.int8, Precision.f32)
    assert net(Precision.auto).precision is Precision.f32
    with pytest.raises(Permanent, match="no int8 version"):
        net(Precision.int8)


def test_bf16_is_refused_where_the_cpu_lacks_it(cpu):
    cpu(Precision.int8, Precision.f32)
    with pytest.raises(Permanent, match="bf16"):
        net(Precision.bf16)


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [(["BF16", "FP32", "INT8"], "int8 bf16 f32"), (["FP32", "INT8"], "int8 f32"), (["FP32"], "f32")],
)
def test_what_is_fast_on_a_cpu(monkeypatch: pytest.MonkeyPatch, capabilities: list[str], fast: str):
    monkeypatch.setattr("openvino.Core.get_property", lambda *_: capabilities)
    assert [p.value for p in onnx.fast_precisions()] == fast.split()
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert onnx.fast_precisions() == [Precision.f32]


READS = (
    "import sys, numpy as np, openvino\n"
    "from brand_detect.engines.rapid import RapidTextReader\n"
    "if sys.argv[1:]:\n"
    "    openvino.Core.compile_model = None\n"
    "reading = RapidTextReader(threads=1).read([np.zeros((20, 40, 3), np.uint8)])\n"
)


def run(home: Path, code: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_process_does_not_compile_again(tmp_path: Path):
    run(tmp_path, READS)
    [file] = (tmp_path / ".state" / "compiled").iterdir()
    assert file.name.startswith(Path(READER).stem)
    assert file.stat().st_mode & 0o077 == file.parent.stat().st_mode & 0o077 == 0
    run(tmp_path, READS, "without compiling")


def brightness(_: Path) -> Any:
    """A network that is converted at once: pictures to their brightness."""
    import openvino.opset13 as ops

    pictures = ops.parameter([-1, 3, -1, -1], np.float32)
    return openvino.Model([ops.reduce_mean(pictures, [1, 2, 3])], [pictures])  # pyright: ignore[reportGeneralTypeIssues]


def test_where_no_other_process_can_convert_this_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    means = itertools.count(1.0)

    def reasons(home: str) -> list[str]:
        """Why this process converted a network, if it did, with an empty cache."""
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / home))
        caplog.clear()
        mean = next(means)  # another network each time, for a process keeps those it has
        made = OnnxNet(model_file(DETECTOR), Precision.f32, mean=mean, scale=2.0, read=brightness)
        assert made.map([np.full((1, 32, 32, 3), 9, np.uint8)], np.ndarray.item) == [(9 - mean) / 2]
        told = [message.partition("is compiled in this process: ")[2] for message in caplog.messages]
        return [why for why in told if why]

    assert reasons("sound") == []
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / ".state").touch()  # no folder of compiled networks can be made in it
    assert reasons("closed") == [f"{tmp_path}/closed/.state/compiled cannot be written"]
    with monkeypatch.context() as patched:
        patched.setattr(onnx, "read_cached", lambda _: None)
        assert reasons("forgets") == [f"{tmp_path}/forgets/.state/compiled does not keep it"]
    with monkeypatch.context() as patched:
        patched.setattr(onnx, "COMPILED_WITHIN_S", 0.01)
        assert reasons("late") == ["no end within 0.01 s"]
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nexit 137\n")
    killed.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(killed))
    assert reasons("killed") == ["exit status 137, "]
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert reasons("nowhere") == ["[Errno 2] No such file or directory: '/nowhere/python'"]


def test_pixels_are_normalised_inside_the_network():
    assert net(Precision.f32).map([np.zeros((1, 64, 64, 3), np.uint8)], lambda out: out.shape) == [(1, 1, 64, 64)]


GIVES_BACK = """
import numpy as np, psutil
from brand_detect.domain.params import Precision
from brand_detect.engines.onnx import OnnxNet, give_back_buffers
from brand_detect.engines.rapid import DETECTOR, model_file

def held():
    "Bytes of memory that are in no file."
    return sum(region.private_dirty for region in psutil.Process().memory_maps(grouped=True))

net = OnnxNet(model_file(DETECTOR), Precision.f32, mean=127.5, scale=127.5)
picture = np.random.default_rng(1).integers(0, 256, (1, 960, 960, 3), np.uint8)
[before] = net.map([picture], np.copy)
full = held()
give_back_buffers()
assert held() < full - 20 * 2**20
[after] = net.map([picture], np.copy)
assert np.array_equal(after, before)
"""


def test_networks_give_back_their_buffers_and_go_on_as_before(tmp_path: Path):
    run(tmp_path, GIVES_BACK)  # in a process of its own, where nothing else changes the memory


def test_a_network_for_one_shape_finds_the_same(monkeypatch: pytest.MonkeyPatch):
    picture = np.random.default_rng(1).integers(0, 256, (1, 160, 192, 3), np.uint8)
    for_any = net(Precision.f32)
    for_one = for_any.fixed(picture.shape)
    assert for_one.identity == for_any.identity
    [expected], [found] = (made.map([picture], np.copy) for made in (for_any, for_one))
    assert np.allclose(found, expected, atol=1e-3)
    with pytest.raises(RuntimeError):
        for_one.map([picture[:, :128]], np.copy)
    monkeypatch.setitem(sys.modules, "openvino", None)
    [elsewhere] = net(Precision.f32).fixed(picture.shape).map([picture], np.copy)
    assert np.allclose(elsewhere, expected, atol=1e-2)


def test_openvino_tells_nobody_that_it_is_imported(tmp_path: Path):
    """Its telemetry is on unless a person has switched it off, and keeps a client's id in the home folder.

    That of its conversion from torch: see ``test_torch_is_loaded_once_and_in_a_process_of_its_own``.
    """
    code = """
from brand_detect.engines import onnx
assert onnx.installed_openvino() is not None
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__)
"""
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["openvino.tools.ovc.telemetry_stub"], run.stderr
    assert not (tmp_path / "intel").exists()
