"""The brands' colours, the same in the picture, the timeline and the video with boxes."""

from collections.abc import Sequence

from brand_detect.domain.protocols import Color
from brand_detect.domain.tables import content_id

# Okabe and Ito's palette, distinguishable for most colour-blind people, then most of Paul Tol's muted one and a green
# of ColorBrewer's Set2, with a legible text colour for each. No grey: shots and what is unsure are grey.
COLORS: Sequence[tuple[Color, Color]] = (
    ((240, 228, 66), (0, 0, 0)),
    ((86, 180, 233), (0, 0, 0)),
    ((230, 159, 0), (0, 0, 0)),
    ((0, 158, 115), (0, 0, 0)),
    ((204, 121, 167), (0, 0, 0)),
    ((0, 114, 178), (255, 255, 255)),
    ((213, 94, 0), (0, 0, 0)),
    ((51, 34, 136), (255, 255, 255)),
    ((204, 102, 119), (0, 0, 0)),
    ((17, 119, 51), (255, 255, 255)),
    ((170, 68, 153), (255, 255, 255)),
    ((153, 153, 51), (0, 0, 0)),
    ((136, 34, 85), (255, 255, 255)),
    ((166, 216, 84), (0, 0, 0)),
)


def colors_of(brand_ids: Sequence[str]) -> list[tuple[Color, Color]]:
    """The colour of each brand, and that of text on it.

    The first brands, as many as there are colours, have one each. In order of their ids they choose what they prefer of
    those left, so that ranks do not matter, and most keep theirs when another brand comes or goes.
    """
    left, taken = list(range(len(COLORS))), dict[str, int]()
    for brand_id in sorted(brand_ids[: len(COLORS)]):
        taken[brand_id] = _liked(brand_id, left)
        left.remove(taken[brand_id])
    return [COLORS[taken[i] if i in taken else _liked(i, range(len(COLORS)))] for i in brand_ids]


def _liked(brand_id: str, among: Sequence[int]) -> int:
    return min(among, key=lambda color: content_id(brand_id, color))
