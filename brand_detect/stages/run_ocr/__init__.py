"""Stage 4: reads the text of each track."""

from brand_detect.stages.run_ocr.read import run_ocr

__all__ = ["run_ocr"]
