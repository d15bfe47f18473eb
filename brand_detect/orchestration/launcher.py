"""Sends each run to a worker machine: Dagster's Celery launcher, with what it lacks."""

import dagster as dg
from celery.exceptions import OperationalError
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import LaunchRunContext
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG


class WorkerRunLauncher(CeleryRunLauncher):
    """Puts each run that leaves Dagster's queue into Celery's, from where the next free worker takes it."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the run to the broker; while that is out of reach, the run goes back into Dagster's queue.

        Raises:
            DagsterUserCodeUnreachableError: what Dagster's daemon takes for a reason to queue a run again.
        """
        try:
            super().launch_run(context)
        except OperationalError as e:
            raise DagsterUserCodeUnreachableError(f"The broker is out of reach: {e}") from e

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: its process sees that this was asked for and ends it as cancelled; otherwise it would end as
        failed, and Dagster would execute it again. A worker that gets its task later does not begin it.

        Raises:
            OperationalError: the broker is out of reach; nothing has changed.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        with self.celery.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1)
        self._instance.report_run_canceling(run)
        # no task is named while it is on its way to the broker
        return DAGSTER_CELERY_TASK_ID_TAG not in run.tags or super().terminate(run_id)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Heartbeats tell which runs are alive: a broker that was restarted has forgotten tasks that still work, and a
        re-execution has its parent's task until it gets its own."""
        return False

    def get_run_worker_debug_info(
        self,
        run: dg.DagsterRun,  # noqa: ARG002
        include_container_logs: bool | None = True,  # noqa: ARG002
    ) -> str | None:
        """Nothing: tasks store no results."""
        return None
