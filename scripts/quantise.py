"""Makes the int8 version of the rapidocr wheel's text detector, from drawn footage only: ``make quantise``, minutes.

The file in ``brand_detect/weights`` is ONNX with QuantizeLinear and DequantizeLinear nodes. Its metadata names the
sha256 of the model that it was made from, so that it is never used in place of another release's.
"""

import hashlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brand_detect.engines.onnx import WEIGHTS
from brand_detect.engines.rapid import DETECTOR, model_file
from brand_detect.evaluation.synthetic.footage import Scenario, draw

SIZES = ((1920, 1080), (1280, 720))
SEEDS = 2  # per size; none of them is used by a benchmark
EVERY = 30  # drawn frames per calibration picture
SIDE_PX = 640
SCALES = (1.0, 0.5, 1.5)  # of the detector's input to the frame


def pictures() -> Iterator[NDArray[np.float32]]:
    """80 windows of drawn frames at the detector's scales, each (1, 3, height, width) as the network takes it."""
    import cv2

    rng = np.random.default_rng(1)
    for seed in range(SEEDS * len(SIZES)):
        width, height = SIZES[seed % len(SIZES)]
        frames = draw(Scenario(width_px=width, height_px=height, seed=100 + seed))
        for number, (frame, _) in enumerate(frames):
            if number % EVERY != EVERY // 2:
                continue
            scale = SCALES[number // EVERY % len(SCALES)]
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            seen = cv2.resize(frame.bgr(), None, fx=scale, fy=scale, interpolation=way)
            top, left = (int(rng.integers(0, max(1, length - SIDE_PX))) for length in seen.shape[:2])
            window = seen[top : top + SIDE_PX, left : left + SIDE_PX]
            rows, columns = (length // 32 * 32 for length in window.shape[:2])
            yield (window[:rows, :columns].transpose(2, 0, 1)[None] - np.float32(127.5)) / np.float32(127.5)


def quantise(model: Path, to: Path) -> None:
    """Writes ``model`` in int8, weights and activations symmetric (NNCF, preset *performance*).

    Zero points of asymmetric activations cost OpenVINO a third of the time, and find no more of f32's lines.
    """
    import nncf  # pyright: ignore[reportMissingImports]
    import onnx  # pyright: ignore[reportMissingImports]
    from nncf.quantization.advanced_parameters import (  # pyright: ignore[reportMissingImports]
        AdvancedQuantizationParameters,
        OverflowFix,
    )

    network = onnx.version_converter.convert_version(onnx.load(model), 13)  # scales per channel came with opset 13
    name = network.graph.input[0].name
    windows = list(pictures())
    small = nncf.quantize(
        network,
        nncf.Dataset(windows, lambda window: {name: window}),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(windows),
        # Weights of 7 bits: without VNNI, sums of two products of 8 bits overflow 16 bits and saturate.
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
    )
    facts = {
        "source": f"{model.name} of rapidocr {version('rapidocr')}, Apache-2.0",
        "source_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "made_by": f"brand_detect, scripts/quantise.py, nncf {version('nncf')}",
    }
    onnx.helper.set_model_props(small, {p.key: p.value for p in network.metadata_props} | facts)
    onnx.save(small, to)


def main() -> None:
    if not all(find_spec(tool) for tool in ("nncf", "onnx")):
        sys.exit("pip install nncf onnx, then try again")
    to = WEIGHTS / f"{Path(DETECTOR).stem}.int8.onnx"
    quantise(model_file(DETECTOR), to)
    print(f"wrote {to}, {to.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
