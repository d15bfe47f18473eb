"""The pipeline as real processes load it, with scripted eyes: ``python_module: brand_detect_tests.support.served``.

Files in the folder ``$SERVED`` steer it while it runs: ``slow`` holds the seconds that a picture or a question takes,
``broken`` the name of a stage that fails, ``answers.json`` what the scripted model says about a text; the texts that it
was asked about are appended to ``asked``.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brand_detect.definitions import build_definitions
from brand_detect.domain.contracts import Escalation
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Answerer, Area, Image, Question, Region
from brand_detect.domain.settings import Settings
from brand_detect.orchestration.resources import Engines, Services
from brand_detect_tests.support.pipeline import ScriptedAnswerer, ScriptedDetector, ScriptedEmbedder, ScriptedReader

FOLDER = Path(os.environ["SERVED"])


def said(name: str) -> str:
    path = FOLDER / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def fail_if_broken(stage: str) -> None:
    if said("broken") == stage:
        raise Permanent(f"{stage} is broken today.", "mend it")


@dataclass
class SlowDetector(ScriptedDetector):
    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        time.sleep(float(said("slow") or 0))
        return super().detect(image, areas)


def text_reader(_: object) -> ScriptedReader:
    fail_if_broken("run_ocr")
    return ScriptedReader()


class LoggingAnswerer(ScriptedAnswerer):
    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        def noted() -> Iterator[Question]:
            for question in questions:
                with (FOLDER / "asked").open("a", encoding="utf-8") as file:
                    file.write(f"{self.model} {question.text}\n")
                time.sleep(float(said("slow") or 0))
                yield question

        return super().ask(noted())


def answerer(stage: str, params: Escalation) -> Answerer | None:
    fail_if_broken(stage)
    if params.provider.value == "off":
        return None
    known = json.loads(said("answers.json") or "{}")
    answers = {text: Answer("", AnswerStatus.answered, brand, 0.9) for text, brand in known.items()}
    return LoggingAnswerer(answers, provider=params.provider.value, model=params.model)


def _services() -> Services:
    engines = Engines(
        region_detectors=lambda *_: [SlowDetector()],
        text_reader=text_reader,
        logo_embedder=lambda _: ScriptedEmbedder(),
        answerer=answerer,
    )
    return Services.of(Settings.load(), engines=engines)


defs = build_definitions(_services())
