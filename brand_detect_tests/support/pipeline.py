"""A whole pipeline for tests: the real decoder, codec and store, with scripted eyes instead of networks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from string import Template
from tempfile import mkdtemp
from threading import Thread
from typing import Any
from unittest.mock import patch

import cv2
import dagster as dg
import numpy as np
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log import in_memory as events_in_memory
from dagster._core.storage.event_log import sql_event_log
from dagster._core.storage.event_log.in_memory import InMemoryEventLogStorage
from dagster._core.storage.runs import in_memory as runs_in_memory
from dagster._core.storage.runs.in_memory import InMemoryRunStorage
from dagster._serdes import deserialize_value
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, SingletonThreadPool, create_engine
from sqlalchemy.event import listen

from brand_detect.definitions import build_definitions
from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.contracts.verdicts import REPLIES, Answer, AnswerStatus
from brand_detect.domain.job import Overrides
from brand_detect.domain.launch import LaunchPlan
from brand_detect.domain.pipeline import downstream_of
from brand_detect.domain.protocols import Area, Image, Question, Reading, Region
from brand_detect.domain.settings import Settings
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.onnx import compiled_dir
from brand_detect.engines.prompts import Prompt, question_id
from brand_detect.operations.monitoring import liveness
from brand_detect.orchestration import stage
from brand_detect.orchestration.resources import Engines, Services
from brand_detect.orchestration.run import JobRun, Runner
from brand_detect_tests.support import logos
from brand_detect_tests.support.videos import write_clip

PROMPT = Prompt("scripted", "1", "", Template("$text, like $candidates"))
SERVICE = "https://brands.example.org"
CATALOG = "brands:\n  - name: Rolex\n  - name: Emirates\n"


_read_migrations = ScriptDirectory.from_config


@cache
def _migrations(location: str) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", location)
    return _read_migrations(config)


# Each database that a test makes is to say its schema's version. For that Alembic reads all of Dagster's migrations,
# which takes 30 ms; a home has three databases, and one for each run.
_once = patch.object(ScriptDirectory, "from_config", lambda of: _migrations(of.get_main_option("script_location")))
_once.start()

# An event that is stored never changes, and each step of a run reads those of the steps above it again.
_parsed_once = patch.object(sql_event_log, "deserialize_value", lru_cache(256)(deserialize_value))
_parsed_once.start()


def silent(done: float, total: float, unit: str) -> None:
    """A ``Progress`` that tells nobody."""


@dataclass
class ScriptedDetector:
    """Sees one line of text in the upper left quarter of every picture."""

    identity: str = "scripted detector"
    kind: RegionKind = RegionKind.text
    calls: int = 0

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        self.calls += 1
        height, width = image.shape[:2]
        quad = np.array([[0.1, 0.1], [0.5, 0.1], [0.5, 0.3], [0.1, 0.3]], np.float32) * [width, height]
        return [Region(RegionKind.text, "", 0.9, quad.astype(np.float32))]


@dataclass
class LogoDetector(ScriptedDetector):
    """Sees one logo in the middle of every picture."""

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        self.calls += 1
        return [Region(RegionKind.logo, "", 0.9, np.array([(94, 34), (206, 34), (206, 146), (94, 146)], np.float32))]


@dataclass
class ScriptedReader:
    """Reads dark crops as one text and bright crops as another."""

    dark: str = "ROLEX"
    bright: str = "ACME WIDGETS"
    identity: str = "scripted reader"
    lines: int = 0

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        self.lines += len(crops)
        return [Reading(self.bright if crop.mean() > 128 else self.dark, 0.95) for crop in crops]


@dataclass
class ScriptedEmbedder:
    """Sees where a crop is bright and where it is dark, on a grid of 16 by 16."""

    identity: str = "scripted embedder"
    dimensions: int = 256
    crops: int = 0
    drawings: int = 0
    """Those of ``crops`` that came as drawings."""

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        self.crops += len(crops)
        rows = np.array([_grid(crop) for crop in crops], np.float32).reshape(-1, self.dimensions)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)

    def encode_drawings(self, drawings: Sequence[Image], /) -> NDArray[np.float32]:
        self.drawings += len(drawings)
        return self.encode(drawings)


def _grid(crop: Image) -> NDArray[np.float64]:
    grey = cv2.resize(crop, (16, 16), interpolation=cv2.INTER_AREA).mean(axis=2)
    return (grey - grey.mean()).ravel() + 1e-3


@dataclass
class ScriptedAnswerer:
    """Answers from a dictionary of texts; of what is not in it, it is not sure that it is no brand."""

    answers: dict[str, Answer] = field(default_factory=dict)
    provider: str = "transformers"
    model: str = "script"
    prompt_version: str = PROMPT.version
    asked_at: Callable[[], str] = lambda: "2026-05-01T12:00:00+00:00"
    asked: list[str] = field(default_factory=list)

    def question_ids(self, question: Question) -> Sequence[str]:
        return [question_id([self.provider, self.model], PROMPT, question)]

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        for question in questions:
            assert question.crops[0].startswith(b"\xff\xd8")
            self.asked.append(question.text)
            said = replace(
                self.answers.get(question.text, Answer("", AnswerStatus.none)), cluster_id=question.cluster_id
            )
            if said.status not in REPLIES:
                yield said
            else:
                yield replace(
                    said,
                    provider=self.provider,
                    model=self.model,
                    prompt_version=self.prompt_version,
                    question_id=self.question_ids(question)[0],
                    asked_at=self.asked_at(),
                )


def clip_with_an_open_text(path: Path) -> Path:
    """A dark shot, then a bright one that says ACME WIDGETS to the scripted reader; 320 x 180 at 10 a second."""

    def pictures() -> Iterator[Image]:
        for n in range(30):
            picture = np.full((180, 320, 3), 60 if n < 15 else 190, np.uint8)
            if n < 15:
                picture[:, :160] -= 50
            else:
                picture[90:] -= 120
            picture[24:48, 40:80] += 60
            yield picture

    return write_clip(path, pictures(), fps=10)


def clip_of_logo(path: Path, shape: str) -> Path:
    """A logo of ``logos.PATHS`` on a plain wall for two seconds, where ``LogoDetector`` sees it."""
    art = VectorAndPixelArtwork().render(logos.svg(shape, "#ffffff"), "svg", 100)
    picture = np.full((180, 320, 3), 20, np.uint8)
    spot = picture[40 : 40 + art.shape[0], 100 : 100 + art.shape[1]]
    spot[art[..., 3] > 127] = 250
    return write_clip(path, (picture for _ in range(20)), fps=10)


def with_an_open_text(folder: Path) -> Path:
    """The folder, with the store of the job ``match`` (Rolex reported, ACME WIDGETS left open) and its brand list."""
    with pipeline(folder, kept=True) as built:
        built.runner.submit(str(clip_with_an_open_text(folder / "match.mp4")), job_id="match")
    return folder


def two_shot_clip(path: Path, seconds: float = 4.0, begin_s: float = 0.0, codec: str = "libx264") -> Path:
    """A dark shot, then a bright one, each with another half darker and a moving square; 320 x 180 at 10 a second.

    The file's clock shows its first picture at ``begin_s``.
    """
    count = int(seconds * 10)

    def pictures() -> Iterator[Image]:
        for n in range(count):
            picture = np.full((180, 320, 3), 60 if n < count // 2 else 190, np.uint8)
            if n < count // 2:
                picture[:, :160] -= 50
            else:
                picture[90:] -= 120
            picture[100:140, (9 * n) % 280 : (9 * n) % 280 + 40] = (0, 40, 200)
            yield picture

    times_s = [begin_s + n / 10 for n in range(count)] if begin_s else None
    return write_clip(path, pictures(), fps=10, codec=codec, times_s=times_s)


@cache
def shared_clip() -> Path:
    """A clip of two shots in two seconds, which no test changes; every pipeline may read it."""
    return two_shot_clip(Path(mkdtemp()) / "match.mp4", seconds=2.0)


@dataclass
class Pipeline:
    """A runner over its own store and instance, with what was scripted at hand."""

    runner: Runner
    services: Services
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    detector: ScriptedDetector
    reader: ScriptedReader
    embedder: ScriptedEmbedder

    def launch(
        self, job_id: str, start: str, config: Overrides | None = None, tags: Mapping[str, str] | None = None
    ) -> JobRun:
        """As ``start+`` is materialized from Dagster's UI: nothing is asked before, nothing is carried."""
        return self.runner.launch(job_id, LaunchPlan(downstream_of(start), config or {}, tags=tags or {}))


def materialize(built: Pipeline, asset: str, job_id: str, **asked: str) -> dict[str, Any]:
    """The metadata of an asset beside the line, or ``failed`` and why."""
    result = built.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=built.instance,
        partition_key=job_id,
        asset_selection=[dg.AssetKey(asset)],
        run_config={"ops": {asset: {"config": asked}}} if asked else {},
        raise_on_error=False,
    )
    if not result.success:
        [failed] = [e for e in result.all_events if e.is_step_failure]
        failure = failed.step_failure_data.user_failure_data
        assert failure is not None
        return {"failed": failure.description}
    [event] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


@contextmanager
def pipeline(
    folder: Path,
    *,
    store_root: str = "",
    media_roots: Sequence[str] = (),
    model_hosts: Sequence[str] = (),
    kept: bool = False,
    **engines: Any,
) -> Iterator[Pipeline]:
    """A pipeline in ``folder``; ``engines`` replaces further factories of ``Engines``.

    Dagster's log lies in memory, where a run takes a third of the time, unless it is to be ``kept``: for other
    processes, or for threads that write at the same time. Then it lies where the folder's dagster.yaml says.
    """
    catalog = folder / "brands.yaml"
    if not catalog.exists():
        catalog.write_text(CATALOG, encoding="utf-8")
    settings = Settings(
        store_root=store_root or str(folder / "store"),
        media_roots=(str(folder), str(shared_clip().parent), *media_roots),
        model_hosts=tuple(model_hosts),
        catalog=str(catalog),
        service_url=SERVICE,
    )
    detector, reader, embedder = ScriptedDetector(), ScriptedReader(), ScriptedEmbedder()
    scripted = {
        "region_detectors": lambda *_: [detector],
        "text_reader": lambda _: reader,
        "logo_embedder": lambda _: embedder,
    }
    services = Services.of(settings, engines=Engines(**(scripted | engines)))
    definitions = build_definitions(services)
    unfreed = patch.object(stage, "give_back_freed")  # it looks through all that tests have loaded: a fifth of a run
    with unfreed, (_kept if kept else _in_memory)(folder) as live:
        yield Pipeline(Runner(definitions, services, live), services, live, definitions, detector, reader, embedder)


STORAGE = (
    "storage: {{custom: {{module: brand_detect.orchestration.sqlite, class: SqliteStorage, "
    "config: {{base_dir: {}}}}}}}\n"
)
"""The project's storage in a dagster.yaml, to be formatted with its folder."""


def home_in(folder: Path) -> Path:
    """``folder`` as a ``DAGSTER_HOME``; a run in Dagster's own storage, its default, takes a second more."""
    config = f"telemetry: {{enabled: false}}\n{STORAGE.format(folder)}"
    (folder / "dagster.yaml").write_text(config, encoding="utf-8")
    return folder


def with_compiled_networks(home: Path) -> Path:
    """``home``, with the networks that are compiled already: real engines take some CPU seconds to compile theirs."""
    compiled = compiled_dir()
    compiled.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / ".state").mkdir()
    (home / ".state" / "compiled").symlink_to(compiled)
    return home


@contextmanager
def _kept(folder: Path) -> Iterator[dg.DagsterInstance]:
    if not (folder / "dagster.yaml").exists():
        home_in(folder)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        yield instance


class Unthreaded(Thread):
    """A thread that does nothing."""

    def run(self) -> None:
        pass


def _kept_open(url: str, **_: Any) -> Engine:
    """An engine with one connection for each thread."""
    engine = create_engine(url, poolclass=SingletonThreadPool)
    listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    return engine


@contextmanager
def _connected(storage: Any) -> Iterator[Connection]:
    """Dagster's own makes a connection for each query, and sets it up by two more: an eighth of a run."""
    with storage._engine.begin() as connection:
        yield connection


@contextmanager
def _in_memory(folder: Path) -> Iterator[dg.DagsterInstance]:
    """SQLite in memory refuses a second thread that writes at the same time: runs give no sign of life."""
    settings = {"telemetry": {"enabled": False}}
    with (
        patch.object(events_in_memory, "create_engine", _kept_open),
        patch.object(runs_in_memory, "create_engine", _kept_open),
        patch.object(InMemoryEventLogStorage, "_connect", _connected),
        patch.object(InMemoryRunStorage, "connect", _connected),
        patch.object(liveness, "Thread", Unthreaded),
        dg.DagsterInstance.ephemeral(str(folder), settings=settings) as instance,
    ):
        yield instance
