"""``evaluate`` as a user meets it: clips with scripted engines, and logos with a handful of icons."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import dagster as dg
import numpy as np
import pytest

from brand_detect.catalog import load_catalog
from brand_detect.domain.pipeline import CATALOG, Stage
from brand_detect.domain.settings import Settings
from brand_detect.engines import logo_embedder as logo_embedder
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.scoring import icons, recognizers
from brand_detect.evaluation.scoring.icons import Icon
from brand_detect.evaluation.scoring.labels import Half
from brand_detect.evaluation.scoring.lines import CERTAIN, Line, write_lines
from brand_detect.orchestration.lineage import latest
from brand_detect.orchestration.resources import Engines
from brand_detect.storage.store import Store
from brand_detect_tests.conftest import Ended
from brand_detect_tests.evaluation.scoring.test_score import truth_of
from brand_detect_tests.support.pipeline import (
    ScriptedDetector,
    ScriptedEmbedder,
    ScriptedReader,
    home_in,
    two_shot_clip,
)


def arrow(direction: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><path d="{direction}"/></svg>'


UP, BARS, CROSS = (
    "M20 2L38 38H2z",
    "M2 2h8v36h-8zM16 2h8v36h-8zM30 2h8v36h-8z",
    "M15 2h10v13h13v10h-13v13h-10v-13h-13v-10h13z",
)


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photographs with the mark of Acme on each."""
    made = [Icon("Acme", arrow(UP)), Icon("Brio", arrow(BARS)), Icon("Colt", arrow(CROSS))]
    monkeypatch.setattr(icons, "simple_icons", lambda: made)
    mark = icons.pictures_of(made[:1])[0][0]
    (tmp_path / "images").mkdir()
    listed = []
    for n, side in enumerate((60, 90)):
        picture = np.full((200, 300, 3), 200, np.uint8)
        picture[20 : 20 + side, 30 : 30 + side] = cv2.resize(mark, (side, side), interpolation=cv2.INTER_AREA)
        (tmp_path / "images" / f"{n}.jpg").write_bytes(OpenCvCodec().encode(picture, 90, 0))
        box = {"brand": "Acme", "x": 30, "y": 20, "w": side, "h": side}
        listed.append({"image": f"{n}.jpg", "width": 300, "height": 200, "boxes": [box]})
    (tmp_path / "annotations.json").write_text(json.dumps(listed))
    return tmp_path


@pytest.fixture(autouse=True)
def embedders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients under every name, and noise as marks that nobody knows."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 60, 3), np.uint8)
    monkeypatch.setattr(logo_embedder, "distractors", lambda: list(noise))
    monkeypatch.setattr(recognizers, "embedder_of", lambda name: recognizers.Embedder(name, recognizers.Gradients()))


def test_the_tables_of_the_networks_and_the_classical_one(photographs: Path, command_line: Callable[..., Ended]):
    code, out, _ = command_line("evaluate", "logos", str(photographs), "--json")
    assert code == 0
    recognition, *rest = json.loads(out)
    assert [s["title"] for s in rest][-1] == "Milliseconds a crop"
    found = {r["recognizer"]: r for r in recognition["rows"] if r["exemplars"] == "1 icon"}
    assert set(found) == {"logo_embedder", "gradients"}
    assert found["logo_embedder"] == {
        "recognizer": "logo_embedder",
        "exemplars": "1 icon",
        "brands in gallery": 3,
        "queries": 2,
        "top-1": 1,
        "top-5": 1,
    }


def test_embedders_by_name_more_icons_and_the_matchers_false_alarms(
    photographs: Path, tmp_path: Path, command_line: Callable[..., Ended]
):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "dove.svg").write_text(arrow("M2 2h36v20z"))
    options = ("--no-baselines", "--embedder", "one", "--embedder", "two", "--false-accept-rate", "0.05")
    code, out, _ = command_line("evaluate", "logos", str(photographs), "--icons", str(tmp_path / "more"), *options)
    assert code == 0
    assert "Matcher on one, false accept rate 5.00%" in out
    assert "Matcher on two" not in out
    code, out, _ = command_line(
        "evaluate", "logos", str(photographs), "--icons", str(tmp_path / "more"), *options, "--json"
    )
    rows = json.loads(out)[0]["rows"]
    assert {r["recognizer"] for r in rows} == {"one", "two"}
    assert max(r["brands in gallery"] for r in rows) == 4


def test_a_folder_without_annotations_is_bad_input(tmp_path: Path, command_line: Callable[..., Ended]):
    code, _, err = command_line("evaluate", "logos", str(tmp_path / "absent"))
    assert code == 3
    assert "annotations.json" in err


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """At home in ``tmp_path``, with scripted engines: a dark shot that reads ROLEX, a bright one ACME WIDGETS.

    Of two clips, the first has labels. ``lists`` adds Acme Widgets to the ``brands.yaml`` of the deployment.
    """
    detector, reader, embedder = ScriptedDetector(), ScriptedReader(), ScriptedEmbedder()
    engines = Engines(lambda *_: [detector], lambda _: embedder, text_reader=lambda _: reader)
    monkeypatch.setattr(Engines, "of", lambda _: engines)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home_in(tmp_path / "home")))
    monkeypatch.setenv("BRAND_DETECT_CATALOG", str(tmp_path / "brands.yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("brand_detect.cli.evaluate.out.width", 200)
    (tmp_path / "brands.yaml").write_text("- name: Rolex\n", encoding="utf-8")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "own.yaml").write_text("- name: Rolex\n", encoding="utf-8")
    (tmp_path / "lists" / "more.yaml").write_text("- name: Acme Widgets\n", encoding="utf-8")
    folder = tmp_path / "clips"
    folder.mkdir()
    two_shot_clip(folder / "match.mp4", seconds=2.0)
    two_shot_clip(folder / "other.mp4", seconds=3.0)
    entry = {"duration_s": 2.0, "clear": {"Rolex": {"intervals_s": [[0, 1]]}}, "note": "two shots"}
    gone = {"duration_s": 1.0, "hard": {"Kia": {}}}
    (folder / "labels.json").write_text(json.dumps({"match.mp4": entry, "gone.mp4": gone}), encoding="utf-8")
    return folder


def test_catalogues_are_scored_apart_over_the_same_readings(
    clips: Path, tmp_path: Path, command_line: Callable[..., Ended]
):
    options = ("--catalog", "lists", "--catalog", "brands.yaml", "--out", "look", "--json")
    code, out, err = command_line("evaluate", "clips", clips.name, *options)
    assert code == 0, err
    assert "labelled, but not there: gone.mp4" in err
    more, own = json.loads(out)
    assert [(e["catalog"], e["catalog_brands"], e["totals"]["found"]) for e in (more, own)] == [
        ("lists", 2, 1),
        ("brands.yaml", 1, 1),
    ]
    (acme,) = more["clips"][0]["unlisted"]
    assert acme["brand"] == "Acme Widgets"
    assert (acme["evidence"]["text"], acme["evidence"]["rule"]) == ("ACME WIDGETS", "exact")
    assert Path(acme["crop"]) == tmp_path / "look" / "1-lists" / "match.mp4-acme-widgets.jpg"
    assert cv2.imread(acme["crop"]) is not None
    assert own["clips"][0]["unlisted"] == []
    store = Store(Settings.load().store_root)
    job = next(job for job in store.jobs() if job.startswith("match"))
    assert [len(store.attempts(job, stage)) for stage in (Stage.run_ocr, Stage.match_brands)] == [1, 2]


def test_the_deployments_catalogue_is_the_latest_again(clips: Path, command_line: Callable[..., Ended]):
    code, out, err = command_line("evaluate", "clips", str(clips), "--catalog", "lists", "--half", "first", "--json")
    assert (code, [len(e["clips"]) for e in json.loads(out)]) == (0, [1]), err
    with dg.DagsterInstance.get() as instance:
        assert latest(instance, CATALOG, None) == load_catalog("brands.yaml").catalog.version


def test_the_tables_of_clips_and_of_two_runs(clips: Path, tmp_path: Path, command_line: Callable[..., Ended]):
    code, out, err = command_line("evaluate", "clips", str(clips))
    assert code == 0, err
    for words in (
        "match.mp4 (2.0 s)",
        "two shots",
        "1 of 1, 100 %",
        "other.mp4: no labels",
        "unlisted: they do not say",
    ):
        assert words in out
    (clips / "other.mp4").unlink()  # it has no labels to compare
    for name, catalog in (("before", "brands.yaml"), ("after", "lists")):
        _, out, _ = command_line("evaluate", "clips", str(clips), "--catalog", catalog, "--json")
        (tmp_path / f"{name}.json").write_text(out, encoding="utf-8")
    code, out, _ = command_line("evaluate", "compare", "before.json", "before.json")
    assert (code, "nothing gained, nothing lost" in out) == (0, True)
    code, out, err = command_line("evaluate", "compare", "before.json", "after.json")
    assert code == 0
    assert "the first run is with brands.yaml, the second with lists" in err
    assert "exact 'ACME WIDGETS' at" in out
    _, out, _ = command_line("evaluate", "compare", "before.json", "after.json", "--json")
    assert [(c["label"], c["brand"]) for c in json.loads(out)[0]["changes"]] == [("unlisted", "Acme Widgets")]


def test_a_half_without_clips_is_refused(clips: Path, command_line: Callable[..., Ended]):
    assert {Half.of(name) for name in ("match.mp4", "other.mp4")} == {Half.first}
    code, _, err = command_line("evaluate", "clips", str(clips), "--half", "second")
    assert code == 3
    assert "holds no video of the second half" in err


def test_a_generated_clip_is_scored_with_the_truth_beside_it(clips: Path, command_line: Callable[..., Ended]):
    (clips / "match.truth.json").write_text("".join(truth_of("Rolex", 0, 25).to_json()), encoding="utf-8")
    code, out, err = command_line("evaluate", "clips", str(clips / "match.mp4"), "--json", "--catalog", "lists")
    assert code == 0, err
    (clip,) = json.loads(out)[0]["clips"]
    assert [(b["brand"], b["found"]) for b in clip["brands"]] == [("Rolex", True)]
    assert ([b["brand"] for b in clip["false"]], clip["unlisted"]) == (["Acme Widgets"], []), "the truth is exhaustive"


def test_lines_of_a_file_are_named_again_and_kept(tmp_path: Path, command_line: Callable[..., Ended]):
    lines = tmp_path / "lines.csv"
    rolex, visa = ("t", "r", "ROLEX", 0.99, ("Rolex",)), ("u", "s", "VISA", 0.99, ())
    write_lines([Line("a.mp4", *line, CERTAIN) for line in (rolex, visa)], lines)
    code, out, _ = command_line("evaluate", "lines", str(lines), "--json", "--csv", str(tmp_path / "again.csv"))
    assert code == 0
    strings, _, both = json.loads(out)
    assert (strings["right"], strings["false"], strings["recall"]) == (1, 1, 1.0)
    assert (both["right"], both["false"]) == (1, 1)
    assert (tmp_path / "again.csv").read_text() == lines.read_text()
    code, _, err = command_line("evaluate", "lines", str(tmp_path / "none.csv"))
    assert code == 3
    assert "none.csv does not hold lines of text" in err


def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, command_line: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
):
    def refused(command: str, option: str, where: str, why: str) -> None:
        code, out, err = command_line("evaluate", command, str(tmp_path), option, str(tmp_path / where))
        assert (code, out) == (3, "")
        assert f"{where} cannot be written: {why}." in err

    two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    (tmp_path / "labels.json").write_text(json.dumps({"match.mp4": {"duration_s": 1, "clear": {"Rolex": {}}}}))
    monkeypatch.setattr("brand_detect.cli.evaluate.local_runner", None)
    monkeypatch.setattr("brand_detect.cli.evaluate.local_instance", None)
    (tmp_path / "made").mkdir()
    refused("lines", "--csv", "made", "Is a directory")
    refused("lines", "--csv", "nowhere/again.csv", "No such file or directory")
    refused("lines", "--csv", "labels.json/again.csv", "No such file or directory")
    refused("lines", "--csv", f"{'x' * 300}.csv", "File name too long")
    refused("clips", "--out", "labels.json", "File exists")
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    refused("lines", "--csv", "made/lines.csv", "Permission denied")
    refused("lines", "--csv", "labels.json", "Permission denied")
    refused("clips", "--out", "made", "Permission denied")


def test_a_full_disk_is_said(tmp_path: Path, command_line: Callable[..., Ended]):
    lines = tmp_path / "lines.csv"
    write_lines([Line("a.mp4", "t", "r", "ROLEX", 0.99, ("Rolex",), CERTAIN)], lines)
    code, _, err = command_line("evaluate", "lines", str(lines), "--csv", "/dev/full")
    assert code == 3
    assert "/dev/full cannot be written: No space left on device." in err


@pytest.mark.parametrize("what", ["text", "regions", "logos"])
def test_annotations_of_another_command_are_bad_input(what: str, tmp_path: Path, command_line: Callable[..., Ended]):
    (tmp_path / "annotations.json").write_text('[{"image": "1.jpg"}]', encoding="utf-8")
    code, out, err = command_line("evaluate", what, str(tmp_path))
    assert (code, out) == (3, "")
    assert "Field required." in err
    assert 'hint: the file has this shape: [{"image": "1.jpg"' in err


@pytest.mark.parametrize("what", ["clips", "lines"])
def test_a_folder_that_is_not_there_is_said_plainly(what: str, tmp_path: Path, command_line: Callable[..., Ended]):
    code, _, err = command_line("evaluate", what, str(tmp_path / "nosuch"))
    assert code == 3
    assert "There is no" in err
    assert "nosuch" in err


def test_lines_are_of_the_labelled_clips_that_are_there(tmp_path: Path, command_line: Callable[..., Ended]):
    (tmp_path / "labels.json").write_text(json.dumps({"gone.mp4": {"duration_s": 1, "clear": {"Rolex": {}}}}))
    code, _, err = command_line("evaluate", "lines", str(tmp_path))
    assert code == 3
    assert "labelled, but not there: gone.mp4" in err
    assert "holds no labelled video" in err
