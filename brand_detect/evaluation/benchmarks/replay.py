"""Measures a replay: seconds in its stages, in Dagster and in the queue, and the libraries it loads."""

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from brand_detect.client import Client
from brand_detect.evaluation.benchmarks.common import Section
from brand_detect.evaluation.benchmarks.driver import peak_bytes
from brand_detect.orchestration.run import JobRun

# libraries that decode video or detect and read text, and those that open stored pictures
DECODES = ("av",)
READS = ("onnxruntime", "openvino", "rapidocr", "pytesseract", "torch", "transformers")
DRAWS = ("cv2",)

Replay = Callable[[str, str], JobRun]
"""Replays a job from a stage in the calling process."""


@dataclass(frozen=True)
class Replayed:
    """A replay in its own process."""

    wall_s: float
    stage_s: dict[str, float]
    peak_bytes: int
    loaded: tuple[str, ...]


def in_fresh_process(replay: Replay, job_id: str, start_stage: str) -> Replayed:
    """Replay in a new process, which loads only what the replay needs. ``replay`` must be a module's function."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_replayed, replay, job_id, start_stage).result()


def _replayed(replay: Replay, job_id: str, start_stage: str) -> Replayed:
    began = time.perf_counter()
    done = replay(job_id, start_stage)
    wall_s = time.perf_counter() - began
    made = {s: done.manifest(s).stage_s for s, name in done.attempts.items() if name.startswith(done.run_id)}
    loaded = tuple(name for name in (*DECODES, *READS, *DRAWS) if name in sys.modules)
    return Replayed(wall_s, made, peak_bytes(), loaded)


def alone(replayed: Replayed, job_id: str, start_stage: str) -> Section:
    """Breakdown of the time of a replay in its own process."""
    in_stages = sum(replayed.stage_s.values())
    rows = [
        *((f"{stage}, s", seconds) for stage, seconds in replayed.stage_s.items()),
        ("all stages, s", in_stages),
        ("Dagster, storage and start-up, s", replayed.wall_s - in_stages),
        ("wall, s", replayed.wall_s),
        ("peak memory, MiB", replayed.peak_bytes / 2**20),
        ("decoders loaded", ", ".join(name for name in replayed.loaded if name in DECODES) or "none"),
        ("detectors and readers loaded", ", ".join(name for name in replayed.loaded if name in READS) or "none"),
        ("for stored pictures", ", ".join(name for name in replayed.loaded if name in DRAWS) or "none"),
    ]
    return Section(f"Replay of {job_id} from {start_stage}, in its own process", ("figure", "value"), rows)


def served(client: Client, job_id: str, start_stage: str) -> Section:
    """Breakdown of the time of a replay through a running Dagster."""
    began = time.perf_counter()
    run = client.replay(job_id, start_stage)
    asked_s = time.perf_counter() - began
    run = client.wait(run.run_id)
    wall_s = time.perf_counter() - began
    assert run.started_s is not None
    assert run.ended_s is not None
    states = client.checkpoints(job_id).stages.values()
    in_stages = sum(a.stage_s for state in states for a in state.attempts if a.run_id == run.run_id)
    ran_s = run.ended_s - run.started_s
    rows = [
        ("request: checkpoints, brand list, launch, s", asked_s),
        ("queue and start of the worker, s", run.started_s - run.created_s),
        ("all stages, s", in_stages),
        ("Dagster and storage within the run, s", ran_s - in_stages),
        ("wall, as the client waits, s", wall_s),
    ]
    return Section(f"Replay of {job_id} from {start_stage}, through Dagster", ("figure", "value"), rows)
