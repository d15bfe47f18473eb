"""Marks among texts: which verdicts they get, and which look-alikes become one cluster."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.verdicts import Cluster
from brand_detect.domain.protocols import Likeness
from brand_detect.domain.tables import table
from brand_detect.stages.match_brands.logos import cluster_likenesses
from brand_detect.stages.match_brands.match import match_brands
from brand_detect.stages.regions import RegionColumns
from brand_detect_tests.support.payloads import cluster, detected, frames, region, scenes, text, texts

INDEX = LexiconIndex(parse_catalog(b"[Rolex, Emirates, Adidas]", "b.yaml"))
SCENES = scenes(frames(20))


class Gallery:
    """Takes the place of the largest value of a vector for a brand, its size for how unlikely a false accept is."""

    embedder = "scripted"

    def recognise(self, vectors, track, *, best=5, max_false_accept_rate=1.0):
        assert best >= 1
        found = [[] for _ in range(int(track.max()) + 1 if len(track) else 0)]
        for vector, t in zip(vectors, track, strict=True):
            place = int(vector.argmax())
            brand = ("Rolex", "Emirates", "Adidas")[place]
            alarms = float(np.float32(1) - vector[place])
            if alarms <= max_false_accept_rate:
                found[t] = [Likeness(brand.lower(), brand, f"e{place}", 1.0, alarms, max(0.0, 0.9 - 10 * alarms))]
        return found


def looks(**tracks):
    """TRACK_EMBEDDINGS: by track, the brand it looks like (0, 1, 2) and the false accept rate at that likeness."""
    return table(
        TRACK_EMBEDDINGS,
        [
            {
                "track_id": t,
                "region_id": f"r-{t}",
                "frame": 0,
                "embedding": np.eye(3, dtype=np.float16)[b] * np.float16(1 - a),
            }
            for t, (b, a) in tracks.items()
        ],
    )


def match(regions, said=None, gallery=None, embeddings=None, **params):
    found = replace(
        detected(regions, SCENES), embeddings=looks() if embeddings is None else embeddings, embedder="scripted"
    )
    rows = [text(track, words) for track, words in (said or {}).items()]
    return match_brands(
        SCENES, found, texts(rows), MatchBrandsParams(**params), index=INDEX, gallery=gallery or Gallery()
    )


def verdicts(result):
    return {tuple(v["track_ids"]): (v["brand"], v["rule"]) for v in result.verdicts.to_pylist()}


def logo(frame, track, box=(100, 100, 80, 80)):
    return region(frame, track, box=box, kind="logo")


def test_a_mark_that_looks_like_a_brand_is_it_and_says_by_which_exemplar():
    result = match([logo(0, "a")], embeddings=looks(a=(2, 0.0)))
    [row] = result.verdicts.to_pylist()
    assert (row["brand"], row["rule"], row["matched"], row["model"]) == ("Adidas", "logo_match", "e2", "scripted")
    assert (row["confidence"], row["decided_by"]) == (pytest.approx(0.9), "match_brands")
    assert result.unresolved.num_rows == 0
    assert result.stats["resolved"] == 1


def test_a_mark_that_is_not_like_enough_stays_open():
    result = match([logo(f, "a") for f in range(8)], embeddings=looks(a=(2, 0.05)))
    assert verdicts(result) == {}
    assert [u["track_ids"] for u in result.unresolved.to_pylist()] == [["a"]]
    assert verdicts(match([logo(0, "a")], embeddings=looks(a=(2, 0.05)), max_false_accept_rate=0.06)) == {
        ("a",): ("Adidas", "logo_match")
    }


def test_a_mark_that_is_nowhere_large_enough_is_not_named():
    small, large = (logo(f, "a", (100, 100, side, 200)) for f, side in ((0, 15), (1, 32)))
    assert verdicts(match([small], embeddings=looks(a=(2, 0.0)))) == {}
    assert verdicts(match([small, large], embeddings=looks(a=(2, 0.0)))) == {("a",): ("Adidas", "logo_match")}
    assert verdicts(match([small], embeddings=looks(a=(2, 0.0)), min_logo_match_px=30)) != {}


def test_a_small_mark_asks_for_a_tenth_of_the_false_accepts():
    small, large = (logo(0, "a", (100, 100, side, 200)) for side in (31, 32))
    for looking, named in ((looks(a=(2, 0.004)), False), (looks(a=(2, 0.0)), True)):
        assert (("a",) in verdicts(match([small], embeddings=looking))) == named
        assert ("a",) in verdicts(match([large], embeddings=looking))


def test_a_brand_of_packaged_logos_alone_asks_for_a_fifth_of_the_false_accepts_unless_it_is_named():
    class Packaged(Gallery):
        def recognise(self, vectors, track, **limits):
            found = super().recognise(vectors, track, **limits)
            return [[replace(best, by_packaged=True) for best in of] for of in found]

    unsure, sure = looks(a=(2, 0.004)), looks(a=(2, 0.0))
    assert ("a",) in verdicts(match([logo(0, "a")], embeddings=unsure))
    assert ("a",) not in verdicts(match([logo(0, "a")], gallery=Packaged(), embeddings=unsure))
    assert ("a",) in verdicts(match([logo(0, "a")], gallery=Packaged(), embeddings=sure))
    elsewhere = [logo(0, "a"), region(9, "t")]
    assert ("a",) in verdicts(match(elsewhere, {"t": "ADIDAS"}, gallery=Packaged(), embeddings=unsure))
    assert ("a",) not in verdicts(match(elsewhere, {"t": "ROLEX"}, gallery=Packaged(), embeddings=unsure))
    of_a_seventh, small = looks(a=(2, 0.001)), logo(0, "a", (100, 100, 31, 200))
    assert ("a",) in verdicts(match([logo(0, "a")], gallery=Packaged(), embeddings=of_a_seventh))
    assert ("a",) not in verdicts(match([small], gallery=Packaged(), embeddings=of_a_seventh)), "a tenth if it is small"


def test_what_a_text_settles_is_not_asked_about():
    result = match([region(0, "a")], {"a": "ROLEX"}, embeddings=looks(a=(2, 0.0)))
    assert verdicts(result) == {("a",): ("Rolex", "exact")}


def test_a_name_inside_a_mark_speaks_for_it():
    inside, outside = region(0, "t", box=(110, 150, 60, 20)), region(0, "t", box=(400, 150, 60, 20))
    marks = looks(a=(2, 0.05))
    assert verdicts(match([logo(0, "a"), inside], {"t": "ADIDAS"}, embeddings=marks))[("a",)] == (
        "Adidas",
        "logo_match",
    )
    assert ("a",) not in verdicts(match([logo(0, "a"), outside], {"t": "ADIDAS"}, embeddings=marks))


def test_another_name_inside_a_mark_speaks_against_it():
    inside = region(0, "t", box=(110, 150, 60, 20))
    result = match([logo(0, "a"), inside], {"t": "ROLEX"}, embeddings=looks(a=(2, 0.0)))
    assert verdicts(result) == {("t",): ("Rolex", "exact")}


@pytest.mark.parametrize(
    ("box", "near"),
    [((250, 130, 60, 20), True), ((270, 130, 60, 20), False), ((110, 250, 60, 20), True), ((110, 270, 60, 20), False)],
)
def test_a_name_right_beside_or_below_a_mark_is_its_own(box, near):
    result = match([logo(0, "a"), region(0, "t", box=box)], {"t": "ROLEX"}, embeddings=looks(a=(2, 0.0)))
    assert (("a",) not in verdicts(result)) == near


def test_a_name_that_covers_a_mark_outweighs_one_beside_it():
    inside = region(0, "t", box=(90, 110, 300, 60))  # the mark is a letter of this word
    beside = region(0, "u", box=(100, 182, 80, 20))
    said = {"t": "EMIRATES", "u": "ADIDAS"}
    assert ("a",) not in verdicts(match([logo(0, "a"), inside, beside], said, embeddings=looks(a=(2, 0.0))))
    assert ("a",) in verdicts(match([logo(0, "a"), beside], said, embeddings=looks(a=(2, 0.0))))


def test_a_mark_that_was_taken_for_a_line_of_text_belongs_to_the_name_beside_it_too():
    regions = [region(0, "a", box=(100, 100, 80, 80)), region(0, "t", box=(190, 130, 60, 20))]
    assert ("a",) not in verdicts(match(regions, {"t": "ROLEX"}, embeddings=looks(a=(2, 0.0))))


def test_of_marks_in_each_other_the_surer_one_counts():
    regions = [logo(0, "eye"), logo(0, "pupil", (120, 120, 40, 40)), logo(0, "far", (400, 120, 40, 40))]
    marks = looks(eye=(0, 0.0), pupil=(2, 0.005), far=(2, 0.005))
    assert verdicts(match(regions, embeddings=marks)) == {
        ("eye",): ("Rolex", "logo_match"),
        ("far",): ("Adidas", "logo_match"),
    }
    marks = looks(eye=(0, 0.005), pupil=(2, 0.0), far=(0, 0.0))
    assert ("eye",) not in verdicts(match(regions, embeddings=marks))


def test_a_blurred_mark_is_not_named():
    blurred = logo(0, "a") | {"sharpness": 20.0}
    assert verdicts(match([blurred], embeddings=looks(a=(2, 0.0)))) == {}


def test_a_name_that_only_passes_through_a_mark_says_nothing_of_it():
    regions = [logo(f, "a") for f in range(5)]
    regions += [region(f, "t", box=(110 if f == 0 else 400, 150, 60, 20)) for f in range(5)]
    assert ("a",) in verdicts(match(regions, {"t": "ROLEX"}, embeddings=looks(a=(2, 0.0))))


@pytest.mark.parametrize(("read", "found"), [("adldos", True), ("", True), ("7", True), ("SUMMER SALE", False)])
def test_a_text_that_reads_otherwise_is_no_word_mark(read, found):
    said = {"a": read} if read else {}
    result = match([region(0, "a")], said, embeddings=looks(a=(2, 0.0)))
    assert (("a",) in verdicts(result)) == found


def test_without_a_gallery_marks_stay_open():
    found = replace(
        detected([logo(f, "a") for f in range(8)], SCENES), embeddings=looks(a=(2, 0.0)), embedder="scripted"
    )
    result = match_brands(SCENES, found, texts([]), MatchBrandsParams.model_validate({}), index=INDEX)
    assert (result.verdicts.num_rows, result.unresolved.num_rows) == (0, 1)


def test_unknown_marks_that_look_alike_are_one_cluster():
    regions = [logo(f, t, (x, 100, 80, 80)) | {"crop_hash": h} for f in range(8) for t, x, h in
               (("a", 100, 0), ("b", 400, 2**64 - 1), ("c", 700, 2**32 - 1))]  # fmt: skip
    vectors = {"a": [1, 0, 0], "b": [0.98, 0.2, 0], "c": [0, 0, 1]}
    rows = [
        {"track_id": t, "region_id": f"r-{t}", "frame": 0, "embedding": np.array(v, np.float16)}
        for t, v in vectors.items()
    ]

    class Nothing(Gallery):
        def recognise(self, vectors, track, **limits):
            return [[] for _ in super().recognise(vectors, track, **limits)]

    result = match(regions, gallery=Nothing(), embeddings=table(TRACK_EMBEDDINGS, rows))
    assert sorted(u["track_ids"] for u in result.unresolved.to_pylist()) == [["a", "b"], ["c"]]


# what a cluster resembles


def resembles(result):
    return {tuple(c["track_ids"]): c["candidates"] for c in result.unresolved.to_pylist()}


def test_a_cluster_has_the_brands_that_its_marks_look_like_and_its_text_reads_like():
    regions = [
        logo(0, "look", (100, 100, 80, 80)),
        region(1, "text", (400, 300, 200, 40)),
        logo(2, "both", (900, 100, 80, 80)),
        logo(3, "neither", (1200, 600, 80, 80)) | {"crop_hash": 2**64 - 1},
    ]
    marks = looks(look=(0, 0.02), both=(2, 0.03), neither=(1, 0.2))
    said = {"text": "EMIRAT", "both": "ADIDXX"}
    result = match(regions, said, embeddings=marks, min_unresolved_logo_s=0.0)
    assert resembles(result) == {
        ("look",): ["Rolex"],
        ("text",): ["Emirates"],
        ("both",): ["Adidas"],
        ("neither",): [],
    }


def test_what_is_rather_not_the_brand_resembles_nothing():
    regions = [logo(f, "a") for f in range(8)]
    assert resembles(match(regions, embeddings=looks(a=(2, 0.03)))) == {("a",): ["Adidas"]}
    assert resembles(match(regions, embeddings=looks(a=(2, 0.05)))) == {("a",): []}


@pytest.mark.parametrize("text", ["SUMMER SALE", "Shapovalov"])
def test_words_that_read_otherwise_resemble_no_logo(text):
    regions = [region(f, "a") for f in range(8)]
    assert resembles(match(regions, {"a": text}, embeddings=looks(a=(2, 0.0)))) == {("a",): []}


def test_what_is_nowhere_sharp_and_large_enough_resembles_no_logo():
    for blurred in ({"sharpness": 20.0}, {"w_px": 20.0}):
        regions = [logo(f, "a") | blurred for f in range(8)]
        assert resembles(match(regions, embeddings=looks(a=(2, 0.004)))) == {("a",): []}


def test_look_alikes_are_of_all_tracks_of_a_cluster_best_first():
    class Several(Gallery):
        """Likes every track to two brands, as much as its vectors say in the mean."""

        def recognise(self, vectors, track, *, best=5, **_):
            found = []
            for t in range(int(track.max()) + 1):
                mean = vectors[track == t].mean(axis=0)
                order = np.argsort(-mean)[: min(best, 2)]
                found.append([Likeness(f"b{i}", f"B{i}", "e", 1.0, 0.02, float(mean[i])) for i in order])
            return found

    regions = [logo(0, "a"), logo(1, "b"), logo(2, "c"), logo(3, "d"), logo(4, "both")]
    both = {"track_id": "both", "region_id": "r-both", "frame": 4, "embedding": np.array([0.6, 0.7, 0.1], np.float16)}
    embeddings = pa.concat_tables([looks(a=(0, 0.0), b=(0, 0.2), c=(2, 0.1)), table(TRACK_EMBEDDINGS, [both])])
    found = replace(detected(regions, SCENES), embeddings=embeddings, embedder="scripted")
    columns = RegionColumns(found.regions, found.tracks["track_id"].to_pylist())

    def alike(*clusters):
        made = [Cluster(**cluster(0, "", regions[0], track_ids=tracks)) for tracks in clusters]
        return cluster_likenesses(found, columns, made, MatchBrandsParams.model_validate({}), Several())

    [of_two, of_none, of_one] = alike(["a", "b"], ["d"], ["c"])
    assert [[one.brand for one in of] for of in (of_two, of_none, of_one)] == [["B0"], [], ["B2"]]
    [of_both] = alike(["both"])
    assert [one.brand for one in of_both] == ["B1", "B0"]
    assert of_two[0].probability == pytest.approx(0.9, abs=0.01), "the mean of its views"
    assert alike() == []
    assert alike(["d"]) == [[]]


def test_without_a_gallery_candidates_are_by_text_alone():
    regions = [region(1, "text", (400, 300, 200, 40))]
    result = match_brands(
        SCENES,
        detected(regions, SCENES),
        texts([text("text", "EMIRAT")]),
        MatchBrandsParams.model_validate({}),
        index=INDEX,
    )
    assert resembles(result) == {("text",): ["Emirates"]}
