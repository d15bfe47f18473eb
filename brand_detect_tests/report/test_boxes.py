"""Labelled pictures, read back by COCO's own reader and by hand."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pycocotools.coco import COCO

from brand_detect.domain.contracts.compile_report import DETECTIONS, Report
from brand_detect.domain.tables import table
from brand_detect.report import boxes
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.report_fakes import match, nothing, select_report


def labelled(payloads: dict[str, Any], report: Report | None = None) -> boxes.Labels:
    return boxes.labels(
        payloads["job_request"],
        payloads["extract_frames"].frames,
        payloads["filter_scenes"].timeline,
        payloads["detect_objects"].regions,
        report or payloads["compile_report"],
    )


def rejected(payloads: dict[str, Any]) -> Report:
    """The report with Itaú rejected by a person."""
    made = payloads["compile_report"]
    rows = made.detections.to_pylist()
    kept, gone = ([r for r in rows if (r["brand"] == "Itaú") is itau] for itau in (False, True))
    return replace(made, detections=table(DETECTIONS, kept), rejected=table(DETECTIONS, gone))


def read(document: dict[str, Any], folder: Path) -> Any:
    """The document through COCO's reader, whose types know none of the further fields."""
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return COCO(str(folder / "annotations.json"))


def test_pictures_are_the_kept_frames_with_size_and_time() -> None:
    found = labelled(match())
    assert [picture.frame for picture in found.pictures] == [i for i in range(20) if i not in (3, 12)]
    assert {(picture.width_px, picture.height_px) for picture in found.pictures} == {(640, 360)}
    assert found.pictures[-1].t_s == 9.5
    assert found.pictures[1].name == "match-0a1b2c3d-000001.jpg"


def test_coco_holds_every_detection_where_it_is(tmp_path: Path) -> None:
    payloads = match()
    found = read(boxes.coco(labelled(payloads), payloads["job_request"]), tmp_path)
    names = {c["id"]: c["name"] for c in found.loadCats(found.getCatIds())}
    assert set(names.values()) == {"Nike", "Itaú"}
    seen = {
        (found.loadImgs(a["image_id"])[0]["frame"], names[a["category_id"]], *a["bbox"])
        for a in found.loadAnns(found.getAnnIds())
    }
    assert seen == {
        *((i, "Nike", 40, 60, 120, 30) for i in (1, 2)),
        *((i, "Itaú", 300, 200, 90, 40) for i in (14, 15)),
    }
    [first, *_] = found.loadAnns(found.getAnnIds(imgIds=[2]))
    assert first["attributes"]["track_id"] == "a"
    assert first["attributes"]["confidence"] == first["score"] == 0.9
    assert first["attributes"]["visible_frac"] == 1.0
    assert (first["area"], first["iscrowd"]) == (3600, 0)


def test_what_a_person_rejected_is_no_box(tmp_path: Path) -> None:
    payloads = match()
    found = labelled(payloads, rejected(payloads))
    document = boxes.coco(found, payloads["job_request"])
    reader = read(document, tmp_path)
    assert len(reader.getAnnIds()) == 2
    assert len(reader.getImgIds()) == 18
    assert [r["bbox"] for r in document["rejected"]] == [[300, 200, 90, 40]] * 2
    files = boxes.yolo(found)
    assert files["labels/match-0a1b2c3d-000014.txt"] == ""
    tasks = boxes.label_studio(found, payloads["job_request"], "1", "")
    assert [task["data"]["rejected"] for task in tasks if task["data"]["frame"] == 14] == [["Itaú"]]
    assert sum(len(task["predictions"][0]["result"]) for task in tasks) == 2


def test_a_mark_that_the_kept_frame_hides_is_no_box_on_it() -> None:
    frames = p.frames(6, size=(640, 360))
    scenes = p.scenes(frames, dropped={3: 2})
    hidden, shown = p.region(2, "a", seen_on=[3]), p.region(4, "a")
    detected = p.detected([hidden, shown], scenes)
    made = select_report(p.request(), frames, scenes, detected, p.verdicts([p.verdict("Nike", ["a"])]))
    found = boxes.labels(p.request(), frames.frames, scenes.timeline, detected.regions, made)
    assert found.n_hidden == 1
    assert {picture.frame: len(picture.boxes) for picture in found.pictures} == {0: 0, 1: 0, 2: 0, 4: 1, 5: 0}


def test_yolo_gives_centres_as_shares_and_an_empty_file_per_negative() -> None:
    found = labelled(match())
    files = boxes.yolo(found)
    about = yaml.safe_load(files["data.yaml"])
    assert about["names"] == {0: "Itaú", 1: "Nike"}
    assert (about["nc"], about["train"], about["val"]) == (2, "images", "images")
    assert "path" not in about, "Ultralytics would take . for the folder where it is started"
    assert len(files) == 1 + len(found.pictures)
    assert files["labels/match-0a1b2c3d-000000.txt"] == ""
    number, x, y, w, h = files["labels/match-0a1b2c3d-000001.txt"].split()
    assert number == "1"
    assert [float(v) for v in (x, y, w, h)] == pytest.approx([100 / 640, 75 / 360, 120 / 640, 30 / 360], abs=1e-6)


def test_label_studio_gives_predictions_in_percent() -> None:
    payloads = match()
    found = labelled(payloads)
    tasks = boxes.label_studio(found, payloads["job_request"], "brand_detect run-1-0", "/data/local-files/?d=m/")
    assert tasks[0]["predictions"][0]["result"] == []
    task = tasks[1]
    assert task["data"]["image"] == "/data/local-files/?d=m/match-0a1b2c3d-000001.jpg"
    [rectangle] = task["predictions"][0]["result"]
    assert task["predictions"][0]["score"] == rectangle["score"] == 0.9
    assert rectangle["value"]["rectanglelabels"] == ["Nike"]
    assert rectangle["value"]["x"] == pytest.approx(6.25)
    assert "text: Nike" in rectangle["meta"]["text"]
    assert not [said for said in rectangle["meta"]["text"] if said.startswith("placement")]  # "other" says nothing
    assert rectangle["value"]["height"] == pytest.approx(100 * 30 / 360, abs=1e-3)
    config = ET.fromstring(boxes.label_config(found.brands))
    assert [label.get("value") for label in config.iter("Label")] == ["Itaú", "Nike"]
    assert {config[1].get("name"), config[1].get("toName")} == {rectangle["from_name"], rectangle["to_name"]}


@pytest.mark.parametrize("name", ['"><script>', "a: {b}\n- c", "\u202eevil\x00", "=cmd()", "x" * 10_000])
def test_names_stay_names(name: str, tmp_path: Path) -> None:
    payloads = match(nike=name)
    found = labelled(payloads)
    shown = " ".join(name.replace("\u202e", "").replace("\x00", "").split())
    document = json.loads(json.dumps(boxes.coco(found, payloads["job_request"])))
    assert shown in {c["name"] for c in read(document, tmp_path).cats.values()}
    assert shown in yaml.safe_load(boxes.yolo(found)["data.yaml"])["names"].values()
    assert shown in {label.get("value") for label in ET.fromstring(boxes.label_config(found.brands)).iter("Label")}


def test_a_report_without_brands_is_all_negatives(tmp_path: Path) -> None:
    payloads = nothing()
    found = labelled(payloads)
    reader = read(boxes.coco(found, payloads["job_request"]), tmp_path)
    assert (len(reader.getImgIds()), reader.getAnnIds()) == (20, [])
    assert yaml.safe_load(boxes.yolo(found)["data.yaml"])["names"] == {}
