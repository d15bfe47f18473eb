"""Whether a name stands on its own: short and everyday names count only there."""

import re
from collections.abc import Sequence
from itertools import pairwise

from brand_detect.catalog.fuzzy import Candidate
from brand_detect.domain.text import Line

# A name beside these is still alone on its line. OCR reads round emblems as an o (also a Greek or Cyrillic one) or 0,
# pointed ones as a delta or lambda, square ones as 口.
ADORNMENTS = {"www", "http", "https", "com", "net", "org", "tm", "r", "c"}
ADORNMENTS |= {"o", "0", "\N{GREEK SMALL LETTER OMICRON}", "\N{CYRILLIC SMALL LETTER O}", "δ", "λ", "口", "ロ"}
CLOCK = re.compile(r"(?<![\d:])\d{1,3}:[0-5]\d(?![\d:])")  # beside the sign of a league or broadcaster: UFC 4:49
BEFORE_HOST = re.compile(r"(?:^|[\s(/@]|www\.)$", re.IGNORECASE)
AFTER_HOST = re.compile(
    r"\.(?:(?:(?:com?|net|org)\.)?(?:com|net|org|info|tv|bet|app|[a-z]{2})|"
    r"(?:(?:COM?|NET|ORG)\.)?(?:COM|NET|ORG|INFO|TV|BET|APP|[A-Z]{2}))(?![\w@]|\.\w)"
)


def is_nothing_but_names(text: str, line: Line, candidates: Sequence[Candidate]) -> bool:
    """Whether ``text`` holds only names, adornments and clocks; several brands must not all have everyday names."""
    if len({c.spelling.brand.brand_id for c in candidates}) > 1 and all(c.spelling.whole_line for c in candidates):
        return False
    clocks = [clock.span() for clock in CLOCK.finditer(text)]
    return all(
        line.key[a:b] in ADORNMENTS
        or any(c.begin <= a and b <= c.end for c in candidates)
        or any(begin <= line.at[a] < end for begin, end in clocks)
        for a, b in pairwise(line.cuts)
    )


def is_host(text: str, line: Line, begin: int, end: int) -> bool:
    """Whether the letters from ``begin`` to ``end`` are the host of a web or mail address.

    So is ewz in "Jobs: ewz.ch/jobs", not in ewz-blog.ch; nor is what a full stop ends: "by SAP.In".
    """
    before, after = line.at[begin], line.at[end - 1] + 1
    return bool(AFTER_HOST.match(text, after) and BEFORE_HOST.search(text, 0, before))
