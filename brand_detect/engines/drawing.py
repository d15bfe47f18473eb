"""Draws SVGs in a child process, within limits of time and memory.

A few hundred bytes of nested ``use``, masks or markers may ask resvg for hours or gigabytes, and it holds the GIL
meanwhile. Run as a script, this file is the child.
"""

import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock

LONGEST_S = 10.0
"""A logo takes a few milliseconds; a page of ``artwork.LARGEST_PX`` less than a second."""
MOST_BYTES = 2**31
"""Most memory of the child: a picture of 4096 x 4096 px takes 64 MiB, and each transparent group in it as much."""
PNG = b"\x89PNG"


class Drawing:
    """One child process, started when it is first needed and after each time that it failed. Safe to share."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None

    def png(self, svg: str, side_px: int) -> bytes:
        """The SVG, fitted into a square, whatever its own size.

        Raises:
            ValueError: resvg refuses it, or it asks for more than the limits.
        """
        with self._lock:
            child, connection = self._child = self._child or _started()
            try:
                connection.send_bytes(f"{side_px} {svg}".encode())
                answer = connection.recv_bytes() if connection.poll(LONGEST_S) else b""
            except (EOFError, OSError):  # it has died
                answer = b""
            except BaseException:  # Ctrl-C: its answer would be taken for the next one's
                self._end(child, connection)
                raise
            if not answer:
                self._end(child, connection)
        if not answer.startswith(PNG):
            raise ValueError(answer.decode() or f"it takes over {LONGEST_S:g} s or {MOST_BYTES / 2**30:g} GiB")
        return answer

    def _end(self, child: subprocess.Popen[bytes], connection: Connection) -> None:
        child.kill()
        child.wait()
        connection.close()
        self._child = None


def _started() -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = Pipe()
    with theirs:
        command = [sys.executable, "-P", __file__, str(theirs.fileno()), str(MOST_BYTES)]
        return subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL), ours


def _draw(connection: Connection, most_bytes: int) -> None:
    """Answers each request with a PNG or resvg's complaint, until the parent ends."""
    import resource

    import resvg_py

    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    with suppress(EOFError):
        while True:
            side_px, _, svg = connection.recv_bytes().decode().partition(" ")
            try:
                answer = resvg_py.svg_to_bytes(
                    svg_string=svg, width=int(side_px), height=int(side_px), skip_system_fonts=True
                )
            except ValueError as e:
                answer = str(e).encode()
            connection.send_bytes(answer)


if __name__ == "__main__":
    _draw(Connection(int(sys.argv[1])), int(sys.argv[2]))
