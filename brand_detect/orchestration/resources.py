"""Resources of the assets: settings, store, media, engines and progress."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from brand_detect.catalog import LexiconIndex, LoadedCatalog
from brand_detect.catalog.reader import CatalogReader
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts import Escalation
from brand_detect.domain.contracts.detect_objects import DetectObjectsParams, LogoDetection, TextDetection
from brand_detect.domain.contracts.run_ocr import RunOcrParams, TextEngine
from brand_detect.domain.media import VideoLimits
from brand_detect.domain.progress import StageProgress
from brand_detect.domain.protocols import (
    Answerer,
    Artwork,
    BrandIndex,
    CameraMotion,
    Canvas,
    Decoder,
    ImageCodec,
    LogoEmbedder,
    Media,
    Progress,
    RegionDetector,
    TextReader,
    VideoRewriter,
)
from brand_detect.domain.settings import Settings
from brand_detect.engines.annotate import PyAvRewriter
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.contours import ContourLogoDetector
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.image_embedder import ImageEmbedder
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
from brand_detect.engines.memory import hold_little
from brand_detect.engines.model_files import ModelRoots
from brand_detect.engines.motion import OpenCvCameraMotion
from brand_detect.engines.rapid import RapidTextDetector, RapidTextReader
from brand_detect.engines.tesseract import TesseractDetector, TesseractReader
from brand_detect.engines.video import PyAvDecoder
from brand_detect.engines.zero_shot import ZeroShotDetector
from brand_detect.storage.media import MediaFiles
from brand_detect.storage.store import Store

ONE_SIZE_FROM = 12
"""Whole pictures searched from which a network for their size pays: it takes 0.2 s to load, and saves 18 ms on each."""


def region_detectors(models: ModelRoots, params: DetectObjectsParams, keyframes: int) -> list[RegionDetector]:
    """The detectors that ``params`` enable, with weights found in ``models``, for a video of so many ``keyframes``."""
    found: list[RegionDetector] = []
    if params.text is TextDetection.rapidocr:
        one_size = keyframes // params.search_every >= ONE_SIZE_FROM
        found.append(RapidTextDetector(params.longest_side_px, params.min_score, params.precision, one_size=one_size))
    elif params.text is TextDetection.tesseract:
        found.append(TesseractDetector(params.longest_side_px, params.min_score))
    if params.logos is LogoDetection.contours:
        found.append(ContourLogoDetector(params.logo_score))
    if params.object_model != "off":
        model = models.folder(params.object_model)
        found.append(ZeroShotDetector(model, params.object_labels, params.object_score))
    return found


def logo_embedder(models: ModelRoots, params: DetectObjectsParams) -> LogoEmbedder | None:
    """The embedder of logo regions, with weights found in ``models``; None if it is off."""
    if params.embedder == "off":
        return None
    return BuiltInLogoEmbedder() if params.embedder == "built-in" else ImageEmbedder(models.folder(params.embedder))


def find_models(models: ModelRoots, params: DetectObjectsParams) -> None:
    """Check that the models that ``params`` name exist, without opening them.

    Raises:
        BadInput, Permanent: a path leads out of the model roots, or a model is missing.
    """
    if params.object_model != "off":
        models.folder(params.object_model)
    if params.embedder not in ("built-in", "off"):
        models.folder(params.embedder)


def text_reader(params: RunOcrParams) -> TextReader:
    """The text reader that ``params`` name."""
    if params.engine is TextEngine.tesseract:
        return TesseractReader(params.languages)
    return RapidTextReader(params.precision)


shared_index = lru_cache(maxsize=2)(LexiconIndex)
"""The stages of a run share an index: one of 54,000 names takes 0.8 s to build."""


@dataclass(frozen=True)
class Engines:
    """Makes engines from params. Tests put scripted ones here."""

    region_detectors: Callable[[DetectObjectsParams, int], list[RegionDetector]]
    logo_embedder: Callable[[DetectObjectsParams], LogoEmbedder | None]
    models: ModelRoots | None = None
    """Looks up model files for those two; None if they need none."""
    decoder: Callable[[VideoLimits], Decoder] = PyAvDecoder
    codec: Callable[[], ImageCodec] = OpenCvCodec
    canvas: Callable[[], Canvas] = OpenCvCanvas
    artwork: Callable[[], Artwork] = VectorAndPixelArtwork
    rewriter: Callable[[VideoLimits], VideoRewriter] = PyAvRewriter
    motion: Callable[[], CameraMotion] = OpenCvCameraMotion
    text_reader: Callable[[RunOcrParams], TextReader] = text_reader
    answerer: Callable[[str, Escalation], Answerer | None] | None = None
    """Makes the answerer of a stage; None uses ``orchestration.models`` with the settings."""
    brand_index: Callable[[BrandCatalog], BrandIndex] = shared_index

    @classmethod
    def of(cls, settings: Settings) -> "Engines":
        """Engines that look for models where ``settings`` allow it."""
        models = ModelRoots(settings.model_roots)
        return cls(partial(region_detectors, models), partial(logo_embedder, models), models)


@dataclass(frozen=True)
class Services:
    """Everything outside Dagster that an asset may touch."""

    settings: Settings
    store: Store
    media: Media
    engines: Engines
    progress: Callable[[str, logging.Logger], Progress] = field(default_factory=lambda: LoggedProgress)
    catalogs: CatalogReader = field(default_factory=CatalogReader)

    @classmethod
    def of(cls, settings: Settings, **replaced: Any) -> "Services":
        """The services for ``settings``; fields in ``replaced`` are used as given."""
        hold_little()
        made = {
            "store": Store(settings.store_root),
            "media": MediaFiles(settings.media_roots),
            "engines": Engines.of(settings),
        }
        return cls(settings, **made | replaced)

    def read_catalog(self) -> LoadedCatalog:
        """Read the current brand list.

        Raises:
            BadInput: it is invalid.
        """
        return self.catalogs.read(self.settings.brand_list, self.engines.artwork())


class LoggedProgress:
    """Logs progress: done of total, rate and time left, after two seconds and then every ten."""

    FIRST_S, EVERY_S = 2.0, 10.0

    def __init__(self, stage: str, log: logging.Logger) -> None:
        self._stage, self._log = stage, log
        self._began = time.monotonic()
        self._next = self._began + self.FIRST_S

    def __call__(self, done: float, total: float, unit: str) -> None:
        now = time.monotonic()
        if now < self._next or not done:
            return
        self._next = now + self.EVERY_S
        self._log.info("%s", StageProgress(self._stage, done, total, unit, done / (now - self._began)))
