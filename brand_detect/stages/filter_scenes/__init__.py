"""Stage 2: finds shots, and the keyframes that stand for their duplicates."""

from brand_detect.stages.filter_scenes.filter import filter_scenes

__all__ = ["filter_scenes"]
