"""What a run waits for, in words."""

import time

from brand_detect.client import Run
from brand_detect.domain.pipeline import STAGES
from brand_detect.report.home import WORDS


def stage_of(run: Run) -> str | None:
    """The first unfinished stage of a run that has started."""
    if run.started_s is None or run.status == "success":
        return None
    return next((stage for stage in run.stages if stage not in run.done), None)


def waits_for(run: Run) -> str:
    """What an unfinished run waits for or is doing."""
    stage = stage_of(run)
    if run.status == "held" and run.not_before_s is not None:
        return f"held until {time.strftime('%Y-%m-%d %H:%M', time.gmtime(run.not_before_s))} UTC"
    if run.status == "started" and stage:
        doing = WORDS[stage][1] if stage in WORDS else stage
        steps = [name for name in run.stages if name in STAGES]
        step = f", step {steps.index(stage) + 1} of {len(steps)}" if stage in steps else ""
        return f"{doing[:1].lower()}{doing[1:]}{step}"
    return {
        "queued": "waiting in the queue",
        "not_started": "being queued",
        "starting": "its process is starting",
        "started": "its process is finishing",
        "canceling": "being cancelled",
        "failure": "failed, will be re-executed",
        "success": "done",
    }.get(run.status, run.status)
