"""Counts the questions of an escalation, on clips where OCR settles nothing and a script stands in for the model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus, BrandVerdicts
from brand_detect.domain.job import Overrides
from brand_detect.domain.protocols import Question
from brand_detect.domain.records import Payload
from brand_detect.domain.text import fold, key_of
from brand_detect.engines.prompts import load_prompt, question_id
from brand_detect.evaluation.benchmarks.common import Section
from brand_detect.evaluation.synthetic.footage import Scenario
from brand_detect.orchestration.run import JobRun, Runner

TWENTY_MINUTES = Scenario(seconds=1200)
"""Drawn in full: no part of it is repeated."""
DOWN: Overrides = {
    "match_brands": {
        "min_confidence": 1.0,
        "min_probability": 1.0,
        "max_false_accept_rate": 0.0,
        "join_neighbours": False,
    },
    "escalate_vlm": {"provider": "openai_compatible", "model": "script", "max_questions": 100_000},
}
"""Almost no text has confidence 1, so almost every word is left to the model."""
ALIKE = 0.6  # least 1 - edits / letters at which the script recognises a name; people are better
P = TypeVar("P", bound=Payload)


@dataclass
class Script:
    """A model that knows some names and answers from the recognised text."""

    names: Sequence[str]
    provider: str = "openai_compatible"
    model: str = "script"
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._prompt = load_prompt("default")
        self.prompt_version = self._prompt.version

    def question_ids(self, question: Question) -> Sequence[str]:
        return [question_id([self.provider, self.model], self._prompt, question)]

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        for question in questions:
            self.asked.append(question.cluster_id)
            name = self._name(fold(key_of(question.text)))
            yield Answer(
                question.cluster_id,
                AnswerStatus.answered if name else AnswerStatus.none,
                name,
                0.9,
                provider=self.provider,
                model=self.model,
                prompt_version=self.prompt_version,
                question_id=self.question_ids(question)[0],
            )

    def _name(self, key: str) -> str:
        def likeness(name: str) -> float:
            return Levenshtein.normalized_similarity(key, fold(key_of(name)))

        best = max(self.names, key=likeness, default="")
        return best if key and likeness(best) >= ALIKE else ""


@dataclass(frozen=True)
class Asked:
    """Results of one clip's escalation."""

    clip: str
    minutes: float
    candidates: int  # unresolved regions on sampled frames, duplicates included
    clusters: int
    questions: int
    open_tracks: int
    settled_tracks: int  # those with a verdict or an answer
    again: int  # questions of an unchanged replay
    touched: int  # clusters whose near misses a new brand changed
    touched_questions: int  # questions of the replay with that brand


def n_candidates(scenes: FilteredScenes, detected: DetectedObjects, unresolved: pa.Table) -> int:
    """Unresolved regions on sampled frames: one on a keyframe counts for each frame that it stands for."""
    keyframe = scenes.timeline["keyframe"].drop_null().to_numpy()
    shown = np.bincount(keyframe, minlength=int(keyframe.max(initial=-1)) + 1)
    tracks = pc.list_flatten(unresolved["track_ids"])  # pyright: ignore[reportAttributeAccessIssue]
    regions = detected.regions.filter(pc.field("track_id").isin(tracks))
    return int(shown[regions["frame"].to_numpy()].sum())


def measure(clip: Path, runner: Runner, model: Script, catalog: Path, names: Sequence[str]) -> Asked:
    """Run a clip with the catalogue ``names``, replay it, then replay it with one more brand.

    The new brand is named after the text of the highest ranked unresolved cluster that is not a name.
    """
    catalog.write_text(yaml.safe_dump([*names], allow_unicode=True), encoding="utf-8")
    job = runner.submit(str(clip), overrides=DOWN)
    before, after = _load(job, "match_brands", BrandVerdicts), _load(job, "escalate_vlm", BrandVerdicts)
    scenes, detected = _load(job, "filter_scenes", FilteredScenes), _load(job, "detect_objects", DetectedObjects)
    open_tracks = {t for tracks in before.unresolved["track_ids"].to_pylist() for t in tracks}
    answered = set(after.answers["cluster_id"].to_pylist())
    settled = {t for tracks in after.verdicts["track_ids"].to_pylist() for t in tracks} | {
        t for row in before.unresolved.to_pylist() if row["cluster_id"] in answered for t in row["track_ids"]
    }
    questions = len(model.asked)
    model.asked.clear()
    runner.replay(job.job_id, "escalate_vlm")
    again = len(model.asked)
    known = {fold(key_of(name)) for name in names}
    texts = [text for text in before.unresolved["text"].to_pylist() if text and fold(key_of(text)) not in known]
    catalog.write_text(yaml.safe_dump([*names, *texts[:1]], allow_unicode=True), encoding="utf-8")
    model.asked.clear()
    more = _load(runner.replay(job.job_id, "match_brands"), "match_brands", BrandVerdicts)
    return Asked(
        clip.name,
        float(scenes.timeline["end_s"].to_numpy().max()) / 60,
        n_candidates(scenes, detected, before.unresolved),
        before.unresolved.num_rows,
        questions,
        len(open_tracks),
        len(open_tracks & settled),
        again,
        sum(texts[0] in near for near in more.unresolved["candidates"].to_pylist()) if texts else 0,
        len(model.asked),
    )


def _load(job: JobRun, stage: str, kind: type[P]) -> P:
    value = job.load(stage)
    assert isinstance(value, kind)
    return value


def sections(rows: Sequence[Asked]) -> list[Section]:
    """The tables of all clips."""
    return [
        Section(
            "Questions, with a script as the model and no words settled",
            ("clip", "minutes", "candidates", "clusters", "questions", "a candidate", "open tracks", "with a verdict"),
            [
                (
                    *(a.clip, a.minutes, a.candidates, a.clusters, a.questions),
                    *(f"{a.questions / max(1, a.candidates):.1%}", a.open_tracks, a.settled_tracks),
                )
                for a in rows
            ],
        ),
        Section(
            "Questions of replays",
            ("clip", "nothing changed", "one more brand", "clusters that resemble it"),
            [(a.clip, a.again, a.touched_questions, a.touched) for a in rows],
        ),
    ]
