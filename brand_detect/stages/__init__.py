"""The stages as pure functions over domain types and protocols, with the helpers that several stages share.

``domain.contracts`` holds params and table schemas; protocols supply pixels, models and files.
"""

from brand_detect.stages.compile_report.compile import compile_report
from brand_detect.stages.compile_report.unresolved import locate_unresolved
from brand_detect.stages.detect_objects.detect import detect_objects
from brand_detect.stages.detect_objects.edges import with_edges
from brand_detect.stages.escalate_cloud import escalate_cloud
from brand_detect.stages.escalate_vlm import escalate_vlm
from brand_detect.stages.extract_frames.extract import extract_frames
from brand_detect.stages.filter_scenes.filter import filter_scenes
from brand_detect.stages.job_request import job_request
from brand_detect.stages.match_brands.match import match_brands
from brand_detect.stages.run_ocr.read import run_ocr

__all__ = [
    "compile_report",
    "detect_objects",
    "escalate_cloud",
    "escalate_vlm",
    "extract_frames",
    "filter_scenes",
    "job_request",
    "locate_unresolved",
    "match_brands",
    "run_ocr",
    "with_edges",
]
