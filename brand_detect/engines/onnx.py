"""ONNX networks on the CPU: OpenVINO where it is installed, onnxruntime otherwise."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import Permanent
from brand_detect.domain.params import Precision

T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()  # a queue has one callback
Batch = NDArray[np.uint8]  # (n, height, width, 3)


class OnnxNet:
    """One image network: uint8 pictures in, its first output out.

    Args:
        path: the model, with one input of shape (n, 3, height, width).
        precision: ``auto`` takes bf16 where the CPU computes in it and OpenVINO is there, else f32.
        mean, scale: pixels enter the network as ``(pixel - mean) / scale``.
        parallel: run several inputs side by side, each on one core, rather than one on all cores.
        threads: most threads; 0 = all cores.

    Raises:
        Permanent: no runtime is installed, the model is absent, or bf16 was asked for and cannot be had.
    """

    def __init__(
        self, path: Path, precision: Precision, *, mean: float, scale: float, parallel: bool = False, threads: int = 0
    ) -> None:
        if not path.is_file():
            raise Permanent(f"The model {path.name} is not installed.", "reinstall rapidocr: its wheel carries it")
        self._path, self._mean, self._scale = path, mean, scale
        self._parallel, self._threads = parallel, threads
        try:
            import openvino
        except ImportError:
            self._core: Any = None
            import onnxruntime

            self.runtime = f"onnxruntime {onnxruntime.__version__}"
            bf16 = False
        else:
            self._core = openvino.Core()
            self.runtime = f"openvino {openvino.__version__.split('-')[0]}"
            bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision is Precision.bf16 and not bf16:
            raise Permanent(f"This CPU does not compute in bf16 on {self.runtime}.", "set precision to auto or f32")
        self.precision = Precision.bf16 if bf16 and precision is not Precision.f32 else Precision.f32

    @cached_property
    def identity(self) -> str:
        """Model file with the head of its sha256, runtime and precision."""
        digest = hashlib.sha256(self._path.read_bytes()).hexdigest()
        return f"{self._path.stem} {digest[:12]}, {self.runtime} {self.precision.value}"

    def metadata(self, key: str) -> str:
        """A string that the model file carries."""
        if self._core:
            return self._core.read_model(self._path).get_rt_info(["framework", key]).value
        return self._session.get_modelmeta().custom_metadata_map[key]

    def map(self, batches: Sequence[Batch], reduce: Callable[[NDArray[np.float32]], T]) -> list[T]:
        """``reduce`` of the output of each batch, in order. The array passed to ``reduce`` is only valid inside it."""
        return self._openvino(batches, reduce) if self._core else self._onnxruntime(batches, reduce)

    def _openvino(self, batches: Sequence[Batch], reduce: Callable[[NDArray[np.float32]], T]) -> list[T]:
        results: dict[int, T] = {}
        failures: list[Exception] = []

        def finished(request: Any, index: int) -> None:
            try:
                results[index] = reduce(request.get_output_tensor().data)
            except Exception as e:  # an exception must not leave a callback of the runtime's own thread
                failures.append(e)

        queue = self._queue
        with _ONE_AT_A_TIME:
            queue.set_callback(finished)
            for index, batch in enumerate(batches):
                queue.start_async([np.ascontiguousarray(batch)], index)
            queue.wait_all()
        if failures:
            raise failures[0]
        return [results[i] for i in range(len(batches))]

    def _onnxruntime(self, batches: Sequence[Batch], reduce: Callable[[NDArray[np.float32]], T]) -> list[T]:
        name = self._session.get_inputs()[0].name
        scale, mean = np.float32(1 / self._scale), np.float32(self._mean)
        outputs = []
        for batch in batches:
            pixels = (batch.transpose(0, 3, 1, 2) - mean) * scale
            outputs.append(reduce(self._session.run(None, {name: pixels})[0]))
        return outputs

    @property
    def _queue(self) -> Any:
        return _compiled(self._path, self.precision, self._mean, self._scale, self._parallel, self._threads)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])


@cache
def _compiled(path: Path, precision: Precision, mean: float, scale: float, parallel: bool, threads: int) -> Any:
    """A queue of OpenVINO requests, made once per process and never freed.

    A later run in the process starts at once, and freeing a queue while one of its threads still returns from a
    callback ends the process ("Resource deadlock avoided").
    """
    import openvino as ov

    core = ov.Core()
    # Conversion to float inside the graph saves 10 % of the detector's time over doing it in NumPy.
    steps = ov.preprocess.PrePostProcessor(core.read_model(path))
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(scale)
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision.value,
        "PERFORMANCE_HINT": "THROUGHPUT" if parallel else "LATENCY",
        "CPU_RUNTIME_CACHE_CAPACITY": "8",  # of prepared shapes: the default of 5,000 grows with the video
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    return ov.AsyncInferQueue(core.compile_model(steps.build(), "CPU", config))
