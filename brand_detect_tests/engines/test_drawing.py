import pytest

from brand_detect.engines import drawing
from brand_detect.engines.drawing import Drawing
from brand_detect_tests.support.logos import svg

PLAIN = svg("triangle").decode()
PANICKING = svg(extra='<path stroke="#000" stroke-width="1e30" d="M0 0L1e30 1e30C1e20 1e-20 1e10 3 4 5"/>').decode()


def masks(depth: int) -> str:
    """Each mask is drawn with the next, ten times: 10 ** ``depth`` paths."""
    paths = (10 * f'<path fill="#fff" d="M0 0h9v9z" mask="url(#m{i + 1})"/>' for i in range(depth))
    made = "".join(f'<mask id="m{i}">{path}</mask>' for i, path in enumerate(paths))
    return svg(extra=f'{made}<path d="M0 0h9v9z" mask="url(#m0)"/>').decode()


def markers(corners: int) -> str:
    """A path with a hundred paths on each of its corners."""
    marker = 100 * '<path d="M0 0h9v9z"/>'
    path = f'<path marker-mid="url(#m)" d="M0 0{"h1v1" * (corners // 2)}"/>'
    return svg(extra=f'<marker id="m" overflow="visible">{marker}</marker>{path}').decode()


@pytest.mark.parametrize(
    ("text", "limit", "value"),
    [(masks(20), "LONGEST_S", 1.0), (markers(10_000), "MOST_BYTES", 2**28), (PANICKING, "LONGEST_S", 10.0)],
    ids=["time", "memory", "panic"],
)
def test_what_asks_for_too_much_is_refused_and_the_next_drawing_is_drawn(
    text: str, limit: str, value: float, monkeypatch: pytest.MonkeyPatch
):
    drawn = Drawing()
    with monkeypatch.context() as patched:
        patched.setattr(drawing, limit, value)
        with pytest.raises(ValueError, match="it takes over"):
            drawn.png(text, 64)
    assert drawn.png(PLAIN, 64).startswith(drawing.PNG)


def test_resvgs_complaint_is_handed_on_and_the_child_stays():
    drawn = Drawing()
    first = drawn.png(PLAIN, 64)
    child = drawn._child
    with pytest.raises(ValueError, match="SVG"):
        drawn.png("<html/>", 64)
    assert drawn.png(PLAIN, 64) == first
    assert drawn._child is child
