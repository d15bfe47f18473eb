"""Memory that the process has freed and holds on to."""

import subprocess
import sys

import pytest

from brand_detect.engines.memory import ARENAS, hold_little

MANY_THREADS = """
import ctypes, sys, threading
from brand_detect.engines.memory import hold_little
if sys.argv[1] == "shared":
    hold_little()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
gate = threading.Barrier(12)
def work():
    gate.wait()
    libc.malloc(1000)
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[t.start() for t in threads], [t.join() for t in threads]
libc.malloc_stats()
"""


@pytest.mark.skipif(not hold_little(), reason="not glibc")
def test_threads_hold_little() -> None:
    def arenas(how: str) -> int:
        command = [sys.executable, "-c", MANY_THREADS, how]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        return sum(line.startswith("Arena ") for line in told.splitlines())

    assert arenas("shared") <= ARENAS < arenas("apart")


FREED = """
import os
import numpy as np
from brand_detect.engines.memory import give_back_freed
def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
held = [np.ones(2**12) for _ in range(4_000)]  # too small to be given back one by one, 125 MiB in all
held = held[-1:]
before = resident_mib()
give_back_freed()
print(before - resident_mib())
"""


@pytest.mark.skipif(not hold_little(), reason="not glibc")
def test_freed_memory_is_given_back() -> None:
    told = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True).stdout
    assert float(told) > 100


FREED_BY_ARROW = """
import os
import pyarrow as pa
from brand_detect.engines.memory import give_back_freed, hold_little
def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
hold_little()
held = pa.array(["x" * 100]).take(pa.array([0] * 1_000_000))
before = resident_mib()
del held
give_back_freed()
print(before - resident_mib())
"""


@pytest.mark.skipif(not hold_little(), reason="not glibc")
def test_what_arrow_freed_is_given_back() -> None:
    told = subprocess.run([sys.executable, "-c", FREED_BY_ARROW], capture_output=True, text=True, check=True).stdout
    assert float(told) > 80
