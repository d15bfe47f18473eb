"""Both escalation stages: ask a model about unresolved clusters and turn its answers into verdicts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain.answers import may_be_a_name, without_generic
from brand_detect.domain.contracts import Escalation
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.verdicts import (
    ANSWERS,
    REPLIES,
    UNRESOLVED,
    VERDICTS,
    Answer,
    AnswerStatus,
    BrandVerdicts,
    Cluster,
    Reason,
    Rule,
    Verdict,
    VerdictStatus,
)
from brand_detect.domain.hashes import alike
from brand_detect.domain.protocols import (
    Answerer,
    AnswerMemory,
    BrandIndex,
    Canvas,
    FrameReader,
    Hit,
    Image,
    ImageCodec,
    Progress,
    Question,
    Shape,
)
from brand_detect.domain.tables import Row, content_id, table
from brand_detect.domain.tries import PAUSES_S, tries
from brand_detect.domain.words import counted

CROP_QUALITY = 90
CROP_SIDE_PX = 768
SCENE_QUALITY = 80
SURROUNDINGS = 0.5  # margin on each side as a share of the region's longer side: context for the model
OUTLINE = (255, 0, 255)  # the prompts call it magenta; few boards are
OUTLINE_PX, OUTLINE_GAP_PX = 2, 5  # width of the outline, and its distance from the region


def escalate(
    stage: str,
    rule: Rule,
    upstream: BrandVerdicts,
    detected: DetectedObjects,
    params: Escalation,
    *,
    settled: BrandVerdicts | None = None,
    answerer: Answerer | None,
    memory: AnswerMemory | None,
    index: BrandIndex,
    frames: FrameReader,
    codec: ImageCodec,
    canvas: Canvas,
    progress: Progress,
) -> BrandVerdicts:
    """Asks about the unresolved clusters, longest on screen first; passes everything else on.

    In a retry, ``settled`` is the result of an earlier escalation of the same ``upstream``: its verdicts and answers
    are carried over with their own provenance, and only clusters still unresolved are asked about, first those without
    a reply from any model. ``answerer`` None means that the stage is off; its notes say so.

    - Each question is asked once: not if ``memory`` has its answer, and equal questions of one run are merged. Without
      memory questions are not compared, and pictures are read only when asked about.
    - An answer counts if the catalogue has a brand of that name and the model is confident enough: ``resolved``. If the
      model is confident that the cluster shows no brand, it is ``ignored``. Any other answer leaves the cluster
      unresolved, with the reason.

    ``stats``: questions (asked now), remembered (answered from memory), questions_left, never_answered, deferred,
    failed, tracks_unresolved, input_tokens, output_tokens, cost_usd (of the questions asked now) and remembered_usd
    (original cost of the remembered answers).
    """
    if settled is not None:
        upstream = _carried_over(stage, upstream, settled)
    if answerer is None:
        return _off(stage, upstream)
    asked = to_ask(upstream, params)
    pictures = Pictures(detected, params, frames, codec, canvas)
    answers: dict[str, Answer] = {}
    for answer in _answers(asked, pictures, answerer, memory):
        answers[answer.cluster_id] = answer
        progress(len(answers), len(asked), "questions")
    return _applied(stage, rule, upstream, answers, answerer, index, params.min_confidence)


def to_ask(verdicts: BrandVerdicts, params: Escalation) -> list[Cluster]:
    """The clusters to ask about, in order: first those without a reply from any model."""
    replied = _replied(verdicts.answers)
    return sorted(verdicts.clusters(), key=lambda c: c.cluster_id in replied)[: params.max_questions]


def _carried_over(stage: str, upstream: BrandVerdicts, settled: BrandVerdicts) -> BrandVerdicts:
    n = settled.verdicts.num_rows - upstream.verdicts.num_rows
    note = f"{stage}: continues an earlier escalation, {n} of its verdicts carried over"
    return replace(settled, notes=(*upstream.notes, note))


def _off(stage: str, upstream: BrandVerdicts) -> BrandVerdicts:
    tracks = len(upstream.unresolved["track_ids"].combine_chunks().flatten())
    note = f"{stage}: off, no model set; {counted(tracks, 'track')} left unresolved"
    stats = {
        "questions": 0,
        "questions_left": 0,
        "never_answered": _never_answered(upstream.unresolved, upstream.answers),
        "tracks_unresolved": tracks,
        "cost_usd": 0.0,
    }
    return replace(upstream, notes=(*upstream.notes, note), stats=stats)


def _applied(
    stage: str,
    rule: Rule,
    upstream: BrandVerdicts,
    answers: Mapping[str, Answer],
    answerer: Answerer,
    index: BrandIndex,
    min_confidence: float,
) -> BrandVerdicts:
    """Applies ``answers``, by cluster, to ``upstream``."""
    clusters = upstream.clusters()
    verdicts: list[Verdict] = []
    unsettled: list[Cluster] = []
    rows: list[Row] = []
    before = set(zip(*(upstream.answers[c].to_pylist() for c in ("cluster_id", "question_id")), strict=True))
    for cluster in clusters:
        answer = answers.get(cluster.cluster_id)
        if answer is None:
            unsettled.append(cluster)
            continue
        hit = _hit(index, answer)
        if not (answer.remembered and (answer.cluster_id, answer.question_id) in before):
            rows.append(_matched(answer, answerer, hit).row)
        verdict = _verdict(cluster, answer, hit, stage, rule, min_confidence)
        if verdict:
            verdicts.append(verdict)
        else:
            unsettled.append(cluster.model_copy(update={"reason": _reason(answer, hit)}))
    unsettled = [cluster.model_copy(update={"rank": rank}) for rank, cluster in enumerate(unsettled, 1)]
    unresolved = table(UNRESOLVED, unsettled)
    all_answers = pa.concat_tables([upstream.answers, table(ANSWERS, rows)])
    return BrandVerdicts(
        verdicts=pa.concat_tables([upstream.verdicts, table(VERDICTS, verdicts)]),
        unresolved=unresolved,
        answers=all_answers,
        notes=(*upstream.notes, *_notes(stage, [*answers.values()], len(clusters), verdicts, len(unsettled))),
        stats=_stats(len(clusters), [*answers.values()])
        | {
            "never_answered": _never_answered(unresolved, all_answers),
            "tracks_unresolved": sum(len(cluster.track_ids) for cluster in unsettled),
        },
    )


def _answers(
    clusters: Sequence[Cluster], pictures: "Pictures", answerer: Answerer, memory: AnswerMemory | None
) -> Iterator[Answer]:
    """Yields each cluster's answer, ``remembered`` if it was known before asking."""
    if memory is None:
        yield from answerer.ask(pictures.question(cluster) for cluster in clusters)
        return
    # only the ids first: the pictures of all questions of a long video would not fit in memory
    ids = {c.cluster_id: tuple(answerer.question_ids(pictures.question(c))) for c in clusters}
    known = memory.recall(sorted({i for names in ids.values() for i in names}))
    groups: defaultdict[tuple[str, ...], list[Cluster]] = defaultdict(list)
    for cluster in clusters:
        own = ids[cluster.cluster_id]
        answer = next((known[i] for i in own if i in known), None)
        if answer is None:
            groups[own].append(cluster)
        else:
            yield replace(answer, cluster_id=cluster.cluster_id, remembered=True)
    same = {group[0].cluster_id: group for group in groups.values()}
    for answer in answerer.ask(pictures.question(group[0]) for group in groups.values()):
        if answer.status in REPLIES:
            tries(*PAUSES_S)(memory.keep, answer)
        for i, cluster in enumerate(same[answer.cluster_id]):
            yield replace(answer, cluster_id=cluster.cluster_id, remembered=i > 0)


@dataclass(frozen=True)
class Pictures:
    """Builds questions about clusters."""

    detected: DetectedObjects
    params: Escalation
    frames: FrameReader
    codec: ImageCodec
    canvas: Canvas

    def question(self, cluster: Cluster) -> Question:
        """A question with the cluster's best crops with surroundings, and the best one's frame, region outlined."""
        regions = self.regions(cluster)
        best, image = regions[0], self.frames.read(regions[0]["seen_on"][0])
        others = (_surroundings(self.frames.read(r["seen_on"][0]), r) for r in regions[1:])
        crops = (_surroundings(image, best), *others)
        return Question(
            cluster.cluster_id,
            cluster.text,
            tuple(self.codec.encode(crop, CROP_QUALITY, CROP_SIDE_PX) for crop in crops),
            self._scene(image, best) if self.params.scene_px else b"",
            cluster.candidates,
        )

    def regions(self, cluster: Cluster) -> list[Row]:
        """The regions to show, best first: large, sharp and unlike the previous ones."""
        rows = self.detected.regions
        own = rows.filter(pc.field("track_id").isin(cluster.track_ids))
        area, sharpness = (own[c].to_numpy() for c in ("area_frac", "sharpness"))
        quality = np.sqrt(np.maximum(area, 0) * (sharpness + 1))
        quality[own["region_id"].to_numpy(zero_copy_only=False) == cluster.best_region_id] = np.inf
        hashes = own["crop_hash"].to_pylist()
        chosen: list[int] = []
        for at in np.argsort(-quality, kind="stable").tolist():
            if len(chosen) == self.params.max_crops:
                break
            if not alike([hashes[at]], [hashes[other] for other in chosen]):
                chosen.append(at)
        return own.take(chosen).to_pylist()

    def _scene(self, image: Image, region: Row) -> bytes:
        longest = max(image.shape[:2])
        scale = min(1.0, self.params.scene_px / longest)
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        small = self.canvas.resize(image, width, height)
        low = np.array([region["x_px"], region["y_px"]]) * scale - OUTLINE_GAP_PX
        high = low + np.array([region["w_px"], region["h_px"]]) * scale + 2 * OUTLINE_GAP_PX
        box = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        outlined = self.canvas.draw(small, [Shape(box, OUTLINE, OUTLINE_PX)])
        return self.codec.encode(outlined, SCENE_QUALITY, 0)


def _surroundings(image: Image, row: Row) -> Image:
    margin = SURROUNDINGS * max(row["w_px"], row["h_px"])
    left, top = max(0, int(row["x_px"] - margin)), max(0, int(row["y_px"] - margin))
    right, bottom = int(row["x_px"] + row["w_px"] + margin) + 1, int(row["y_px"] + row["h_px"] + margin) + 1
    return image[top:bottom, left:right]


def _hit(index: BrandIndex, answer: Answer) -> Hit | None:
    """The catalogue brand that matches the whole answer: a sentence about a brand does not."""
    if answer.status != AnswerStatus.answered:
        return None
    return index.named(answer.brand) or index.named(without_generic(answer.brand))


def _matched(answer: Answer, answerer: Answerer, hit: Hit | None) -> Answer:
    """``answer`` with the catalogue's brand, and with the model that was asked if none answered."""
    return replace(
        answer,
        provider=answer.provider or answerer.provider,
        model=answer.model or answerer.model,
        prompt_version=answer.prompt_version or answerer.prompt_version,
        brand_id=hit.brand_id if hit else "",
    )


def _verdict(
    cluster: Cluster, answer: Answer, hit: Hit | None, stage: str, rule: Rule, min_confidence: float
) -> Verdict | None:
    """The verdict from an answer; None if it leaves the cluster unresolved."""
    no_brand = answer.status == AnswerStatus.none
    if answer.confidence < min_confidence or not (hit or no_brand):
        return None
    return Verdict(
        verdict_id=content_id(cluster.cluster_id, hit.brand_id if hit else "", stage),
        track_ids=cluster.track_ids,
        status=VerdictStatus.resolved if hit else VerdictStatus.ignored,
        brand_id=hit.brand_id if hit else "",
        brand=hit.brand if hit else "",
        rule=rule,
        score=hit.score if hit else 1.0,
        confidence=answer.confidence,
        text=cluster.text,
        matched=answer.brand,
        decided_by=stage,
        model=f"{answer.provider}/{answer.model}",
    )


def _reason(answer: Answer, hit: Hit | None) -> Reason:
    """Why ``answer`` leaves a cluster unresolved."""
    match answer.status:
        case AnswerStatus.answered if hit:
            return Reason.unsure
        case AnswerStatus.answered:
            return Reason.unknown_brand if may_be_a_name(without_generic(answer.brand)) else Reason.unreadable
        case AnswerStatus.none:
            return Reason.no_brand
        case status:
            return Reason(status)


def _stats(n_open: int, answers: Sequence[Answer]) -> dict[str, float]:
    new = [a for a in answers if not a.remembered]
    known = _remembered(answers)
    paid_now = {a.question_id for a in new}
    return {
        "questions": sum(a.status != AnswerStatus.deferred for a in new),
        "remembered": len(known),
        "questions_left": n_open - sum(a.status in REPLIES for a in answers),
        "deferred": sum(a.status == AnswerStatus.deferred for a in answers),
        "failed": sum(a.status == AnswerStatus.failed for a in new),
        "input_tokens": sum(a.input_tokens for a in new),
        "output_tokens": sum(a.output_tokens for a in new),
        "cost_usd": sum(a.cost_usd for a in new),  # a deferred question may have cost a preflight or a malformed reply
        "remembered_usd": sum({a.question_id: a.cost_usd for a in known if a.question_id not in paid_now}.values()),
    }


def _remembered(answers: Sequence[Answer]) -> list[Answer]:
    """Answers from memory, without copies of deferred or failed ones."""
    return [a for a in answers if a.remembered and a.status in REPLIES]


def _notes(
    stage: str, answers: Sequence[Answer], n_open: int, verdicts: Sequence[Verdict], n_left: int
) -> Iterator[str]:
    resolved = sum(v.status == VerdictStatus.resolved for v in verdicts)
    known = len(_remembered(answers))
    from_memory = f" ({known} from memory)" if known else ""
    yield (
        f"{stage}: {len(answers)} of {counted(n_open, 'cluster')} asked{from_memory}, {resolved} resolved, "
        f"{len(verdicts) - resolved} judged to be no brand, {n_left} left unresolved"
    )
    for status, what in ((AnswerStatus.deferred, "deferred"), (AnswerStatus.failed, "failed")):
        why = [a.detail for a in answers if a.status == status]
        if why:
            yield f"{stage}: {counted(len(why), 'question')} {what}: {why[0]}"


def _never_answered(unresolved: pa.Table, answers: pa.Table) -> int:
    """Number of unresolved clusters without a reply from any model."""
    replied = _replied(answers)
    return sum(cluster not in replied for cluster in unresolved["cluster_id"].to_pylist())


def _replied(answers: pa.Table) -> set[str]:
    """Clusters with a reply from a model."""
    return set(answers.filter(pc.field("status").isin(REPLIES))["cluster_id"].to_pylist())
