"""Memory that the process has freed and holds on to."""

import subprocess
import sys

import pytest

from brand_detect.engines.memory import ARENAS, share_arenas

MANY_THREADS = """
import ctypes, sys, threading
from brand_detect.engines.memory import share_arenas
if sys.argv[1] == "shared":
    share_arenas()
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


@pytest.mark.skipif(not share_arenas(), reason="not glibc")
def test_threads_share_arenas() -> None:
    def arenas(how: str) -> int:
        command = [sys.executable, "-c", MANY_THREADS, how]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        return sum(line.startswith("Arena ") for line in told.splitlines())

    assert arenas("shared") <= ARENAS < arenas("apart")
