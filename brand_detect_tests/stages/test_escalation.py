"""What both escalations do, on clusters made by hand and with a model that is a dictionary."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.contracts import effective
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.escalate_vlm import EscalateVlmParams
from brand_detect.domain.contracts.verdicts import REASONS, Answer, AnswerStatus, BrandVerdicts, Rule
from brand_detect.domain.errors import Transient
from brand_detect.domain.protocols import Answerer, AnswerMemory, FrameReader, Image, Question
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.image import OpenCvCodec
from brand_detect.stages import escalation
from brand_detect.stages.compile_report.summary import model_usage
from brand_detect.stages.escalation import OUTLINE, escalate
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.pipeline import ScriptedAnswerer
from brand_detect_tests.support.report_fakes import Pictures
from brand_detect_tests.support.videos import silent

INDEX = LexiconIndex(
    parse_catalog("[Rolex, Emirates, {name: Itaú}, {name: Lacoste, logo_only: true}]".encode(), "b.yaml")
)
SCENES = p.scenes(p.frames(20, size=(640, 360)))
BOXES = ((40, 60, 120, 30), (300, 200, 90, 40), (500, 300, 60, 40))
USD = 0.25


@dataclass
class Memory:
    """An ``AnswerMemory`` that counts how often it is looked into."""

    known: dict[str, Answer] = field(default_factory=dict)
    looks: int = 0

    def recall(self, question_ids: Sequence[str]) -> Mapping[str, Answer]:
        self.looks += 1
        return {i: self.known[i] for i in question_ids if i in self.known}

    def keep(self, answer: Answer) -> None:
        self.known[answer.question_id] = answer


@dataclass
class Model(ScriptedAnswerer):
    """Keeps the questions that it was asked."""

    questions: list[Question] = field(default_factory=list)

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        def kept() -> Iterator[Question]:
            for question in questions:
                self.questions.append(question)
                yield question

        return super().ask(kept())


def said(status: AnswerStatus = AnswerStatus.answered, brand: str = "", confidence: float = 0.9, **more: Any) -> Answer:
    return Answer("", status, brand, confidence, cost_usd=USD, input_tokens=100, output_tokens=20, **more)


def marks(*texts: str) -> tuple[DetectedObjects, BrandVerdicts]:
    """A cluster of one track for each text, on a frame of its own."""
    regions = [p.region(i, f"t{i}", BOXES[i]) for i in range(len(texts))]
    clusters = [p.cluster(i, text, region) for i, (text, region) in enumerate(zip(texts, regions, strict=True), 1)]
    return p.detected(regions, SCENES), p.verdicts([], clusters)


def asked(
    detected: DetectedObjects,
    upstream: BrandVerdicts,
    model: Answerer | None,
    memory: AnswerMemory | None = None,
    settled: BrandVerdicts | None = None,
    frames: Any = None,
    **params: Any,
) -> BrandVerdicts:
    effective_params = effective("escalate_vlm", params)
    assert isinstance(effective_params, EscalateVlmParams)
    return escalate(
        "escalate_vlm",
        Rule.vlm,
        upstream,
        detected,
        effective_params,
        settled=settled,
        answerer=model,
        memory=memory,
        index=INDEX,
        frames=frames or Pictures(),
        codec=OpenCvCodec(),
        canvas=OpenCvCanvas(),
        progress=silent,
    )


def open_of(result: BrandVerdicts) -> list[tuple[str, str]]:
    return [(row["text"], row["reason"]) for row in result.unresolved.to_pylist()]


# what an answer comes to


@pytest.mark.parametrize(
    ("answer", "brand"),
    [
        ("Emirates", "Emirates"),
        ("Emirates.", "Emirates"),
        ('"Emirates"', "Emirates"),
        ("EMIRATES", "Emirates"),
        ("the Emirates logo", "Emirates"),
        ("Emirates brand logo", "Emirates"),
        ("Itau\u0301", "Itaú"),
        ("Lacoste", "Lacoste"),  # no text is taken for it, but a model that sees the crocodile names it
    ],
)
def test_an_answer_that_names_a_brand_of_the_catalogue_settles_the_cluster(answer: str, brand: str):
    result = asked(*marks("ACME"), Model({"ACME": said(brand=answer)}))
    [row] = result.verdicts.to_pylist()
    assert (row["status"], row["brand"], row["rule"], row["decided_by"]) == ("resolved", brand, "vlm", "escalate_vlm")
    assert (row["matched"], row["text"], row["model"]) == (answer, "ACME", "transformers/script")
    assert (row["track_ids"], row["confidence"]) == (["t0"], pytest.approx(0.9))
    assert result.unresolved.num_rows == 0
    assert [a["brand_id"] for a in result.answers.to_pylist()] == [row["brand_id"]]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(AnswerStatus.unreadable), "unreadable"),
        (said(AnswerStatus.malformed), "malformed"),
        (said(AnswerStatus.deferred), "deferred"),
        (said(AnswerStatus.failed), "failed"),
        (said(AnswerStatus.none, confidence=0.4), "no_brand"),
        (said(brand="Emirates", confidence=0.4), "unsure"),
        (said(brand="Emirates Cup"), "unknown_brand"),
        (said(brand="Zymvora logo"), "unknown_brand"),
        (said(brand="appears to be a contemporary brand"), "unreadable"),
        (said(brand="this appears to be the Emirates airline"), "unreadable"),
        (said(brand="logo"), "unreadable"),
    ],
)
def test_any_other_answer_leaves_it_open_and_says_why(answer: Answer, reason: str):
    result = asked(*marks("ACME"), Model({"ACME": answer}))
    assert reason in REASONS
    assert open_of(result) == [("ACME", reason)]
    assert result.verdicts.num_rows == 0
    [row] = result.answers.to_pylist()
    assert (row["answer"], row["status"], row["brand_id"]) == (
        answer.brand,
        answer.status,
        "emirates" if reason == "unsure" else "",
    )
    assert result.stats["never_answered"] == (reason in ("deferred", "failed"))


def test_a_model_that_is_sure_of_no_brand_settles_it_as_none():
    result = asked(*marks("ACME"), Model({"ACME": said(AnswerStatus.none, confidence=0.5)}))
    [row] = result.verdicts.to_pylist()
    assert (row["status"], row["brand"], row["brand_id"], row["rule"]) == ("ignored", "", "", "vlm")
    assert (row["confidence"], row["model"], row["track_ids"]) == (0.5, "transformers/script", ["t0"])
    assert result.unresolved.num_rows == 0
    assert "escalate_vlm: 1 of 1 cluster asked, 0 resolved, 1 judged to be no brand, 0 left unresolved" in result.notes


def test_an_answer_settles_no_other_cluster():
    """A text in the picture may make a model say anything: of its own mark."""
    known = {"ACME": said(brand="Emirates"), "GLOBEX": said(AnswerStatus.unreadable)}
    result = asked(*marks("ACME", "GLOBEX", "INITECH"), Model(known))
    assert [(row["track_ids"], row["brand"]) for row in result.verdicts.to_pylist()] == [(["t0"], "Emirates")]
    assert open_of(result) == [("GLOBEX", "unreadable"), ("INITECH", "no_brand")]
    assert result.unresolved["rank"].to_pylist() == [1, 2]


def test_put_off_and_failed_questions_are_told_with_why():
    known = {
        "ACME": said(AnswerStatus.deferred, detail="The run's budget of 1.00 USD has 0.0000 USD left."),
        "GLOBEX": said(AnswerStatus.failed, detail="openai:gpt did not answer within 60 s."),
    }
    result = asked(*marks("ACME", "GLOBEX", "INITECH"), Model(known), Memory())
    assert result.notes[1:] == (
        "escalate_vlm: 1 question deferred: The run's budget of 1.00 USD has 0.0000 USD left.",
        "escalate_vlm: 1 question failed: openai:gpt did not answer within 60 s.",
    )
    named = ("questions", "deferred", "failed", "questions_left", "never_answered")
    assert [result.stats[n] for n in named] == [2, 1, 1, 2, 2], "a deferred question was not asked"
    assert open_of(result) == [("ACME", "deferred"), ("GLOBEX", "failed"), ("INITECH", "no_brand")]


def test_what_a_question_cost_before_it_was_put_off_counts():
    """A first reply in no form, and no money for a second."""
    result = asked(*marks("ACME"), Model({"ACME": said(AnswerStatus.deferred)}), Memory())
    assert (result.stats["questions"], result.stats["deferred"], result.stats["cost_usd"]) == (0, 1, USD)
    assert result.stats["input_tokens"] == 100
    [model] = model_usage(result.answers)
    assert (model["questions"], model["cost_usd"], model["latency_mean_s"]) == (0, USD, 0)


@pytest.mark.parametrize("status", [AnswerStatus.deferred, AnswerStatus.failed])
def test_what_is_alike_to_a_question_without_an_answer_is_not_from_memory(status: AnswerStatus):
    regions = [p.region(0, "a"), p.region(0, "b")]
    upstream = p.verdicts([], [p.cluster(n, "ACME", region) for n, region in enumerate(regions, 1)])
    result = asked(p.detected(regions, SCENES), upstream, Model({"ACME": said(status)}), Memory())
    assert (result.stats["remembered"], result.stats["cost_usd"], result.stats["remembered_usd"]) == (0, USD, 0)
    assert result.stats["questions_left"] == 2
    assert "from memory" not in "".join(result.notes)


def test_questions_are_limited_and_what_was_never_answered_comes_first():
    detected, upstream = marks("ACME", "GLOBEX", "INITECH")
    first = asked(detected, upstream, Model(), max_questions=1)
    assert open_of(first) == [("ACME", "no_brand"), ("GLOBEX", "no_rule"), ("INITECH", "no_rule")]
    model = Model(model="another")
    second = asked(detected, upstream, model, settled=first, max_questions=2)
    assert model.asked == ["GLOBEX", "INITECH"]
    assert [row["model"] for row in second.answers.to_pylist()] == ["script", "another", "another"]


# never twice


def test_equal_questions_are_one_and_its_answer_settles_both():
    """One board, followed as two tracks: the pictures are the same to the last byte."""
    regions = [p.region(0, "a"), p.region(0, "b")]
    upstream = p.verdicts([], [p.cluster(n, "ACME", region) for n, region in enumerate(regions, 1)])
    detected, memory = p.detected(regions, SCENES), Memory()
    model = Model({"ACME": said(brand="Emirates")})
    result = asked(detected, upstream, model, memory)
    assert model.asked == ["ACME"]
    assert [(v["track_ids"], v["brand"]) for v in result.verdicts.to_pylist()] == [
        (["a"], "Emirates"),
        (["b"], "Emirates"),
    ]
    assert result.answers["remembered"].to_pylist() == [False, True]
    assert len(set(result.answers["question_id"].to_pylist())) == len(memory.known) == 1
    stats = result.stats
    assert (stats["questions"], stats["remembered"], stats["cost_usd"], stats["remembered_usd"]) == (1, 1, USD, 0)


def test_what_was_answered_before_is_answered_from_memory():
    detected, upstream = marks("ACME", "GLOBEX", "INITECH")
    known = {"ACME": said(brand="Emirates"), "GLOBEX": said(brand="Zymvora"), "INITECH": said(AnswerStatus.failed)}
    memory, first_model, second_model = Memory(), Model(known), Model(known)
    first = asked(detected, upstream, first_model, memory)
    assert (first.stats["questions"], first.stats["remembered"]) == (3, 0)
    assert len(memory.known) == 2, "one that failed is asked again"
    second = asked(detected, upstream, second_model, memory)
    assert second_model.asked == ["INITECH"]
    stats = second.stats
    assert (stats["questions"], stats["remembered"]) == (1, 2)
    assert (stats["cost_usd"], stats["remembered_usd"]) == (pytest.approx(USD), pytest.approx(2 * USD))
    assert second.verdicts == first.verdicts
    assert open_of(second) == open_of(first)
    by_cluster = {row["cluster_id"]: row for row in first.answers.to_pylist()}
    for row in second.answers.to_pylist():
        assert row["remembered"] == (row["status"] != "failed")
        assert row | {"remembered": False} == by_cluster[row["cluster_id"]]
    assert "3 of 3 clusters asked (2 from memory)" in second.notes[0]


def test_an_answer_that_is_paid_for_is_stored_in_another_try(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(escalation, "PAUSES_S", (0.0,))
    tries: list[str] = []

    class Slow(Memory):
        def keep(self, answer: Answer) -> None:
            tries.append(answer.brand)
            if len(tries) % 2:
                raise Transient("The store did not answer.")
            super().keep(answer)

    detected, upstream = marks("ACME", "GLOBEX")
    memory = Slow()
    asked(detected, upstream, Model({"ACME": said(brand="A"), "GLOBEX": said(brand="B")}), memory)
    assert tries == ["A", "A", "B", "B"]
    assert len(memory.known) == 2


@pytest.mark.parametrize("other", [Model(model="other"), Model(provider="openai_compatible")])
def test_another_model_has_its_own_memory(other: Model):
    detected, upstream = marks("ACME")
    memory = Memory()
    asked(detected, upstream, Model(), memory)
    asked(detected, upstream, other, memory)
    assert other.asked == ["ACME"]


def test_the_answer_of_a_fallback_is_remembered_too():
    @dataclass
    class Fallback(Model):
        """Has a second choice, which is the one that answers."""

        def question_ids(self, question: Question) -> Sequence[str]:
            return ["of a first choice that nobody has asked", *super().question_ids(question)]

    detected, upstream = marks("ACME")
    memory = Memory()
    asked(detected, upstream, Model({"ACME": said(brand="Emirates")}), memory)
    model = Fallback()
    result = asked(detected, upstream, model, memory)
    assert model.asked == []
    assert [a["model"] for a in result.answers.to_pylist()] == ["script"]


def test_a_retry_adds_no_row_for_what_its_escalation_has_said_already():
    detected, upstream = marks("ACME")
    memory, model = Memory(), Model({"ACME": said(AnswerStatus.unreadable)})
    first = asked(detected, upstream, model, memory)
    retried = asked(detected, upstream, model, memory, settled=first)
    assert (retried.stats["questions"], retried.stats["remembered"]) == (0, 1)
    assert retried.answers == first.answers


def test_without_memory_no_picture_is_read_before_its_question_is_asked():
    detected, upstream = marks("ACME", "GLOBEX")

    frames = Pictures()
    read: list[list[int]] = []

    class Watching(Model):
        def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
            for answer in super().ask(questions):
                read.append([*frames.reads])
                yield answer

    asked(detected, upstream, Watching(), frames=frames)
    assert read == [[0], [0, 1]]


# what a model is shown


def shown(model: Model) -> list[Image]:
    [question] = model.questions
    return [OpenCvCodec().decode(crop) for crop in question.crops]


def views(*changes: dict[str, Any]) -> tuple[DetectedObjects, BrandVerdicts]:
    """One track with a view for each of ``changes``; the first is the cluster's best."""
    regions = [p.region(i, "a", (100, 100, 100, 40), **change) for i, change in enumerate(changes)]
    return p.detected(regions, SCENES), p.verdicts([], [p.cluster(1, "ACME", regions[0])])


FAR = [0, (1 << 64) - 1, 0xFFFFFFFF, 0xFFFF0000FFFF]  # hashes of which any two differ in many bits


def test_crops_are_unlike_each_other_and_no_more_than_allowed():
    alike = FAR[1] ^ 0b1011  # three bits off
    detected, upstream = views(
        {"crop_hash": FAR[0], "sharpness": 1.0},
        {"crop_hash": FAR[1], "sharpness": 900.0},
        {"crop_hash": alike, "sharpness": 800.0},
        {"crop_hash": FAR[2], "sharpness": 400.0},
        {"crop_hash": FAR[3], "sharpness": 100.0},
    )
    for most, frames_shown in ((1, [0]), (3, [0, 1, 3]), (5, [0, 1, 3, 4])):
        model, frames = Model(), Pictures()
        asked(detected, upstream, model, frames=frames, max_crops=most)
        assert frames.reads == frames_shown, "the best first, then the large and sharp ones"
        assert len(shown(model)) == len(frames_shown)


def test_look_alikes_are_shown_once():
    detected, upstream = views({}, {}, {})
    model = Model()
    asked(detected, upstream, model)
    assert len(shown(model)) == 1


def test_a_crop_has_the_surroundings_of_its_mark():
    model = Model()
    asked(*views({}), model)
    [crop] = shown(model)
    assert crop.shape[:2] == (40 + 2 * 50 + 1, 100 + 2 * 50 + 1), "half of the longer side on each side"


class Grey(FrameReader):
    """Grey frames."""

    def read(self, frame: int) -> Image:  # noqa: ARG002
        return np.full((720, 1280, 3), 90, np.uint8)


@pytest.mark.parametrize(("scene_px", "size"), [(512, (288, 512)), (2048, (720, 1280))])
def test_the_scene_is_the_frame_made_small_with_the_mark_outlined(scene_px: int, size: tuple[int, int]):
    model = Model()
    asked(*views({}), model, frames=Grey(), scene_px=scene_px)
    scene = OpenCvCodec().decode(model.questions[0].scene)
    assert scene.shape[:2] == size
    magenta = np.abs(scene.astype(int) - OUTLINE[::-1]).max(axis=2) < 90
    rows, columns = np.nonzero(magenta)
    scale = size[1] / 1280
    box = (columns.min(), rows.min(), columns.max(), rows.max())
    assert box == pytest.approx([100 * scale, 100 * scale, 200 * scale, 140 * scale], abs=9), "around the mark"
    inside = scene[int(105 * scale) : int(135 * scale), int(105 * scale) : int(195 * scale)]
    assert np.abs(inside.astype(int) - 90).max() < 60, "what it shows is not painted over"


def test_a_scene_of_a_wide_frame_is_at_least_a_pixel_high():
    model = Model()
    asked(*views({}), model, frames=Pictures(1280, 500), scene_px=1)
    assert OpenCvCodec().decode(model.questions[0].scene).shape[:2] == (1, 1)


def test_without_a_scene_none_is_shown():
    model = Model()
    asked(*views({}), model, scene_px=0)
    assert [q.scene for q in model.questions] == [b""]


def test_the_brands_that_a_cluster_resembles_go_with_the_question():
    detected, upstream = views({})
    [cluster] = upstream.unresolved.to_pylist()
    upstream = p.verdicts([], [cluster | {"candidates": ["Rolex", "Emirates"]}])
    model = Model()
    asked(detected, upstream, model)
    assert model.questions[0].candidates == ("Rolex", "Emirates")
    assert model.questions[0].text == "ACME"


# off


def test_off_passes_everything_on_and_says_so():
    detected, upstream = marks("ACME", "GLOBEX")
    result = asked(detected, upstream, None, Memory())
    assert replace(result, notes=(), stats={}) == upstream
    assert result.notes == ("escalate_vlm: off, no model set; 2 tracks left unresolved",)
    assert (result.stats["questions"], result.stats["never_answered"]) == (0, 2)
