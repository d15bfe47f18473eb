"""Dagster assets: the job request, the eight stages and the catalogue. Each turns inputs and config into one call."""

import time
from dataclasses import replace
from typing import cast

import dagster as dg
from pydantic import Field

from brand_detect import stages
from brand_detect.catalog import catalog_from_json
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects, DetectObjectsParams
from brand_detect.domain.contracts.escalate_cloud import EscalateCloudParams
from brand_detect.domain.contracts.escalate_vlm import EscalateVlmParams
from brand_detect.domain.contracts.extract_frames import ExtractedFrames, ExtractFramesParams
from brand_detect.domain.contracts.filter_scenes import FilteredScenes, FilterScenesParams
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import RunOcrParams, TrackTexts
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import JobRequest
from brand_detect.domain.pipeline import CATALOG, CLOUD, GPU, ROOT
from brand_detect.orchestration.checks import (
    Check,
    exposures_seen,
    frames_are_in_order,
    frames_seen,
    frames_were_sampled,
    no_exposure_outside_the_video,
    no_instant_counted_twice,
    questions_seen,
    questions_were_answered,
    regions_seen,
    something_was_found,
    totals_equal_the_timeline,
    video_was_read_whole,
)
from brand_detect.orchestration.config import explicit
from brand_detect.orchestration.events import inline
from brand_detect.orchestration.gallery import embedded
from brand_detect.orchestration.lineage import latest
from brand_detect.orchestration.partitions import JOBS, OWNER
from brand_detect.orchestration.profiles import load_profile, profile_names
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.stage import AttemptDraft, StageRun, attempt_ref, dagster_errors, stage_asset
from brand_detect.report.catalog_page import overview
from brand_detect.report.documents import write_documents
from brand_detect.storage.attempts import AttemptRef

READERS = ("onnxruntime", "opencv-python", "openvino", "pytesseract", "rapidocr", "torch", "transformers")
"""Packages whose version affects detection and OCR."""
OTHER_EMBEDDER = (
    "Logos are not matched: the job's embeddings are of another embedder than here. Re-materialize detect_objects."
)


@dg.asset(
    io_manager_key="checkpoints",
    required_resource_keys={"services"},
    group_name="inputs",
    kinds={"yaml"},
    owners=[OWNER],
    tags={"work": "sums"},
)
def brand_catalog(context: dg.AssetExecutionContext) -> BrandCatalog:
    """The brand list with its logos, as an immutable snapshot; its version is the hash of its content.

    The sensor ``brand_catalog_changed`` and clients read the list and record each new version. A run embeds the logos
    of the latest with the built-in embedder, once for all jobs.
    """
    services = cast("Services", context.resources.services)
    with dagster_errors(context.instance, context.run.run_id):
        version = latest(context.instance, CATALOG, None)
        if version is None:
            raise BadInput(
                "No brand list has been read yet.", "wait half a minute: the sensor brand_catalog_changed reads it"
            )
        catalog = _embedded(context, services, version)
        while (newest := latest(context.instance, CATALOG, None)) not in (None, catalog.version):
            catalog = _embedded(context, services, newest)  # it has changed meanwhile, and must stay the latest
        artwork, exemplar = services.engines.artwork(), services.store.snapshots.exemplar
        picture = overview(
            catalog, lambda e, side_px: artwork.render(exemplar(e), e.suffix, side_px), services.engines.codec()
        )
        if picture:
            context.add_output_metadata({"picture": inline("brand_catalog", picture)})
        return catalog


def _embedded(context: dg.AssetExecutionContext, services: Services, version: str) -> BrandCatalog:
    """The snapshot of that version, once its logos are embedded."""
    catalog = catalog_from_json(services.store.snapshots.read(version), version)
    embedder = services.engines.logo_embedder(DetectObjectsParams.model_validate({}))
    if embedder and catalog.n_exemplars:
        embedded(
            services.store,
            catalog,
            embedder.identity,
            lambda: embedder,
            services.store.snapshots.exemplar,
            services.engines.artwork(),
            services.progress(CATALOG, context.log),
        )
    return catalog


class JobRequestConfig(dg.Config):
    """The request. Fields that are unset are taken from the job's last request."""

    video_uri: str | None = Field(None, description="a path or a URI within BRAND_DETECT_MEDIA_ROOTS")
    profile: str | None = Field(None, description=f"one of {', '.join(profile_names())}")
    overrides: dict[str, dict] | None = Field(None, description="params for this job: {stage: {param: value}}")


@dg.asset(
    partitions_def=JOBS,
    io_manager_key="checkpoints",
    required_resource_keys={"services"},
    config_schema=JobRequestConfig.to_config_schema().as_field(),
    code_version="3",
    group_name="inputs",
    kinds={"ffmpeg"},
    owners=[OWNER],
    tags={"work": "decoding"},
    metadata={"profiles": dg.MetadataValue.json({name: load_profile(name) for name in profile_names()})},
)
def job_request(context: dg.AssetExecutionContext) -> AttemptDraft:
    """The submitted video with its hash and probe, the profile and the job's overrides."""
    services = cast("Services", context.resources.services)
    asked = explicit(context.op_execution_context.op_config)
    with dagster_errors(context.instance, context.run.run_id):
        if not context.instance.has_dynamic_partition(str(JOBS.name), context.partition_key):
            raise BadInput(
                f"There is no job {context.partition_key}.", "submit it, or add its id to the job_id partitions"
            )
        whole = asked.keys() == set(JobRequestConfig.model_fields)
        params = {"profile": "default", "overrides": {}} | ({} if whole else _last_request(context, services)) | asked
        if "video_uri" not in params:
            raise BadInput(
                f"{context.partition_key} has no earlier request, and no video is given.",
                "set video_uri in the run config",
            )
        load_profile(params["profile"])
        decoder = services.engines.decoder(services.settings.video_limits)
        began = time.perf_counter()
        value = stages.job_request(
            job_id=context.partition_key,
            **params,
            media=services.media,
            decoder=decoder,
            progress=services.progress(ROOT, context.log),
        )
        return AttemptDraft(
            writer=services.store.begin(attempt_ref(context, ROOT)),
            value=value,
            code_version="3",
            params=params,
            overrides=asked,
            sources={"video": value.video_sha256},
            stage_s=time.perf_counter() - began,
            engines={"decoder": decoder.identity},
        )


def _last_request(context: dg.AssetExecutionContext, services: Services) -> dict:
    attempt = latest(context.instance, ROOT, context.partition_key)
    if attempt is None:
        return {}
    try:
        last = cast("JobRequest", services.store.load(AttemptRef(context.partition_key, ROOT, attempt)))
    except Permanent as e:
        raise Permanent(
            str(e), f"set all of {', '.join(JobRequestConfig.model_fields)}, so that the earlier request is not needed"
        ) from e
    return {"video_uri": last.video_uri, "profile": last.profile, "overrides": last.overrides}


@stage_asset(
    code_version="4",
    packages=["av", "opencv-python", "pillow"],
    work="decoding",
    kinds={"ffmpeg"},
    checks=[
        Check(frames_were_sampled, frames_seen),
        Check(frames_are_in_order, frames_seen),
        Check(video_was_read_whole, frames_seen, blocking=False),
    ],
)
def extract_frames(run: StageRun[ExtractFramesParams], job_request: JobRequest) -> ExtractedFrames:
    """Samples frames by presentation time, stores them as JPEGs, and measures a signal on every decoded frame."""
    return stages.extract_frames(
        job_request,
        run.params,
        media=run.media,
        decoder=run.use("decoder", run.engines.decoder(run.settings.video_limits)),
        codec=run.use("codec", run.engines.codec()),
        sink=run.sink,
        progress=run.progress,
    )


@stage_asset(code_version="1", work="sums", kinds={"numpy"})
def filter_scenes(run: StageRun[FilterScenesParams], extract_frames: ExtractedFrames) -> FilteredScenes:
    """Finds shots and keyframes; drops duplicate, black and blank frames, each with its reason."""
    return stages.filter_scenes(extract_frames, run.params)


@stage_asset(
    code_version="23",
    packages=[*READERS, "av"],
    shipped=[
        "weights/logo_embedder.safetensors",
        "weights/pretrained_tower.onnx",
        "weights/PP-OCRv6_det_small.int8.onnx",
    ],
    work="vision",
    kinds={"openvino", "pytorch"},
    checks=[Check(something_was_found, regions_seen, blocking=False)],
)
def detect_objects(
    run: StageRun[DetectObjectsParams], extract_frames: ExtractedFrames, filter_scenes: FilteredScenes
) -> DetectedObjects:
    """Detects text, logo and object regions on the keyframes and joins them into tracks within a shot."""
    motion = run.use("motion", run.engines.motion())
    detectors = run.engines.region_detectors(run.params, sum(filter_scenes.shots["n_keyframes"].to_pylist()))
    detected = stages.detect_objects(
        filter_scenes,
        run.params,
        frames=run.frames(extract_frames),
        codec=run.use("codec", run.engines.codec()),
        detectors=[run.use(f"detector_{i}", detector) for i, detector in enumerate(detectors, 1)],
        motion=motion,
        embedder=run.use("embedder", embedder) if (embedder := run.engines.logo_embedder(run.params)) else None,
        progress=run.progress,
    )
    return stages.with_edges(
        detected,
        run.request,
        extract_frames,
        filter_scenes,
        run.params,
        media=run.media,
        decoder=run.use("decoder", run.engines.decoder(run.settings.video_limits)),
        motion=motion,
        progress=run.progress,
    )


@stage_asset(code_version="8", packages=READERS, work="vision", kinds={"openvino"})
def run_ocr(
    run: StageRun[RunOcrParams], extract_frames: ExtractedFrames, detect_objects: DetectedObjects
) -> TrackTexts:
    """Recognises the text of each track: reads its best crops and votes over the results."""
    return stages.run_ocr(
        detect_objects,
        run.params,
        frames=run.frames(extract_frames),
        codec=run.use("codec", run.engines.codec()),
        reader=run.use("reader", run.engines.text_reader(run.params)),
        progress=run.progress,
    )


@stage_asset(
    code_version="28",
    packages=["rapidfuzz"],
    shipped=["catalog/data/everyday_words.txt", "weights/distractors.jpg"],
    work="rules",
    kinds={"numpy"},
)
def match_brands(
    run: StageRun[MatchBrandsParams],
    filter_scenes: FilteredScenes,
    detect_objects: DetectedObjects,
    run_ocr: TrackTexts,
    brand_catalog: BrandCatalog,
) -> BrandVerdicts:
    """Matches texts and logo regions with brands, with rule and score; clusters and ranks the unresolved tracks."""
    asks = bool(run.params.max_false_accept_rate and detect_objects.embedder and brand_catalog.n_exemplars)
    gallery = run.gallery(brand_catalog, detect_objects.embedder) if asks else None
    index = run.engines.brand_index(brand_catalog)
    found = stages.match_brands(filter_scenes, detect_objects, run_ocr, run.params, index=index, gallery=gallery)
    return replace(found, notes=(*found.notes, OTHER_EMBEDDER)) if asks and gallery is None else found


@stage_asset(
    code_version="3",
    packages=["opencv-python", "pillow", "rapidfuzz"],
    shipped=["prompts"],
    work="model",
    kinds={"huggingface"},
    pool=GPU,
    checks=[Check(questions_were_answered, questions_seen, blocking=False)],
)
def escalate_vlm(
    run: StageRun[EscalateVlmParams],
    extract_frames: ExtractedFrames,
    detect_objects: DetectedObjects,
    match_brands: BrandVerdicts,
) -> BrandVerdicts:
    """Asks a vision-language model on the user's machines about unresolved clusters; off unless a provider is set."""
    return stages.escalate_vlm(
        match_brands,
        detect_objects,
        run.params,
        settled=run.settled(),
        answerer=run.answerer(),
        memory=run.memory(),
        index=run.brand_index(),
        frames=run.frames(extract_frames),
        codec=run.engines.codec(),
        canvas=run.engines.canvas(),
        progress=run.progress,
    )


@stage_asset(
    code_version="3",
    packages=["opencv-python", "pillow", "rapidfuzz"],
    shipped=["prompts"],
    work="money",
    kinds={"openai"},
    pool=CLOUD,
    checks=[Check(questions_were_answered, questions_seen, blocking=False)],
)
def escalate_cloud(
    run: StageRun[EscalateCloudParams],
    extract_frames: ExtractedFrames,
    detect_objects: DetectedObjects,
    escalate_vlm: BrandVerdicts,
) -> BrandVerdicts:
    """Asks a cloud provider's model about the clusters still unresolved; off unless a provider is set."""
    return stages.escalate_cloud(
        escalate_vlm,
        detect_objects,
        run.params,
        settled=run.settled(),
        answerer=run.answerer(),
        memory=run.memory(),
        index=run.brand_index(),
        frames=run.frames(extract_frames),
        codec=run.engines.codec(),
        canvas=run.engines.canvas(),
        progress=run.progress,
    )


@stage_asset(
    code_version="23",
    packages=["opencv-python", "pillow", "rapidfuzz"],
    shipped=["quality"],
    work="sums",
    kinds={"html"},
    checks=[
        Check(no_exposure_outside_the_video, exposures_seen),
        Check(no_instant_counted_twice, exposures_seen),
        Check(totals_equal_the_timeline, exposures_seen),
    ],
)
def compile_report(
    run: StageRun[CompileReportParams],
    job_request: JobRequest,
    extract_frames: ExtractedFrames,
    filter_scenes: FilteredScenes,
    detect_objects: DetectedObjects,
    escalate_cloud: BrandVerdicts,
) -> Report:
    """Compiles exposures and totals per brand, and writes the report as page, JSON and CSV."""
    log, damaged = run.reviews()
    named = run.brand_index().named if log else lambda _: None
    report = stages.compile_report(
        job_request,
        extract_frames,
        filter_scenes,
        detect_objects,
        escalate_cloud,
        run.params,
        scale=run.quality(),
        inventory=run.inventory(),
        statistics=run.statistics(),
        reviews=log,
        named=named,
        brands={brand.brand_id: brand for brand in run.catalog.brands},
    )
    report = replace(report, losses=(*report.losses, *damaged))
    write_documents(
        report,
        job_request,
        run.params,
        frames=run.frames(extract_frames),
        codec=run.engines.codec(),
        sink=run.sink,
    )
    located = report.unresolved
    if log:  # in which named clusters are missing
        located = stages.locate_unresolved(escalate_cloud.unresolved, detect_objects, extract_frames.frames)
    run.propose(report, escalate_cloud, located, named)
    return report


ASSETS = [
    brand_catalog,
    job_request,
    extract_frames,
    filter_scenes,
    detect_objects,
    run_ocr,
    match_brands,
    escalate_vlm,
    escalate_cloud,
    compile_report,
]

INPUTS = {asset.key.path[-1]: tuple(sorted(key.path[-1] for key in asset.asset_deps[asset.key])) for asset in ASSETS}
"""The direct upstream assets of each asset."""
