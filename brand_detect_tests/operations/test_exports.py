"""Exports of a real store: which report, what is in it, and the video that the asset leaves behind."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from brand_detect.api.stored import StoredReports
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import ANNOTATED
from brand_detect.domain.protocols import Rewritten
from brand_detect.engines.annotate import PyAvRewriter
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.image import OpenCvCodec
from brand_detect.operations.comparison import compared
from brand_detect.operations.exports import StoredReport, annotate, files, images
from brand_detect.operations.portfolio import NewestReports, portfolio_of
from brand_detect.operations.sweep.lineage import Lineage
from brand_detect.report.colors import colors_of
from brand_detect.report.exports import Format
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.reports import Reports
from brand_detect_tests.engines.test_annotate import times
from brand_detect_tests.support.checkpoints import reseal
from brand_detect_tests.support.pipeline import Pipeline, materialize, pipeline, silent, two_shot_clip

JOB = "match"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A job with Rolex in its first two seconds, and two reports."""
    folder = tmp_path_factory.mktemp("exports")
    video = two_shot_clip(folder / "match.mp4")
    with pipeline(folder) as made:
        made.runner.submit(str(video), job_id=JOB)
        made.runner.replay(JOB, "compile_report")
        yield made


def video_of(built: Pipeline) -> Path:
    return Path(StoredReport.of(built.services.store, JOB).request.video_uri)


def test_the_newest_report_is_taken_or_the_one_that_is_named(built: Pipeline):
    store = built.services.store
    first, second = (m.attempt for m in store.attempts(JOB, "compile_report"))
    assert StoredReport.of(store, JOB).ref.attempt == second
    assert StoredReport.of(store, JOB, first[:9]).ref.attempt == first
    with pytest.raises(BadInput, match="nobody has no report"):
        StoredReport.of(store, "nobody")


def test_all_pass_over_a_newest_report_that_failed_its_check(built: Pipeline, tmp_path: Path):
    shutil.copytree(built.services.store.root, tmp_path / "store")
    store = type(built.services.store)(str(tmp_path / "store"))
    first, second = (m.attempt for m in store.attempts(JOB, "compile_report"))
    failed = {"name": "no_instant_counted_twice", "passed": False, "blocking": True}
    reseal(tmp_path / "store" / JOB / "compile_report" / second, checks=[failed])
    assert Reports(store).find(JOB).attempt == first
    assert StoredReports(Reports(store)).newest(JOB).attempt == first
    assert StoredReport.of(store, JOB).ref.attempt == first
    assert Lineage.of(store, JOB).report.attempt == first
    assert [job.attempt for job in portfolio_of(NewestReports(Reports(store)), silent).jobs] == [first]
    assert compared(store, OpenCvCodec(), JOB, with_attempt=second).after.attempt == first
    assert StoredReport.of(store, JOB, second).ref.attempt == second
    assert Lineage.of(store, JOB, second).report.attempt == second
    (tmp_path / "store" / JOB / "compile_report" / second / "manifest.json").write_bytes(b"{")
    assert Reports(store).find(JOB).attempt == first


def test_documents_are_those_of_the_attempt(built: Pipeline):
    found = StoredReport.of(built.services.store, JOB)
    for what, names in (
        (Format.json, {"report.json"}),
        (Format.csv, {"brands.csv", "placements.csv", "assets.csv", "exposures.csv"}),
        (Format.vtt, {"markers.vtt"}),
    ):
        written = dict(files(found, what))
        assert {name: written[name] for name in names} == {name: found.store.read(found.ref, name) for name in names}


def test_parquet_is_the_tables_as_they_are(built: Pipeline):
    found = StoredReport.of(built.services.store, JOB)
    written = dict(files(found, Format.parquet))
    assert pq.read_table(io.BytesIO(written["brands.parquet"])).equals(found.report.brands)
    assert set(written) == {f"{name}.parquet" for name in found.report.schemas}


def test_images_are_the_stored_frames_byte_for_byte(built: Pipeline):
    found = StoredReport.of(built.services.store, JOB)
    frames = found.frames(OpenCvCodec())
    written = dict(images(found, OpenCvCodec()))
    assert set(written) == {f"images/{picture.name}" for picture in found.labels.pictures}
    assert written[f"images/{JOB}-000000.jpg"] == frames.jpeg(0)
    assert written[f"images/{JOB}-000000.jpg"].startswith(b"\xff\xd8")


def test_frames_that_are_gone_are_said_before_anything_is_given(built: Pipeline, tmp_path: Path):
    there = Path(built.services.store.root)
    shutil.copytree(there, tmp_path / "store")
    store = type(built.services.store)(str(tmp_path / "store"))
    found = StoredReport.of(store, JOB)
    store.remove_frames(AttemptRef(JOB, "extract_frames", found.manifest.upstream["extract_frames"]))
    with pytest.raises(Permanent, match=r"frames .* are gone"):
        images(found, OpenCvCodec())
    assert dict(files(found, Format.coco))


def test_the_asset_draws_the_boxes_and_keeps_the_video(built: Pipeline):
    made = materialize(built, ANNOTATED, JOB)
    found = StoredReport.of(built.services.store, JOB)
    path = Path(made["path"])
    assert path == Path(built.services.store.root) / JOB / "_exports" / f"{found.ref.attempt}.mp4"
    assert (made["frames"], made["seconds"], made["sound"]) == (40, pytest.approx(4.0), "none")
    assert made["bytes"] == path.stat().st_size
    assert made["still"].startswith("![still](data:image/jpeg;base64,")
    assert times(path) == times(video_of(built))
    with av.open(str(path)) as container:
        pictures = [np.asarray(f.to_ndarray(format="bgr24"), int) for f in container.decode(video=0)]
    [(color, _)] = colors_of(["rolex"])
    boxed = [bool((np.abs(p - color[::-1]).max(axis=2) < 40).sum() > 100) for p in pictures]
    assert boxed == [n < 20 for n in range(40)], "boxes of the first shot alone, to the cut"
    assert not list(path.parent.glob(".*"))
    assert made["path"] == materialize(built, ANNOTATED, JOB, attempt=found.ref.attempt[:9])["path"]


def test_another_video_under_that_name_is_refused(built: Pipeline, tmp_path: Path):
    video, found = video_of(built), StoredReport.of(built.services.store, JOB)
    whole = video.read_bytes()
    tools = built.services.media, PyAvRewriter(), OpenCvCanvas()
    try:
        video.write_bytes(whole + b"\0")
        with pytest.raises(BadInput, match="no longer the video"):
            annotate(found, *tools, tmp_path / "a.mp4", silent)
        assert "no longer the video that the report was made from" in materialize(built, ANNOTATED, JOB)["failed"]
        video.unlink()
        with pytest.raises(BadInput, match="There is no file"):
            annotate(found, *tools, tmp_path / "a.mp4", silent)
    finally:
        video.write_bytes(whole)
    assert not (tmp_path / "a.mp4").exists()


def test_progress_comes_while_the_content_is_compared_and_counts_to_the_probed_end(built: Pipeline, tmp_path: Path):
    class WithoutDuration(PyAvRewriter):
        def rewrite(self, *arguments: Any, **_: Any) -> Rewritten:
            arguments[3](1.5, 0.0, "seconds of video")
            return Rewritten(0, 0.0, "", ())

    seen: list[tuple[float, ...]] = []

    def note(done: float, total: float, unit: str) -> None:  # noqa: ARG001
        seen.append((done, total))

    found = StoredReport.of(built.services.store, JOB)
    annotate(found, built.services.media, WithoutDuration(), OpenCvCanvas(), tmp_path / "a.mp4", note)
    assert seen == [(0.0, pytest.approx(4.0)), (1.5, pytest.approx(4.0))]


def test_on_s3_the_video_is_put_and_a_portfolio_is_summed(s3: Path, tmp_path: Path):
    video = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path, store_root="s3://bucket/exports") as far:
        far.runner.submit(str(video), job_id=JOB)
        made = materialize(far, ANNOTATED, JOB)
        found = StoredReport.of(far.services.store, JOB)
        assert made["path"] == f"s3://bucket/exports/{JOB}/_exports/{found.ref.attempt}.mp4"
        assert times(s3 / "bucket" / "exports" / JOB / "_exports" / f"{found.ref.attempt}.mp4") == times(video)
        assert dict(images(found, OpenCvCodec()))
        whole = portfolio_of(NewestReports(Reports(far.services.store)), silent)
        assert [(job.job_id, [b.brand for b in job.brands]) for job in whole.jobs] == [(JOB, ["Rolex"])]
        assert far.services.store.blobs.put("_portfolio/a.json", b"{}") == "s3://bucket/exports/_portfolio/a.json"
        assert (s3 / "bucket" / "exports" / "_portfolio" / "a.json").read_bytes() == b"{}"
