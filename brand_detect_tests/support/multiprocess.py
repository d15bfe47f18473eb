"""The job ``many`` with a process per step: ``FOLDER=… VIDEO=… python -m brand_detect_tests.support.multiprocess``."""

import os
from pathlib import Path

import dagster as dg

from brand_detect.definitions import build_definitions
from brand_detect.domain.pipeline import LINE
from brand_detect.orchestration.partitions import JOBS
from brand_detect_tests.support.pipeline import pipeline

MODULE = "brand_detect_tests.support.multiprocess"
EXECUTOR = dg.multiprocess_executor.configured({"start_method": {"forkserver": {"preload_modules": [MODULE]}}})
"""Without the seconds of imports that each process would begin with."""


def job() -> dg.JobDefinition:
    """Built anew in every step's process."""
    with pipeline(Path(os.environ["FOLDER"]), kept=True) as built:
        whole = dg.define_asset_job("whole", selection=dg.AssetSelection.assets(*LINE))
        definitions = build_definitions(built.services, executor=EXECUTOR)
        return dg.Definitions.merge(definitions, dg.Definitions(jobs=[whole])).resolve_job_def("whole")


def main() -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(JOBS.name), ["many"])
        request = {"video_uri": os.environ["VIDEO"], "profile": "default", "overrides": {}}
        done = dg.execute_job(
            dg.reconstructable(job),
            instance,
            run_config={"ops": {"job_request": {"config": request}}},
            tags={"dagster/partition": "many"},
        )
        assert done.success


if __name__ == "__main__":
    main()
