"""A brand that is added with one picture: found by a replay, and nothing but that picture is looked at."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brand_detect.catalog import load_catalog
from brand_detect.catalog.exemplars import exemplar_of
from brand_detect.catalog.gallery import Entry
from brand_detect.domain.catalog import EXEMPLAR_EMBEDDINGS
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.errors import Permanent
from brand_detect.domain.tables import table
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder, distractors
from brand_detect.orchestration import gallery
from brand_detect.orchestration.assets import OTHER_EMBEDDER
from brand_detect.orchestration.gallery import load_gallery
from brand_detect.orchestration.resources import Services
from brand_detect.stages.match_brands.logos import PACKAGED as OF_PACKAGED
from brand_detect.stages.match_brands.match import NO_LOOKS
from brand_detect_tests.support import logos
from brand_detect_tests.support.pipeline import (
    LogoDetector,
    ScriptedDetector,
    ScriptedEmbedder,
    clip_of_logo,
    pipeline,
    silent,
)

NONE = 3 * 512  # pictures of no mark, in the package
PLAIN = "brands:\n  - name: Rolex\n"
WITH_LOGO = PLAIN + "  - name: Stairs\n    logos: [stairs.svg]\n"
PACKAGED = WITH_LOGO + "    packaged: true\n"


def services(folder: Path, text: str, **files: bytes) -> tuple[Services, ScriptedEmbedder]:
    """Services with the brand list ``text`` and pictures beside it, its snapshot taken; and what embedded its logos."""
    names = {name.replace("_", "."): data for name, data in files.items()}
    logos.write(folder, {"brands.yaml": text, **names})
    with pipeline(folder) as built:
        built.runner.refresh_catalog()
        return built.services, built.embedder


def loaded(given: Services, embedder: ScriptedEmbedder, identity: str = "scripted embedder"):
    read = given.read_catalog().catalog
    return load_gallery(given.store, read, identity, lambda: embedder, given.engines.artwork(), silent)


def test_without_logos_there_is_no_gallery(tmp_path: Path):
    given, embedder = services(tmp_path, PLAIN)
    assert loaded(given, embedder) is None
    assert embedder.crops == 0


def test_vectors_are_made_once_with_the_snapshot_and_no_job_makes_them(tmp_path: Path):
    given, with_snapshot = services(tmp_path, WITH_LOGO, stairs_svg=logos.svg("stairs"))
    assert with_snapshot.crops == NONE + 2  # pictures of no mark, and the logo on light and dark
    embedder = ScriptedEmbedder()
    assert loaded(given, embedder) is not None
    assert embedder.crops == 0


def test_vectors_of_another_embedder_are_made_once_by_the_first_job_that_has_it(tmp_path: Path):
    given, _ = services(tmp_path, WITH_LOGO, stairs_svg=logos.svg("stairs"))
    other = ScriptedEmbedder(identity="another embedder")
    assert loaded(given, other, other.identity) is not None
    assert loaded(given, other, other.identity) is not None
    assert other.crops == NONE + 2


def test_making_vectors_says_how_far_it_is(tmp_path: Path):
    given, _ = services(tmp_path, WITH_LOGO, stairs_svg=logos.svg("stairs"))
    told: list[tuple[float, float, str]] = []
    other = ScriptedEmbedder(identity="another embedder")
    read = given.read_catalog().catalog

    def progress(done: float, total: float, unit: str) -> None:
        told.append((done, total, unit))

    load_gallery(given.store, read, other.identity, lambda: other, given.engines.artwork(), progress)
    total = NONE + 1
    assert {(of, unit) for _, of, unit in told} == {(total, "pictures of the catalogue")}
    assert [done for done, _, _ in told] == [0, *range(gallery.BATCH, total, gallery.BATCH), total]


def test_a_new_edition_of_the_views_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given, _ = services(tmp_path, WITH_LOGO, stairs_svg=logos.svg("stairs"))
    embedder = ScriptedEmbedder()
    monkeypatch.setattr(gallery, "EDITION", gallery.EDITION + 1)
    loaded(given, embedder)
    assert embedder.crops == NONE + 2


def test_a_further_brand_costs_its_own_pictures(tmp_path: Path):
    services(tmp_path, WITH_LOGO, stairs_svg=logos.svg("stairs"))
    more = WITH_LOGO + "  - name: Cross\n    logos: [cross.svg]\n"
    _, embedder = services(tmp_path, more, stairs_svg=logos.svg("stairs"), cross_svg=logos.svg("cross"))
    assert embedder.crops == 2


def test_another_embedder_than_that_of_the_job_is_refused(tmp_path: Path):
    given, _ = services(tmp_path, WITH_LOGO, stairs_svg=logos.svg("stairs"))
    with pytest.raises(
        Permanent, match="from an older embedder, but the embedder here is scripted embedder"
    ) as refused:
        loaded(given, ScriptedEmbedder(), "an older embedder")
    assert refused.value.hint == "re-materialize detect_objects"


def ship(file: Path, *pictures: bytes) -> Path:
    """Embeddings of these pictures and of a distractor, as the package has them, by the scripted embedder."""
    ids = [gallery.UNKNOWN, *(exemplar_of(picture, "svg").exemplar_id for picture in pictures)]
    size = ScriptedEmbedder().dimensions
    rows = ({"exemplar_id": i, "embedding": np.ones(size, np.float16)} for i in ids)
    maker = gallery.maker_of(ScriptedEmbedder().identity)
    pq.write_table(table(EXEMPLAR_EMBEDDINGS, rows).replace_schema_metadata({"maker": maker}), file)
    return file


def test_logos_in_the_package_are_not_embedded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gallery, "SHIPPED", ship(tmp_path / "shipped.parquet", logos.svg("stairs")))
    more = WITH_LOGO + "  - name: Cross\n    logos: [cross.svg]\n"
    _, embedder = services(tmp_path, more, stairs_svg=logos.svg("stairs"), cross_svg=logos.svg("cross"))
    assert embedder.crops == 2  # the cross


def test_packaged_logos_are_told_from_given_ones_by_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gallery, "SHIPPED", ship(tmp_path / "shipped.parquet", logos.svg("cross")))
    listed: list[Entry] = []
    monkeypatch.setattr(gallery, "Gallery", lambda _embedder, entries, *_vectors: listed.extend(entries))
    more = PACKAGED + "  - name: Cross\n    logos: [cross.svg]\n"
    loaded(*services(tmp_path, more, stairs_svg=logos.svg("stairs"), cross_svg=logos.svg("cross")))
    assert {(e.brand, e.is_packaged) for e in listed} == {("Stairs", True), ("Cross", False)}


def test_drawings_are_embedded_as_drawings_and_photographs_as_crops(tmp_path: Path):
    more = WITH_LOGO + "  - name: Bar\n    logos: [bar.png]\n"
    _, embedder = services(tmp_path, more, stairs_svg=logos.svg("stairs"), bar_png=logos.pixels())
    assert embedder.drawings == 2
    assert embedder.crops == NONE + 2 + 5  # a photograph has five views


def test_a_job_of_an_older_release_is_matched_without_packaged_logos_and_says_so(tmp_path: Path):
    logos.write(tmp_path, {"brands.yaml": PLAIN})
    with pipeline(tmp_path, region_detectors=lambda *_: [LogoDetector()]) as built:
        built.runner.submit(str(clip_of_logo(tmp_path / "match.mp4", "stairs")), job_id="match")
        built.embedder.identity = "a newer embedder"
        logos.write(tmp_path, {"brands.yaml": PACKAGED, "stairs.svg": logos.svg("stairs")})
        found = built.runner.replay("match", "match_brands").load("match_brands")
        off = built.runner.replay("match", "match_brands", {"match_brands": {"max_false_accept_rate": 0.0}})
    assert isinstance(found, BrandVerdicts)
    assert (found.verdicts.num_rows, found.notes) == (0, (NO_LOOKS, OTHER_EMBEDDER))
    assert off.load("match_brands").notes == (NO_LOOKS,)


@pytest.mark.parametrize("more", ["", "  - name: Cross\n    logos: [cross.svg]\n"])
def test_a_list_with_a_logo_of_the_users_own_is_not_matched_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str
):
    listed = PACKAGED + more if more else WITH_LOGO
    monkeypatch.setattr(gallery, "SHIPPED", ship(tmp_path / "shipped.parquet", logos.svg("stairs")))
    given, _ = services(tmp_path, listed, stairs_svg=logos.svg("stairs"), cross_svg=logos.svg("cross"))
    with pytest.raises(Permanent, match="from an older embedder"):
        loaded(given, ScriptedEmbedder(), "an older embedder")


def test_a_brand_added_with_one_picture_is_found_by_a_replay(tmp_path: Path):
    detector = LogoDetector()
    logos.write(tmp_path, {"brands.yaml": PLAIN})
    with pipeline(tmp_path, region_detectors=lambda *_: [detector]) as built:
        first = built.runner.submit(str(clip_of_logo(tmp_path / "match.mp4", "stairs")), job_id="match")
        found = first.load("detect_objects")
        assert isinstance(found, DetectedObjects)
        assert found.embedder == "scripted embedder"
        assert set(found.embeddings["track_id"].to_pylist()) == set(found.tracks["track_id"].to_pylist())
        before = first.load("match_brands")
        assert isinstance(before, BrandVerdicts)
        assert before.verdicts.num_rows == 0
        assert before.unresolved.num_rows == 1
        looked, encoded = detector.calls, built.embedder.crops

        logos.write(tmp_path, {"brands.yaml": WITH_LOGO, "stairs.svg": logos.svg("stairs")})
        second = built.runner.replay("match", "match_brands", {})
        after = second.load("match_brands")
        assert isinstance(after, BrandVerdicts)
        [verdict] = after.verdicts.to_pylist()
        [stairs] = [b for b in built.services.read_catalog().catalog.brands if b.name == "Stairs"]
        assert (verdict["brand"], verdict["rule"]) == ("Stairs", "logo_match")
        assert verdict["matched"] == stairs.exemplars[0].exemplar_id
        assert verdict["model"] == "scripted embedder"
        assert after.unresolved.num_rows == 0
        assert detector.calls == looked
        assert built.embedder.crops - encoded == NONE + 2

        other = built.runner.replay("match", "match_brands", {"match_brands": {"max_false_accept_rate": 0.0}})
        off = other.load("match_brands")
        assert isinstance(off, BrandVerdicts)
        assert off.verdicts.num_rows == 0


def test_another_mark_is_not_taken_for_it(tmp_path: Path):
    logos.write(tmp_path, {"brands.yaml": WITH_LOGO, "stairs.svg": logos.svg("stairs")})
    with pipeline(tmp_path, region_detectors=lambda *_: [LogoDetector()]) as built:
        run = built.runner.submit(str(clip_of_logo(tmp_path / "match.mp4", "cross")), job_id="match")
        found = run.load("match_brands")
        assert isinstance(found, BrandVerdicts)
        assert (found.verdicts.num_rows, found.unresolved.num_rows) == (0, 1)


def test_a_logo_that_is_not_in_the_video_changes_no_figure_of_another_brand(tmp_path: Path):
    detectors = [LogoDetector(), ScriptedDetector()]  # a mark, and ROLEX beside it
    with pipeline(tmp_path, region_detectors=lambda *_: detectors) as built:
        before = built.runner.submit(str(clip_of_logo(tmp_path / "match.mp4", "cross")), job_id="match").load(
            "compile_report"
        )
        logos.write(tmp_path, {"brands.yaml": WITH_LOGO, "stairs.svg": logos.svg("stairs")})
        after = built.runner.replay("match", "match_brands").load("compile_report")
    assert isinstance(before, Report)
    assert isinstance(after, Report)
    assert before.brands["brand"].to_pylist() == ["Rolex"]
    assert after.brands.equals(before.brands)
    assert after.unresolved.num_rows == 1
    assert after.unresolved["candidates"].to_pylist() == [[]]


def test_with_the_embedder_off_nothing_is_encoded(tmp_path: Path):
    logos.write(tmp_path, {"brands.yaml": WITH_LOGO, "stairs.svg": logos.svg("stairs")})
    with pipeline(tmp_path, region_detectors=lambda *_: [LogoDetector()], logo_embedder=lambda _: None) as built:
        run = built.runner.submit(str(clip_of_logo(tmp_path / "match.mp4", "stairs")), job_id="match")
        found, matched = run.load("detect_objects"), run.load("match_brands")
        assert isinstance(found, DetectedObjects)
        assert isinstance(matched, BrandVerdicts)
        assert (found.embedder, found.embeddings.num_rows, matched.verdicts.num_rows) == ("", 0, 0)
        assert any("The embedder is off" in note for note in found.notes)


def test_the_package_has_the_embeddings_of_its_own_logos():
    brands = load_catalog().catalog.brands
    listed = {exemplar.exemplar_id for brand in brands for exemplar in brand.exemplars}
    embedded = gallery.shipped(gallery.maker_of(BuiltInLogoEmbedder().identity))
    assert embedded is not None, "the embedder or the views have changed: make starter-logos"
    assert set(embedded["exemplar_id"].to_pylist()) == {*listed, gallery.UNKNOWN}
    assert embedded["exemplar_id"].to_pylist().count(gallery.UNKNOWN) == NONE


@pytest.mark.parametrize(
    ("centres", "is_olympic"),
    [
        ([(0, 0), (24, 0), (48, 0), (12, 11), (36, 11)], True),
        ([(0, 0), (24, 0), (48, 0)], False),
        ([(0, 5), (12, 5), (24, 5), (36, 5), (48, 5)], False),
    ],
)
def test_five_rings_on_a_wall_are_the_olympic_ones_and_others_are_not(
    tmp_path: Path, centres: list[tuple[int, int]], is_olympic: bool
):
    wall = np.full((280, 576, 3), (40, 30, 60), np.uint8)
    for x, y in centres:
        cv2.circle(wall, (8 * x + 96, 8 * y + 96), 80, (235, 235, 235), 19, cv2.LINE_AA)
    crop = cv2.GaussianBlur(cv2.resize(wall, (72, 35), interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    embedder, (given, _) = BuiltInLogoEmbedder(), services(tmp_path, PLAIN)
    packaged = gallery.known_gallery(given.store, load_catalog().catalog, embedder.identity)
    assert packaged is not None
    limit = OF_PACKAGED * MatchBrandsParams.model_validate({}).max_false_accept_rate
    vectors = embedder.encode([np.asarray(crop, np.uint8)])
    [found] = packaged.recognise(vectors, np.zeros(1, int), max_false_accept_rate=limit)
    assert [one.brand for one in found] == (["Olympics"] if is_olympic else [])


def test_the_package_s_embeddings_are_as_made_now():
    """What is no part of their maker's identity counts too: how pictures are drawn and weighed."""
    packaged, embedder = load_catalog(), BuiltInLogoEmbedder()
    some = [exemplar for brand in packaged.catalog.brands for exemplar in brand.exemplars][::100]
    made = gallery.embeddings_of(
        some, packaged.picture, embedder, VectorAndPixelArtwork(), silent, with_distractors=False
    )
    kept = gallery.shipped(gallery.maker_of(embedder.identity))
    assert kept is not None
    assert len(some) == 3

    def of(vectors: pa.Table, exemplar_id: str) -> np.ndarray:
        rows = zip(*(vectors[column].to_pylist() for column in ("exemplar_id", "embedding")), strict=True)
        return np.array([vector for i, vector in rows if i == exemplar_id], np.float32)

    for exemplar in some:
        assert of(made, exemplar.exemplar_id) == pytest.approx(of(kept, exemplar.exemplar_id), abs=0.004)
    tiles = embedder.encode(distractors()[::700])
    assert of(kept, gallery.UNKNOWN)[::700] == pytest.approx(tiles, abs=0.004)
