"""What a job on S3 asks of its store and database: requests by operation, events, and their bytes.

``python -m brand_detect_tests.support.job_cost FOLDER [CHECKOUT]``. It runs the demo clip twice with the code of
``CHECKOUT``, by default this one, against an S3 server of its own, where the video lies, too. The first job also stores
the brand list.
"""

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any


def cost(folder: Path, checkout: Path) -> None:
    from brand_detect.evaluation.benchmarks.worker import environment, python
    from brand_detect.evaluation.synthetic.footage import demo_clip
    from brand_detect_tests.support.servers import s3_server

    folder.mkdir(parents=True)
    (folder / "s3" / "bucket" / "videos").mkdir(parents=True)
    demo_clip(folder / "s3" / "bucket" / "videos")
    [video] = (folder / "s3" / "bucket" / "videos").glob("*.mp4")
    with s3_server(folder / "s3") as variables:
        env = environment(checkout, folder / "home") | variables
        env |= {"BRAND_DETECT_STORE_ROOT": "s3://bucket/jobs", "BRAND_DETECT_MEDIA_ROOTS": "s3://bucket/videos"}
        subprocess.run(
            [*python(checkout), __file__, f"s3://bucket/videos/{video.name}"], env=env, cwd=folder / "home", check=True
        )


def counted(video: str) -> None:
    """Run the jobs in this process with the ``brand_detect`` on its path, of which it uses what earlier ones have."""
    from aiobotocore.client import AioBaseClient
    from dagster import DagsterInstance
    from dagster._serdes import serialize_value

    from brand_detect import cli

    requests: Counter[str] = Counter()
    send = AioBaseClient._make_api_call  # pyright: ignore[reportPrivateUsage]

    async def counting(self: AioBaseClient, operation_name: str, api_params: Any) -> Any:
        requests[operation_name] += 1
        return await send(self, operation_name, api_params)

    AioBaseClient._make_api_call = counting  # pyright: ignore[reportPrivateUsage,reportAttributeAccessIssue]
    for job in ("first", "second"):
        requests.clear()
        sys.argv = ["brand-detect", "run", video, "--job-id", job]
        with suppress(SystemExit):
            cli.main()
        print(job, "job, requests:", requests.total(), dict(requests), flush=True)
    with DagsterInstance.get() as instance:
        for run in instance.get_runs():
            events = [len(serialize_value(event)) for event in instance.all_logs(run.run_id)]
            print("run of", len(events), "events,", sum(events), "bytes")


if __name__ == "__main__":
    if "://" in sys.argv[1]:
        counted(sys.argv[1])
    else:
        cost(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[2])
