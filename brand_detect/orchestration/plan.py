"""Estimates what an escalation would ask and cost, without asking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from brand_detect.domain.contracts import Escalation, check_overrides, effective
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.escalate_cloud import EscalateCloudParams
from brand_detect.domain.contracts.escalate_vlm import VlmProvider
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import JobRequest, Overrides, check_job_id
from brand_detect.domain.pipeline import ESCALATIONS, ROOT, Stage
from brand_detect.domain.protocols import Progress
from brand_detect.domain.settings import Settings
from brand_detect.engines.prompts import load_prompt
from brand_detect.engines.tokens import input_token_bound, input_token_estimate
from brand_detect.orchestration.models import endpoints, model_of
from brand_detect.orchestration.profiles import load_profile
from brand_detect.orchestration.resources import Services
from brand_detect.stages.escalation import Pictures, to_ask
from brand_detect.storage.answers import Answers
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.own_files import OwnFiles
from brand_detect.storage.spending import MICRO, Spending

ASSUMED_OUTPUT_TOKENS = 120
"""Tokens assumed for an answer until the model has given one in this job: the form with a short sentence."""
ASSUMED_CALL_S = 3.0
"""Time assumed for a call until the model has answered one in this job."""


@dataclass
class Estimate:
    """Estimate for one model; money in USD."""

    stage: str
    provider: str
    model: str
    clusters: int
    remembered: int = 0  # clusters answered before, or alike to another
    calls: int = 0
    put_off: int = 0  # calls beyond the run's budget
    input_tokens: int = 0  # 0 where the model is loaded here
    output_tokens: int = 0
    usd: float = 0.0
    minutes: float = 0.0
    measured: bool = False  # latency and answer length were measured on this model in this job, not assumed


@dataclass(frozen=True)
class Plan:
    """Estimates for the unresolved clusters of a job's newest escalation or, without one, of its match."""

    job_id: str
    stage: str
    attempt: str
    clusters: int
    tracks: int
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...]


def plan(services: Services, job_id: str, overrides: Overrides, models: Sequence[str], progress: Progress) -> Plan:
    """Estimate what the escalations would ask now, with the params in force and ``overrides``; no model is called.

    ``models``, as ``provider:model``, are estimated besides the configured cloud model, each as if asked alone.

    Raises:
        BadInput: the job has no verdicts, or a param or a model is invalid.
    """
    store, settings, codec = services.store, services.settings, services.engines.codec()
    check_overrides(overrides)
    made = store.attempts(check_job_id(job_id), Stage.escalate_cloud) or store.attempts(job_id, Stage.match_brands)
    if not made:
        raise BadInput(
            f"{job_id} has no checkpoint of {Stage.match_brands} in {store.root}.", "run the job that far first"
        )
    newest = made[-1]
    refs = {s: AttemptRef(job_id, s, a) for s, a in {**newest.upstream, newest.stage: newest.attempt}.items()}
    request, verdicts = (
        cast("JobRequest", store.load(refs[ROOT])),
        cast("BrandVerdicts", store.load(refs[newest.stage])),
    )
    extracted = cast("ExtractedFrames", store.load(refs[Stage.extract_frames]))
    detected = cast("DetectedObjects", store.load(refs[Stage.detect_objects]))
    frames = StoredFrames(store, store.with_frames(refs[Stage.extract_frames]), extracted.frames, codec)
    wanted: list[tuple[str, Escalation]] = []
    notes = []
    for stage in ESCALATIONS:
        tuned = [m.overrides for m in store.attempts(job_id, stage)[-1:]]
        layers = (load_profile(request.profile).get(stage, {}), request.overrides.get(stage, {}), *tuned)
        params = cast("Escalation", effective(stage, *layers, overrides.get(stage, {})))
        if params.provider.value != "off":
            wanted.append((stage, params))
        elif not (stage == Stage.escalate_cloud and models):
            notes.append(f"{stage}: off, no model set")
        if stage == Stage.escalate_cloud:
            wanted += [(stage, _of(params, model)) for model in models]
    estimates = []
    for stage, params in wanted:
        pictures = Pictures(detected, params, frames, codec, services.engines.canvas())
        estimates.append(_estimate(stage, params, settings, Answers(store.blobs), pictures, verdicts, progress))
    if any(stage == Stage.escalate_cloud for stage, _ in wanted):
        spent = Spending(store.blobs, 0.0, 0.0).spent_micro(datetime.now(UTC).date().isoformat()) / MICRO
        notes.append(f"{spent:.2f} of {settings.daily_usd:.2f} USD are spent or reserved today")
    clusters = verdicts.unresolved.to_pylist()
    tracks = sum(len(c["track_ids"]) for c in clusters)
    return Plan(job_id, newest.stage, newest.attempt, len(clusters), tracks, tuple(estimates), tuple(notes))


def _of(params: Escalation, model: str) -> Escalation:
    """Params of the cloud escalation with another model."""
    provider, _, name = model.partition(":")
    alone = {"provider": provider, "model": name, "fallbacks": [], "base_url": ""}
    priced = {"input_usd_per_mtok": 0.0, "output_usd_per_mtok": 0.0}
    return cast("Escalation", effective(Stage.escalate_cloud, params.model_dump(mode="json"), alone, priced))


def _estimate(
    stage: str,
    params: Escalation,
    settings: Settings,
    memory: Answers,
    pictures: Pictures,
    verdicts: BrandVerdicts,
    progress: Progress,
) -> Estimate:
    prompts = OwnFiles.read(settings).prompts
    model, prompt = model_of(stage, params, settings, prompts, None), load_prompt(params.prompt, prompts)
    assert model is not None, "a model that is off is not estimated"
    endpoint = None if params.provider is VlmProvider.transformers else endpoints(params)[0]
    limit_usd = params.max_usd if isinstance(params, EscalateCloudParams) else float("inf")
    asked = to_ask(verdicts, params)
    own = [a for a in verdicts.answers.to_pylist() if (a["provider"], a["model"]) == (model.provider, model.model)]
    lengths = [a["output_tokens"] for a in own if a["output_tokens"]]
    output_tokens = round(sum(lengths) / len(lengths)) if lengths else ASSUMED_OUTPUT_TOKENS
    call_s = sum(a["latency_s"] for a in own) / len(own) if own else ASSUMED_CALL_S

    found = Estimate(stage, model.provider, model.model, len(asked), measured=bool(own))
    seen: set[tuple[str, ...]] = set()
    for i, cluster in enumerate(asked, 1):
        question = pictures.question(cluster)
        progress(i, len(asked), "questions")
        ids = tuple(model.question_ids(question))
        if ids in seen or (not params.ask_again and memory.recall(ids)):
            found.remembered += 1
            continue
        seen.add(ids)
        if endpoint is not None:
            most = endpoint.price.cost(input_token_bound(endpoint, prompt, question), params.max_output_tokens)
            if found.usd + most > limit_usd:
                found.put_off += 1
                continue
            input_tokens = input_token_estimate(endpoint, prompt, question)
            found.input_tokens += input_tokens
            found.usd += endpoint.price.cost(input_tokens, output_tokens)
        found.calls += 1
        found.output_tokens += output_tokens
    found.minutes = found.calls * call_s / (params.concurrency if endpoint else 1) / 60
    return found
