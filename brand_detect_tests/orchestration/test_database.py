"""What a run asks of Dagster's SQLite databases."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


def test_a_run_on_sqlite_keeps_its_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []
    create = Engine.__init__

    def noted(self: Engine, pool: object, dialect: object, url: object, **options: object) -> None:
        made.append(str(url))
        create(self, pool, dialect, url, **options)  # pyright: ignore[reportArgumentType]

    with pipeline(tmp_path, kept=True) as built:
        built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        monkeypatch.setattr(Engine, "__init__", noted)
        run = built.runner.replay("match", "compile_report")
    assert [Path(url).stem for url in made] == [run.run_id]
