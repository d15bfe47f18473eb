"""The line of stages: one name per stage, used for assets, modules, params, APIs and tests."""

ROOT = "job_request"
STAGES = (
    "extract_frames",
    "filter_scenes",
    "detect_objects",
    "run_ocr",
    "match_brands",
    "escalate_vlm",
    "escalate_cloud",
    "compile_report",
)
"""The eight stages in pipeline order."""
LINE = (ROOT, *STAGES)
"""The root asset and the eight stages."""
CATALOG = "brand_catalog"
"""The unpartitioned asset that ``match_brands`` reads."""
COMPARISON = "comparison"
"""The asset that compares two reports of a job; it stands beside the line, and no stage reads it."""
ANNOTATED = "annotated_video"
"""The asset that draws a report's detections into the job's video; it stands beside the line."""
PORTFOLIO = "portfolio"
"""The unpartitioned asset that sums the reports of many jobs."""
ASSETS = (CATALOG, *LINE, COMPARISON, ANNOTATED, PORTFOLIO)
"""What runs make, in this order."""
PRUNE, PRUNE_STEP = "prune", "prune_checkpoints"
"""The job that removes old attempts, and its one step."""


def downstream_of(start: str) -> tuple[str, ...]:
    """``start`` and everything below it, in pipeline order."""
    return LINE[LINE.index(start) :]


def upstream_of(stage: str) -> tuple[str, ...]:
    """Everything above ``stage``, in pipeline order."""
    return LINE[: LINE.index(stage)]
