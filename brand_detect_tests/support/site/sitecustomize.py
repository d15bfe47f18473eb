"""Python imports this at the start of every process that tests start: ``conftest.py`` puts the folder on the path."""

import atexit
import gc

# At its default the collector traces the modules of Dagster and torch over and over: a sixth of the tests' CPU time.
gc.set_threshold(200_000, 50, 100)
# Nor need it trace them at the end: half a second in a process that has loaded Dagster.
atexit.register(gc.freeze)
