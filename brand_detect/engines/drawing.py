"""Draws SVGs in a child process, within limits of time and memory.

A few hundred bytes of nested ``use``, masks or markers may ask resvg for hours or gigabytes, and it holds the GIL
meanwhile. Run as a script, this file is the child.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from tempfile import TemporaryFile
from threading import Lock

LONGEST_S = 10.0
"""A logo takes a few milliseconds; a page of ``artwork.LARGEST_PX`` less than a second."""
MOST_BYTES = 2**31
"""Most memory of the child: a picture of 4096 x 4096 px takes 64 MiB, and each transparent group in it as much."""
START_S = 120.0
"""Longest start of the child: a fraction of a second, unless the machine is very busy."""
PNG = b"\x89PNG"


class Drawing:
    """One child process, started when it is first needed and after each time that it failed. Safe to share."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked process starts a child of its own: two would take each other's answers."""
        self._lock = Lock()
        self._child: _Child | None = None

    def png(self, svg: str, side_px: int) -> bytes:
        """The SVG, fitted into a square, whatever its own size.

        Raises:
            ValueError: resvg refuses it, or it asks for more than the limits.
            Permanent: the child cannot be started.
        """
        request = f"{side_px} {svg}".encode()
        with self._lock:
            was_idle = self._child is not None
            answer = self._answer(request)
            if answer is None and was_idle:  # it may have died before, by no fault of the SVG
                answer = self._answer(request)
        if answer is None:
            raise ValueError(f"it ended the process that drew it, which may take {MOST_BYTES / 2**30:g} GiB")
        if not answer.startswith(PNG):
            raise ValueError(answer.decode())
        return answer

    def _answer(self, request: bytes) -> bytes | None:
        """A PNG, or what is wrong with the SVG; None if the child has died."""
        child = self._child = self._child or _Child()
        try:
            child.connection.send_bytes(request)
            if child.connection.poll(LONGEST_S):
                return child.connection.recv_bytes()
            answer = f"it takes over {LONGEST_S:g} s".encode()
        except (EOFError, OSError):
            answer = None
        except BaseException:  # Ctrl-C: its answer would be taken for the next one's
            self._end(child)
            raise
        self._end(child)
        return answer

    def _end(self, child: "_Child") -> None:
        child.end()
        self._child = None


class _Child:
    """The process, ready to draw.

    Raises:
        Permanent: it cannot be started.
    """

    def __init__(self) -> None:
        from brand_detect.domain.errors import Permanent  # the child, a script, has no package around it

        self.connection, theirs = Pipe()
        with TemporaryFile() as errors:
            with theirs:
                command = [sys.executable, "-P", __file__, str(theirs.fileno()), str(MOST_BYTES)]
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=errors)
            try:
                if not self.connection.poll(START_S):
                    raise TimeoutError
                self.connection.recv_bytes()
            except (EOFError, OSError) as e:
                self.end()
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
                what = "The process that draws SVGs could not be started"
                raise Permanent(f"{what}: {said or 'it gives no reason'}.", "reinstall the package") from e
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()


def _draw(connection: Connection, most_bytes: int) -> None:
    """Answers each request with a PNG or resvg's complaint, until the parent ends."""
    import resource

    import resvg_py

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    with suppress(OSError, ValueError):  # some systems have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    connection.send_bytes(b"ready")
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to the whole group
    _draw(Connection(int(sys.argv[1])), int(sys.argv[2]))
