"""Runs clips with one or several catalogues over the same readings, and scores their reports."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg

from brand_detect.definitions import build_definitions
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.errors import BadInput, Transient
from brand_detect.domain.pipeline import CATALOG, Stage
from brand_detect.domain.protocols import Color, Shape
from brand_detect.domain.tables import BOX
from brand_detect.domain.text import brand_id_of, key_of
from brand_detect.evaluation.benchmarks.common import result_of
from brand_detect.evaluation.scoring.labels import ClipLabels, Half, Kind
from brand_detect.evaluation.scoring.score import (
    ClipScore,
    LeftOut,
    Unlabelled,
    leave_one_out,
    longest,
    matching,
    score,
)
from brand_detect.evaluation.scoring.summary import Evaluation
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.run import JobRun, Runner
from brand_detect.report.pages import evidence
from brand_detect.storage.frames import StoredFrames

OWN = "the packaged list"
CROP_PX = 640
"""Width of a picture of the evidence."""
OUTLINE: Color = (255, 80, 80)


@dataclass(frozen=True)
class Evaluator:
    """Runs clips on an instance and scores them."""

    instance: dg.DagsterInstance
    services: Services
    profile: str = "default"
    leaves_out: bool = True  # whether each clear brand is also removed from the catalogue
    crops: Path | None = None  # the folder for pictures of reported brands without a label

    def evaluate(
        self,
        videos: Sequence[Path],
        labels: Mapping[str, ClipLabels],
        catalogs: Mapping[str, str],
        half: Half | None = None,
    ) -> tuple[list[Evaluation], dict[str, JobRun]]:
        """Score ``videos`` with each of ``catalogs``, paths by name; also the runs of videos without labels.

        Without ``catalogs``, the deployment's is used. Every video runs once; with every further catalogue, the
        labelled ones are replayed from ``match_brands``. Afterwards the deployment's catalogue is the latest again.
        ``half`` is for the record.

        Raises:
            BrandDetectError: a catalogue is invalid, or a run failed.
        """
        own = self._runner(self.services)
        used = {name: self._reading(path) for name, path in catalogs.items()}
        used = used or {self.services.settings.brand_list or OWN: self.services}
        lists = {name: services.read_catalog().catalog for name, services in used.items()}
        self.services.read_catalog()  # to be refused now, and not when it is restored
        runs: dict[str, JobRun] = {}
        others: dict[str, JobRun] = {}
        found = []
        try:
            for number, (name, catalog) in enumerate(lists.items(), 1):
                runner = own if used[name] is self.services else self._runner(used[name])
                if number == 1:
                    every = {video.name: runner.submit(str(video), profile=self.profile) for video in videos}
                    others = {clip: run for clip, run in every.items() if clip not in labels}
                    runs = {clip: run for clip, run in every.items() if clip in labels}
                else:
                    runs = {clip: _replayed(runner, run) for clip, run in runs.items()}
                folder = self.crops / f"{number}-{brand_id_of(Path(name).stem)}" if self.crops else None
                scored = [self._score(run, labels[clip], catalog, folder) for clip, run in runs.items()]
                clips = tuple(clip for clip, _ in scored)
                left_out = tuple(result for _, results in scored for result in results)
                facts = (name, catalog.version, len(catalog.brands), self.profile, half or "")
                found.append(Evaluation(*facts, clips, left_out))
        finally:
            own.refresh_catalog()
        return found, others

    def _reading(self, catalog: str) -> Services:
        """The services with another catalogue."""
        return replace(self.services, settings=self.services.settings.model_copy(update={"catalog": catalog}))

    def _runner(self, services: Services) -> Runner:
        return Runner(build_definitions(services), services, self.instance)

    def _score(
        self, run: JobRun, labels: ClipLabels, catalog: BrandCatalog, folder: Path | None
    ) -> tuple[ClipScore, list[LeftOut]]:
        if run.attempts[CATALOG] != catalog.version:
            raise Transient(
                f"{labels.clip} was matched with another brand list: something else changed it meanwhile.", "try again"
            )
        payloads = result_of(run).payloads
        scored = score(payloads, labels, catalog)
        if folder:
            scored = self._with_crops(scored, run, folder)
        names = [label.brand for label in labels.labels if label.kind is Kind.clear] if self.leaves_out else []
        return scored, leave_one_out(catalog, names, matching(payloads, catalog)) if names else []

    def _with_crops(self, scored: ClipScore, run: JobRun, folder: Path) -> ClipScore:
        """``scored`` with a picture of the evidence of each brand without a label, written into ``folder``."""
        report, extracted = run.load(Stage.compile_report), run.load(Stage.extract_frames)
        assert isinstance(report, Report)
        assert isinstance(extracted, ExtractedFrames)
        codec, canvas = self.services.engines.codec(), self.services.engines.canvas()
        frames = StoredFrames(run.store, run.ref(Stage.extract_frames), extracted.frames, codec)
        exposures = report.exposures.to_pylist()

        def crop(other: Unlabelled) -> Unlabelled:
            shown = longest([row for row in exposures if key_of(row["brand"]) == key_of(other.brand)])
            x, y, w, h = box = tuple(shown[side] for side in BOX)
            corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
            image = frames.read(shown["frame"])
            outlined = canvas.draw(image, [Shape(corners, OUTLINE, max(1, image.shape[1] // 640))])
            file = folder / f"{scored.clip}-{brand_id_of(other.brand)}.jpg"
            _, _, jpeg = evidence(outlined, box, codec, CROP_PX).uri.partition(",")
            write(file, base64.b64decode(jpeg))
            return replace(other, crop=str(file))

        unlisted, false = (tuple(map(crop, others)) for others in (scored.unlisted, scored.false))
        return replace(scored, unlisted=unlisted, false=false)


def _replayed(runner: Runner, run: JobRun) -> JobRun:
    """``run`` again with the runner's catalogue, on the same readings."""
    return runner.replay(run.job_id, Stage.match_brands, pins={Stage.run_ocr: run.attempts[Stage.run_ocr]})


def write(file: Path, data: bytes) -> None:
    """
    Raises:
        BadInput: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as e:
        raise BadInput(f"{file} cannot be written: {e.strerror}.", "choose another folder") from e
