"""Measures the speed of frame sampling against FFmpeg decoding the same file to null."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from brand_detect.domain.errors import BadInput

_OURS = """
import json, sys, time
from brand_detect.engines.video import PyAvDecoder
import av, cv2
began, used = time.perf_counter(), time.process_time()
with open(sys.argv[1], "rb") as file:
    pictures = PyAvDecoder().decode(file, float(sys.argv[2]), 0.0, float("inf"))
    images = [picture.image is not None for picture in pictures]
figures = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - used}
json.dump(figures | {"pictures": len(images), "samples": sum(images)}, sys.stdout)
"""


def measure_sampling(path: Path, runs: int = 3, sample_fps: float = 2.0) -> dict[str, float]:
    """Sample ``path``, and decode it with ``ffmpeg -f null -``, alternately, ``runs`` times each.

    Both choose their number of threads. Ours is timed inside its process, from opening the file on;
    FFmpeg's figures include the start of its process, some hundredths of a second: use a clip of 20 s or more.

    Returns:
        Medians of ``wall_s`` and ``cpu_s`` and of their ratios per run (ours over FFmpeg's), and counts.

    Raises:
        BadInput: the file is missing, or is not a video that both can decode.
    """
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(_run([sys.executable, "-c", _OURS, str(path), str(sample_fps)], path))
        theirs.append(
            _run(["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "null", "-"], path)
        )
    inside = [json.loads(output) for output, _, _ in ours]
    return {
        "wall_s": median(run["wall_s"] for run in inside),
        "cpu_s": median(run["cpu_s"] for run in inside),
        "ffmpeg_wall_s": median(wall_s for _, wall_s, _ in theirs),
        "ffmpeg_cpu_s": median(cpu_s for _, _, cpu_s in theirs),
        "wall_ratio": median(run["wall_s"] / wall_s for run, (_, wall_s, _) in zip(inside, theirs, strict=True)),
        "cpu_ratio": median(run["cpu_s"] / cpu_s for run, (_, _, cpu_s) in zip(inside, theirs, strict=True)),
        "pictures": inside[0]["pictures"],
        "samples": inside[0]["samples"],
        "runs": runs,
    }


def _run(command: list[str], path: Path) -> tuple[str, float, float]:
    """The command's output, wall seconds and CPU seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise BadInput(f"{path} cannot be decoded: {reason[0]}")
    return done.stdout, wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
