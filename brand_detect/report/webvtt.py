"""Exposures as WebVTT: markers on a video's timeline for players and editors."""

import re
from html import escape

from brand_detect.domain.contracts.compile_report import Exposure
from brand_detect.domain.media import file_name
from brand_detect.report.exports import ReportDocument
from brand_detect.report.words import has_placement, one_line, placement_words, short


def markers(report: ReportDocument) -> str:
    """One cue per exposure, in order of time: its id, the brand as voice and text, and its evidence as a note.

    Times are those of a player, to the millisecond: its clock may begin before the first picture. https://www.w3.org/TR/webvtt1/
    """
    video = file_name(report.job.video_uri)
    blocks = [f"WEBVTT {_line(report.job.job_id)}", f"NOTE\nBrands on screen in {_line(video)}"]
    offset_s = report.job.probe.first_picture_s
    for exposure in report.exposures:
        brand = _line(short(exposure.brand))
        begin, end = (round(1000 * (offset_s + t_s)) for t_s in (exposure.start_s, exposure.end_s))
        blocks.append(f"NOTE\n{_proof(exposure)}")
        blocks.append(
            f"{exposure.exposure_id}\n{_clock(begin)} --> {_clock(max(end, begin + 1))}\n<v {brand}>{brand}</v>"
        )
    return "\n\n".join(blocks) + "\n"


def _proof(exposure: Exposure) -> str:
    text = f"read as {_line(short(exposure.text))}, " if exposure.text else ""
    on = f", {placement_words(exposure.placement)}" if has_placement([exposure.placement]) else ""
    return f"{exposure.exposure_id}: {text}{exposure.rule}, confidence {exposure.confidence:.2f}{on}"


def _line(text: str) -> str:
    """``text`` as one line without markup or arrows, and without a trailing "-" that could complete an arrow."""
    return re.sub("-{2,}$", "–", escape(one_line(text), quote=False))


def _clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"
