"""What happens at set times: the retries of a night."""

import dagster as dg

from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import ESCALATIONS
from brand_detect.domain.pipeline import downstream_of
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import LATEST, OFFPEAK, OFFPEAK_USD, PARTITION, RETRY_OF
from brand_detect.operations import offpeak
from brand_detect.operations.liveness import IN_FLIGHT
from brand_detect.orchestration.partitions import JOBS
from brand_detect.orchestration.resources import Services


def offpeak_retries(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule that retries jobs with open questions, at the settings' times; off unless they switch it on.

    Raises:
        BadInput: the settings name no time.
    """

    def retries(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        services: Services = context.resources.services
        instance = context.instance
        date = context.scheduled_execution_time.date().isoformat()
        running = instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT))
        in_this_batch = instance.get_run_records(dg.RunsFilter(tags={OFFPEAK: date}))
        launched = {r.dagster_run.tags[PARTITION]: float(r.dagster_run.tags[OFFPEAK_USD]) for r in in_this_batch}
        known = offpeak.OpenJobs.load(instance)
        tried = offpeak.load_tried(instance)
        night = offpeak.plan_batch(
            known,
            services.settings,
            instance.get_dynamic_partitions(str(JOBS.name)),
            (record.dagster_run.tags.get(PARTITION, "") for record in running),
            launched=launched,
            tried=tried,
        )
        context.log.info("%s", night)
        if not night.retries:
            return dg.SkipReason(str(night))
        tried = {job_id: at for job_id, at in tried.items() if job_id in known.jobs}
        offpeak.save_tried(instance, tried | dict.fromkeys(night.retries, date))
        return [
            dg.RunRequest(
                run_key=f"{date} {job_id}",
                asset_selection=[dg.AssetKey(stage) for stage in downstream_of(ESCALATIONS[0])],
                run_config={"ops": {stage: {"config": values} for stage, values in retry.overrides.items()}},
                # the partition as a tag: with partition_key Dagster asks the database for each job whether it is there
                tags={PARTITION: job_id, RETRY_OF: LATEST, OFFPEAK: date, OFFPEAK_USD: f"{retry.usd:.4f}"},
            )
            for job_id, retry in night.retries.items()
        ]

    try:
        return dg.schedule(
            name="offpeak_retries",
            target=dg.define_asset_job(
                "retry", selection=dg.AssetSelection.assets(*downstream_of(ESCALATIONS[0])), partitions_def=JOBS
            ),
            cron_schedule=settings.offpeak_cron,
            execution_timezone=settings.offpeak_timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING if settings.offpeak else dg.DefaultScheduleStatus.STOPPED,
            required_resource_keys={"services"},
            description="Retries jobs with open questions, oldest first, within the limits of BRAND_DETECT_OFFPEAK_*.",
        )(retries)
    except dg.DagsterInvalidDefinitionError as e:
        raise BadInput(
            f"BRAND_DETECT_OFFPEAK_CRON: {settings.offpeak_cron!r} is no time.", "write it as cron does: 0 1 * * *"
        ) from e
