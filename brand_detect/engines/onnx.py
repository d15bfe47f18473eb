"""Runs ONNX networks on the CPU: with OpenVINO if installed, else with onnxruntime."""

import copy
import hashlib
import io
import logging
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.disk_cache import can_write, read_cached, write_cached
from brand_detect.domain.errors import Permanent
from brand_detect.domain.params import Precision
from brand_detect.domain.settings import state_dir

log = logging.getLogger(__name__)
T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()  # a queue has only one callback
_LOADING = threading.Lock()  # a cached function may run twice at once
_queues: list[Any] = []  # all of ``_queue_of``
Batch = NDArray[np.uint8]  # (n, height, width, 3)
Shape = tuple[int, ...]

WEIGHTS = Path(__file__).parents[1] / "weights"
EDITION = 1  # raise it when ``_Plan`` or a function that reads a model for it changes: older caches differ
MAX_COMPILED = 32
"""Most files in the cache of compiled networks: four, and one for each size of video; the largest takes 22 MB."""
COMPILED_WITHIN_S = 300.0
"""Longest that another process may take to convert and compile a network: seconds, unless it hangs."""


def installed_openvino() -> Any:
    """The module ``openvino``, without its telemetry, which would tell Google Analytics of every import; None if it is
    not installed, or broken."""
    sys.modules["openvino_telemetry"] = None  # pyright: ignore[reportArgumentType] - its import fails: a stub is used
    try:
        import openvino
    except ImportError:
        return None
    return openvino


def fast_precisions() -> list[Precision]:
    """The precisions that gain on this CPU with the installed runtime, fastest first.

    OpenVINO is faster in int8 on every x86 CPU, with VNNI or without. onnxruntime is slower in it than in f32.
    """
    openvino = installed_openvino()
    if openvino is None:
        return [Precision.f32]
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [p for p in (Precision.int8, Precision.bf16) if p.value.upper() in capabilities] + [Precision.f32]


def fastest(model: Path) -> Precision:
    """What precision ``auto`` means for this model on this machine."""
    return next(p for p in fast_precisions() if p is not Precision.int8 or quantised(model))


@cache
def cpu_flags() -> frozenset[str]:
    """The CPU's instruction sets, as Linux names them; empty on other systems."""
    with suppress(OSError):
        if found := re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return frozenset(found[1].split())
    return frozenset()


def quantised(model: Path) -> Path | None:
    """The packaged int8 version of exactly this model file, made by ``make quantise``; None if there is none."""
    file = WEIGHTS / f"{model.stem}.int8.onnx"
    # Its metadata holds the sha256 of the model that it was made from; ONNX files store strings as they are.
    return file if file.is_file() and _sha256(model).encode() in file.read_bytes() else None


@cache
def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class OnnxNet:
    """An image network from uint8 pictures to its first output.

    Args:
        path: the model, with one input of shape (n, 3, height, width).
        precision: ``auto`` takes the fastest, int8 only if ``quantised`` has the model.
        mean, scale: the network receives ``(pixel - mean) / scale``.
        parallel: run several inputs in parallel, each on one core, instead of one on all cores.
        threads: most threads; 0 = all cores.
        read: reads the model into one of OpenVINO, if it is not an ONNX file; a module's function.

    Attributes:
        precision: the one in use, never ``auto``.
        runtime: the library in use, with its version.

    Raises:
        Permanent: no runtime or model is installed, or the requested precision is not available.
    """

    def __init__(
        self,
        path: Path,
        precision: Precision,
        *,
        mean: float,
        scale: float,
        parallel: bool = False,
        threads: int = 0,
        read: Callable[[Path], Any] | None = None,
    ) -> None:
        if not path.is_file():
            raise Permanent(f"The model {path.name} is not installed.", "reinstall rapidocr: its wheel carries it")
        openvino = installed_openvino()
        if openvino is None:
            import onnxruntime

            self._core: Any = None
            self.runtime = f"onnxruntime {onnxruntime.__version__}"
        else:
            self._core = openvino.Core()
            self.runtime = f"openvino {openvino.__version__.split('-')[0]}"
        if precision is Precision.auto:
            precision = fastest(path)
        if precision is Precision.bf16 and Precision.bf16 not in fast_precisions():
            raise Permanent(f"This CPU does not compute in bf16 on {self.runtime}.", "set precision to auto or f32")
        used = quantised(path) if precision is Precision.int8 else path
        if used is None:
            raise Permanent(
                f"brand_detect has no int8 version of the installed {path.name}.",
                "set precision to auto, or install the version of rapidocr that constraints.txt names",
            )
        self.precision = precision
        self._plan = _Plan(used, precision, mean, scale, parallel, threads, read)

    @cached_property
    def identity(self) -> str:
        """Model file with the first digits of its sha256, runtime and precision."""
        path = self._plan.path
        return f"{path.stem} {_sha256(path)[:12]}, {self.runtime} {self.precision.value}"

    def metadata(self, key: str) -> str:
        """A string from the model file's metadata."""
        if self._core:
            return self._core.read_model(self._plan.path).get_rt_info(["framework", key]).value
        return self._session.get_modelmeta().custom_metadata_map[key]

    def fixed(self, shape: Shape) -> "OnnxNet":
        """This network for batches of one shape, of which a process should have few: each stays compiled.

        OpenVINO plans for the shape alone, and need not plan again where shapes alternate: the text detector takes an
        eighth less time on 1080p. Outputs may differ by rounding from those of the network for any shape. onnxruntime
        takes every shape as it comes.
        """
        if not self._core:
            return self
        net = copy.copy(self)
        net._plan = replace(self._plan, shape=shape)
        return net

    def load(self) -> None:
        """Loads the network now, and not at the first ``map``."""
        _ = self._queue if self._core else self._session

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
        scale, mean = np.float32(1 / self._plan.scale), np.float32(self._plan.mean)
        outputs = []
        for batch in batches:
            pixels = (batch.transpose(0, 3, 1, 2) - mean) * scale
            outputs.append(reduce(self._session.run(None, {name: pixels})[0]))
        return outputs

    @property
    def _queue(self) -> Any:
        with _LOADING:
            return _queue_of(self._plan)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._plan.threads
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self._plan.path, options, providers=["CPUExecutionProvider"])


def give_back_buffers() -> None:
    """Free what OpenVINO's networks hold between inputs: 190 MiB after text on 1080p was detected and read. The next
    input makes it anew."""
    with _ONE_AT_A_TIME:
        for queue in _queues:
            queue[0].get_compiled_model().release_memory()


@dataclass(frozen=True)
class _Plan:
    """A network of OpenVINO before it is compiled; other processes can be told of it."""

    path: Path
    precision: Precision
    mean: float
    scale: float
    parallel: bool
    threads: int
    read: Callable[[Path], Any] | None
    shape: Shape | None = None

    def from_cache(self) -> Any:
        """The compiled network; None if the cache lacks it, or holds one that this build of OpenVINO cannot import."""
        stored = read_cached(self._file)
        if stored is not None:
            with suppress(RuntimeError):
                return self._core.import_model(io.BytesIO(stored), "CPU", self._config)
        return None

    def compile(self) -> Any:
        """Compiles the network, and adds it to the cache if this build of OpenVINO can export it."""
        ov = installed_openvino()
        # Converting to float inside the graph saves 10 % of the detector's time compared with NumPy.
        steps = ov.preprocess.PrePostProcessor(self.read(self.path) if self.read else self._core.read_model(self.path))
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(ov.Type.f32).mean(self.mean).scale(self.scale)
        model = steps.build()
        if self.shape:
            model.reshape(list(self.shape))
        net = self._core.compile_model(model, "CPU", self._config)
        with suppress(RuntimeError):
            write_cached(self._file, net.export_model().getvalue(), MAX_COMPILED)
        return net

    def compile_elsewhere(self) -> Any:
        """Compiles the network in a process of its own, and takes it from the cache; None if that fails.

        What converts a network, torch, takes 300 MiB, which this process would keep.
        """
        in_this = "%s is compiled in this process: %s"
        if not can_write(self._file):
            log.warning(in_this, self.path.name, f"{compiled_dir()} cannot be written")
            return None
        # the modules that this process has; -c would also take those in the folder where it was started
        code = f"import sys; sys.path[:] = {sys.path!r}; import pickle; pickle.load(sys.stdin.buffer).compile()"
        command, plan = [sys.executable, "-c", code], pickle.dumps(self)
        try:
            subprocess.run(command, input=plan, capture_output=True, check=True, timeout=COMPILED_WITHIN_S)
        except subprocess.CalledProcessError as e:
            why = f"exit status {e.returncode}, {e.stderr.decode(errors='replace')[-500:]}"
        except subprocess.TimeoutExpired:
            why = f"no end within {COMPILED_WITHIN_S:g} s"
        except OSError as e:
            why = str(e)
        else:
            if (net := self.from_cache()) is not None:
                return net
            why = f"{compiled_dir()} does not keep it"
        log.warning(in_this, self.path.name, why)
        return None

    @property
    def _core(self) -> Any:
        return installed_openvino().Core()

    @property
    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision is Precision.bf16 else "f32",
            "PERFORMANCE_HINT": "THROUGHPUT" if self.parallel else "LATENCY",
            # kernels kept of each type of layer, one per layer and shape; all of a video's take 100 MiB more
            "CPU_RUNTIME_CACHE_CAPACITY": "128",
        }
        return config | ({"INFERENCE_NUM_THREADS": self.threads} if self.threads else {})

    @property
    def _file(self) -> Path:
        """Where the cache has the network: its name says what it was compiled from, with and for."""
        cpu = self._core.get_property("CPU", "FULL_DEVICE_NAME"), sorted(cpu_flags())
        reader = (self.read.__qualname__, metadata.version("torch")) if self.read else ()
        asked = _sha256(self.path), reader, self.mean, self.scale, self.shape, sorted(self._config.items())
        made_from = EDITION, *asked, installed_openvino().__version__, cpu
        return compiled_dir() / f"{self.path.stem}-{hashlib.sha256(repr(made_from).encode()).hexdigest()[:32]}.blob"


@cache
def _queue_of(plan: _Plan) -> Any:
    """A queue of OpenVINO requests, created once per process and never freed.

    This makes later runs in the process start at once, and avoids a crash ("Resource deadlock avoided") when a queue is
    freed while one of its threads returns from a callback.
    """
    net = plan.from_cache()
    if net is None and plan.read:
        net = plan.compile_elsewhere()
    if net is None:
        net = plan.compile()
    _queues.append(installed_openvino().AsyncInferQueue(net))
    return _queues[-1]


def compiled_dir() -> Path:
    """Where compiled networks are cached; safe to delete at any time."""
    return state_dir() / "compiled"
