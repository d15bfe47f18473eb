"""Numbers in sentences for people."""

from brand_detect.domain.words import counted


def test_one_is_singular_and_none_is_plural() -> None:
    assert [counted(n, "track") for n in (0, 1, 2)] == ["0 tracks", "1 track", "2 tracks"]
