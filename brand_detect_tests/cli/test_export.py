"""brand-detect export, on a store of its own."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from pycocotools.coco import COCO

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.operations.exports import StoredReport
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.conftest import Ended
from brand_detect_tests.engines.test_annotate import times
from brand_detect_tests.support.pipeline import home_in, pipeline, two_shot_clip

Call = Callable[..., Ended]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video and the store of its job."""
    folder = tmp_path_factory.mktemp("export")
    video = two_shot_clip(folder / "match.mp4")
    with pipeline(folder) as built:
        built.runner.submit(str(video), job_id="match")
    return folder


@pytest.fixture
def export(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Call) -> Call:
    monkeypatch.setenv("DAGSTER_HOME", str(home_in(tmp_path)))
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(made / "store"))
    monkeypatch.setenv("BRAND_DETECT_MEDIA_ROOTS", str(made))
    monkeypatch.setenv("COLUMNS", "200")
    return partial(command_line, "export")


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("what", "files"),
    [
        ("json", {"report.json"}),
        ("csv", {f"{n}.csv" for n in ("brands", "placements", "assets", "exposures", "detections", "unresolved")}),
        ("vtt", {"markers.vtt"}),
        ("xlsx", {"report.xlsx"}),
        ("mp4", {"match.mp4"}),
        (
            "parquet",
            {f"{name}.parquet" for name in Report.schemas},
        ),
    ],
)
def test_files_by_format(export: Call, tmp_path: Path, what: str, files: set[str]) -> None:
    folder = tmp_path / "deep" / "out"
    code, out, err = export("match", "--format", what, "--out", str(folder))
    assert (code, out) == (0, ""), err
    assert f"written: {folder}" in err
    assert names(folder) == files


def test_coco_comes_with_its_images(export: Call, tmp_path: Path) -> None:
    assert export("match", "--format", "coco", "--out", str(tmp_path / "out"))[0] == 0
    found = COCO(str(tmp_path / "out" / "annotations.json"))
    images = {image["file_name"] for image in found.loadImgs(found.getImgIds())}
    assert names(tmp_path / "out") == {"annotations.json", *(f"images/{name}" for name in images)}
    assert found.getAnnIds()


def test_yolo_has_a_label_file_per_image(export: Call, tmp_path: Path) -> None:
    assert export("match", "--format", "yolo", "--out", str(tmp_path / "out"))[0] == 0
    about = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text(encoding="utf-8"))
    assert about["names"] == {0: "Rolex"}
    labels, images = ({p.stem for p in (tmp_path / "out" / kind).iterdir()} for kind in ("labels", "images"))
    assert labels == images


def test_label_studio_without_images(export: Call, tmp_path: Path) -> None:
    arguments = ("--format", "label-studio", "--no-images", "--image-prefix", "https://example.org/")
    assert export("match", *arguments, "--out", str(tmp_path / "out"))[0] == 0
    assert names(tmp_path / "out") == {"tasks.json", "label_config.xml"}
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text(encoding="utf-8"))
    assert tasks[0]["data"]["image"] == "https://example.org/match-000000.jpg"


def test_the_video_has_the_times_of_the_source(export: Call, made: Path, tmp_path: Path) -> None:
    assert export("match", "--format", "mp4", "--out", str(tmp_path / "out"))[0] == 0
    assert times(tmp_path / "out" / "match.mp4") == times(made / "match.mp4")


def test_a_folder_that_holds_something_is_left_alone(export: Call, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, out, err = export("match", "--format", "vtt", "--out", str(tmp_path / "out"))
    assert (code, out) == (BadInput.exit_code, "")
    assert "out is not empty." in err
    assert "hint: choose another folder, or add --force" in err
    assert names(tmp_path / "out") == {"mine.txt"}
    assert export("match", "--format", "vtt", "--out", str(tmp_path / "out"), "--force")[0] == 0
    assert names(tmp_path / "out") == {"mine.txt", "markers.vtt"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "--format", "vtt"), "nobody has no report in "),
        (("match", "--format", "vtt", "--attempt", "x"), "match has no attempts 'x' of compile_report."),
        (("../match", "--format", "vtt"), "The job id '../match' is not allowed."),
    ],
)
def test_what_is_wrong_is_said_with_a_hint(export: Call, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = export(*arguments, "--out", str(tmp_path / "out"))
    assert (code, out) == (BadInput.exit_code, "")
    assert err.startswith(f"error: {said}")
    assert err.splitlines()[1].startswith("hint: ")


def test_a_file_in_place_of_the_folder_is_said(export: Call, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    code, _, err = export("match", "--format", "vtt", "--out", str(tmp_path / "out"))
    assert code == BadInput.exit_code
    assert "out cannot be written: File exists." in err


def test_a_folder_that_may_not_be_written_is_said(
    export: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    code, _, err = export("match", "--format", "vtt", "--out", str(tmp_path / "out"))
    assert code == BadInput.exit_code
    assert "out cannot be written: Permission denied." in err


def test_pruned_frames_are_said_with_the_way_out(
    export: Call, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made / "store", tmp_path / "store")
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(tmp_path / "store"))
    store = Store(str(tmp_path / "store"))
    extracted = StoredReport.of(store, "match").manifest.upstream["extract_frames"]
    store.remove_frames(AttemptRef("match", "extract_frames", extracted))
    code, _, err = export("match", "--format", "coco", "--out", str(tmp_path / "out"))
    assert code == Permanent.exit_code
    assert "are gone: retention has removed them" in err
    assert "or write only the labels with --no-images" in err
    assert names(tmp_path / "out") == set()
    assert export("match", "--format", "coco", "--no-images", "--out", str(tmp_path / "out"))[0] == 0


def test_a_video_that_is_another_one_now_leaves_nothing_behind(export: Call, made: Path, tmp_path: Path) -> None:
    whole = (made / "match.mp4").read_bytes()
    try:
        (made / "match.mp4").write_bytes(whole + b"\0")
        code, _, err = export("match", "--format", "mp4", "--out", str(tmp_path / "out"))
    finally:
        (made / "match.mp4").write_bytes(whole)
    assert code == BadInput.exit_code
    assert "is no longer the video that the report was made from." in err
    assert names(tmp_path / "out") == set()


def test_clips_of_all_exposures_or_of_one(export: Call, made: Path, tmp_path: Path) -> None:
    known = StoredReport.of(Store(str(made / "store")), "match").report.exposures["exposure_id"].to_pylist()
    assert export("match", "--format", "clip", "--out", str(tmp_path / "all"))[0] == 0
    assert names(tmp_path / "all") == {f"{exposure_id}.mp4" for exposure_id in known}
    assert export("match", "--format", "clip", "--exposure", known[0], "--out", str(tmp_path / "one"))[0] == 0
    assert names(tmp_path / "one") == {f"{known[0]}.mp4"}
    assert 0 < len(times(tmp_path / "one" / f"{known[0]}.mp4")) < len(times(made / "match.mp4"))


def test_a_report_without_exposures_has_no_clips_and_says_so(export: Call, made: Path, tmp_path: Path) -> None:
    with pipeline(made) as built:
        never = {"compile_report": {"min_exposure_s": 100.0}}
        built.runner.submit(str(made / "match.mp4"), job_id="none", overrides=never)
    code, _, err = export("none", "--format", "clip", "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert "note: the report has no exposure to cut out" in err
    assert names(tmp_path / "out") == set()


@pytest.mark.parametrize("exposure_id", ["0" * 16, "../match", ""])
def test_an_exposure_that_the_report_lacks_is_said(export: Call, tmp_path: Path, exposure_id: str) -> None:
    code, _, err = export("match", "--format", "clip", "--exposure", exposure_id, "--out", str(tmp_path / "out"))
    assert code == BadInput.exit_code
    assert f"The report has no exposure {exposure_id!r}." in err
    assert names(tmp_path) == {"dagster.yaml"}
