"""Memory that the process has freed and holds on to."""

import ctypes
from functools import cache

import pyarrow as pa

M_ARENA_MAX = -8  # mallopt(3)
ARENAS = 2
"""Pools of glibc's allocator. By default it has up to eight per core and spreads the threads over them, and each keeps
its freed memory: on two cores a 2-minute video peaked at 1,570 to 1,610 MiB so and at 1,240 to 1,260 MiB with one or
two, in the same time."""


@cache
def hold_little() -> bool:
    """Let threads that start from now on share ``ARENAS`` pools, and Arrow take its memory from them; False where the C
    library is not glibc.

    Arrow's own pool keeps what it frees: 150 MiB after the payloads of a 20-minute video were read.
    """
    glibc = _glibc()
    if glibc is None or glibc.mallopt(M_ARENA_MAX, ARENAS) != 1:
        return False
    pa.set_memory_pool(pa.system_memory_pool())
    return True


def give_back_freed() -> None:
    """Give memory that was freed back to the system, where the C library is glibc."""
    if glibc := _glibc():
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
        _ = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        return None
    return library
