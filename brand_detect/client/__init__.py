"""A typed client of the pipeline over Dagster's GraphQL API: submit, inspect, replay, retry, cancel, wait, report.

It needs only the address of Dagster's webserver: no checkpoint store, no video library, no Dagster.
``transport`` sends the operations of ``brand_detect/graphql``, ``models`` defines the results, ``calls`` the client.
"""

from brand_detect.client.calls import LONGEST_DELAY_S, PAGE_OF_RUNS, Client
from brand_detect.client.models import ComparisonSummary, FailedTick, Problems, ReportSummary, Run, RunLog
from brand_detect.client.transport import TOKEN, document

__all__ = [
    "LONGEST_DELAY_S",
    "PAGE_OF_RUNS",
    "TOKEN",
    "Client",
    "ComparisonSummary",
    "FailedTick",
    "Problems",
    "ReportSummary",
    "Run",
    "RunLog",
    "document",
]
