"""Memory that the process has freed and holds on to."""

import ctypes
from functools import cache

M_ARENA_MAX = -8  # mallopt(3)
ARENAS = 2
"""Pools of glibc's allocator. By default it has up to eight per core and spreads the threads over them, and each keeps
its freed memory: on two cores a 2-minute video peaked at 1,570 to 1,610 MiB so and at 1,240 to 1,260 MiB with one or
two, in the same time."""


@cache
def share_arenas() -> bool:
    """Let threads that start from now on share ``ARENAS`` pools; False where the C library is not glibc."""
    glibc = _glibc()
    return glibc is not None and glibc.mallopt(M_ARENA_MAX, ARENAS) == 1


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
