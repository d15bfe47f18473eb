"""The asset that draws a report's detections into the video."""

import tempfile
from pathlib import Path
from typing import cast

import dagster as dg
from pydantic import Field

from brand_detect.domain.words import counted
from brand_detect.operations.exports import StoredReport, annotate
from brand_detect.orchestration.config import explicit
from brand_detect.orchestration.events import inline
from brand_detect.orchestration.partitions import JOBS, OWNER
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.stage import dagster_errors
from brand_detect.report.pictures import EMBEDDED_BYTES, encoded


class AnnotatedVideoConfig(dg.Config):
    """The report to draw; by default the job's newest."""

    attempt: str | None = Field(None, description="a report of this job, or a prefix of its name (default: the newest)")


@dg.asset(
    partitions_def=JOBS,
    io_manager_key="checkpoints",
    required_resource_keys={"services"},
    config_schema=AnnotatedVideoConfig.to_config_schema().as_field(),
    code_version="2",
    group_name="operations",
    kinds={"video"},
    owners=[OWNER],
    tags={"work": "decoding"},
)
def annotated_video(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The job's video with the report's boxes and brand names drawn in."""
    services = cast("Services", context.resources.services)
    asked = explicit(context.op_execution_context.op_config)
    with dagster_errors(context.instance, context.run.run_id), tempfile.TemporaryDirectory() as folder:
        found = StoredReport.of(services.store, context.partition_key, **asked)
        target = Path(folder) / f"{found.ref.attempt}.mp4"
        progress = services.progress("annotated_video", context.log)
        rewriter = services.engines.rewriter(services.settings.video_limits)
        made, still = annotate(found, services.media, rewriter, services.engines.canvas(), target, progress)
        size_bytes = target.stat().st_size
        path = services.store.blobs.put_file(found.ref.annotated, target)
    shown = (
        {} if still is None else {"still": inline("still", encoded(still, services.engines.codec(), EMBEDDED_BYTES))}
    )
    return dg.MaterializeResult(
        metadata={
            "path": path,
            "report": str(found.ref),
            "seconds": made.seconds,
            "frames": made.frames,
            "bytes": size_bytes,
            "sound": made.sound or "none",
            "brands": counted(found.report.brands.num_rows, "brand"),
            "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in made.notes)),
            **shown,
        }
    )


def definitions(_services: Services) -> dg.Definitions:
    return dg.Definitions(assets=[annotated_video])
