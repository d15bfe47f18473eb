"""Totals, recall with its interval, tables and their JSON, on fabricated scores."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from brand_detect.domain.errors import BadInput
from brand_detect.evaluation.scoring.labels import Kind
from brand_detect.evaluation.scoring.score import BrandScore, ClipScore, Evidence, LeftOut, Loss, Unlabelled
from brand_detect.evaluation.scoring.summary import (
    Evaluation,
    Recall,
    interval,
    left_out_table,
    load_evaluations,
    recalls,
    seconds_table,
    totals_table,
    unlabelled_table,
)

READ = Evidence("exact", "[KIA]", 0.9, 7, 3.5)


def brand(name: str, found: bool, kind: Kind = Kind.clear, **more: Any) -> BrandScore:
    loss = Loss("not matched", 2.0, f"read as '{name}X'")
    known: dict[str, Any] = {"evidence": READ} if found else {"losses": (loss,), "lost": loss.where}
    return BrandScore(name, kind, found, 2.0, 2.0 * found, 2.0 * found, found - 1.0, **(known | more))


def clip(name: str, *brands: BrandScore, **more: Any) -> ClipScore:
    return ClipScore(name, 10.0, brands, **more)


def evaluation(*clips: ClipScore, catalog: str = "brands.yaml", **more: Any) -> Evaluation:
    return Evaluation(catalog, "v1", 1200, "default", "", clips, **more)


def printed(*tables: Table) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(*tables)
    return console.export_text()


def half_found(clips: int, each: int) -> list[ClipScore]:
    """Clips of ``each`` labels, all found in every second one."""
    return [clip(f"{n}.mp4", *(brand(f"b{k}", bool(n % 2)) for k in range(each))) for n in range(clips)]


def test_the_interval_is_that_of_draws_of_whole_clips() -> None:
    """The recall of n clips that are found or lost as a whole is a mean of n coins, however many labels each has."""
    for each in (1, 10):
        recall = Recall.of_kind(half_found(100, each), Kind.clear)
        assert (recall.found, recall.labels, recall.share) == (50 * each, 100 * each, 0.5)
        assert (recall.low, recall.high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.015)
    assert str(Recall(17, 20, 0.7, 1.0)) == "17 of 20, 85 % (70–100)"


def test_draws_are_repeatable_and_skip_those_without_a_label() -> None:
    clips = [*half_found(4, 1), *(clip(f"no labels {n}", brand("x", True, Kind.hard)) for n in range(6))]
    draws = recalls(clips, Kind.clear)
    assert draws.shape == (2000,)
    np.testing.assert_array_equal(draws, recalls(clips, Kind.clear))
    assert 0 < np.isnan(draws).sum() < 100
    assert interval(draws) == (0, 1)


@pytest.mark.parametrize("clips", [[], half_found(1, 3), [clip("a"), clip("b", brand("Kia", True))]])
def test_fewer_than_two_clips_with_labels_have_no_interval(clips: Sequence[ClipScore]) -> None:
    recall = Recall.of_kind(clips, Kind.clear)
    assert (recall.low, recall.high) == (None, None)


def scored() -> Evaluation:
    other = Unlabelled("Head", 4.0, Evidence("alias", "H[/b]EAD", 0.8, 3, 1.5), "look/head.jpg")
    wrong = Unlabelled("Nokia", 1.0, READ)
    first = clip(
        "a.mp4",
        brand("Kia", True),
        brand("HP", False, in_catalog=False),
        brand("Nike", False, Kind.logos, in_catalog=False),
        unlisted=(other,),
        false=(wrong,),
        note="Kia [only] once",
        unknown_words={"Zymvora": True, "Qux": False},
    )
    return evaluation(
        first, clip("b.mp4", brand("Kia", False, Kind.hard)), left_out=(LeftOut("Kia", 2, 0, ("Nokia",)),)
    )


def test_tables_show_every_result_as_it_is() -> None:
    one = scored()
    text = printed(seconds_table(one.clips[0]))
    for words in ("found", "missed, not in the catalogue", "missed, no picture in the catalogue", "Kia [only] once"):
        assert words in text
    assert "'H[/b]EAD' by alias, confidence 0.80, frame 3" in text
    text = printed(unlabelled_table(one))
    assert [line.split("│")[2:4] for line in text.splitlines() if "a.mp4" in line] == [
        [" Head  ", " unlisted   "],
        [" Nokia ", " false      "],
    ]
    assert "look/head.jpg" in text
    assert "FAILED" in printed(left_out_table(one.left_out))


def test_totals_have_a_group_for_each_catalogue() -> None:
    text = printed(totals_table([scored(), evaluation(*half_found(4, 1), catalog="more")]))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == [
        "brands.yaml, 1,200 brands",
        *("a.mp4", "b.mp4", "all"),
        "more, 1,200 brands",
        *("0.mp4", "1.mp4", "2.mp4", "3.mp4", "all"),
    ]
    assert rows[1][1:] == ["1 of 2", "", "0 of 1", "1", "1", "33%", "0%", "0%"]
    assert rows[3][1:7] == ["1 of 2, 50 %", "0 of 1, 0 %", "0 of 1, 0 %", "1", "1", "33%"]
    assert "unlisted: they do not say" in text


def test_json_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    one = scored()
    file.write_text(json.dumps([one.to_json()]), encoding="utf-8")
    (data,) = json.loads(file.read_text(encoding="utf-8"))
    assert {name: data["totals"][name] for name in ("clear", "found", "unlisted", "false", "unlabelled")} == {
        "clear": 2,
        "found": 1,
        "unlisted": 1,
        "false": 1,
        "unlabelled": 2,
    }
    assert data["recall"]["logos"] == {"found": 0, "labels": 1, "low": None, "high": None}
    assert load_evaluations(file) == [one]


def missing(file: Path) -> None:
    file.unlink(missing_ok=True)


def of_an_earlier_version(file: Path) -> None:
    file.write_text('{"clips": [], "totals": {}, "left_out": []}', encoding="utf-8")


@pytest.mark.parametrize(("make", "words"), [(missing, "cannot be read"), (of_an_earlier_version, "is not the output")])
def test_other_files_are_refused(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "run.json")
    with pytest.raises(BadInput, match=words):
        load_evaluations(tmp_path / "run.json")
