"""Formats numbers and texts for people."""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import PurePosixPath

from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.job import Probe
from brand_detect.domain.media import file_name
from brand_detect.domain.placements import Placement

LETTERS = 120
"""Longest text that is not cut."""
RULES: Mapping[str, str] = {
    Rule.exact: "the text is the brand's name",
    Rule.alias: "the text is another name of the brand",
    Rule.fuzzy: "the text is almost the name",
    Rule.lexicon: "the name is likely by what the reader saw, letter by letter",
    Rule.joined: "neighbouring texts together form the name",
    Rule.reidentified: "it looks like a text of this video that was read as the name",
    Rule.logo_match: "the region looks like a picture of the brand's logo",
    Rule.vlm: "a local model named it",
    Rule.cloud: "a cloud model named it",
    Rule.review: "a person named it",
}
"""How a brand was identified."""

CODECS: Mapping[str, str] = {
    "h264": "H.264",
    "hevc": "HEVC",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4 Visual",
    "mjpeg": "Motion JPEG",
    "prores": "ProRes",
    "dnxhd": "DNxHD",
}
"""FFmpeg's names of codecs in words, where they differ."""


def fixed(value: float, decimals: int) -> Decimal:
    """``value`` rounded half up, like the page's script: 0.25, common with sampling, to 0.3; Python rounds to 0.2."""
    return Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def clock(seconds: float) -> str:
    """``83.25`` as ``1:23.3``; with hours from 3600 s on."""
    tenths = int(fixed(seconds * 10, 0))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def duration(seconds: float) -> str:
    """``83.25`` as ``83.3 s``; from two minutes on as ``2 min 5 s``, from an hour on as ``1 h 02 min``."""
    if seconds < 120:
        return f"{fixed(seconds, 1)} s"
    minutes, rest = divmod(int(fixed(seconds, 0)), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def signed(seconds: float) -> str:
    """``-83.25`` as ``−83.3 s``, ``83.25`` as ``+83.3 s``; no sign if it rounds to 0."""
    length = duration(abs(seconds))
    return length if length == duration(0) else f"{'+' if seconds > 0 else '−'}{length}"


def percent(share: float) -> str:
    """``0.0123`` as ``1.2 %``; shares under a hundredth keep two decimals."""
    value = 100 * share
    if 0 < value < 0.005:
        return "< 0.01 %"
    return f"{fixed(value, 0 if value >= 10 else 1 if value >= 1 else 2)} %"


def encoding(probe: Probe, uri: str) -> str:
    """How a video is encoded: ``MPEG-4 Visual in AVI``, ``H.264 (yuv422p10le) in MOV``."""
    pixels = "" if probe.pix_fmt in ("yuv420p", "yuvj420p") else f" ({probe.pix_fmt})"
    container = PurePosixPath(file_name(uri)).suffix[1:].upper() or probe.container
    return f"{CODECS.get(probe.codec, probe.codec)}{pixels} in {container}"


def has_placement(placements: Iterable[str]) -> bool:
    """Whether any placement is known; ``other`` is none of the named ones."""
    return any(placement not in ("", Placement.other, Placement.unknown) for placement in placements)


def placement_words(placement: str) -> str:
    """``full_screen`` as ``full screen``, ``led`` as ``LED``."""
    return "LED" if placement == Placement.led else placement.replace("_", " ")


def short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"


def one_line(text: str) -> str:
    """``text`` without unprintable characters, such as control characters and direction marks."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def cell(text: str) -> str:
    """``text`` for a cell of a Markdown table; Markdown is escaped, since texts come from untrusted pictures."""
    return re.sub(r"([\\`*_\[\]<>|~#&!])", r"\\\1", " ".join(text.split()))
