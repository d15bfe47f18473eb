"""Escalation in a whole pipeline, with a scripted answerer in place of a model."""

from pathlib import Path

import pytest

from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus, BrandVerdicts
from brand_detect.domain.errors import BadInput
from brand_detect_tests.support.pipeline import Pipeline, ScriptedAnswerer, pipeline, two_shot_clip

OPEN = "ACME WIDGETS"  # the clip's second shot; its first says ROLEX, which the catalogue knows


def escalated(folder: Path, answerer: ScriptedAnswerer, **params: object) -> tuple[Pipeline, BrandVerdicts]:
    clip = two_shot_clip(folder / "match.mp4")
    with pipeline(folder, answerer=lambda _, p: answerer if p.provider.value != "off" else None) as built:
        run = built.runner.submit(
            str(clip), job_id="match", overrides={"escalate_vlm": {"provider": "transformers", **params}}
        )
        verdicts = run.load("escalate_vlm")
        assert isinstance(verdicts, BrandVerdicts)
        assert run.manifest("escalate_vlm").engines == {"answerer": "transformers/script, prompt 1"}
        return built, verdicts


def test_only_what_is_open_is_asked_and_a_known_brand_settles_it(tmp_path: Path):
    answerer = ScriptedAnswerer({OPEN: Answer("", AnswerStatus.answered, "Emirates", 0.9)})
    _, verdicts = escalated(tmp_path, answerer)
    assert answerer.asked == [OPEN]
    rows = {row["decided_by"]: row for row in verdicts.verdicts.to_pylist()}
    assert rows.keys() == {"match_brands", "escalate_vlm"}
    settled = rows["escalate_vlm"]
    assert (settled["brand"], settled["rule"], settled["model"]) == ("Emirates", "vlm", "transformers/script")
    assert settled["confidence"] == pytest.approx(0.9)
    assert verdicts.unresolved.num_rows == 0
    assert [a["brand_id"] for a in verdicts.answers.to_pylist()] == ["emirates"]


def test_questions_are_limited(tmp_path: Path):
    answerer = ScriptedAnswerer()
    _, verdicts = escalated(tmp_path, answerer, max_questions=0)
    assert answerer.asked == []
    assert [row["reason"] for row in verdicts.unresolved.to_pylist()] == ["no_rule"]


def test_another_job_with_the_same_pictures_asks_nobody(tmp_path: Path):
    answerer = ScriptedAnswerer({OPEN: Answer("", AnswerStatus.answered, "Emirates", 0.9)})
    video = str(two_shot_clip(tmp_path / "match.mp4"))
    with pipeline(tmp_path, answerer=lambda stage, _: answerer if stage == "escalate_vlm" else None) as built:
        runs = [built.runner.submit(video, job_id=name) for name in ("first", "second")]
    assert answerer.asked == [OPEN]
    stats = [run.manifest("escalate_vlm").stats for run in runs]
    assert [(s["questions"], s["remembered"]) for s in stats] == [(1, 0), (0, 1)]
    first, second = (run.load("escalate_vlm") for run in runs)
    assert isinstance(first, BrandVerdicts)
    assert isinstance(second, BrandVerdicts)
    assert second.verdicts == first.verdicts


def test_off_passes_everything_on_and_says_so(tmp_path: Path):
    clip = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path) as built:
        run = built.runner.submit(str(clip), job_id="match")
        before, after = run.load("match_brands"), run.load("escalate_vlm")
        assert isinstance(before, BrandVerdicts)
        assert isinstance(after, BrandVerdicts)
        assert (after.verdicts, after.unresolved) == (before.verdicts, before.unresolved)
        assert "escalate_vlm: off, no model set; 1 track left unresolved" in after.notes


def test_an_unknown_provider_is_refused(tmp_path: Path):
    clip = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path) as built:
        with pytest.raises(BadInput, match=r"escalate_vlm\.provider: input should be 'off', 'transformers' or"):
            built.runner.submit(str(clip), job_id="match", overrides={"escalate_vlm": {"provider": "nobody"}})
        assert built.instance.get_runs_count() == 0
