"""Runs videos in a process of its own: a line of JSON in, a line of JSON out for each.

``worker.py`` starts this file, possibly with an earlier checkout's ``brand_detect`` on the path, to compare with. So it
uses only what those have as well, and answers in plain values.
"""

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from brand_detect.cli import local
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.storage.store import Store

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
EXPOSURE = ("brand", "brand_id", "start_s", "end_s", "seconds", "text", "rule", "confidence", "frame")


def peak_bytes() -> int:
    """Peak resident memory of this process. On Linux getrusage is no use, because it starts at the parent's peak."""
    if STATUS.is_file():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Peaks:
    """Takes the place of the progress bars, and notes the peak of resident memory in each stage.

    Only Linux can begin a new peak; elsewhere a stage's peak is that of the process so far.
    """

    def __init__(self) -> None:
        self.begin("start")

    def __enter__(self) -> "Peaks":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, stage: str) -> None:
        """Forget earlier stages and begin ``stage``."""
        self.bytes: dict[str, int] = {}
        self._stage = stage

    def stage(self, stage: str, _log: object) -> Callable[..., None]:
        """End the running stage and begin ``stage``."""
        self.bytes[self._stage] = peak_bytes()
        self._stage = stage
        if CLEAR.exists():
            CLEAR.write_text("5")  # proc(5): the peak begins anew
        return lambda *_: None


def run(runner: Any, peaks: Peaks, *, video: str, profile: str, overrides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The fields of ``worker.Run``."""
    peaks.begin("start")
    with patch.object(Store, "read_part", autospec=True, side_effect=Store.read_part) as read_part:
        began, used = time.perf_counter(), time.process_time()
        done = runner.submit(video, profile=profile, overrides=overrides)
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    peaks.stage("end", None)
    payloads = {stage: done.load(stage) for stage in STAGES}
    frames = payloads["extract_frames"].frames
    manifests = {stage: done.manifest(stage) for stage in LINE}
    return {
        "duration_s": payloads["extract_frames"].end_s - payloads["extract_frames"].start_s,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "stage_s": {stage: manifest.stage_s for stage, manifest in manifests.items()},
        "peak_bytes": peaks.bytes,
        "state_bytes": sum(done.store.size_bytes(done.ref(stage)) for stage in LINE),
        "frame_bytes": sum(frames["size_bytes"].to_pylist()),
        "frame_repeats": frames.num_rows - frames["repeats"].null_count if "repeats" in frames.column_names else 0,
        "frame_requests": sum(len(call.args) > 3 for call in read_part.call_args_list),
        "counts": {stage: payload.counts() for stage, payload in payloads.items()},
        "stats": {stage: dict(payload.stats) for stage, payload in payloads.items()},
        "engines": {name: made for manifest in manifests.values() for name, made in manifest.engines.items()},
        "exposures": [
            {name: row[name] for name in EXPOSURE} for row in payloads["compile_report"].exposures.to_pylist()
        ],
    }


def main(videos: list[str]) -> None:
    """Answer on what was stdout; what anybody else prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    peaks = Peaks()
    local.Bars = lambda: peaks  # pyright: ignore[reportAttributeAccessIssue]
    with local.local_runner(*videos) as runner:
        for line in sys.stdin:
            try:
                answer = run(runner, peaks, **json.loads(line))
            except Exception as e:
                traceback.print_exc()
                answer = {"error": " ".join(str(e).split()) or type(e).__name__}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
