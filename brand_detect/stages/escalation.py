"""What both escalation stages do: put open clusters to a model, keep its verdicts, say what is still open."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain.model import ANSWERS, UNRESOLVED, VERDICTS, BrandVerdicts, DetectedObjects, content_id, table
from brand_detect.domain.params import EscalateVlmParams
from brand_detect.domain.protocols import (
    Answer,
    Answerer,
    BrandIndex,
    FrameReader,
    Hit,
    Image,
    ImageCodec,
    Progress,
    Question,
)
from brand_detect.domain.text import key_of

CROP_QUALITY = 90
CROP_SIDE_PX = 768
SURROUNDINGS = 0.5  # of the region's longer side, on each side: context that a reader needs

ANSWERED = ("answered", "none", "unreadable")
"""What a model says about the crop itself; any other status is a question put off."""
NEXT_REASON = {"none": "unanswered", "unreadable": "unreadable", "deferred": "deferred", "failed": "failed"}


def escalate(
    stage: str,
    rule: str,
    upstream: BrandVerdicts,
    detected: DetectedObjects,
    params: EscalateVlmParams,
    *,
    settled: BrandVerdicts | None = None,
    answerer: Answerer | None,
    index: BrandIndex,
    frames: FrameReader,
    codec: ImageCodec,
    progress: Progress,
) -> BrandVerdicts:
    """Ask about the open clusters, those on screen longest first; everything else is passed on.

    ``settled`` is what an earlier escalation of the same ``upstream`` came to, in a retry: its verdicts and answers are
    taken over, each with its own provenance, and only what it left open is asked about: first what no model has said
    anything about, then, with ``ask_again``, the rest.
    ``answerer`` None means that the stage is off, which its notes say. An answer counts when the catalogue knows the
    brand and the model is sure enough; any other leaves the cluster open with the reason.
    """
    if settled is not None:
        taken = settled.verdicts.num_rows - upstream.verdicts.num_rows
        note = f"{stage}: goes on from an earlier escalation, {taken} of its verdicts taken over"
        upstream = replace(settled, notes=(*upstream.notes, note))
    open_clusters = upstream.unresolved.to_pylist()
    if answerer is None:
        tracks = sum(len(c["track_ids"]) for c in open_clusters)
        note = f"{stage}: off, no model set; {tracks} tracks left unresolved"
        stats = {
            "questions": 0,
            "questions_left": 0,
            "never_answered": _never_answered(upstream.unresolved, upstream.answers),
            "tracks_unresolved": tracks,
            "cost_usd": 0.0,
        }
        return replace(upstream, notes=(*upstream.notes, note), stats=stats)
    said = _answered(upstream.answers)
    before = _answered(upstream.answers, provider=answerer.provider, model=answerer.model)
    askable = [c for c in open_clusters if params.ask_again or c["cluster_id"] not in before]
    asked = sorted(askable, key=lambda c: c["cluster_id"] in said)[: params.max_questions]
    answers: dict[str, Answer] = {}
    questions = (_question(cluster, detected, frames, codec) for cluster in asked)
    for answer in answerer.ask(questions):
        answers[answer.cluster_id] = answer
        progress(len(answers), len(asked), "questions")

    verdicts, still_open, rows = [], [], []
    for cluster in open_clusters:
        answer = answers.get(cluster["cluster_id"])
        if answer is None:
            still_open.append(cluster)
            continue
        hit = _whole(index, answer.brand)
        rows.append(_answer_row(answer, answerer, hit))
        if answer.status == "answered" and hit and answer.confidence >= params.min_confidence:
            verdicts.append(_verdict(cluster, answer, answerer, hit, stage, rule))
        else:
            still_open.append({**cluster, "reason": NEXT_REASON.get(answer.status, "unanswered")})
    ranked = [{**cluster, "rank": rank} for rank, cluster in enumerate(still_open, 1)]
    unresolved = table(UNRESOLVED, ranked)
    all_answers = pa.concat_tables([upstream.answers, table(ANSWERS, rows)])
    return BrandVerdicts(
        verdicts=pa.concat_tables([upstream.verdicts, table(VERDICTS, verdicts)]),
        unresolved=unresolved,
        answers=all_answers,
        notes=(
            *upstream.notes,
            f"{stage}: {len(answers)} of {len(open_clusters)} clusters asked, {len(verdicts)} resolved, "
            f"{len(ranked)} left unresolved",
        ),
        stats={
            "questions": len(answers),
            "questions_left": sum(
                c["cluster_id"] not in answers or answers[c["cluster_id"]].status not in ANSWERED for c in askable
            ),
            "never_answered": _never_answered(unresolved, all_answers),
            "tracks_unresolved": sum(len(c["track_ids"]) for c in ranked),
            "cost_usd": sum(a.cost_usd for a in answers.values()),
        },
    )


def _never_answered(unresolved: pa.Table, answers: pa.Table) -> int:
    """Open clusters about which no model has said anything yet."""
    said = _answered(answers)
    return sum(cluster not in said for cluster in unresolved["cluster_id"].to_pylist())


def _answered(answers: pa.Table, **model: str) -> set[str]:
    """Clusters about which a model (any, or the one named) has said something."""
    wanted = pc.field("status").isin(ANSWERED)
    for column, value in model.items():
        wanted &= pc.field(column) == value
    return set(answers.filter(wanted)["cluster_id"].to_pylist())


def _question(cluster: dict, detected: DetectedObjects, frames: FrameReader, codec: ImageCodec) -> Question:
    row = detected.regions.filter(pc.field("region_id") == cluster["best_region_id"]).to_pylist()[0]
    crop = _surroundings(frames.read(row["seen_on"][0]), row)
    return Question(cluster["cluster_id"], cluster["text"], (codec.encode(crop, CROP_QUALITY, CROP_SIDE_PX),))


def _surroundings(image: Image, row: dict) -> Image:
    margin = SURROUNDINGS * max(row["w_px"], row["h_px"])
    left, top = max(0, int(row["x_px"] - margin)), max(0, int(row["y_px"] - margin))
    right, bottom = int(row["x_px"] + row["w_px"] + margin) + 1, int(row["y_px"] + row["h_px"] + margin) + 1
    return image[top:bottom, left:right]


def _whole(index: BrandIndex, name: str) -> Hit | None:
    """The catalogue brand that all words of ``name`` stand for: a sentence about a brand is no name."""
    hits = index.find(name, fuzzy_score=1.0, min_fuzzy_length=50) if name else []
    return next((h for h in hits if not key_of(name[: h.start]) and not key_of(name[h.end :])), None)


def _answer_row(answer: Answer, answerer: Answerer, hit: Hit | None) -> dict:
    return {
        "cluster_id": answer.cluster_id,
        "provider": answerer.provider,
        "model": answerer.model,
        "prompt_version": answerer.prompt_version,
        "answer": answer.brand,
        "brand_id": hit.brand_id if hit else "",
        "confidence": answer.confidence,
        "status": answer.status,
        "detail": answer.detail,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": answer.cost_usd,
        "latency_s": answer.latency_s,
    }


def _verdict(cluster: dict, answer: Answer, answerer: Answerer, hit: Hit, stage: str, rule: str) -> dict:
    return {
        "verdict_id": content_id(cluster["cluster_id"], hit.brand_id, stage),
        "track_ids": cluster["track_ids"],
        "status": "resolved",
        "brand_id": hit.brand_id,
        "brand": hit.brand,
        "rule": rule,
        "score": hit.score,
        "confidence": answer.confidence,
        "text": cluster["text"],
        "matched": answer.brand,
        "span_start": 0.0,
        "span_end": 1.0,
        "decided_by": stage,
        "model": f"{answerer.provider}/{answerer.model}",
    }
