"""What differs from ``escalate_vlm``: it asks about what that stage left open, and signs with its own name."""

from pathlib import Path

from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus, BrandVerdicts
from brand_detect_tests.support.pipeline import ScriptedAnswerer, pipeline, two_shot_clip


def test_the_cloud_is_asked_what_the_local_model_left_open(tmp_path: Path):
    clip = two_shot_clip(tmp_path / "match.mp4")
    local = ScriptedAnswerer()
    cloud = ScriptedAnswerer({"ACME WIDGETS": Answer("", AnswerStatus.answered, "Emirates", 0.8)}, provider="openai")
    answerers = {"escalate_vlm": local, "escalate_cloud": cloud}
    with pipeline(tmp_path, answerer=lambda stage, _: answerers[stage]) as built:
        run = built.runner.submit(str(clip), job_id="match")
        verdicts = run.load("escalate_cloud")
    assert isinstance(verdicts, BrandVerdicts)
    assert local.asked == cloud.asked == ["ACME WIDGETS"]
    assert [(v["rule"], v["decided_by"]) for v in verdicts.verdicts.to_pylist()][-1] == ("cloud", "escalate_cloud")
    assert [a["provider"] for a in verdicts.answers.to_pylist()] == ["transformers", "openai"]
    assert [note.split(":")[0] for note in verdicts.notes[2:]] == ["escalate_vlm", "escalate_cloud"]


def test_nothing_open_means_nothing_asked(tmp_path: Path):
    clip = two_shot_clip(tmp_path / "match.mp4")
    local = ScriptedAnswerer({"ACME WIDGETS": Answer("", AnswerStatus.answered, "Emirates", 0.8)})
    cloud = ScriptedAnswerer()
    with pipeline(tmp_path, answerer=lambda stage, _: local if stage == "escalate_vlm" else cloud) as built:
        built.runner.submit(str(clip), job_id="match")
    assert cloud.asked == []
