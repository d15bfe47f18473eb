"""Runs ONNX networks on the CPU: with OpenVINO if installed, else with onnxruntime."""

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
_ONE_AT_A_TIME = threading.Lock()  # a queue has only one callback
Batch = NDArray[np.uint8]  # (n, height, width, 3)


class OnnxNet:
    """An image network from uint8 pictures to its first output.

    Args:
        path: the model, with one input of shape (n, 3, height, width).
        precision: ``auto`` means bf16 if the CPU supports it and OpenVINO is installed, else f32.
        mean, scale: the network receives ``(pixel - mean) / scale``.
        parallel: run several inputs in parallel, each on one core, instead of one on all cores.
        threads: most threads; 0 = all cores.

    Raises:
        Permanent: no runtime or model is installed, or the requested bf16 is not supported.
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
        """Model file with the first digits of its sha256, runtime and precision."""
        digest = hashlib.sha256(self._path.read_bytes()).hexdigest()
        return f"{self._path.stem} {digest[:12]}, {self.runtime} {self.precision.value}"

    def metadata(self, key: str) -> str:
        """A string from the model file's metadata."""
        if self._core:
            return self._core.read_model(self._path).get_rt_info(["framework", key]).value
        return self._session.get_modelmeta().custom_metadata_map[key]

    def map(self, batches: Sequence[Batch], reduce: Callable[[NDArray[np.float32]], T]) -> list[T]:
        """Applies ``reduce`` to the output of each batch, in order; the array is only valid during that call."""
        return self._openvino(batches, reduce) if self._core else self._onnxruntime(batches, reduce)

    def _openvino(self, batches: Sequence[Batch], reduce: Callable[[NDArray[np.float32]], T]) -> list[T]:
        results: dict[int, T] = {}
        failures: list[Exception] = []

        def finished(request: Any, index: int) -> None:
            try:
                results[index] = reduce(request.get_output_tensor().data)
            except Exception as e:  # exceptions must not escape a callback in the runtime's own thread
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
    """A queue of OpenVINO requests, created once per process and never freed.

    This makes later runs in the process start at once, and avoids a crash ("Resource deadlock avoided") when a queue is
    freed while one of its threads returns from a callback.
    """
    import openvino as ov

    core = ov.Core()
    # Converting to float inside the graph saves 10 % of the detector's time compared with NumPy.
    steps = ov.preprocess.PrePostProcessor(core.read_model(path))
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(scale)
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision.value,
        "PERFORMANCE_HINT": "THROUGHPUT" if parallel else "LATENCY",
        "CPU_RUNTIME_CACHE_CAPACITY": "8",  # prepared shapes; with the default of 5,000, memory grows with the video
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    return ov.AsyncInferQueue(core.compile_model(steps.build(), "CPU", config))
