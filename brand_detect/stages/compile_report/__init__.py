"""Stage 8: detections, exposures and totals per brand."""

from brand_detect.stages.compile_report.compile import compile_report

__all__ = ["compile_report"]
