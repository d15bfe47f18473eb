"""The input of a sweep: a stored report, its lineage, and the models' answers in it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import pyarrow as pa

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts import Escalation, effective
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus, BrandVerdicts
from brand_detect.domain.job import JobRequest
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import CATALOG, ROOT, Stage, downstream_of
from brand_detect.domain.protocols import Answerer, Question
from brand_detect.domain.records import Payload
from brand_detect.domain.reviews import Review
from brand_detect.domain.tables import Row
from brand_detect.operations.sweep.values import SWEPT
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store

P = TypeVar("P", bound=Payload)


class Lineage:
    """A stored report and its ancestors; each payload is read once."""

    def __init__(self, store: Store, report: Manifest) -> None:
        self.store, self.report = store, report
        self._attempts = {**report.upstream, Stage.compile_report: report.attempt}
        self._payloads: dict[str, Any] = {}

    @classmethod
    def of(cls, store: Store, job_id: str, attempt: str = "") -> "Lineage":
        """Of a report, as ``Reports.find``."""
        return cls(store, Reports(store).find(job_id, attempt))

    def ref(self, stage: str) -> AttemptRef:
        return AttemptRef(self.report.job_id, stage, self._attempts[stage])

    def load(self, stage: str, kind: type[P]) -> P:
        if stage not in self._payloads:
            self._payloads[stage] = self.store.load(self.ref(stage))
        assert isinstance(self._payloads[stage], kind)
        return self._payloads[stage]

    @cached_property
    def request(self) -> JobRequest:
        return cast("JobRequest", self.store.load(self.ref(ROOT)))

    @cached_property
    def catalog(self) -> BrandCatalog:
        """The catalogue snapshot of this lineage."""
        version = self._attempts[CATALOG]
        return catalog_from_json(self.store.snapshots.read(version), version)

    @cached_property
    def params(self) -> dict[str, Params]:
        """The stored params of the stages that a sweep can compute."""
        return {s: effective(s, self.store.manifest(self.ref(s)).params) for s in SWEPT}

    @cached_property
    def reviews(self) -> list[Review]:
        """The corrections that the report applied; it lists them whole."""
        report = self.load(Stage.compile_report, Report)
        return [Review.model_validate(row) for row in report.summary.get("reviews", ())]

    def stage_s(self, first: str) -> float:
        """Seconds that ``first`` and the stages below it took."""
        return sum(self.store.manifest(self.ref(s)).stage_s for s in downstream_of(first))

    @cached_property
    def rounds(self) -> list["Round"]:
        """Every escalation attempt in order: a retry continues from earlier ones."""
        return self._rounds(Stage.escalate_cloud, self._attempts[Stage.escalate_cloud])

    def _rounds(self, stage: str, attempt: str) -> list["Round"]:
        ref = AttemptRef(self.report.job_id, stage, attempt)
        manifest = self.store.manifest(ref)
        before: list[Round] = []
        if manifest.continues:
            before = self._rounds(Stage.escalate_cloud, manifest.continues)
        elif stage == Stage.escalate_cloud:
            before = self._rounds(Stage.escalate_vlm, manifest.upstream[Stage.escalate_vlm])
        stored = cast("BrandVerdicts", self.store.load(ref)).answers
        own = stored.slice(sum(r.answers.num_rows for r in before))
        return [*before, Round(stage, cast("Escalation", effective(stage, manifest.params)), own)]


@dataclass(frozen=True)
class Round:
    """One attempt of an escalation with the answers of its model."""

    stage: str
    params: Escalation
    answers: pa.Table

    def answerer(self) -> Answerer | None:
        return None if self.params.provider.value == "off" else _Recorded(self.params, self.answers.to_pylist())


class _Recorded:
    """Replays a model's stored answers; it ignores the questions, so that no frame is read."""

    def __init__(self, params: Escalation, answers: Sequence[Row]) -> None:
        self.provider, self.model, self.prompt_version = params.provider.value, params.model, ""
        self._answers = answers

    def question_ids(self, question: Question) -> Sequence[str]:  # noqa: ARG002
        return ()

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:  # noqa: ARG002
        for row in self._answers:
            # stored as float32: 0.9 comes back slightly lower, and must still pass a threshold of 0.9
            confidence = round(row["confidence"], 6)
            who = {name: row[name] for name in ("provider", "model", "prompt_version")}
            yield Answer(row["cluster_id"], AnswerStatus(row["status"]), row["answer"], confidence, **who)
