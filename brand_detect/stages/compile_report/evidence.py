"""Evidence: the verdicts behind the report's detections, and the models' answers behind the verdicts."""

from collections.abc import Mapping, Set

import pyarrow as pa

from brand_detect.domain.contracts.compile_report import Evidence
from brand_detect.domain.contracts.verdicts import AnswerStatus, BrandVerdicts
from brand_detect.domain.pipeline import ESCALATIONS
from brand_detect.domain.placements import ANSWERABLE, Placed, Placement
from brand_detect.domain.tables import Row, content_id

BY_RULE: Row = {**dict.fromkeys(("provider", "model", "prompt_version", "reasoning", "placement"), ""), "cost_usd": 0.0}
"""Placeholder for the answer if a rule decided."""
OF_VERDICT = ("verdict_id", "brand", "rule", "score", "confidence", "text", "matched", "decided_by")


def decisive_answers(verdicts: BrandVerdicts) -> dict[str, Row]:
    """The answer behind each model's verdict, by verdict id."""
    wanted = set(verdicts.verdicts["verdict_id"].to_pylist())
    found = {}
    for row in verdicts.answers.to_pylist():
        for stage in ESCALATIONS:
            verdict_id = content_id(row["cluster_id"], row["brand_id"], stage)
            if verdict_id in wanted and row["status"] in (AnswerStatus.answered, AnswerStatus.none):
                found[verdict_id] = row
    return found


def placements_answered(verdicts: BrandVerdicts, answers: Mapping[str, Row]) -> dict[str, Placed]:
    """The placement of each track decided by a model, according to the model; its "other" tells nothing."""
    found: dict[str, Placed] = {}
    for row in verdicts.verdicts.select(["verdict_id", "track_ids"]).to_pylist():
        answer = answers.get(row["verdict_id"])
        if answer and answer["placement"] in ANSWERABLE and answer["placement"] != Placement.other:
            placed = Placed(Placement(answer["placement"]), answer["confidence"])
            found |= dict.fromkeys(row["track_ids"], placed)
    return found


def evidence(verdicts: pa.Table, answers: Mapping[str, Row], wanted: Set[str]) -> list[Evidence]:
    """The ``wanted`` verdicts in order of id, with their answers of ``decisive_answers``, if any."""
    return [
        Evidence(
            **{name: verdict[name] for name in OF_VERDICT},
            **{name: answers.get(verdict["verdict_id"], BY_RULE)[name] for name in BY_RULE},
            brand_id=verdict["brand_id"] or verdict["brand"],
            n_tracks=len(verdict["track_ids"]),
        )
        for verdict in verdicts.sort_by("verdict_id").to_pylist()
        if verdict["verdict_id"] in wanted
    ]
