"""Python imports this at the start of every process that tests start: ``conftest.py`` puts the folder on the path."""

import atexit
import gc
import sys


def end_soon() -> None:
    """Let the collector not trace the modules of Dagster and torch at the end, which takes half a second.

    OpenVINO's queues must be freed before its library ends: else its threads abort two processes of five.
    """
    if "openvino" not in sys.modules:
        gc.freeze()


# At its default the collector traces those modules over and over: a sixth of the tests' CPU time.
gc.set_threshold(200_000, 50, 100)
atexit.register(end_soon)
