"""The asset that writes a comparison of two reports."""

from typing import cast

import dagster as dg
from pydantic import Field

from brand_detect.operations.comparison import compared
from brand_detect.orchestration.config import explicit
from brand_detect.orchestration.partitions import JOBS, OWNER
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.stage import dagster_errors
from brand_detect.report.comparison import in_short, in_words
from brand_detect.storage.reports import Reports

COMPARISONS = "_comparisons"
"""A job's folder for comparisons of its reports."""
METADATA_BYTES = 50_000
"""Limit of the JSON in the metadata, which is stored in the event's row."""


class ComparisonConfig(dg.Config):
    """The reports to compare; by default the job's newest and the one before it."""

    attempt: str | None = Field(None, description="a report of this job, or a prefix of its name (default: the newest)")
    with_attempt: str | None = Field(None, description="the report to compare it with (default: the one before it)")
    with_job: str | None = Field(None, description="the job that with_attempt belongs to (default: this one)")


@dg.asset(
    partitions_def=JOBS,
    io_manager_key="checkpoints",
    required_resource_keys={"services"},
    config_schema=ComparisonConfig.to_config_schema().as_field(),
    code_version="1",
    group_name="operations",
    kinds={"html"},
    owners=[OWNER],
    tags={"work": "sums"},
)
def comparison(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Two reports of a job: seconds gained and lost, verdicts changed, params that differ, time and cost."""
    services = cast("Services", context.resources.services)
    asked = explicit(context.op_execution_context.op_config)
    with dagster_errors(context.instance, context.run.run_id):
        reports = [made for made in Reports(services.store).all(context.partition_key) if not made.failed_check]
        if not any(asked.values()) and len(reports) < 2:
            nothing = (
                f"Nothing to compare: {context.partition_key} has {'one report' if reports else 'no report'} so far."
            )
            return dg.MaterializeResult(metadata={"text": dg.MetadataValue.md(nothing)})
        found = compared(services.store, services.engines.codec(), context.partition_key, **asked)
        whole = found.document.model_dump_json(indent=1)
        page, document = (
            services.store.blobs.put(f"{context.partition_key}/{COMPARISONS}/{found.name}.{ending}", text.encode())
            for ending, text in (("html", found.page()), ("json", whole))
        )
        return dg.MaterializeResult(
            metadata={
                "text": dg.MetadataValue.md(in_words(found.document)),
                "json": dg.MetadataValue.json(in_short(found.document, METADATA_BYTES)),
                "page": page,
                "document": document,
                "before": str(found.before),
                "after": str(found.after),
            }
        )


def definitions(_services: Services) -> dg.Definitions:
    return dg.Definitions(assets=[comparison])
