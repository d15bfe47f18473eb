"""Label files: what they may say, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.evaluation.scoring.labels import Half, Kind, Label, labels_of_truth, load_labels
from brand_detect_tests.evaluation.scoring.test_score import truth_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.json"


def written(path: Path, **entry: Any) -> Path:
    path.write_text(json.dumps({"_about": "x", "a.mp4": {"duration_s": 4.0} | entry}), encoding="utf-8")
    return path


def test_everything_that_a_file_may_say(path: Path) -> None:
    written(
        path,
        size="1920x1080",
        clear={"Kia": {"intervals_s": [[0, 1]], "note": "on the left"}},
        hard={"HP": {}},
        logos={"Nike": {"intervals_s": [[1, 2], [3, 4]]}, "Kia": {}},
        absent=["Facebook"],
        exhaustive=True,
        note="one pass",
        _seen="by two people",
    )
    (clip,) = load_labels(path).values()
    assert clip.labels == (
        Label("Kia", Kind.clear, ((0, 1),)),
        Label("HP", Kind.hard, ((0, 4.0),), timed=False),
        Label("Nike", Kind.logos, ((1, 2), (3, 4))),
        Label("Kia", Kind.logos, ((0, 4.0),), timed=False),
    )
    assert (clip.absent, clip.exhaustive, clip.note) == (("Facebook",), True, "one pass")


@pytest.mark.parametrize(
    ("entry", "sentence", "hint"),
    [
        ({"cleer": {}}, "unknown key 'cleer' for a.mp4", "duration_s, size, clear"),
        ({"clear": {"Kia": {"interval": []}}}, "unknown key 'interval' for a.mp4, clear, Kia", "intervals_s, note"),
        ({"duration_s": 0}, "a.mp4, duration_s: Input should be greater than 0", "guide"),
        ({"clear": ["Kia"]}, "a.mp4, clear: Input should be a valid dictionary", "guide"),
        ({"clear": {"Kia": {}}, "absent": ["KIA"]}, "KIA is there and that it is absent", "remove"),
        ({"hard": {"Kia": {}, "KIA": {}}}, "lists KIA twice under hard of a.mp4", "keep one"),
        ({"duration_s": float("inf")}, "a.mp4, duration_s: Input should be a finite number", "guide"),
        ({"hard": {"Kia": {"intervals_s": [[0, float("nan")]]}}}, "Input should be a finite number", "guide"),
        ({"hard": {"Kia": {"intervals_s": [[3, 2]]}}}, "Kia in a.mp4 that ends before it begins", "pairs"),
    ],
)
def test_what_is_refused(path: Path, entry: dict[str, Any], sentence: str, hint: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_labels(written(path, **entry))
    assert sentence in str(refused.value)
    assert hint in refused.value.hint


@pytest.mark.parametrize("text", ['["no labels"]', "no JSON", None])
def test_other_files_are_refused(path: Path, text: str | None) -> None:
    if text:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match="not a label file"):
        load_labels(path)


def test_a_byte_order_mark_is_no_part_of_the_labels(path: Path) -> None:
    labels = load_labels(written(path))
    path.write_text(path.read_text("utf-8"), "utf-8-sig")
    assert load_labels(path) == labels


def test_a_generated_clip_is_labelled_by_its_truth(tmp_path: Path) -> None:
    truth = tmp_path / "b.truth.json"
    truth.write_text("".join(truth_of("Kia", 0, 100).to_json()), encoding="utf-8")
    loaded = load_labels(truth)["b.mp4"]
    assert loaded.labels == (Label("Kia", Kind.clear, ((0, 4.0),)),)
    assert loaded.truth is not None
    assert loaded.exhaustive
    logo = replace(truth_of("Kia", 0, 100), logos=("Kia",))
    assert labels_of_truth("b.mp4", logo).labels == (Label("Kia", Kind.logos, ((0, 4.0),)),)


def test_halves_depend_on_the_name_alone() -> None:
    clips = [f"clip{n}.mp4" for n in range(100)]
    first = {clip for clip in clips if Half.of(clip) is Half.first}
    assert 35 < len(first) < 65
    assert [Half.of(f"clip{n}.mp4") for n in range(4)] == ["second", "second", "second", "first"], "for ever"
