"""Measures the speed of frame sampling against FFmpeg decoding the same file to nothing."""

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

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
_LIBRARY = """
import json, sys, time
import av
began, used = time.perf_counter(), time.process_time()
with av.open(sys.argv[1]) as container:
    container.streams.video[0].thread_type = "AUTO"
    for picture in container.decode(video=0):
        pass
json.dump([time.perf_counter() - began, time.process_time() - used], sys.stdout)
"""


class Timed(NamedTuple):
    """A finished command."""

    output: str
    wall_s: float
    cpu_s: float


def timed(command: Sequence[str], path: Path, env: Mapping[str, str] | None = None) -> Timed:
    """Run ``command`` on the video ``path``.

    Raises:
        BadInput: it failed.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise BadInput(f"{path} cannot be processed: {reason[0]}")
    return Timed(done.stdout, wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def decode_to_nothing(path: Path) -> tuple[float, float]:
    """Wall and CPU seconds in which FFmpeg decodes ``path`` to nothing.

    The command ``ffmpeg`` is timed with its start, some hundredths of a second. Where it is not installed, its
    libraries, which PyAV carries, are timed without the start of their process.

    Raises:
        BadInput: the file is missing or not a video.
    """
    if ffmpeg := shutil.which("ffmpeg"):
        done = timed([ffmpeg, "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "null", "-"], path)
        return done.wall_s, done.cpu_s
    wall_s, cpu_s = json.loads(timed([sys.executable, "-c", _LIBRARY, str(path)], path).output)
    return wall_s, cpu_s


def measure_sampling(path: Path, runs: int = 3, sample_fps: float = 2.0) -> dict[str, float]:
    """Sample ``path``, and decode it to nothing, alternately, ``runs`` times each.

    Both choose their number of threads. Ours is timed inside its process, from opening the file on. Use a clip of 20 s
    or more.

    Returns:
        Medians of ``wall_s`` and ``cpu_s`` and of their ratios per run (ours over FFmpeg's), and counts.

    Raises:
        BadInput: the file is missing, or is not a video that both can decode.
    """
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(json.loads(timed([sys.executable, "-c", _OURS, str(path), str(sample_fps)], path).output))
        theirs.append(decode_to_nothing(path))
    return {
        "wall_s": median(run["wall_s"] for run in ours),
        "cpu_s": median(run["cpu_s"] for run in ours),
        "ffmpeg_wall_s": median(wall_s for wall_s, _ in theirs),
        "ffmpeg_cpu_s": median(cpu_s for _, cpu_s in theirs),
        "wall_ratio": median(run["wall_s"] / wall_s for run, (wall_s, _) in zip(ours, theirs, strict=True)),
        "cpu_ratio": median(run["cpu_s"] / cpu_s for run, (_, cpu_s) in zip(ours, theirs, strict=True)),
        "pictures": ours[0]["pictures"],
        "samples": ours[0]["samples"],
        "runs": runs,
    }
