"""``bench pipeline`` as a user meets it, with a benchmark that measures nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brand_detect.evaluation.benchmarks import pipeline as bench
from brand_detect.evaluation.benchmarks.common import Section
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.videos import scene, write_clip

asked: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    def benchmark(_: Path, given: list[bench.Clip], **options: Any) -> Iterator[Section]:
        asked.update(options, given=given)
        options["tell"]("clip.mp4: 3.0 s")
        yield Section("Wall / duration", ("clip", "default"), [("clip.mp4", 0.3)])
        yield Section("Runs", ("clip", "run"), [("clip.mp4", {"wall_s": 3.0})], in_console=False)

    monkeypatch.setattr(bench, "benchmark", benchmark)


def folder(path: Path, name: str) -> Path:
    path.mkdir()
    write_clip(path / name, [scene(1)] * 8, fps=1)
    (path / "labels.json").write_text(json.dumps({name: {"duration_s": 8, "clear": {}, "hard": {}}}))
    return path


def test_tables_go_to_stdout_in_markdown_and_progress_to_stderr(command_line: Callable[..., Ended]) -> None:
    code, out, err = command_line("bench", "pipeline")
    assert code == 0
    assert "| clip.mp4 |     0.3 |" in out
    assert "wall_s" not in out
    assert "clip.mp4: 3.0 s" in err
    assert (asked["before"], asked["lengths"], asked["resume"]) == (None, [], False)


def test_json_has_a_table_a_line_and_every_run(tmp_path: Path, command_line: Callable[..., Ended]) -> None:
    a, b = folder(tmp_path / "a", "one.mp4"), folder(tmp_path / "b", "two.mp4")
    options = ["--labelled", str(a), "--labelled", str(b), "--before", str(tmp_path), "--long", "21", "--long", "90"]
    code, out, _ = command_line("bench", "pipeline", *options, "--resume", "--json")
    assert code == 0
    tables = [json.loads(line) for line in out.splitlines()]
    assert [table["title"] for table in tables] == ["Wall / duration", "Runs"]
    assert tables[1]["rows"] == [{"clip": "clip.mp4", "run": {"wall_s": 3.0}}]
    assert [clip.name for clip in asked["given"]] == ["a/one.mp4", "b/two.mp4"]
    assert (asked["before"], asked["lengths"], asked["resume"]) == (tmp_path, [20, 90], True)
