"""``brand-detect sweep`` as a user meets it: values as they are written, output, and how it ends."""

import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.cli.sweep import MOST, numbers, swept_of
from brand_detect.domain.errors import BadInput
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


@given(
    st.decimals(-1000, 1000, places=3), st.decimals("0.001", 10, places=3), st.integers(0, 300), st.decimals(0, "0.999")
)
def test_a_range_holds_both_ends_and_exact_decimals(low: Decimal, step: Decimal, count: int, rest: Decimal):
    found = numbers(str(low), str(low + step * count), str(step))
    assert found == [float(low + k * step) for k in range(count + 1)]
    assert [Decimal(str(float(n))) for n in found] == [low + k * step for k in range(count + 1)]
    assert numbers(str(low), str(low + step * (count + rest)), str(step)) == found, "a step past the end is not taken"


@given(st.integers(-100, 100), st.integers(1, 10), st.integers(0, 100))
def test_ranges_of_whole_numbers_are_whole(low: int, step: int, count: int):
    found = numbers(str(low), str(low + step * count), str(step))
    assert found == [low + k * step for k in range(count + 1)]
    assert all(type(n) is int for n in found)


@given(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))
def test_any_three_texts_are_a_range_or_a_sentence(begin: str, end: str, step: str):
    with suppress(BadInput):
        assert 1 <= len(numbers(begin, end, step)) <= MOST


@pytest.mark.parametrize("values", ["1:0:0.1", "0:1:0", "0:1:-0.1", "a:1:0.1", "0:inf:1", "nan:1:1", "0:1:1e-9"])
def test_ranges_that_lead_nowhere_are_refused(values: str):
    with pytest.raises(BadInput):
        swept_of(f"match_brands.fuzzy_score={values}")


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ("0.7:0.8:0.05", [0.7, 0.75, 0.8]),
        ("0.7,1,0.25", [0.7, 1, 0.25]),
        ("true,false", [True, False]),
        ("off,on", ["off", "on"]),
        ("0.5", [0.5]),
    ],
)
def test_values_as_they_are_written(values: str, read: list[object]):
    assert swept_of(f"match_brands.fuzzy_score={values}") == ("match_brands", "fuzzy_score", read)


@pytest.mark.parametrize("text", ["match_brands", "match_brands.fuzzy_score", "fuzzy_score=1", "match_brands.x=", "=1"])
def test_what_names_no_values_is_refused(text: str):
    with pytest.raises(BadInput, match="has no values"):
        swept_of(text)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a finished job ``match``."""
    folder = tmp_path_factory.mktemp("cli_sweep")
    video = two_shot_clip(folder / "match.mp4", seconds=2.0)
    with pipeline(folder, kept=True) as built:
        built.reader.dark = "ROLEXX"
        built.runner.submit(str(video), job_id="match")
    return folder


@pytest.fixture
def brand_detect(
    done: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[..., Ended]
) -> Callable[..., Ended]:
    monkeypatch.setenv("DAGSTER_HOME", str(done))
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(done / "store"))

    return partial(command_line, "sweep")


def test_a_table_a_page_and_the_time_it_took(brand_detect: Callable[..., Ended], tmp_path: Path):
    page = tmp_path / "curves.html"
    code, out, err = brand_detect("match", "match_brands.fuzzy_score=0.7:1:0.1", "--page", str(page))
    assert code == 0, err
    assert "* 0.88" in out
    assert "s per value" in err
    assert "<svg" in page.read_text(encoding="utf-8")


def test_data_with_labels(brand_detect: Callable[..., Ended], tmp_path: Path):
    labels = tmp_path / "labels.json"
    labels.write_text('{"match.mp4": {"duration_s": 2.0, "clear": {"Rolex": {}}, "hard": {}}}', encoding="utf-8")
    code, out, err = brand_detect("match", "match_brands.fuzzy_score=0.7,0.9", "--labels", str(labels), "--json")
    assert code == 0, err
    recall = {p["value"]: p["score"]["recall"] for p in json.loads(out)["points"]}
    assert recall == {0.7: 1.0, 0.88: 0.0, 0.9: 0.0}
    code, _, err = brand_detect("match", "match_brands.fuzzy_score=0.7", "--labels", str(labels), "--clip", "other.mp4")
    assert code == BadInput.exit_code
    assert "no labels of 'other.mp4'" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["match", "run_ocr.stop_confidence=0.5"], "cannot be swept: replay it instead"),
        (["match", "match_brands.fuzzy_score=0.7,2"], "The value 2 is not allowed"),
        (["nobody", "match_brands.fuzzy_score=0.7"], "nobody has no report in "),
        (["match", "match_brands.fuzzy_score=0.7", "--catalog", "nowhere.yaml"], "nowhere.yaml"),
        (["match", "match_brands.fuzzy_score=0.7", "--page", "no/such/folder.html"], "cannot be written: No such file"),
        (["match", "match_brands.fuzzy_score=0.7", "--page", "/tmp"], "/tmp cannot be written: Is a directory"),
    ],
)
def test_what_cannot_be_done_is_said(brand_detect: Callable[..., Ended], arguments: list[str], said: str):
    code, out, err = brand_detect(*arguments)
    assert (code, out) == (BadInput.exit_code, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err
