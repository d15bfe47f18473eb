"""Runs the pipeline in this process, on the instance of ``DAGSTER_HOME``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import dagster as dg

from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.history import History
from brand_detect.domain.job import Overrides, check_job_id
from brand_detect.domain.launch import LaunchPlan, ReplayRequest, plan_replay, plan_submit
from brand_detect.domain.media import content_sha256, default_job_id, file_name
from brand_detect.domain.pipeline import CATALOG, LINE
from brand_detect.orchestration.history import read_history
from brand_detect.orchestration.lineage import made_by
from brand_detect.orchestration.models import check_models
from brand_detect.orchestration.partitions import JOBS
from brand_detect.orchestration.profiles import load_profile
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.snapshots import is_to_be_embedded, record_own_files, take_snapshot
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.codec import Value
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import Store

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Silences Dagster's console log, which would disturb progress bars; errors are raised as one sentence."""


@dataclass(frozen=True)
class JobRun:
    """A finished run: the attempt of every stage in its report's lineage."""

    job_id: str
    run_id: str
    store: Store
    attempts: dict[str, str]

    def ref(self, stage: str) -> AttemptRef:
        return AttemptRef(self.job_id, stage, self.attempts[stage])

    def load(self, stage: str) -> Value:
        """The payload of ``stage``."""
        return self.store.load(self.ref(stage))

    def manifest(self, stage: str) -> Manifest:
        return self.store.manifest(self.ref(stage))


class Runner:
    """Submits and replays jobs in this process."""

    def __init__(self, definitions: dg.Definitions, services: Services, instance: dg.DagsterInstance) -> None:
        self._job = definitions.resolve_implicit_global_asset_job_def()
        graph = definitions.resolve_asset_graph()
        self.code_versions = {stage: graph.get(dg.AssetKey(stage)).code_version or "" for stage in LINE}
        self._services = services
        self._instance = instance

    def submit(
        self,
        video_uri: str,
        *,
        job_id: str | None = None,
        profile: str = "default",
        overrides: Overrides | None = None,
    ) -> JobRun:
        """Run a new video through the whole pipeline. The default job id is made from the file's content.

        Raises:
            BrandDetectError: what was asked for is wrong, or a stage failed.
        """
        plan = plan_submit(video_uri, profile, load_profile(profile), overrides or {})
        check_models(plan.params, self._services)
        if job_id is not None:
            check_job_id(job_id)
        with self._services.media.open(video_uri) as file:  # a refusal here leaves no trace of the job
            self._services.engines.decoder(self._services.settings.video_limits).probe(file)
            if job_id is None:
                sha256, _ = content_sha256(file, self._services.progress("job_id", dg.get_dagster_logger()))
                job_id = default_job_id(PurePosixPath(file_name(video_uri)).stem, sha256)
        self._instance.add_dynamic_partitions(str(JOBS.name), [job_id])
        self.refresh_catalog()
        return self.launch(job_id, plan)

    def replay(
        self,
        job_id: str,
        start_stage: str,
        overrides: Overrides | None = None,
        *,
        pins: Mapping[str, str] | None = None,
        reset: Iterable[str] = (),
        reuse: bool = False,
        retry_of: str = "",
    ) -> JobRun:
        """Run ``start_stage`` and all stages below it again; the arguments are those of ``ReplayRequest``.

        Raises:
            BrandDetectError: what was asked for is wrong, or a stage failed.
        """
        request = ReplayRequest(start_stage, overrides or {}, pins or {}, tuple(reset), reuse, retry_of)
        plan = plan_replay(self._history(job_id), request)
        check_models(plan.params, self._services)
        if plan.reads_latest_catalog:
            self.refresh_catalog()
            if reuse:
                plan = plan_replay(self._history(job_id), request)  # with the current brand list
        else:
            record_own_files(self._instance, self._services)
        return self.launch(job_id, plan)

    def _history(self, job_id: str) -> History:
        return read_history(self._instance, check_job_id(job_id), self.code_versions)

    def refresh_catalog(self) -> None:
        """Take a snapshot of the brand list and the user's own files if they have changed, and embed new logos."""
        catalog = take_snapshot(self._instance, self._services)
        if is_to_be_embedded(self._services.store, catalog):
            self._execute(None, LaunchPlan((CATALOG,)))

    def launch(self, job_id: str, plan: LaunchPlan) -> JobRun:
        """Run ``plan`` for an existing job.

        Raises:
            BrandDetectError: a stage failed.
        """
        run_id = self._execute(job_id, plan)
        last = plan.stages[-1]
        attempt = made_by(self._instance, run_id, job_id)[last]
        manifest = self._services.store.manifest(AttemptRef(job_id, last, attempt))
        return JobRun(job_id, run_id, self._services.store, {**manifest.upstream, last: attempt})

    def _execute(self, job_id: str | None, plan: LaunchPlan) -> str:
        try:
            result = self._job.execute_in_process(
                instance=self._instance,
                partition_key=job_id,
                asset_selection=[dg.AssetKey(s) for s in plan.stages],
                run_config={"ops": {stage: {"config": values} for stage, values in plan.config.items()}, **QUIET},
                tags=plan.run_tags(),
            )
        except dg.DagsterExecutionInterruptedError as e:
            raise KeyboardInterrupt from e
        except Exception as e:  # a Failure, or Dagster's error when a step's retries are used up
            reason = _domain_error(e)
            if reason is None:
                raise
            raise reason from e
        return result.run_id


def _domain_error(error: BaseException | None) -> BrandDetectError | None:
    """The domain error that caused ``error``."""
    while error and not isinstance(error, BrandDetectError):
        error = error.__cause__ or (error.__context__ if isinstance(error, dg.DagsterError) else None)
    return error
