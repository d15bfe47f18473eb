"""Stage 1: samples frames from the video by presentation time."""

from brand_detect.stages.extract_frames.extract import extract_frames

__all__ = ["extract_frames"]
