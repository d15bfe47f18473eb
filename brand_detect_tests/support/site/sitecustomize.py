"""Python imports this at the start of every process that tests start: ``conftest.py`` puts the folder on the path."""

import gc
import sys

# At its default the collector traces the modules of Dagster and torch over and over: a sixth of the tests' CPU time.
gc.set_threshold(200_000, 50, 100)

# Those two query the database most, and load nothing else of the tests.
if any(argument == "webserver" or argument.endswith("/dagster-daemon") for argument in sys.orig_argv):
    from brand_detect_tests.support.database import keep_engines

    keep_engines()
