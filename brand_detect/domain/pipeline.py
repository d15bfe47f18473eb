"""The stages: one name each, used for assets, modules, params, APIs and tests."""

from enum import StrEnum, auto


class Stage(StrEnum):
    """The eight stages in pipeline order."""

    extract_frames = auto()
    filter_scenes = auto()
    detect_objects = auto()
    run_ocr = auto()
    match_brands = auto()
    escalate_vlm = auto()
    escalate_cloud = auto()
    compile_report = auto()


ROOT = "job_request"
STAGES = tuple(stage.value for stage in Stage)
"""Stage names as plain strings, as in all tuples here: Dagster cannot serialize our enums."""
ESCALATIONS = (Stage.escalate_vlm.value, Stage.escalate_cloud.value)
"""The stages that ask a model about unresolved clusters."""
LINE = (ROOT, *STAGES)
"""The root asset and the eight stages."""
CATALOG = "brand_catalog"
"""The unpartitioned asset that ``match_brands`` reads."""
COMPARISON = "comparison"
"""The asset that compares two reports of a job; no stage reads it."""
ANNOTATED = "annotated_video"
"""The asset that draws a report's detections onto the job's video; no stage reads it."""
PORTFOLIO = "portfolio"
"""The unpartitioned asset that aggregates the reports of many jobs.

These three have no edge from ``compile_report``; with one, ``start_stage+`` in Dagster's UI would launch them too.
"""
ASSETS = (CATALOG, *LINE, COMPARISON, ANNOTATED, PORTFOLIO)
"""All assets, in pipeline order."""
GPU, CLOUD = "gpu", "cloud"
"""Dagster's pools: of steps that use a GPU, and of steps that ask paid models."""
PRUNE, PRUNE_STEP = "prune", "prune_checkpoints"
"""The job that removes old attempts, and its only step."""


def downstream_of(start: str) -> tuple[str, ...]:
    """``start`` and everything below it, in pipeline order."""
    return LINE[LINE.index(start) :]


def upstream_of(stage: str) -> tuple[str, ...]:
    """Everything above ``stage``, in pipeline order."""
    return LINE[: LINE.index(stage)]
