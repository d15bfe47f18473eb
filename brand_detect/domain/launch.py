"""Plans a new run of a job: its stages, config and input checkpoints.

Pure functions, so that every way to launch a replay (HTTP, command line, Python, in-process) behaves the same: each
reads the job's history, gets a plan and executes it.
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
from brand_detect.domain.tags import LATEST, PARTITION, PIN, RETRIES_MARGIN, RETRY_OF


@dataclass(frozen=True)
class ReplayRequest:
    """A request to run ``start_stage`` and everything below it again, on the checkpoints above."""

    start_stage: str
    overrides: Overrides = field(default_factory=dict)
    """Params of the stages that run; they win over earlier overrides."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Attempt to read, by stage; a unique prefix is enough. Default: the latest."""
    reset: tuple[str, ...] = ()
    """Stages whose earlier overrides are dropped."""
    reuse: bool = False
    """Skip the first stages if attempts with the same recipe exist."""
    retry_of: str = ""
    """For a start at an escalation: carry over what ``escalate_cloud`` resolved in this run, or in the ``LATEST``.

    Such a retry has no pins and reuses nothing.
    """


@dataclass(frozen=True)
class LaunchPlan:
    """A run to launch."""

    stages: tuple[str, ...]
    """Stages that run, in pipeline order."""
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Config by stage, if any."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Attempt to read, by stage."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """The run's tags, without those of the pins."""
    reused: Mapping[str, str] = field(default_factory=dict)
    """Reused attempts of the first requested stages, by stage."""
    parent_run_id: str = ""
    """The run that it continues from."""
    params: Mapping[str, Params] = field(default_factory=dict)
    """Effective params of each requested stage."""
    reads_latest_catalog: bool = False
    """Whether a change of the brand list would change the result or what can be reused."""

    def run_tags(self, job_id: str = "", root_run_id: str = "", runs_in_group: int = 0) -> dict[str, str]:
        """Tags of the run: pins, those of the plan, the job's partition, and its place in a group of runs.

        ``Client._launch`` adds the request's key and, if the run is held, until when.

        ``root_run_id`` is the first run of the group that the run joins, with ``runs_in_group`` so far. Dagster counts
        all runs of a group as retries of each, so ``dagster/max_retries`` lets the new run be executed again once.
        """
        tags = {**{f"{PIN}{stage}": attempt for stage, attempt in self.pins.items()}, **self.tags}
        if job_id:
            tags[PARTITION] = job_id
        if root_run_id:
            tags |= {
                "dagster/root_run_id": root_run_id,
                "dagster/parent_run_id": self.parent_run_id,
                "dagster/max_retries": str(runs_in_group + 2 + RETRIES_MARGIN),
            }
        return tags


def plan_submit(video_uri: str, profile: str, set_by_profile: Overrides, overrides: Overrides) -> LaunchPlan:
    """Plans the run of a whole job.

    Raises:
        BadInput: a param is invalid.
    """
    params = {s: effective(s, set_by_profile.get(s, {}), check_overrides(overrides).get(s, {})) for s in STAGES}
    request = {"video_uri": video_uri, "profile": profile, "overrides": overrides}
    return LaunchPlan(LINE, {ROOT: request}, params=params)


def plan_replay(history: History, request: ReplayRequest) -> LaunchPlan:
    """Plans the run for ``request``.

    Raises:
        BadInput: the request is invalid, or there is no checkpoint to start from.
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
    reused.pop(Stage.compile_report, None)  # a replay always makes a new report
    stages = stages[len(reused) :]
    nearest = [parent, *reused.values()][-1]
    if pins or request.reuse:
        pins = {nearest.stage: nearest.attempt}  # its manifest names all its ancestors
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
    """The attempt of ``escalate_cloud`` that a retry continues; None for a plain replay."""
    if request.start_stage not in ESCALATIONS:
        if request.retry_of not in ("", LATEST):
            raise BadInput(
                f"A retry of a run must start at an escalation, not at {request.start_stage}.",
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
            f"{history.job_id} has no checkpoint of {Stage.escalate_cloud}{which} for a retry to continue.",
            "replay from match_brands first",
        )
    return last


def _config(history: History, request: ReplayRequest, parent: Attempt) -> Overrides:
    """Earlier overrides merged with the request's, by stage; stages without any are left out."""
    stages = downstream_of(request.start_stage)
    for stage in (*request.reset, *check_overrides(request.overrides)):
        if stage not in stages:
            raise BadInput(
                f"{stage} does not run in a replay from {request.start_stage}.", f"these run: {', '.join(stages)}"
            )
    config = merged(carried(history, request.start_stage, parent, request.reset), request.overrides)
    return {stage: values for stage, values in config.items() if values}
