"""The HTTP service as a process of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from brand_detect_tests.support.servers import free_port, wait_for
from brand_detect_tests.support.stack import BIN, Stack


@contextmanager
def service(stack: Stack, **environment: str) -> Iterator[str]:
    """``brand-detect serve`` over ``stack``; its address."""
    port = free_port()
    with (stack.folder / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [BIN / "brand-detect", "serve", "--port", str(port)],
            cwd=stack.folder,
            env=stack.environment | environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(port, 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)
