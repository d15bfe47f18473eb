"""The measure of how few questions are asked, on a clip of two shots whose every frame shows one text."""

from pathlib import Path

from brand_detect.domain.protocols import Question
from brand_detect.evaluation.benchmarks.escalation import Script, measure, sections
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


def test_all_is_asked_once_and_a_new_brand_asks_about_what_is_like_it(tmp_path: Path):
    model = Script(("Rolex",))
    clip = two_shot_clip(tmp_path / "match.mp4")  # 4 s, 2 frames a second: ROLEX, then ACME WIDGETS
    with pipeline(tmp_path, answerer=lambda _, p: model if p.provider.value != "off" else None) as built:
        asked = measure(clip, built.runner, model, tmp_path / "brands.yaml", ["Rolex", "Emirates"])
    assert (asked.candidates, asked.clusters, asked.questions) == (8, 2, 2)
    assert (asked.open_tracks, asked.settled_tracks) == (2, 2)
    assert asked.again == 0
    assert (asked.touched, asked.touched_questions) == (1, 1), "ACME WIDGETS alone"
    questions, replays = sections([asked])
    assert questions.to_json()["rows"][0]["a candidate"] == "25.0%"
    assert replays.to_json()["rows"][0]["nothing changed"] == 0


def test_the_script_knows_names_that_were_misread_and_no_others():
    model = Script(("Rolex", "Emirates"))
    texts = ("R0LEX", "EMIRATE", "PARIS", "")
    answers = list(model.ask(Question(text, text, (b"crop",)) for text in texts))
    assert [(a.cluster_id, a.status, a.brand) for a in answers] == [
        ("R0LEX", "answered", "Rolex"),
        ("EMIRATE", "answered", "Emirates"),
        ("PARIS", "none", ""),
        ("", "none", ""),
    ]
    assert model.asked == [*texts]
