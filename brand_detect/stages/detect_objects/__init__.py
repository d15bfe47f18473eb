"""Stage 3: finds regions on keyframes and tracks them through each shot."""

from brand_detect.stages.detect_objects.detect import detect_objects

__all__ = ["detect_objects"]
