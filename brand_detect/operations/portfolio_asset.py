"""The asset that stores the totals over many jobs."""

from typing import cast

import dagster as dg
from pydantic import Field

from brand_detect.domain.tables import content_id
from brand_detect.operations.portfolio import NewestReports, documents, portfolio_of
from brand_detect.orchestration.config import explicit
from brand_detect.orchestration.partitions import OWNER
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.stage import dagster_errors
from brand_detect.report.portfolio import Portfolio
from brand_detect.report.words import cell, duration, percent
from brand_detect.storage.reports import Reports

PORTFOLIO = "_portfolio"
"""The store's folder for documents over many jobs."""
IN_TABLE = 25
"""Limit of brands in the metadata's table."""


class PortfolioConfig(dg.Config):
    """The jobs to sum up; by default all in the store."""

    jobs: list[str] | None = Field(None, description="ids of the jobs (default: all)")
    since: str | None = Field(None, description="first day of submission, UTC, as 2026-05-31 (default: no limit)")
    until: str | None = Field(None, description="last day of submission (default: no limit)")


@dg.asset(
    io_manager_key="checkpoints",
    required_resource_keys={"services"},
    config_schema=PortfolioConfig.to_config_schema().as_field(),
    code_version="1",
    group_name="operations",
    kinds={"html", "duckdb"},
    owners=[OWNER],
    tags={"work": "sums"},
)
def portfolio(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Brands over many jobs: seconds, shares, appearances and advertising equivalent, with a page and tables."""
    services = cast("Services", context.resources.services)
    asked = explicit(context.op_execution_context.op_config)
    with dagster_errors(context.instance, context.run.run_id):
        reports = NewestReports(Reports(services.store))
        whole = portfolio_of(reports, services.progress("portfolio", context.log), **asked)
        name = content_id(*(f"{job.job_id}/{job.attempt}" for job in whole.jobs))
        put = services.store.blobs.put
        uris = {file: put(f"{PORTFOLIO}/{name}-{file}", data) for file, data in documents(whole).items()}
    return dg.MaterializeResult(
        metadata={
            "text": dg.MetadataValue.md(_in_words(whole)),
            "page": uris["portfolio.html"],
            "document": uris["portfolio.json"],
            "brands": len(whole.brands),
            "videos": len(whole.jobs),
            "seconds": whole.seconds,
        }
    )


def _in_words(whole: Portfolio) -> str:
    lines = ["| brand | on screen | share of voice | appearances | videos |", "|---|---:|---:|---:|---:|"]
    for b in whole.brands[:IN_TABLE]:
        figures = (duration(b.seconds), percent(b.share_of_voice), b.n_exposures, b.n_videos)
        lines.append(f"| {cell(b.brand[:120])} | {' | '.join(map(str, figures))} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in whole.notes)])


def definitions(_services: Services) -> dg.Definitions:
    return dg.Definitions(assets=[portfolio])
