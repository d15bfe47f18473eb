"""Stage 3: find regions on keyframes and follow them through each shot."""

from brand_detect.stages.detect_objects.detect import detect_objects

__all__ = ["detect_objects"]
