"""What a new run of a job does: which stages, with which config, on which checkpoints.

Pure, so that every way to launch a replay (HTTP, command line, Python, in-process) does the same: it reads the job's
history, asks for a plan and carries it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brand_detect.domain.contracts import check_overrides, effective
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import (
    Attempt,
    History,
    carried,
    inherited,
    merged,
    parent_of,
    pinned,
    reusable,
)
from brand_detect.domain.job import Overrides
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import CATALOG, ESCALATIONS, LINE, ROOT, STAGES, Stage, downstream_of
from brand_detect.domain.tags import LATEST, PIN, RETRY_OF


@dataclass(frozen=True)
class ReplayRequest:
    """What a caller asks for: ``start_stage`` and all below it again, on the checkpoints above."""

    start_stage: str
    overrides: Overrides = field(default_factory=dict)
    """Params of the stages that run, over those that were tuned before."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """The attempt to read, by stage; its first letters do. The latest otherwise."""
    reset: tuple[str, ...] = ()
    """Stages whose tuned params are dropped."""
    reuse: bool = False
    """Leave out the first stages whose result is there already, made by the same recipe."""
    retry_of: str = ""
    """From an escalation: take over what the ``escalate_cloud`` of this run settled, or of the ``LATEST`` one.

    Such a retry has no pins and reuses nothing.
    """


@dataclass(frozen=True)
class LaunchPlan:
    """A run to launch."""

    stages: tuple[str, ...]
    """Those that run, in pipeline order."""
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The config by stage, where there is any."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """The attempt to read, by stage."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Those of the run, besides the pins'."""
    reused: Mapping[str, str] = field(default_factory=dict)
    """The attempts of the first stages asked for, which need not run again."""
    parent_run_id: str = ""
    """The run that it goes on from."""
    params: Mapping[str, Params] = field(default_factory=dict)
    """What is in force in each of the stages asked for."""
    reads_latest_catalog: bool = False
    """Whether a change of the brand list would change the result, or what can be reused."""

    @property
    def run_tags(self) -> dict[str, str]:
        return {**{f"{PIN}{stage}": attempt for stage, attempt in self.pins.items()}, **self.tags}


def plan_submit(video_uri: str, profile: str, set_by_profile: Overrides, overrides: Overrides) -> LaunchPlan:
    """The run that makes a whole job.

    Raises:
        BadInput: a param is wrong.
    """
    params = {s: effective(s, set_by_profile.get(s, {}), check_overrides(overrides).get(s, {})) for s in STAGES}
    request = {"video_uri": video_uri, "profile": profile, "overrides": overrides}
    return LaunchPlan(LINE, {ROOT: request}, params=params)


def plan_replay(history: History, request: ReplayRequest) -> LaunchPlan:
    """The run that does what ``request`` asks for.

    Raises:
        BadInput: what is asked for is wrong, or there is nothing to start from.
    """
    if not history:
        raise BadInput(
            f"There is no job {history.job_id}: it has no checkpoint to start from.", "submit its video first"
        )
    pins = pinned(history, request.pins)
    continued = _continued(history, request)
    if continued:
        parent = history.find(Stage.match_brands, continued.upstream[Stage.match_brands]) or continued
    else:
        parent = parent_of(history, request.start_stage, pins)
    stages = downstream_of(request.start_stage)
    config = _config(history, request, parent)
    params = {s: effective(s, *inherited(history, parent, s), config.get(s, {})) for s in stages}
    if continued:
        tags = {RETRY_OF: request.retry_of}
        return LaunchPlan(stages, config, tags=tags, parent_run_id=continued.run_id, params=params)
    catalog = pins.get(CATALOG, "")
    reads_latest_catalog = Stage.match_brands in stages and not catalog
    reused = reusable(history, request.start_stage, parent, config, catalog) if request.reuse else {}
    reused.pop(Stage.compile_report, None)  # a replay ends with a report of its own
    stages = stages[len(reused) :]
    nearest = [parent, *reused.values()][-1]
    if pins or request.reuse:
        pins = {nearest.stage: nearest.attempt}  # its manifest names all that lies above
        if catalog and Stage.match_brands in stages:
            pins[CATALOG] = catalog
    return LaunchPlan(
        stages,
        {stage: values for stage, values in config.items() if stage in stages},
        pins,
        reused={stage: attempt.attempt for stage, attempt in reused.items()},
        parent_run_id=nearest.run_id,
        params=params,
        reads_latest_catalog=reads_latest_catalog,
    )


def _continued(history: History, request: ReplayRequest) -> Attempt | None:
    """The attempt of ``escalate_cloud`` that a retry goes on from; None for a plain replay."""
    if request.start_stage not in ESCALATIONS:
        if request.retry_of not in ("", LATEST):
            raise BadInput(
                f"A run to continue was named, but {request.start_stage} is no escalation.",
                f"start at {' or '.join(ESCALATIONS)}",
            )
        return None
    if not request.retry_of:
        return None
    done = history.stages[Stage.escalate_cloud].attempts
    last = next((a for a in done if request.retry_of in (LATEST, a.run_id)), None)
    if last is None:
        which = "" if request.retry_of == LATEST else f" made by run {request.retry_of}"
        raise BadInput(
            f"{history.job_id} has no checkpoint of {Stage.escalate_cloud}{which}, which a retry goes on from.",
            "replay from match_brands first",
        )
    return last


def _config(history: History, request: ReplayRequest, parent: Attempt) -> Overrides:
    """What was tuned before and is asked for now, by stage, where there is anything."""
    stages = downstream_of(request.start_stage)
    for stage in (*request.reset, *check_overrides(request.overrides)):
        if stage not in stages:
            raise BadInput(
                f"{stage} does not run in a replay from {request.start_stage}.", f"what runs is {', '.join(stages)}"
            )
    config = merged(carried(history, request.start_stage, parent, request.reset), request.overrides)
    return {stage: values for stage, values in config.items() if values}
