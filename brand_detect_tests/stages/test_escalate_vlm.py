"""Escalation in a whole pipeline, with a scripted answerer in place of a model."""

from pathlib import Path

import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.errors import BadInput
from brand_detect.domain.model import BrandVerdicts
from brand_detect.domain.protocols import Answer
from brand_detect.stages.escalation import _whole
from brand_detect_tests.pipeline import Pipeline, ScriptedAnswerer, pipeline, two_shot_clip

OPEN = "ACME WIDGETS"  # the clip's second shot; its first says ROLEX, which the catalogue knows


def escalated(folder: Path, answerer: ScriptedAnswerer, **params: object) -> tuple[Pipeline, BrandVerdicts]:
    clip = two_shot_clip(folder / "match.mp4")
    with pipeline(folder, answerer=lambda _, p: answerer if p.provider != "off" else None) as built:
        run = built.runner.submit(
            str(clip), job_id="match", overrides={"escalate_vlm": {"provider": "scripted", **params}}
        )
        verdicts = run.load("escalate_vlm")
        assert isinstance(verdicts, BrandVerdicts)
        assert run.manifest("escalate_vlm").engines == {"answerer": "scripted/script, prompt 1"}
        return built, verdicts


def test_only_what_is_open_is_asked_and_a_known_brand_settles_it(tmp_path: Path):
    answerer = ScriptedAnswerer({OPEN: Answer("", "answered", "Emirates", 0.9)})
    _, verdicts = escalated(tmp_path, answerer)
    assert answerer.asked == [OPEN]
    rows = {row["decided_by"]: row for row in verdicts.verdicts.to_pylist()}
    assert rows.keys() == {"match_brands", "escalate_vlm"}
    settled = rows["escalate_vlm"]
    assert (settled["brand"], settled["rule"], settled["model"]) == ("Emirates", "vlm", "scripted/script")
    assert settled["confidence"] == pytest.approx(0.9)
    assert verdicts.unresolved.num_rows == 0
    assert [a["brand_id"] for a in verdicts.answers.to_pylist()] == ["emirates"]


@pytest.mark.parametrize(
    ("answer", "brand"),
    [("Emirates.", "Emirates"), ('"Emirates"', "Emirates"), ("Itau\u0301", "Itaú"), ("Emirates Cup", ""), ("", "")],
)
def test_an_answer_is_a_brand_when_all_its_words_are(answer: str, brand: str):
    index = LexiconIndex(parse_catalog("- Emirates\n- Itaú".encode(), "b.yaml"))
    hit = _whole(index, answer)
    assert (hit.brand if hit else "") == brand


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer("", "none"), "unanswered"),
        (Answer("", "unreadable"), "unreadable"),
        (Answer("", "deferred"), "deferred"),
        (Answer("", "failed", detail="timeout"), "failed"),
        (Answer("", "answered", "Emirates", 0.2), "unanswered"),  # not sure enough
        (Answer("", "answered", "Some New Brand", 0.99), "unanswered"),  # not in the catalogue
        (Answer("", "answered", "this appears to be the Emirates airline", 0.99), "unanswered"),  # no name
    ],
)
def test_any_other_answer_leaves_the_cluster_open_and_says_why(tmp_path: Path, answer: Answer, reason: str):
    _, verdicts = escalated(tmp_path, ScriptedAnswerer({OPEN: answer}))
    assert {row["decided_by"] for row in verdicts.verdicts.to_pylist()} == {"match_brands"}
    [still_open] = verdicts.unresolved.to_pylist()
    assert (still_open["text"], still_open["reason"], still_open["rank"]) == (OPEN, reason, 1)
    assert verdicts.answers.num_rows == 1


def test_questions_are_limited(tmp_path: Path):
    answerer = ScriptedAnswerer()
    _, verdicts = escalated(tmp_path, answerer, max_questions=0)
    assert answerer.asked == []
    assert [row["reason"] for row in verdicts.unresolved.to_pylist()] == ["no_rule"]


def test_off_passes_everything_on_and_says_so(tmp_path: Path):
    clip = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path) as built:
        run = built.runner.submit(str(clip), job_id="match")
        before, after = run.load("match_brands"), run.load("escalate_vlm")
        assert isinstance(before, BrandVerdicts)
        assert isinstance(after, BrandVerdicts)
        assert (after.verdicts, after.unresolved) == (before.verdicts, before.unresolved)
        assert "escalate_vlm: off, no model set; 1 tracks left unresolved" in after.notes


def test_an_unknown_provider_is_refused(tmp_path: Path):
    clip = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path) as built, pytest.raises(BadInput, match="no provider 'nobody'"):
        built.runner.submit(str(clip), job_id="match", overrides={"escalate_vlm": {"provider": "nobody"}})
